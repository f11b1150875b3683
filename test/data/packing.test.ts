/** @file Putting several rows into one pack of a capacity. */

import { describe, expect, it } from 'vitest'
import type { PackingStrategy } from '../../src/data/options.js'
import { packRows } from '../../src/data/packing.js'
import { Random } from '../../src/random.js'
import { runAtOnce } from '../../src/turns.js'

const pack = (order: readonly number[], lengths: readonly number[], capacity: number, strategy: PackingStrategy) =>
  runAtOnce(packRows(Int32Array.from(order), Int32Array.from(lengths), capacity, strategy))
const ascending = (count: number) => Array.from({ length: count }, (_, row) => row)
const sorted = (rows: readonly number[]) => [...rows].sort((a, b) => a - b)

describe('packRows', () => {
  it('puts every row into exactly one pack, none above capacity, whatever the lengths', () => {
    const random = new Random(9)
    for (let trial = 0; trial < 60; trial++) {
      const capacity = 1 + random.below(97)
      const lengths = Array.from({ length: random.below(150) }, () => 1 + random.below(capacity))
      const order = random.shuffle_(ascending(lengths.length))
      const total = lengths.reduce((sum, length) => sum + length, 0)
      for (const strategy of ['bfd', 'sequential'] as const) {
        const packs = pack(order, lengths, capacity, strategy)
        expect(sorted(packs.flat())).toEqual(ascending(lengths.length))
        for (const pack of packs) {
          const filled = pack.reduce((sum, row) => sum + (lengths[row] as number), 0)
          expect(filled).toBeGreaterThan(0)
          expect(filled).toBeLessThanOrEqual(capacity)
        }
        const fewest = Math.ceil(total / capacity)
        // Two neighbouring packs hold more than one could, in both strategies.
        expect(packs.length).toBeLessThanOrEqual(2 * fewest)
      }
    }
  })

  it('fills best first: each row goes to the fullest pack with room', () => {
    // 6 opens a pack, 5 another, 4 completes the first, 3 and 2 the second.
    expect(pack([0, 1, 2, 3, 4], [2, 3, 4, 5, 6], 10, 'bfd')).toEqual([
      [4, 2],
      [3, 1, 0],
    ])
    expect(pack([0, 1, 2, 3, 4], [2, 3, 4, 5, 6], 10, 'sequential')).toEqual([[0, 1, 2], [3], [4]])
  })

  it('packs 64 short rows into at most a quarter of the padded tokens', () => {
    const random = new Random(3)
    const lengths = Array.from({ length: 64 }, () => 20 + random.below(200))
    const packs = pack(ascending(64), lengths, 2048, 'bfd')
    expect(packs.length * 2048).toBeLessThanOrEqual((64 * 2048) / 4)
  })
})
