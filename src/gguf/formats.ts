/**
 * @file The formats in which weights are written to GGUF files, and packing rows of weights in them. The arithmetic is
 * native; see native/gguf.
 */

import { describeValue } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { loadAddon } from '../tensor/addon.js'

/** By ggml's name: its number in files, values in a block, bytes of a block. */
export const FORMATS = {
  F32: { type: 0, size: 1, bytes: 4 },
  F16: { type: 1, size: 1, bytes: 2 },
  BF16: { type: 30, size: 1, bytes: 2 },
  Q8_0: { type: 8, size: 32, bytes: 34 },
  Q4_0: { type: 2, size: 32, bytes: 18 },
  Q4_1: { type: 3, size: 32, bytes: 20 },
  Q5_0: { type: 6, size: 32, bytes: 22 },
  Q5_1: { type: 7, size: 32, bytes: 24 },
  Q4_K: { type: 12, size: 256, bytes: 144 },
  Q5_K: { type: 13, size: 256, bytes: 176 },
  Q6_K: { type: 14, size: 256, bytes: 210 },
} as const satisfies Record<string, { type: number; size: number; bytes: number }>

export type FormatName = keyof typeof FORMATS

/** Bytes of a tensor; undefined where its rows are no whole blocks. */
export function packedBytes(format: FormatName, shape: readonly number[]): number | undefined {
  const { size, bytes } = FORMATS[format]
  if ((shape.at(-1) as number) % size !== 0) return undefined
  return (shape.reduce((product, length) => product * length, 1) / size) * bytes
}

/**
 * Packs rows of weights, on the compute pool and off the event loop.
 * @param importance how much an error in each column counts; only formats in "K" look at it
 * @throws naming the tensor, on values that are not finite or that the format does not hold
 */
export async function packRows(
  name: string,
  format: FormatName,
  values: Float32Array,
  importance?: Float32Array,
): Promise<Uint8Array> {
  const packed = await loadAddon().quantize(format, values, importance ?? null)
  if (packed) return packed
  const remedy = values.every(Number.isFinite)
    ? 'some are too large for it: choose BF16 or F32'
    : 'some are infinite or no numbers: the model is damaged, or was trained to nothing'
  throw new ModelError(`[gguf] expected the values of ${describeValue(name)} to fit ${format}; ${remedy}`)
}
