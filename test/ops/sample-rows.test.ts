/** @file sampleRows on every device: parameters, masks and draws by row. */

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type SamplingParameters, sampleRows_, writeSamplingRow } from '../../src/ops/sample.js'
import type { Device } from '../../src/tensor/device.js'
import { Tensor } from '../../src/tensor/tensor.js'
import { candidates, draw } from '../reference/sample.js'
import { testDevices } from '../support/devices.js'
import { seededRandom } from '../support/values.js'

const PLAIN: SamplingParameters = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 5 }

interface Row {
  logits: readonly number[]
  step: number
  /** Without them the most likely id is taken. */
  parameters?: SamplingParameters
  seen?: ReadonlySet<number>
  /** Ids that may be drawn; default: all. */
  allowed?: ReadonlySet<number>
}

const PARAMETERS: (SamplingParameters | undefined)[] = [
  PLAIN,
  undefined,
  { ...PLAIN, temperature: 0.4, seed: 2 ** 52 + 12345 },
  { ...PLAIN, topK: 7, seed: 2 ** 31 },
  { ...PLAIN, topP: 0.6, seed: 2 ** 32 - 1 },
  { ...PLAIN, minP: 0.05 },
  { ...PLAIN, temperature: 0.8, topK: 60, topP: 0.95, minP: 0.02, repetitionPenalty: 1.3 },
  { ...PLAIN, temperature: 0, repetitionPenalty: 2 },
]

/** Rows that differ in everything. */
function randomRows(count: number, V: number): Row[] {
  const random = seededRandom(V)
  return Array.from({ length: count }, (_, row): Row => {
    const logits = Array.from({ length: V }, () => Math.fround(3 * random()))
    const ids = (share: number) => new Set(logits.flatMap((__, id) => ((id * 7 + row) % 5 < share ? [id] : [])))
    const parameters = PARAMETERS[row % PARAMETERS.length]
    return {
      logits,
      step: 3 * row,
      ...(parameters && { parameters }),
      ...(row % 2 === 0 && { seen: ids(2) }),
      ...(row % 3 === 1 && { allowed: ids(3) }),
    }
  })
}

describe.each(testDevices())('on $name', ({ open }) => {
  let device: Device
  beforeAll(() => {
    device = open()
  })
  afterAll(() => device.close())

  function tensorsOf(rows: readonly Row[]) {
    const [S, V] = [rows.length, (rows[0] as Row).logits.length]
    const words = Math.ceil(V / 32)
    const [options, integers] = [new Float32Array(4 * S), new Int32Array(4 * S)]
    const [seen, allowed] = [new Uint8Array(S * V), new Int32Array(S * words)]
    rows.forEach((row, s) => {
      writeSamplingRow(options, integers, s, row.parameters, row.allowed !== undefined)
      for (const id of row.seen ?? []) seen[s * V + id] = 1
      for (const id of row.allowed ?? []) {
        const word = s * words + (id >> 5)
        allowed[word] = (allowed[word] as number) | (1 << (id & 31))
      }
    })
    const mask = Tensor.empty(device, [S, V], 'uint8')
    device.upload(mask, seen, 'uint8')
    return {
      logits: Tensor.from(
        device,
        rows.flatMap(({ logits }) => [...logits]),
        [S, V],
      ),
      steps: Tensor.from(
        device,
        rows.map(({ step }) => step),
        [S],
        'int32',
      ),
      options: Tensor.from(device, options, [S, 4]),
      integers: Tensor.from(device, integers, [S, 4], 'int32'),
      seen: mask,
      allowed: Tensor.from(device, allowed, [S, words], 'int32'),
      ids: Tensor.empty(device, [S], 'int32'),
    }
  }

  async function sample(rows: readonly Row[]): Promise<number[]> {
    const tensors = tensorsOf(rows)
    sampleRows_(tensors)
    const ids = [...(await tensors.ids.readInt32())]
    const V = (rows[0] as Row).logits.length
    const seen = await device.readBytes(tensors.seen)
    ids.forEach((id, s) => {
      expect(seen[s * V + id]).toBe(1)
    })
    return ids
  }

  it.each([1, 2, 33, 64, 501])('every row is drawn by its own parameters, from %i ids', async (V) => {
    const rows = randomRows(48, V).map(({ allowed, ...row }) => (allowed?.size ? { ...row, allowed } : row))
    const ids = await sample(rows)
    ids.forEach((id, s) => {
      const { logits, step, parameters = { ...PLAIN, temperature: 0 }, seen, allowed } = rows[s] as Row
      const possible = logits.map((logit, i) => (!allowed || allowed.has(i) ? logit : Number.NEGATIVE_INFINITY))
      const items = candidates(
        possible,
        parameters.repetitionPenalty === 1 ? new Set() : (seen ?? new Set()),
        parameters,
      )
      const want = draw(items, parameters, 0, step)
      // Probabilities of kernels are float32: a draw this close to a boundary may fall on either side.
      if (id !== want.id) expect(want.margin, `row ${s} of ${V} ids`).toBeLessThan(1e-6)
      expect(!allowed || allowed.has(id)).toBe(true)
    })
  })

  it('a row is drawn as it is alone, wherever it stands', async () => {
    const rows = randomRows(19, 333)
    const ids = await sample(rows)
    expect(await sample(rows.toReversed())).toEqual(ids.toReversed())
    for (const s of [0, 4, 6, 13, 18]) expect(await sample([rows[s] as Row])).toEqual([ids[s]])
  })

  it('a recorded step draws by the parameters, masks and seeds that are written later', async () => {
    const first = randomRows(5, 97)
    const second = randomRows(10, 97).slice(5)
    const tensors = tensorsOf(first)
    const others = tensorsOf(second)
    const list = device.record(() => sampleRows_(tensors))
    const want = await sample(second)
    for (const name of ['logits', 'steps', 'options', 'integers', 'allowed'] as const)
      device.enqueue('copy', { x: others[name], y: tensors[name] })
    device.enqueue('copy', { x: others.seen, y: tensors.seen })
    list.replay()
    expect([...(await tensors.ids.readInt32())]).toEqual(want)
    list.dispose()
  })

  it('rows are drawn all the same without seen and masks', async () => {
    const rows = randomRows(8, 65).map(({ logits, step }) => ({ logits, step, parameters: PLAIN }))
    const { seen: _, allowed: __, ...tensors } = tensorsOf(rows)
    sampleRows_(tensors)
    expect([...(await tensors.ids.readInt32())]).toEqual(await sample(rows))
  })

  it.each([
    ['a negative temperature', { temperature: -1 }],
    ['a temperature that is no number', { temperature: Number.NaN }],
    ['topK below 0', { topK: -1 }],
    ['topP above 1', { topP: 1.5 }],
    ['minP below 0', { minP: -0.1 }],
    ['a penalty of 0', { repetitionPenalty: 0 }],
  ])('%s is a fault that names the row', async (_, change) => {
    const rows = randomRows(3, 9).map((row) => ({ ...row, allowed: new Set([1, 2]) }))
    rows[2] = { ...(rows[2] as Row), allowed: new Set([1]), parameters: { ...PLAIN, ...change } }
    await expect(sample(rows)).rejects.toThrow(
      '[sampleRows] expected temperature >= 0, topK >= 0, topP and minP in [0, 1], repetitionPenalty > 0, and 1 where there is no seen, got others for sequence 2',
    )
  })

  it('a penalty without seen is a fault, as is a mask that allows nothing', async () => {
    const rows = randomRows(2, 40).map((row) => ({ ...row, parameters: { ...PLAIN, repetitionPenalty: 1.1 } }))
    const { seen: _, allowed: __, ...tensors } = tensorsOf(rows)
    sampleRows_(tensors)
    await expect(tensors.ids.readInt32()).rejects.toThrow('repetitionPenalty > 0, and 1 where there is no seen, got')
    await device.sync().catch(() => undefined)
    await expect(sample([{ logits: [1, 2, 3], step: 0, allowed: new Set() }])).rejects.toThrow(
      '[sampleRows] expected a logit above -infinity for sequence 0, got none',
    )
  })
})
