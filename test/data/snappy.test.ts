/** @file What is packed as Snappy unpacks to the same bytes, by the reader of another project. */

import { snappyUncompress } from 'hyparquet'
import { expect, it } from 'vitest'
import { snappy } from '../../src/data/writers/snappy.js'
import { Random } from '../../src/random.js'
import { cases } from '../support/long.js'

function unpacked(packed: Uint8Array, length: number): Uint8Array {
  const output = new Uint8Array(length)
  snappyUncompress(packed, output)
  return output
}

it('Snappy gives back bytes of any kind and length, and makes none much longer', () => {
  const random = new Random(4)
  const kinds: ((length: number) => Uint8Array)[] = [
    (length) => new Uint8Array(length).fill(7),
    (length) => Uint8Array.from({ length }, () => random.below(256)),
    (length) => Uint8Array.from({ length }, (_, index) => (index % 5 === 4 ? random.below(256) : 3)),
    (length) => {
      const words = Array.from({ length: 50 }, () => random.below(1e9).toString(36))
      let text = ''
      while (text.length < length) text += `${words[random.below(50)]} `
      return Buffer.from(text.slice(0, length))
    },
  ]
  // Copies reach 64 KiB back, and literals have a longer length from 60, 256 and 65,536 bytes on.
  const lengths = [0, 1, 3, 4, 14, 15, 16, 17, 59, 60, 61, 62, 256, 257, 300, 65_535, 65_536, 65_537, 70_001, 200_003]
  for (let round = 0; round < cases(1, 50); round++) {
    for (const bytesOf of kinds) {
      for (const length of lengths) {
        // A view into a larger buffer, as pages of columns are.
        const input = Buffer.concat([Buffer.alloc(3, 1), bytesOf(length), Buffer.alloc(9, 1)]).subarray(3, 3 + length)
        const packed = snappy(input)
        expect(Buffer.compare(unpacked(packed, length), input)).toBe(0)
        expect(packed.length).toBeLessThanOrEqual(length + 10 + length / 40)
      }
    }
  }
})

it('Snappy packs what repeats, also across 64 KiB', () => {
  const page = Buffer.from(Array.from({ length: 40_000 }, (_, index) => `${index * 7919}`).join(' '))
  const twice = Buffer.concat([page.subarray(0, 40_000), page.subarray(0, 40_000), page.subarray(0, 40_000)])
  const once = snappy(page.subarray(0, 40_000)).length
  expect(snappy(twice).length).toBeLessThan(once + 5000)
  expect(Buffer.compare(unpacked(snappy(twice), twice.length), twice)).toBe(0)
})
