/** @file Encoded rows in memory and in a file: what goes in comes out in any order, and nothing is left behind. */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { Example } from '../../src/data/examples.js'
import { type ExampleGroup, type Item, listOf, someOf } from '../../src/data/items.js'
import { itemOf, recordOf } from '../../src/data/row-record.js'
import { RowStore } from '../../src/data/row-store.js'
import { Random } from '../../src/random.js'
import { cases } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const directory = temporaryDirectory()

/** A row whose answers lie anywhere; `foreign`: with labels that are other tokens; `weighted`: with weights. */
function randomExample(random: Random, length: number, foreign = false, weighted = false): Example {
  const inputIds = Int32Array.from({ length }, () => random.below(2 ** 31))
  const labels = inputIds.map((id) => (random.below(3) === 0 ? -100 : id))
  if (foreign && length > 1) labels[1] = ((inputIds[1] as number) + 1) % 1000
  const numSupervised = labels.subarray(1).filter((label) => label !== -100).length
  const weights = Float32Array.from(labels, (label) => (label === -100 ? 0 : (1 + random.below(9)) / 8))
  return { inputIds, labels, numSupervised, promptLength: random.below(length + 1), ...(weighted && { weights }) }
}

function randomItem(random: Random): Item {
  const one = (): Example => randomExample(random, random.below(40), random.below(5) === 0, random.below(3) === 0)
  if (random.below(4) > 0) return one()
  const group: ExampleGroup = { sequences: [one(), one()], weight: random.below(7) / 3 }
  return random.below(2) === 0 ? group : Object.assign(group, { label: random.below(2) === 0, note: 'Grüße 🚀' })
}

describe('a record', () => {
  it('a record gives back every field of examples and groups', () => {
    const random = new Random(5)
    for (let round = 0; round < 500; round++) {
      const item = randomItem(random)
      expect(itemOf(recordOf(item))).toEqual(item)
    }
  })

  it('a record takes a word for each token and a few for each row', () => {
    const { length } = recordOf({ ...randomExample(new Random(1), 300), labels: new Int32Array(300).fill(-100) })
    expect(length).toBe(305)
    expect(recordOf(randomExample(new Random(1), 300, true, true))).toHaveLength(5 + 3 * 300)
  })
})

describe('a store', () => {
  const items = ((random) => Array.from({ length: cases(200, 3000) }, () => randomItem(random)))(new Random(9))
  const long = randomExample(new Random(2), cases(200_001, 700_001))
  items.splice(150, 0, long)
  // Nothing in memory; a part; all.
  const budgets = [0, 1 << 20, Number.POSITIVE_INFINITY]

  it.each(budgets)('a store with %d bytes of memory holds what a list holds', (memory) => {
    const folder = join(directory, `store-${memory}`)
    const store = new RowStore({ memory, directory: folder })
    for (const item of items) store.add(item)
    store.finish()
    const { memory: inMemory, file } = store.bytes
    expect(inMemory).toBeLessThanOrEqual(memory)
    expect([file === 0, inMemory === 0]).toEqual([memory === Number.POSITIVE_INFINITY, memory === 0])
    const list = listOf(items)
    const order = new Random(3).shuffle_(Int32Array.from(items, (_, row) => row))
    for (const row of order) {
      expect(store.at(row)).toEqual(items[row])
      const known = [store.tokensAt(row), store.longestAt(row), store.weightAt(row)]
      expect(known).toEqual([list.tokensAt(row), list.longestAt(row), list.weightAt(row)])
    }
    expect([...store]).toEqual(items)
    expect([store.isWeighted, list.isWeighted]).toEqual([true, true])
    const some = someOf(store, order.subarray(0, 7))
    expect([...some]).toEqual(Array.from(order.subarray(0, 7), (row) => items[row]))
    if (file > 0) expect(readdirSync(folder)).toEqual([])
    store.close()
    store.close()
  })

  it('a store without an item that has weights says so', () => {
    const store = new RowStore()
    for (const item of [long, { sequences: [long, long], weight: 1 }]) store.add(item)
    store.finish()
    const list = listOf([long])
    expect([store.isWeighted, someOf(store, Int32Array.of(0)).isWeighted, list.isWeighted]).toEqual([
      false,
      false,
      false,
    ])
  })

  it('a store that is closed says so', () => {
    const store = new RowStore()
    store.add(long)
    store.finish()
    store.close()
    expect(() => store.at(0)).toThrow('[data] expected rows that are not closed yet')
  })

  it('a store names the file that cannot be written', () => {
    const store = new RowStore({ memory: 0, directory: '/dev/null/rows' })
    store.add(long)
    expect(() => store.finish()).toThrow(/^\[save\] cannot write \/dev\/null\/rows\/\.rows/)
  })
})
