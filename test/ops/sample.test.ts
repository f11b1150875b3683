/** @file sample on every device: each draw against the float64 reference, and what draws have in common. */

import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { candidates, draw, type SampleCase } from '../reference/sample.js'
import { testDevices } from '../support/devices.js'
import { seededRandom } from '../support/values.js'

/** Written by test/golden/sampling.py. */
const golden: { options: Partial<SampleCase>; logits: number[]; prompt: number[]; kept: Record<number, number> }[] =
  JSON.parse(readFileSync(new URL('../golden/sampling.json', import.meta.url), 'utf8'))

const PLAIN: SampleCase = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 5 }
const CASES: [string, SampleCase][] = [
  ['nothing but chance', PLAIN],
  ['a low temperature', { ...PLAIN, temperature: 0.4 }],
  ['a high temperature and a large seed', { ...PLAIN, temperature: 3, seed: 2 ** 52 + 12345 }],
  ['topK', { ...PLAIN, topK: 7 }],
  ['topK of one', { ...PLAIN, topK: 1 }],
  ['topK beyond the vocabulary', { ...PLAIN, topK: 10_000 }],
  ['topP', { ...PLAIN, topP: 0.6 }],
  ['a tiny topP', { ...PLAIN, topP: 1e-6 }],
  ['minP', { ...PLAIN, minP: 0.05 }],
  ['topK, then topP', { ...PLAIN, topK: 40, topP: 0.8 }],
  ['everything', { ...PLAIN, temperature: 0.8, topK: 60, topP: 0.95, minP: 0.02, repetitionPenalty: 1.3 }],
  ['a penalty below one', { ...PLAIN, repetitionPenalty: 0.7, minP: 0.01 }],
  ['no chance, but a penalty', { ...PLAIN, temperature: 0, repetitionPenalty: 2 }],
]

describe('the reference', () => {
  it.each(golden)(
    'leaves the ids that transformers leaves with $options, as probable',
    ({ options, logits, prompt, kept }) => {
      const items = candidates(logits.map(Math.fround), new Set(prompt), { ...PLAIN, ...options })
      expect(items.map(({ id }) => id).sort((a, b) => a - b)).toEqual(Object.keys(kept).map(Number))
      // Scores there are float32: 2^-24 of a score of 30 is a relative 2e-6 of its exponential.
      for (const { id, p } of items) expect(Math.abs(p / (kept[id] as number) - 1)).toBeLessThan(4e-6)
    },
  )
})

describe.each(testDevices())('on $name', ({ open }) => {
  let device: Device
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())

  /** Ids of all sequences, and `seen` afterwards. */
  async function sample(
    rows: readonly (readonly number[])[],
    parameters: SampleCase,
    steps: readonly number[],
    seen: readonly ReadonlySet<number>[] = rows.map(() => new Set<number>()),
  ): Promise<{ ids: number[]; seen: Uint8Array | undefined }> {
    const [S, V] = [rows.length, (rows[0] as number[]).length]
    const ids = Tensor.empty(device, [S], 'int32')
    const mask = parameters.repetitionPenalty === 1 ? undefined : Tensor.empty(device, [S, V], 'uint8')
    if (mask)
      device.upload(mask, Uint8Array.from(seen.flatMap((set) => rows[0]?.map((_, id) => +set.has(id)) ?? [])), 'uint8')
    device.enqueue('sample', {
      logits: Tensor.from(device, rows.flat(), [S, V]),
      steps: Tensor.from(device, [...steps], [S], 'int32'),
      seen: mask,
      ids,
      ...parameters,
    })
    return { ids: [...(await ids.readInt32())], seen: mask && (await device.readBytes(mask)) }
  }

  it.each(CASES)('every draw is the reference’s with %s', async (_, parameters) => {
    for (const V of [1, 2, 33, 501]) {
      const random = seededRandom(V)
      const logits = Array.from({ length: V }, () => Math.fround(3 * random()))
      const seen = new Set(logits.flatMap((__, id) => (id % 3 === 0 ? [id] : [])))
      const steps = Array.from({ length: 64 }, (__, i) => 3 * i)
      const got = await sample(
        steps.map(() => logits),
        parameters,
        steps,
        steps.map(() => seen),
      )
      const items = candidates(logits, parameters.repetitionPenalty === 1 ? new Set() : seen, parameters)
      got.ids.forEach((id, sequence) => {
        const want = draw(items, parameters, sequence, steps[sequence] as number)
        // Probabilities here are float32: a draw this close to a boundary may fall on either side.
        if (id !== want.id) expect(want.margin, `sequence ${sequence} of ${V} ids`).toBeLessThan(1e-6)
        expect(got.seen === undefined || got.seen[sequence * V + id] === 1).toBe(true)
      })
    }
  })

  it('ids come as often as they are probable', async () => {
    const logits = [0, 1, 2, -1, 1.5]
    const counts = logits.map(() => 0)
    const rounds = 40
    for (let round = 0; round < rounds; round++) {
      const { ids } = await sample(new Array(250).fill(logits), PLAIN, new Array(250).fill(round))
      for (const id of ids) counts[id] = (counts[id] as number) + 1
    }
    for (const { id, p } of candidates(logits, new Set(), PLAIN)) {
      const expected = 250 * rounds * p
      // Four standard deviations: one run in ten thousand would be further off, and this one is always the same.
      expect(Math.abs((counts[id] as number) - expected)).toBeLessThan(4 * Math.sqrt(expected * (1 - p)))
    }
  })

  it('a draw depends on seed, sequence and step, and on nothing else', async () => {
    const random = seededRandom(9)
    const logits = Array.from({ length: 200 }, () => random())
    const rows = (count: number) => new Array<number[]>(count).fill(logits)
    const steps = Array.from({ length: 9 }, (_, i) => i)
    const { ids } = await sample(rows(9), PLAIN, steps)
    expect((await sample(rows(9), PLAIN, steps)).ids).toEqual(ids)
    expect((await sample(rows(4), PLAIN, steps.slice(0, 4))).ids).toEqual(ids.slice(0, 4))
    expect((await sample(rows(9), { ...PLAIN, seed: 6 }, steps)).ids).not.toEqual(ids)
    expect(
      (
        await sample(
          rows(9),
          PLAIN,
          steps.map((step) => step + 1),
        )
      ).ids,
    ).not.toEqual(ids)
  })

  it('ids that equal the last of topK stay, -infinity never wins, infinity always does', async () => {
    const { NEGATIVE_INFINITY: low, POSITIVE_INFINITY: high } = Number
    const steps = Array.from({ length: 100 }, (_, i) => i)
    const drawn = async (logits: number[], changes: Partial<SampleCase>) => {
      const { ids } = await sample(
        steps.map(() => logits),
        { ...PLAIN, ...changes },
        steps,
      )
      return [...new Set(ids)].sort((a, b) => a - b)
    }
    expect(await drawn([1, 3, 2, 2, 2, 0], { topK: 2 })).toEqual([1, 2, 3, 4])
    expect(await drawn([low, 1, low, 1.5, low], {})).toEqual([1, 3])
    expect(await drawn([low, 1, low, 1.5, low], { topP: 0.999 })).toEqual([1, 3])
    expect(await drawn([1, high, 2, high], { topK: 3 })).toEqual([1])
  })

  it('logits with a NaN are a fault that names their sequence', async () => {
    for (const logits of [
      [Number.NaN, 2],
      [2, Number.NaN],
      [Number.POSITIVE_INFINITY, Number.NaN],
    ]) {
      for (const changes of [{}, { topK: 1 }, { temperature: 0 }]) {
        await expect(sample([[1, 2], logits], { ...PLAIN, ...changes }, [0, 0])).rejects.toThrow(
          '[sample] expected logits that are numbers for sequence 1, got NaN',
        )
        await device.sync().catch(() => undefined)
      }
    }
  })

  it('a sequence without any possible id is a fault that names it', async () => {
    const low = Number.NEGATIVE_INFINITY
    await expect(
      sample(
        [
          [1, 2],
          [low, Number.NaN],
        ],
        PLAIN,
        [0, 0],
      ),
    ).rejects.toThrow('[sample] expected a logit above -infinity for sequence 1, got none')
    await device.sync().catch(() => undefined)
  })
})
