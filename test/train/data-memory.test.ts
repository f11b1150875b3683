import { expect, test } from 'vitest'
import { usualDataMemory } from '../../src/train/data-memory.js'

const GIB = 2 ** 30

test('rows may take a sixteenth of the memory that is available or budgeted, within bounds', () => {
  expect(usualDataMemory(undefined, 64 * GIB)).toBe(2 ** 27)
  expect(usualDataMemory(undefined, GIB)).toBe(GIB / 16)
  expect(usualDataMemory(GIB / 2, 64 * GIB)).toBe(GIB / 32)
  expect(usualDataMemory(1, GIB)).toBe(2 ** 23)
  // This machine has memory.
  expect(usualDataMemory()).toBeGreaterThanOrEqual(2 ** 23)
})
