/**
 * @file Items as 32-bit words: the form in which rows wait for their batch, in memory and in files. A token takes one
 * word; labels are kept as the runs of tokens that are learnt, where they are those tokens themselves.
 *
 * A record: sequences, or -sequences - 1 for a group; of a group its weight (2 words), the bytes of its other fields as
 * JSON, and these; then of each sequence: tokens (with weights -tokens - 1), supervised tokens, prompt length, runs (or
 * -1: labels follow as they are), the ids, the runs as (start, end) or the labels, and the weights as float32.
 */

import { IGNORE_INDEX } from '../architecture/ragged-batch.js'
import type { Example } from './examples.js'
import type { ExampleGroup, Item } from './items.js'

const SEQUENCE_HEADER = 4
const OWN_LABELS = -1
/** What a record holds of an example. A field that is missing here does not compile. */
const FIELDS = {
  inputIds: true,
  labels: true,
  weights: true,
  numSupervised: true,
  promptLength: true,
} as const satisfies Record<keyof Example, true>

/** The words of one item. */
export function recordOf(item: Item): Int32Array {
  const isGroup = 'sequences' in item
  const sequences: readonly Example[] = isGroup ? item.sequences : [item]
  const rest = isGroup ? restOf(item) : undefined
  const runs = sequences.map(runsOf)
  let size = 1 + (rest ? 3 + Math.ceil(rest.length / 4) : 0)
  sequences.forEach(({ inputIds, weights = [] }, index) => {
    size += SEQUENCE_HEADER + inputIds.length + (runs[index]?.length ?? inputIds.length) + weights.length
  })
  const words = new Int32Array(size)
  let at = 0
  words[at++] = isGroup ? -sequences.length - 1 : sequences.length
  if (isGroup && rest) {
    words.set(new Int32Array(new Float64Array([item.weight]).buffer), at)
    words[at + 2] = rest.length
    new Uint8Array(words.buffer).set(rest, 4 * (at + 3))
    at += 3 + Math.ceil(rest.length / 4)
  }
  sequences.forEach(({ inputIds, labels, weights, numSupervised, promptLength }, index) => {
    const own = runs[index]
    words.set(
      [
        weights ? -inputIds.length - 1 : inputIds.length,
        numSupervised,
        promptLength,
        own ? own.length / 2 : OWN_LABELS,
      ],
      at,
    )
    at += SEQUENCE_HEADER
    words.set(inputIds, at)
    at += inputIds.length
    words.set(own ?? labels, at)
    at += own?.length ?? labels.length
    if (!weights) return
    words.set(new Int32Array(weights.buffer, weights.byteOffset, weights.length), at)
    at += weights.length
  })
  return words
}

/** The item of a record; nothing of it lies in the words. */
export function itemOf<I extends Item>(words: Int32Array): I {
  const count = words[0] as number
  let at = 1
  let group: Omit<ExampleGroup, 'sequences'> | undefined
  if (count < 0) {
    const bytes = words[at + 2] as number
    const weight = new Float64Array(words.slice(at, at + 2).buffer)[0] as number
    const text = new Uint8Array(words.buffer, words.byteOffset + 4 * (at + 3), bytes)
    group = { weight, ...(bytes > 0 && (JSON.parse(Buffer.from(text).toString()) as object)) }
    at += 3 + Math.ceil(bytes / 4)
  }
  const sequences: Example[] = []
  for (let left = count < 0 ? -count - 1 : count; left > 0; left--) {
    const [tokens = 0, numSupervised = 0, promptLength = 0, runs = 0] = words.subarray(at, at + SEQUENCE_HEADER)
    const length = tokens < 0 ? -tokens - 1 : tokens
    at += SEQUENCE_HEADER
    const inputIds = words.slice(at, at + length)
    at += length
    let labels: Int32Array
    if (runs === OWN_LABELS) {
      labels = words.slice(at, at + length)
      at += length
    } else {
      labels = new Int32Array(length).fill(IGNORE_INDEX)
      for (let run = 0; run < runs; run++, at += 2) {
        const start = words[at] as number
        labels.set(inputIds.subarray(start, words[at + 1]), start)
      }
    }
    const weights = tokens < 0 ? new Float32Array(words.slice(at, at + length).buffer) : undefined
    if (weights) at += length
    const example = { inputIds, labels, weights, numSupervised, promptLength } satisfies Record<
      keyof typeof FIELDS,
      unknown
    >
    sequences.push(example)
  }
  return (group ? { ...group, sequences } : sequences[0]) as I
}

/** Starts and ends of the tokens that are learnt; undefined where a label is another token. */
function runsOf({ inputIds, labels }: Example): number[] | undefined {
  const runs: number[] = []
  let isLearnt = false
  for (let at = 0; at < labels.length; at++) {
    const label = labels[at]
    if (label !== IGNORE_INDEX && label !== inputIds[at]) return undefined
    if ((label !== IGNORE_INDEX) === isLearnt) continue
    isLearnt = !isLearnt
    runs.push(at)
  }
  if (isLearnt) runs.push(labels.length)
  return runs
}

/** What a group has beside sequences and weight. */
function restOf(group: ExampleGroup): Uint8Array {
  const { sequences: _, weight: __, ...rest } = group
  return Object.keys(rest).length === 0 ? new Uint8Array() : Buffer.from(JSON.stringify(rest))
}
