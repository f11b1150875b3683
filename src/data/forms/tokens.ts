/** @file Rows that bring their token ids: with labels, or masks of what is learnt. */

import { IGNORE_INDEX } from '../../architecture/ragged-batch.js'
import type { Steps } from '../../turns.js'
import { describeOrigin, type RowOrigin, rowError } from '../row-origin.js'
import { isPresent, weightValue, wrongType } from '../row-values.js'
import type { Columns, RowForm, SequenceContent } from './row-form.js'

// What else a tokenizer writes beside ids; training makes positions itself.
const UNUSED = ['token_type_ids', 'position_ids', 'special_tokens_mask', 'length']

export const TOKENS: RowForm = {
  name: 'tokens',
  columns: ['input_ids'],
  optional: [
    'labels',
    'completion_mask',
    'assistant_masks',
    'token_weights',
    'attention_mask',
    'seq_lengths',
    ...UNUSED,
  ],
  read: readTokens,
}

// Values that are looked at within a fraction of a millisecond.
const VALUES_PER_STEP = 1 << 14

function* readTokens(row: Columns, origin: RowOrigin): Steps<SequenceContent> {
  const ids = yield* integers(row.input_ids, 'input_ids', origin, 'a list of token ids')
  const ofLength = function* (name: string, expected: string): Steps<Int32Array | undefined> {
    if (!isPresent(row[name])) return undefined
    const values = yield* integers(row[name], name, origin, expected)
    if (values.length === ids.length) return values
    throw rowError(
      origin,
      `[data] expected ${ids.length} values for ${name} in ${describeOrigin(origin)}, as input_ids has, got ${values.length}`,
    )
  }
  const attention = yield* ofLength('attention_mask', 'a list of 0 and 1')
  const labels = yield* ofLength('labels', 'a list of token ids and -100')
  const completion = yield* ofLength('completion_mask', 'a list of 0 and 1')
  const assistant = yield* ofLength('assistant_masks', 'a list of 0 and 1')
  expectOneSequence(row.seq_lengths, origin)
  const [start, end] = attention === undefined ? [0, ids.length] : attended(attention, origin)
  const labelled = labels?.map((label, at) => {
    if (label !== IGNORE_INDEX && label !== ids[at])
      throw wrongType(`-100 or the id ${ids[at]}`, `labels[${at}]`, origin, label)
    return label === IGNORE_INDEX ? 0 : 1
  })
  const within = (mask: Int32Array | undefined, name: string): Uint8Array | undefined => {
    const wrong = mask?.findIndex((value) => value !== 0 && value !== 1) ?? -1
    if (wrong >= 0) throw wrongType('0 or 1', `${name}[${wrong}]`, origin, mask?.[wrong])
    return mask && Uint8Array.from(mask.subarray(start, end))
  }
  const masks = {
    labelled: within(labelled, 'labels'),
    completionMask: within(completion, 'completion_mask'),
    assistantMask: within(assistant, 'assistant_masks'),
  }
  const weights = (yield* weightsOf(row.token_weights, ids.length, origin))?.slice(start, end)
  const given = Object.fromEntries(Object.entries({ ...masks, weights }).filter(([, mask]) => mask !== undefined))
  return { form: 'tokens', inputIds: ids.slice(start, end), ...given }
}

/** The whole numbers of a list. */
function* integers(given: unknown, name: string, origin: RowOrigin, expected: string): Steps<Int32Array> {
  if (!isNumberList(given)) throw wrongType(expected, name, origin, given)
  const list = given
  const values = new Int32Array(list.length)
  for (let at = 0; at < list.length; at++) {
    if (at % VALUES_PER_STEP === 0) yield
    const value = typeof list[at] === 'boolean' || typeof list[at] === 'bigint' ? Number(list[at]) : list[at]
    values[at] = typeof value === 'number' ? value : Number.NaN
    if (values[at] !== value) throw wrongType('a whole number', `${name}[${at}]`, origin, list[at])
  }
  return values
}

function* weightsOf(given: unknown, length: number, origin: RowOrigin): Steps<Float64Array | undefined> {
  if (!isPresent(given)) return undefined
  if (!isNumberList(given) || given.length !== length)
    throw wrongType(`a list of ${length} numbers, as input_ids has,`, 'token_weights', origin, given)
  const weights = new Float64Array(length)
  for (let at = 0; at < length; at++) {
    if (at % VALUES_PER_STEP === 0) yield
    weights[at] = weightValue(given[at], `token_weights[${at}]`, origin)
  }
  return weights
}

/** A list, or one of JavaScript's typed arrays, as Arrow gives them. */
function isNumberList(given: unknown): given is ArrayLike<unknown> {
  return Array.isArray(given) || (ArrayBuffer.isView(given) && !(given instanceof DataView))
}

/** Where the tokens begin and end that are no padding. */
function attended(mask: Int32Array, origin: RowOrigin): [start: number, end: number] {
  const start = Math.max(mask.indexOf(1), 0)
  const end = mask.lastIndexOf(1) + 1
  const gap = mask.findIndex((value, at) => value !== (at >= start && at < end ? 1 : 0))
  if (gap < 0) return [start, end]
  throw rowError(
    origin,
    `[data] expected 0 at the ends of attention_mask alone in ${describeOrigin(origin)}, where padding is, got ${mask[gap]} at ${gap}; ` +
      'remove the tokens that are not to be seen',
  )
}

function expectOneSequence(lengths: unknown, origin: RowOrigin): void {
  if (!Array.isArray(lengths) || lengths.length <= 1) return
  throw rowError(
    origin,
    `[data] expected one sequence for each row, got seq_lengths of ${lengths.length} in ${describeOrigin(origin)}; write each sequence as a ` +
      'row of its own, and set packing: true',
  )
}
