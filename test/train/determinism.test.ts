/** @file What must not change a trained adapter: threads, other trainings beside it, checkpointing of gradients. */

import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { COMPUTE_DTYPES } from '../../src/tensor/dtype.js'
import { type TinyRunOptions, temporaryDirectory, tinyRows, trainTiny, writeTinyModel } from '../support/tiny-model.js'

const directory = temporaryDirectory()
let model: string
let saved = 0

beforeAll(async () => {
  model = await writeTinyModel(join(directory, 'model'))
})

/** The bytes of an adapter trained with dropout, packing and accumulation. */
async function train(options: Partial<TinyRunOptions> = {}): Promise<string> {
  const { bytes } = await trainTiny({ model, ...options }, join(directory, `adapter-${saved++}`))
  return bytes
}

describe.each(COMPUTE_DTYPES)('in %s', (dtype) => {
  it('1, 2 and 3 threads train the same bytes', async () => {
    const one = await train({ dtype, threads: 1 })
    expect((await train({ dtype, threads: 2 })) === one).toBe(true)
    expect((await train({ dtype, threads: 3 })) === one).toBe(true)
  })

  it('gradient checkpointing trains the same bytes', async () => {
    const plain = await train({ dtype, training: { gradientCheckpointing: false } })
    expect((await train({ dtype, training: { gradientCheckpointing: true } })) === plain).toBe(true)
  })
})

it('evaluation and checkpoints between steps change no byte', async () => {
  const quiet = await train()
  const busy = await train({
    outputDir: join(directory, 'busy'),
    evalDataset: tinyRows(5, 77),
    training: { evalSteps: 1, saveSteps: 1 },
  })
  expect(busy === quiet).toBe(true)
})

it('rows in a file train the same bytes as rows in memory, and leave no file', async () => {
  const outputDir = join(directory, 'rows')
  const training = { evalSplit: 5, dataMemory: 0 }
  expect((await train({ outputDir, training })) === (await train({ training: { evalSplit: 5 } }))).toBe(true)
  expect(readdirSync(outputDir, { recursive: true }).filter((name) => String(name).includes('.rows'))).toEqual([])
})

it('another seed trains another adapter', async () => {
  expect((await train({ training: { seed: 1 } })) === (await train())).toBe(false)
})

it('several trainings at once train what each trains alone', async () => {
  const variants: Partial<TinyRunOptions>[] = [
    { training: { seed: 1 } },
    { training: { seed: 2, packing: false }, threads: 1 },
    { training: { seed: 3, gradientCheckpointing: true }, dtype: 'bfloat16' },
  ]
  const alone: string[] = []
  for (const variant of variants) alone.push(await train(variant))
  const together = await Promise.all(variants.map((variant) => train(variant)))
  together.forEach((bytes, i) => {
    expect(bytes === alone[i], `training ${i}`).toBe(true)
  })
  expect(new Set(alone).size).toBe(3)
})

it('a training that fails does not disturb the one beside it', async () => {
  const alone = await train()
  const [beside, failed] = await Promise.allSettled([
    train(),
    train({ training: { learningRate: 1e30, lrSchedulerType: 'constant' } }),
  ])
  expect(failed.status).toBe('rejected')
  expect(beside.status === 'fulfilled' && beside.value === alone).toBe(true)
})
