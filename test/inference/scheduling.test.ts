/**
 * @file Scheduling on a device that only pretends: thousands of requests at random times, cancelled, of several
 * adapters, with few pages. It holds hashes in the place of keys, so that a page which is read too early, or of
 * another's tokens, is seen at once.
 */

import { describe, expect, test } from 'vitest'
import type { AdapterTensors } from '../../src/adapters/adapter-set.js'
import {
  type BatchExecutor,
  type BatchRow,
  type BatchStep,
  endsPrompt,
  type QueuedStep,
} from '../../src/inference/batch-executor.js'
import { ContinuousEngine } from '../../src/inference/engine.js'
import type { InferenceAnswer, InferenceToken } from '../../src/inference/inference-request.js'
import { PagePool } from '../../src/inference/page-pool.js'
import { cases } from '../support/long.js'
import { seededRandom } from '../support/values.js'

const VOCAB = 50

/** The "key" of a token: of all tokens up to it, and of the adapter. */
function keyOf(before: number, id: number): number {
  return (Math.imul(before ^ (id + 1), 0x9e3779b1) ^ (before >>> 7)) >>> 0
}

/** What the pretended model answers: the hash of everything before. */
function answerOf(adapter: number, promptIds: Int32Array, maxNewTokens: number, eos: number): number[] {
  let key = adapter
  for (const id of promptIds) key = keyOf(key, id)
  const ids: number[] = []
  while (ids.length < maxNewTokens && ids.at(-1) !== eos) {
    const id = key % VOCAB
    ids.push(id)
    key = keyOf(key, id)
  }
  return ids
}

/** As expect(), but quick. */
function must(holds: boolean, what: string): void {
  if (!holds) throw new Error(`[test] expected ${what}`)
}

class PretendedDevice implements BatchExecutor {
  readonly keys: number[]
  readonly pageSize: number
  readonly most: { sequences: number; prefillTokens: number }
  readonly newest = new Map<number, number>()
  readonly adapters: readonly AdapterTensors[]
  /** Prompts in the order in which they began. */
  readonly begun = new Set<string>()
  steps = 0
  /** Every so many steps one fails; 0: none. */
  readonly faults: number

  constructor(
    pool: PagePool,
    most: { sequences: number; prefillTokens: number },
    adapters: readonly AdapterTensors[],
    faults: number,
  ) {
    this.faults = faults
    this.keys = Array<number>(pool.total * pool.pageSize).fill(-1)
    this.pageSize = pool.pageSize
    this.most = most
    this.adapters = adapters
  }

  queue({ chunks, rows }: BatchStep): QueuedStep {
    this.steps++
    const slots = new Set([...chunks, ...rows].map(({ row }) => row.slot))
    must(slots.size === chunks.length + rows.length, 'a slot for each')
    must(slots.size <= this.most.sequences, 'at most maxSequences')
    let tokens = 0
    const drawn: { slot: number; key: number }[] = []
    for (const chunk of chunks) {
      const { row, first, end } = chunk
      tokens += end - first
      must(first % 64 === 0 && end > first && (end % 64 === 0 || endsPrompt(chunk)), 'chunks in whole blocks')
      this.begun.add(row.promptIds.join())
      let key = 0
      for (let position = first; position < end; position++)
        key = this.#compute(row, position, row.promptIds[position] as number)
      if (endsPrompt(chunk)) drawn.push({ slot: row.slot, key })
    }
    must(tokens <= this.most.prefillTokens, 'at most prefillTokens')
    for (const { row, position } of rows)
      drawn.push({ slot: row.slot, key: this.#compute(row, position, this.newest.get(row.slot) as number) })
    return {
      draw: async (masks): Promise<InferenceToken[]> => {
        must(masks.length === drawn.length, 'a mask for each draw')
        if (this.faults > 0 && this.steps % this.faults === 0) throw new Error('[test] a fault')
        const ids = drawn.map(({ key }) => key % VOCAB)
        for (const [i, { slot }] of drawn.entries()) this.newest.set(slot, ids[i] as number)
        // The device takes its time.
        if (this.steps % 3 === 0) await new Promise((resolve) => setImmediate(resolve))
        return ids.map((id) => ({ id }))
      },
    }
  }

  end(): void {}
  forget(): void {}
  async recover(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    this.keys.fill(-2)
  }
  dispose(): void {}

  #compute(row: BatchRow, position: number, id: number): number {
    const adapter = row.adapter ? 1 + this.adapters.indexOf(row.adapter) : 0
    let before = adapter
    if (position > 0) before = this.keys[this.#placeOf(row, position - 1)] as number
    const key = keyOf(before, id)
    this.keys[this.#placeOf(row, position)] = key
    return key
  }

  #placeOf({ pages }: BatchRow, position: number): number {
    const page = pages[Math.floor(position / this.pageSize)]
    must(page !== undefined, 'a page that is there')
    return (page as number) * this.pageSize + (position % this.pageSize)
  }
}

/** Adapters by number, that are never loaded or removed. */
function fixedAdapters(pool: PagePool, count: number) {
  const all = Array.from({ length: count }, () => ({
    parts: {
      pairs: [],
      replacements: [],
      bias: 'none',
      dispose: () => undefined,
    } satisfies AdapterTensors as AdapterTensors,
    root: pool.newRoot(),
  }))
  const unused = async (): Promise<void> => undefined
  return {
    all: all.map(({ parts }) => parts),
    names: all.map((_, i) => `${i}`),
    use: (name: string) => all[Number(name)] as (typeof all)[number],
    leave: () => undefined,
    ...{ load: unused, remove: unused, settle: unused, dispose: () => undefined },
  }
}

async function idsOf(answer: InferenceAnswer): Promise<number[]> {
  const ids: number[] = []
  for await (const { id } of answer) ids.push(id)
  return ids
}

describe('scheduling', () => {
  test.each(Array.from({ length: cases(4, 40) }, (_, i) => i))('random requests of series %i', async (series) => {
    const random = seededRandom(500 + series)
    const below = (limit: number): number => Math.min(limit - 1, Math.floor(((random() + 1) / 2) * limit))
    const pageSize = below(3) === 0 ? 128 : 64
    const maxSequences = 1 + below(12)
    const prefillTokens = 64 + below(400)
    const faults = series % 4 === 3 ? 97 : 0
    const pool = new PagePool(8 + below(30), pageSize)
    const adapters = fixedAdapters(pool, 3)
    const device = new PretendedDevice(pool, { sequences: maxSequences, prefillTokens }, adapters.all, faults)
    const engine = new ContinuousEngine({
      executor: device,
      pool,
      adapters,
      vocabSize: VOCAB,
      maxModelLen: 100_000,
      maxSequences,
      maxWaiting: 40,
      prefillTokens,
      prefixCaching: series % 5 !== 4,
      onClose: () => undefined,
    })
    const beginnings = Array.from({ length: 4 }, () => Int32Array.from({ length: 40 + below(300) }, () => below(VOCAB)))
    const submitted: string[] = []
    const cancelled = new Set<string>()
    const outcomes = { whole: 0, stopped: 0, aborted: 0, failed: 0, busy: 0, refused: 0 }
    const reading: Promise<void>[] = []
    for (let n = 0; n < cases(400, 4000); n++) {
      const beginning = beginnings[below(4)] as Int32Array
      const rest = Int32Array.from({ length: 1 + below(90) }, () => below(VOCAB))
      const promptIds = Int32Array.from([...beginning.subarray(0, below(beginning.length)), ...rest])
      const text = promptIds.join()
      if (submitted.includes(text)) continue
      const adapter = below(4)
      const [maxNewTokens, eos] = [1 + below(60), below(VOCAB)]
      const controller = new AbortController()
      const request = {
        promptIds,
        maxNewTokens,
        eosTokenIds: new Set([eos]),
        ...(adapter > 0 && { adapter: `${adapter - 1}` }),
      }
      const expected = answerOf(adapter, promptIds, maxNewTokens, eos)
      const fate = below(8)
      try {
        const answer = engine.submit(request, controller.signal)
        submitted.push(text)
        reading.push(
          (async () => {
            if (fate === 0) {
              // Gone at a random time, mostly before its end.
              for (let turns = below(30); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve))
              controller.abort(new Error('gone'))
              cancelled.add(text)
              const ids = await idsOf(answer).catch((error: Error) => error.message)
              if (ids === 'gone') outcomes.aborted++
              else if (ids === '[test] a fault') outcomes.failed++
              else expect(ids).toEqual(expected)
            } else if (fate === 1) {
              const after = below(20)
              const ids: number[] = []
              for await (const { id } of answer) if (ids.push(id) > after) answer.stop()
              expect(ids).toEqual(expected.slice(0, ids.length))
              outcomes.stopped++
            } else {
              expect(await idsOf(answer)).toEqual(expected)
              expect(answer.finishReason).toBe(expected.at(-1) === eos ? 'stop' : 'length')
              outcomes.whole++
            }
          })().catch((error: Error) => {
            if (error.message !== '[test] a fault') throw error
            outcomes.failed++
            cancelled.add(text)
          }),
        )
      } catch (error) {
        const { code } = error as { code?: string }
        if (code === 'BUSY') outcomes.busy++
        else if (code === 'INVALID_OPTION') outcomes.refused++
        else throw error
      }
      const { pages, running } = engine.figures()
      must(pages.held + pages.cached <= pages.total && pool.available >= 0, 'no page twice')
      must(running <= maxSequences, 'at most maxSequences')
      if (below(3) > 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(reading)
    expect(engine.figures()).toMatchObject({ running: 0, waiting: 0, pages: { held: 0 } })
    // Nothing is reserved, and every page is free or kept.
    expect(pool.available).toBe(pool.total)
    expect(outcomes.whole).toBeGreaterThan(0)
    expect(outcomes.failed > 0).toBe(faults > 0)
    // In the order of their arrival, but for those that went before their turn came.
    const { begun } = device
    expect([...begun].join('|')).toBe(submitted.filter((text) => begun.has(text)).join('|'))
    for (const text of submitted) if (!cancelled.has(text)) expect(begun.has(text)).toBe(true)
    await engine.close()
  })
})
