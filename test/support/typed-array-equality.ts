/**
 * @file Set up before every test file: typed arrays of the same bytes are equal at once. toEqual() looks at each
 * element otherwise, which takes two microseconds of each and half a second of a small model's logits.
 */

import { expect } from 'vitest'

const IS_ADDED = Symbol.for('lowrank.typed-array-equality')

/** True for two of one kind and the same bytes; undefined leaves the answer, and what a failure says, to toEqual(). */
function haveSameBytes(a: unknown, b: unknown): true | undefined {
  if (!ArrayBuffer.isView(a) || !ArrayBuffer.isView(b)) return undefined
  if (Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return undefined
  const [left, right] = [a, b].map((view) => Buffer.from(view.buffer, view.byteOffset, view.byteLength))
  return left?.equals(right as Buffer) ? true : undefined
}

// Files share a process, and what was added stays.
if (!Reflect.has(globalThis, IS_ADDED)) {
  Reflect.set(globalThis, IS_ADDED, true)
  expect.addEqualityTesters([haveSameBytes])
}
