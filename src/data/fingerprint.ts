/** @file Digests of token ids, in steps: of one row, and of a data set. */

import { createHash, type Hash } from 'node:crypto'
import type { Steps } from '../turns.js'
import type { Example } from './examples.js'
import { type Item, sequencesOf } from './items.js'

// Hashed within a few milliseconds.
const BYTES_PER_STEP = 1 << 20

/** Identifies encoded rows, so that a resumed run can tell whether its data changed. */
export function* datasetFingerprint(items: Iterable<Item>): Steps<string> {
  const hash = createHash('sha256')
  for (const { inputIds, labels, weights } of sequencesIn(items)) {
    yield
    hash.update(`${inputIds.length},`)
    yield* update(hash, inputIds)
    yield* update(hash, labels)
    if (weights === undefined) continue
    hash.update('weights,')
    yield* update(hash, weights)
  }
  return hash.digest('hex')
}

function* sequencesIn(items: Iterable<Item>): Generator<Example> {
  for (const item of items) yield* sequencesOf(item)
}

/** Tells lists of lists of ids apart. */
export function* digestOf(...lists: readonly Int32Array[]): Steps<Buffer> {
  const hash = createHash('sha256')
  for (const ids of lists) {
    hash.update(`${ids.length},`)
    yield* update(hash, ids)
  }
  return hash.digest()
}

function* update(hash: Hash, values: Int32Array | Float32Array): Steps<void> {
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
  for (let start = 0; start < bytes.length; start += BYTES_PER_STEP) {
    if (start > 0) yield
    hash.update(bytes.subarray(start, start + BYTES_PER_STEP))
  }
}
