/** @file topLogProbs on every device. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { topLogProbs } from '../../src/ops/top-log-probs.js'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { topLogProbs as reference } from '../reference/sample.js'
import { testDevices } from '../support/devices.js'
import { seededRandom } from '../support/values.js'

describe.each(testDevices())('on $name', ({ open }) => {
  let device: Device
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())

  async function run(rows: readonly (readonly number[])[], chosen: readonly number[], count: number) {
    const [S, V] = [rows.length, (rows[0] as readonly number[]).length]
    const logits = Tensor.from(device, rows.flat(), [S, V])
    const results = topLogProbs(logits, Tensor.from(device, [...chosen], [S], 'int32'), count)
    const [logProbs, ids] = [await results.logProbs.read(), await results.ids.readInt32()]
    return rows.map((_, s) => ({
      chosen: logProbs[s * (1 + count)] as number,
      ids: [...ids.subarray(s * count, (s + 1) * count)],
      logProbs: [...logProbs.subarray(s * (1 + count) + 1, (s + 1) * (1 + count))],
    }))
  }

  it.each([
    [1, 1],
    [2, 5],
    [33, 20],
    [1025, 7],
    [2571, 20],
  ])('gives the largest of %i ids with their log probabilities: %i of them', async (V, count) => {
    const random = seededRandom(V)
    // Logits in steps of 1 / 8 are often equal.
    const rows = Array.from({ length: 5 }, () => Array.from({ length: V }, () => Math.round(80 * random()) / 8))
    const chosen = rows.map((_, s) => (s * 13) % V)
    const got = await run(rows, chosen, count)
    got.forEach((row, s) => {
      const want = reference(rows[s] as number[], chosen[s] as number, count)
      expect(row.ids).toEqual(want.ids)
      // The sum is of float32 exponentials, with a relative error of about 1e-7 each.
      expect(Math.abs(row.chosen - want.chosen)).toBeLessThan(2e-6 * Math.max(1, -want.chosen))
      row.logProbs.forEach((value, i) => {
        const wanted = want.logProbs[i] as number
        if (Number.isFinite(wanted)) expect(Math.abs(value - wanted)).toBeLessThan(2e-6 * Math.max(1, -wanted))
        else expect(value).toBe(wanted)
      })
    })
  })

  it('a row has the bits that it has alone', async () => {
    const random = seededRandom(3)
    const rows = Array.from({ length: 7 }, () => Array.from({ length: 1500 }, () => 9 * random()))
    const all = await run(
      rows,
      rows.map((_, s) => s),
      4,
    )
    for (const s of [0, 3, 6]) expect(await run([rows[s] as number[]], [s], 4)).toEqual([all[s]])
  })

  it('ids at -infinity are left out, and large logits do not overflow', async () => {
    const low = Number.NEGATIVE_INFINITY
    const [row] = await run([[low, 90_000, low, 90_000, 89_999]], [0], 4)
    expect(row?.ids).toEqual([1, 3, 4, -1])
    expect(row?.chosen).toBe(low)
    expect(row?.logProbs[3]).toBe(low)
    expect(row?.logProbs[0]).toBeCloseTo(-Math.log(2 + Math.exp(-1)), 6)
  })

  it.each([
    [[1, Number.NaN], 0, 'expected logits that are numbers for sequence 1, got NaN'],
    [
      [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY],
      0,
      'expected a logit above -infinity for sequence 1, got none',
    ],
    [[1, 2], 2, 'expected ids in [0, 2), the columns of logits, got 2 at position 1'],
    [[1, 2], -1, 'expected ids in [0, 2), the columns of logits, got -1 at position 1'],
  ])('%j with the id %i is a fault', async (logits, id, message) => {
    await expect(run([[0, 1], logits], [0, id], 1)).rejects.toThrow(`[topLogProbs] ${message}`)
    await device.sync().catch(() => undefined)
  })

  it.each([0, 21, 1.5])('%d ids are refused', (count) => {
    const logits = Tensor.full(device, [1, 30], 'float32', 0)
    const chosen = Tensor.from(device, [0], [1], 'int32')
    expect(() => topLogProbs(logits, chosen, count)).toThrow(
      `[topLogProbs] expected a whole number from 1 to 20 for count, got ${count}`,
    )
  })
})
