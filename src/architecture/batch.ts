/**
 * @file From what callers give to forward() to ragged host arrays: padding stripped, labels shifted, everything
 * checked.
 */

import { describeValue, expectObject } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { float32, instance } from '../options/rules.js'
import { expectOptions, type OptionTable } from '../options/table.js'
import { Tensor } from '../tensor/tensor.js'
import { IGNORE_INDEX, positionsInSequences, type RaggedBatch, shiftLabels, shiftWeights } from './ragged-batch.js'

/** What forward() takes. */
export interface ForwardBatch {
  /** [B, T] token ids, rows of one length when a mask or labels say so; or ragged [N] with `cuSeqlens`. */
  inputIds: readonly (readonly number[])[] | Tensor | Int32Array
  /**
   * [B, T], 1 for tokens, 0 for padding (either side). Not with `cuSeqlens`.
   * @default none: every id is a token
   */
  attentionMask?: readonly (readonly number[])[] | Tensor
  /**
   * Like inputIds, not shifted; -100 is ignored. The label of a token is what the token before it has to predict.
   * @default none: there is no loss
   */
  labels?: readonly (readonly number[])[] | Tensor | Int32Array
  /**
   * Like labels: what the loss of each counts, finite and 0 or more. The loss is the sum of weighted losses by
   * `numItemsInBatch`.
   * @default none: 1 each
   */
  weights?: readonly (readonly number[])[] | Float32Array | readonly number[]
  /**
   * `[S + 1]`: sequence s owns the tokens from `cuSeqlens[s]` to `cuSeqlens[s + 1] - 1` of a ragged batch.
   * @default none: the batch is not ragged
   */
  cuSeqlens?: Int32Array | readonly number[]
  /**
   * What the sum of losses is divided by.
   * @default the number of labelled tokens, with weights the sum of their weights
   */
  numItemsInBatch?: number
}

const isIds = (value: unknown): boolean =>
  Array.isArray(value) || value instanceof Int32Array || value instanceof Tensor
const IDS = instance(
  'number[][] or an int32 Tensor [B, T], or with cuSeqlens number[], an Int32Array or an int32 Tensor [N],',
  isIds,
)

/** What `forward` takes. That shapes fit together is looked at later. */
export const FORWARD_BATCH = {
  inputIds: { rule: IDS, isRequired: true, help: 'token ids, rows of one length; or ragged with cuSeqlens' },
  attentionMask: {
    rule: instance('number[][] or an int32 Tensor', isIds),
    otherwise: 'none, every id is a token',
    help: '1 for tokens, 0 for padding',
  },
  labels: {
    rule: IDS,
    otherwise: 'none, there is no loss',
    help: `like inputIds, not shifted; ${IGNORE_INDEX} is ignored`,
  },
  weights: {
    rule: instance(
      'number[][], or with cuSeqlens number[] or a Float32Array',
      (value) => Array.isArray(value) || value instanceof Float32Array,
    ),
    otherwise: 'none, 1 each',
    help: 'like labels: what the loss of each counts, 0 or more',
  },
  cuSeqlens: {
    rule: instance('an Int32Array or number[]', (value) => Array.isArray(value) || value instanceof Int32Array),
    otherwise: 'none, the batch is not ragged',
    help: 'where the sequences of a ragged batch begin, and where the last ends',
  },
  numItemsInBatch: {
    rule: float32({ above: 0 }),
    otherwise: 'the number of labelled tokens, with weights the sum of theirs',
    help: 'what the sum of losses is divided by',
  },
} as const satisfies OptionTable<ForwardBatch>

/** A ragged batch and where its rows stood. */
export interface PreparedBatch extends RaggedBatch {
  /** Shape that logits are scattered back to: [B, T], or [N] for ragged input. */
  readonly outputShape: readonly number[]
  /** Row of each token in the output; absent when nothing was stripped. */
  readonly outputRows?: Int32Array
}

/**
 * @throws on unknown fields, ragged rows without a mask, wrong sizes, ids outside the vocabulary, and a batch without
 * tokens.
 */
export function prepareBatch(batch: ForwardBatch, vocabSize: number): PreparedBatch {
  expectObject('forward', 'batch', batch)
  expectOptions('forward', batch, FORWARD_BATCH)
  const prepared = batch.cuSeqlens ? fromRagged(batch, batch.cuSeqlens) : fromMatrix(batch)
  if (prepared.inputIds.length === 0)
    throw new LowrankError(
      'INVALID_CALL',
      '[forward] expected at least one token in inputIds, got none (is attentionMask all 0?)',
    )
  checkIds(prepared.inputIds, vocabSize, 'inputIds')
  if (prepared.labels) checkIds(prepared.labels, vocabSize, 'labels')
  else if (prepared.weights)
    throw new LowrankError('INVALID_CALL', '[forward] expected labels beside weights, got none: there is no loss')
  return prepared
}

function fromRagged(
  { inputIds, labels, weights, attentionMask }: ForwardBatch,
  cuSeqlens: Int32Array | readonly number[],
): PreparedBatch {
  const ids = flatValues('inputIds', inputIds)
  if (attentionMask)
    throw new LowrankError(
      'INVALID_CALL',
      '[forward] expected no attentionMask with cuSeqlens: a ragged batch holds no padding',
    )
  const bounds = integers('cuSeqlens', cuSeqlens)
  if (
    bounds.length < 2 ||
    bounds[0] !== 0 ||
    bounds[bounds.length - 1] !== ids.length ||
    bounds.some((b, i) => i > 0 && b < (bounds[i - 1] as number))
  ) {
    throw new LowrankError(
      'INVALID_CALL',
      `[forward] expected cuSeqlens to ascend from 0 to the number of tokens ${ids.length}, got [${bounds.slice(0, 8)}${bounds.length > 8 ? ', ...' : ''}]`,
    )
  }
  const given = labels === undefined ? undefined : flatValues('labels', labels)
  if (given && given.length !== ids.length)
    throw new LowrankError(
      'INVALID_CALL',
      `[forward] expected ${ids.length} labels, one per token, got ${given.length}`,
    )
  const ofLabels = weights === undefined ? undefined : weightsOf(weights as Float32Array | readonly number[])
  if (ofLabels && ofLabels.length !== ids.length)
    throw new LowrankError(
      'INVALID_CALL',
      `[forward] expected ${ids.length} weights, one per token, got ${ofLabels.length}`,
    )
  return {
    inputIds: ids,
    positions: positionsInSequences(bounds),
    cuSeqlens: bounds,
    labels: given && shiftLabels(given, bounds),
    ...(ofLabels && { weights: shiftWeights(ofLabels, bounds) }),
    outputShape: [ids.length],
  }
}

function fromMatrix({ inputIds, attentionMask, labels, weights }: ForwardBatch): PreparedBatch {
  const ids = matrixValues('inputIds', inputIds)
  const mask = attentionMask === undefined ? undefined : matrixValues('attentionMask', attentionMask)
  const given = labels === undefined ? undefined : matrixValues('labels', labels)
  const ofLabels = weights === undefined ? undefined : weightMatrix(weights)
  for (const [name, other] of [
    ['attentionMask', mask],
    ['labels', given],
    ['weights', ofLabels],
  ] as const) {
    if (other && (other.rows !== ids.rows || other.cols !== ids.cols)) {
      throw new LowrankError(
        'INVALID_CALL',
        `[forward] expected shape [${ids.rows}, ${ids.cols}] (like inputIds) for ${name}, got [${other.rows}, ${other.cols}]`,
      )
    }
  }
  const { rows, cols } = ids
  const kept: number[] = []
  const cuSeqlens = [0]
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      const at = row * cols + col
      const bit = mask ? mask.values[at] : 1
      if (bit === 1) kept.push(at)
      else if (bit !== 0)
        throw new LowrankError(
          'INVALID_CALL',
          `[forward] expected 0 or 1 in attentionMask, got ${bit} at row ${row}, column ${col}`,
        )
    }
    // A row of padding alone is no sequence.
    if (kept.length > (cuSeqlens[cuSeqlens.length - 1] as number)) cuSeqlens.push(kept.length)
  }
  const bounds = Int32Array.from(cuSeqlens)
  const pick = (values: Int32Array): Int32Array => Int32Array.from(kept, (at) => values[at] as number)
  return {
    inputIds: pick(ids.values),
    // The column, as transformers numbers positions when it is given none.
    positions: Int32Array.from(kept, (at) => at % cols),
    cuSeqlens: bounds,
    labels: given && shiftLabels(pick(given.values), bounds),
    ...(ofLabels && {
      weights: shiftWeights(weightsOf(Array.from(kept, (at) => ofLabels.values[at])), bounds),
    }),
    outputShape: [rows, cols],
    outputRows: kept.length === rows * cols ? undefined : Int32Array.from(kept),
  }
}

interface WeightMatrix {
  readonly values: readonly unknown[]
  readonly rows: number
  readonly cols: number
}

function weightMatrix(value: NonNullable<ForwardBatch['weights']>): WeightMatrix {
  const rows = value as readonly (readonly unknown[])[]
  const cols = (Array.isArray(value) && Array.isArray(rows[0]) ? rows[0] : []).length
  if (!Array.isArray(value) || !rows.every((row) => Array.isArray(row) && row.length === cols))
    throw new LowrankError(
      'INVALID_CALL',
      `[forward] expected number[][], rows of one length, for weights, got ${describe(value)}; a ragged batch needs cuSeqlens`,
    )
  return { values: rows.flat(), rows: rows.length, cols }
}

/** @throws on what is no weight in float32 */
function weightsOf(values: ArrayLike<unknown>): Float32Array {
  return Float32Array.from(values, (value, i) => {
    const weight = typeof value === 'number' ? Math.fround(value) : Number.NaN
    if (weight >= 0 && Number.isFinite(weight)) return weight
    throw new LowrankError(
      'INVALID_CALL',
      `[forward] expected finite numbers of 0 or more in weights, got ${describeValue(value)} at token ${i}`,
    )
  })
}

function flatValues(name: string, value: ForwardBatch['inputIds']): Int32Array {
  return value instanceof Tensor ? hostValues(name, value) : integers(name, value)
}

/** @throws on what is no list of whole numbers that 32 bits hold: none is rounded or cut. */
function integers(name: string, value: unknown): Int32Array {
  if (value instanceof Int32Array) return value
  if (!Array.isArray(value)) {
    const tensor = name === 'cuSeqlens' ? '' : ', an int32 Tensor [N]'
    throw new LowrankError(
      'INVALID_CALL',
      `[forward] expected an Int32Array${tensor} or number[] for ${name}${name === 'cuSeqlens' ? '' : ' with cuSeqlens'}, got ${describeValue(value)}`,
    )
  }
  const values = new Int32Array(value.length)
  for (let i = 0; i < values.length; i++) values[i] = integer(value[i], name, () => `place ${i}`)
  return values
}

function integer(value: unknown, name: string, place: () => string): number {
  if (typeof value === 'number' && Number.isInteger(value) && value === (value | 0)) return value
  const bounds = Number.isInteger(value) ? ' from -2147483648 to 2147483647' : ''
  throw new LowrankError(
    'INVALID_CALL',
    `[forward] expected whole numbers${bounds} in ${name}, got ${describeValue(value)} at ${place()}`,
  )
}

interface Matrix {
  values: Int32Array
  rows: number
  cols: number
}

function matrixValues(name: string, value: ForwardBatch['inputIds']): Matrix {
  if (value instanceof Tensor) {
    if (value.shape.length !== 2)
      throw new LowrankError('INVALID_CALL', `[forward] expected shape [B, T] for ${name}, got [${value.shape}]`)
    return { values: hostValues(name, value), rows: value.rows, cols: value.cols }
  }
  if (!Array.isArray(value) || !value.every((row) => Array.isArray(row))) {
    throw new LowrankError(
      'INVALID_CALL',
      `[forward] expected number[][] or an int32 Tensor [B, T] for ${name}, got ${describe(value)}; a ragged batch needs cuSeqlens`,
    )
  }
  const matrix = value as readonly (readonly number[])[]
  const cols = matrix[0]?.length ?? 0
  const values = new Int32Array(matrix.length * cols)
  matrix.forEach((row, r) => {
    if (row.length !== cols) {
      throw new LowrankError(
        'INVALID_CALL',
        `[forward] expected rows of one length for ${name}, got ${cols} and ${row.length} (row ${r}); pad them and give attentionMask`,
      )
    }
    for (let c = 0; c < cols; c++) values[r * cols + c] = integer(row[c], name, () => `row ${r}, column ${c}`)
  })
  return { values, rows: matrix.length, cols }
}

function hostValues(name: string, tensor: Tensor): Int32Array {
  const values = tensor.dtype === 'int32' ? tensor.hostValues : undefined
  if (values) return values
  throw new LowrankError(
    'INVALID_CALL',
    `[forward] expected an int32 Tensor made from host data for ${name}, got ${tensor.dtype === 'int32' ? 'one that was computed or changed, or columns of a larger one' : tensor.dtype}; ` +
      'read it and pass number[][]',
  )
}

function checkIds(ids: Int32Array, vocabSize: number, name: string): void {
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i] as number
    if (id >= 0 && id < vocabSize) continue
    if (name === 'labels' && id === IGNORE_INDEX) continue
    throw new LowrankError(
      'INVALID_CALL',
      `[forward] expected token ids in [0, ${vocabSize})${name === 'labels' ? ` or ${IGNORE_INDEX}` : ''} for ${name}, got ${id} at token ${i}; ` +
        'is the tokenizer the one of this model?',
    )
  }
}

function describe(value: unknown): string {
  return Array.isArray(value) ? 'an array of other things' : describeValue(value)
}
