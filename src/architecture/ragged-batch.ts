/**
 * @file Sequences laid end to end on the host, and what follows from where they begin: positions, and labels moved to
 * the token that predicts them. Computes nothing on a device.
 */

/** Label of tokens that have no loss. */
export const IGNORE_INDEX = -100

/** Tokens of all sequences in one axis, on the host. */
export interface RaggedBatch {
  /** [N]. */
  readonly inputIds: Int32Array
  /** [N]. */
  readonly positions: Int32Array
  /** [S + 1]. */
  readonly cuSeqlens: Int32Array
  /**
   * [N], shifted: the id that each token has to predict, or -100.
   * @default none
   */
  readonly labels?: Int32Array
  /**
   * [N], shifted as the labels: what the loss of each token counts, finite and 0 or more.
   * @default 1 each
   */
  readonly weights?: Float32Array
}

/** The position of each token in its sequence, [N]. */
export function positionsInSequences(cuSeqlens: Int32Array): Int32Array {
  const positions = new Int32Array(cuSeqlens[cuSeqlens.length - 1] as number)
  for (let s = 0; s + 1 < cuSeqlens.length; s++) {
    const start = cuSeqlens[s] as number
    for (let i = start; i < (cuSeqlens[s + 1] as number); i++) positions[i] = i - start
  }
  return positions
}

/** Moves each label to the token before it; the last token of a sequence predicts nothing. */
export function shiftLabels(labels: Int32Array, cuSeqlens: Int32Array): Int32Array {
  const shifted = new Int32Array(labels.length)
  shifted.set(labels.subarray(1))
  for (let s = 1; s < cuSeqlens.length; s++) {
    const end = cuSeqlens[s] as number
    if (end > (cuSeqlens[s - 1] as number)) shifted[end - 1] = IGNORE_INDEX
  }
  return shifted
}

/** `shiftLabels` for the weights of labels. */
export function shiftWeights(weights: Float32Array, cuSeqlens: Int32Array): Float32Array {
  const shifted = new Float32Array(weights.length)
  shifted.set(weights.subarray(1))
  for (let s = 1; s < cuSeqlens.length; s++) {
    const end = cuSeqlens[s] as number
    if (end > (cuSeqlens[s - 1] as number)) shifted[end - 1] = 0
  }
  return shifted
}
