/** @file Digests of token ids, in steps: of one row, and of a data set. */

import { createHash, type Hash } from 'node:crypto'
import type { Steps } from '../turns.js'
import type { Example } from './examples.js'

// Hashed within a few milliseconds.
const BYTES_PER_STEP = 1 << 20

/** Identifies encoded examples, so that a resumed run can tell whether its data changed. */
export function* datasetFingerprint(examples: readonly Example[]): Steps<string> {
  const hash = createHash('sha256')
  for (const { inputIds, labels } of examples) {
    yield
    hash.update(`${inputIds.length},`)
    yield* update(hash, inputIds)
    yield* update(hash, labels)
  }
  return hash.digest('hex')
}

/** Tells lists of ids apart. */
export function* digestOf(ids: Int32Array): Steps<string> {
  const hash = createHash('sha256')
  yield* update(hash, ids)
  return hash.digest('base64')
}

function* update(hash: Hash, ids: Int32Array): Steps<void> {
  const bytes = new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength)
  for (let start = 0; start < bytes.length; start += BYTES_PER_STEP) {
    if (start > 0) yield
    hash.update(bytes.subarray(start, start + BYTES_PER_STEP))
  }
}
