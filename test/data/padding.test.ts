/** @file padding: 'max_length': rows of one length whose padding is never learnt, with a pad token and without one. */

import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { IGNORE_INDEX } from '../../src/architecture/ragged-batch.js'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { collate } from '../../src/data/batches.js'
import { prepareDataset } from '../../src/data/dataset.js'
import { padExample } from '../../src/data/examples.js'
import { createTokenizer } from '../../src/tokenizer/tokenizer.js'
import { relativeDifference } from '../support/golden.js'
import {
  ofType,
  randomExamples,
  readGradients,
  rejection,
  TINY_GPT2_CONFIG,
  temporaryDirectory,
  tinyAdapter,
  tinyModel,
  tinyRows,
  trainTiny,
  writeTinyModel,
} from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

// Sums of the same float32 terms in another order.
const SAME_SUM = 1e-6

const directory = temporaryDirectory()
const { tokenizer: files, config } = tinyByteLevelTokenizer({ eosToken: '<|endoftext|>' })
const rows = tinyRows(7)

describe('prepareDataset', () => {
  it('pads every row to maxLength behind its end, and counts what it counted before', async () => {
    const tokenizer = createTokenizer(files, { ...config, pad_token: '<|im_end|>' })
    const plain = await prepareDataset(rows, tokenizer, { maxLength: 40 })
    const padded = await prepareDataset(rows, tokenizer, { maxLength: 40, padding: 'max_length' })
    expect(padded.statistics).toEqual(plain.statistics)
    const pad = tokenizer.padTokenId as number
    padded.examples.forEach(({ inputIds, labels, numSupervised, promptLength }, i) => {
      const row = plain.examples[i] as (typeof plain.examples)[number]
      const { length } = row.inputIds
      expect(length).toBeLessThan(40)
      expect([...inputIds]).toEqual([...row.inputIds, ...new Array<number>(40 - length).fill(pad)])
      expect([...labels]).toEqual([...row.labels, ...new Array<number>(40 - length).fill(IGNORE_INDEX)])
      expect({ numSupervised, promptLength }).toEqual({
        numSupervised: row.numSupervised,
        promptLength: row.promptLength,
      })
    })
  })

  it('takes the end token where there is none for padding, and still learns the end of each row', async () => {
    const tokenizer = createTokenizer(files, config)
    expect(tokenizer.padTokenId).toBeUndefined()
    const { examples } = await prepareDataset(rows, tokenizer, { maxLength: 40, padding: 'max_length' })
    const end = tokenizer.eosTokenId as number
    for (const { inputIds, labels } of examples) {
      expect(inputIds.at(-1)).toBe(end)
      expect(labels.filter((label) => label === end)).toHaveLength(1)
    }
  })

  it('takes an id that the model has, where those of the tokenizer are beyond it', async () => {
    const tokenizer = { ...createTokenizer(files, { ...config, eos_token: null }), padTokenId: 9999 }
    const options = { maxLength: 40, padding: 'max_length', vocabSize: 512 } as const
    const { examples } = await prepareDataset(rows, tokenizer, options)
    expect(examples.map(({ inputIds }) => inputIds.at(-1))).toEqual(new Array(7).fill(0))
  })

  it('is no way of packing', async () => {
    const options = { padding: 'max_length', packing: true } as const
    expect(await rejection(prepareDataset(rows, createTokenizer(files, config), options))).toBe(
      '[data] expected packing or padding, got both; remove one',
    )
    expect(await rejection(prepareDataset(rows, createTokenizer(files, config), { padding: true as false }))).toBe(
      "[data] expected false or 'max_length' for padding, got true",
    )
  })
})

describe.each([
  ['llama', undefined],
  ['gpt2', TINY_GPT2_CONFIG],
])('in %s', (_, modelConfig) => {
  it('padding changes neither the loss nor a gradient', async () => {
    const model = await tinyModel({ config: modelConfig })
    const adapter = tinyAdapter(model)
    const examples = randomExamples([5, 17, 2, 31], 512)
    const [loss, gradients] = await lossAndGradients(model, adapter, examples)
    const padded = examples.map((example) => padExample(example, 37, 0))
    expect(collate(padded).inputIds).toHaveLength(4 * 37)
    const [paddedLoss, paddedGradients] = await lossAndGradients(model, adapter, padded)
    expect(Math.abs(paddedLoss / loss - 1)).toBeLessThan(SAME_SUM)
    for (const [name, gradient] of gradients)
      expect(relativeDifference(paddedGradients.get(name) as Float32Array, gradient), name).toBeLessThan(SAME_SUM)
    model.device.close()
  })
})

it('GPT-2 with a tokenizer that has no pad token trains to the same losses, padded or not, and takes more memory', async () => {
  const model = join(directory, 'gpt2')
  await mkdir(model)
  await writeTinyModel(model, { config: TINY_GPT2_CONFIG })
  const train = (padding: false | 'max_length') => {
    const training = { padding, packing: false, maxLength: 64, maxSteps: 4, evalSplit: 4 }
    return trainTiny({ model, lora: { r: 4, loraAlpha: 8 }, training }, join(directory, `saved-${padding}`))
  }
  const plain = await train(false)
  const padded = await train('max_length')
  expect((await loadModel(model)).architecture.modelType).toBe('gpt2')
  const losses = (type: 'step' | 'evaluate') => (run: typeof plain) => ofType(run.events, type).map(({ loss }) => loss)
  for (const type of ['step', 'evaluate'] as const) {
    const expected = losses(type)(plain)
    expect(expected.length).toBeGreaterThan(0)
    losses(type)(padded).forEach((loss, i) => {
      // What rounding makes of four steps at a high rate.
      expect(Math.abs(loss / (expected[i] as number) - 1)).toBeLessThan(1e-5)
    })
  }
  const planned = (run: typeof plain): number => ofType(run.events, 'start')[0]?.plannedMemory as number
  expect(planned(padded)).toBeGreaterThan(planned(plain))
  const tokens = (run: typeof plain): number => ofType(run.events, 'step').at(-1)?.numInputTokensSeen as number
  expect(tokens(padded)).toBe(64 * 12)
  expect(tokens(plain)).toBeLessThan(64 * 12)
})

async function lossAndGradients(
  model: CausalLM,
  adapter: ReturnType<typeof tinyAdapter>,
  examples: ReturnType<typeof randomExamples>,
): Promise<[number, Map<string, Float32Array>]> {
  for (const parameter of adapter.parameters().values()) parameter.zeroGrad()
  const { loss } = model.forwardRagged(collate(examples))
  loss.backward()
  return [(await loss.read())[0] as number, await readGradients(adapter)]
}
