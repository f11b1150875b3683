/** @file Runs whose tokens have weights: windows, evaluation, memory plans, resuming, and who refuses them. */

import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { noGrad } from '../../src/autograd/tape.js'
import { collate } from '../../src/data/batches.js'
import type { Example } from '../../src/data/examples.js'
import { withWeights } from '../../src/data/token-weights.js'
import { OutOfMemoryError } from '../../src/lowrank-error.js'
import { evaluateLoss } from '../../src/train/evaluate-loss.js'
import { dpo } from '../../src/train/objectives/dpo.js'
import { resolveTrainOptions } from '../../src/train/resolve-options.js'
import { trainLora, trainObjective } from '../../src/train/train-lora.js'
import {
  ofType,
  randomExamples,
  rejection,
  TINY_CONFIG,
  type TinyRun,
  type TinyRunOptions,
  temporaryDirectory,
  tinyModel,
  tinyRows,
  trainTiny,
  writeTinyModel,
} from '../support/tiny-model.js'

const directory = temporaryDirectory()
const at = (...names: string[]) => join(directory, ...names)
/** Two rows in three have a weight. */
const dataset = tinyRows(40).map((row, i) => (i % 3 === 0 ? row : { ...row, row_weight: ((i * 5) % 8) / 4 + 0.25 }))
let model: string
let weighted: TinyRun

beforeAll(async () => {
  model = await writeTinyModel(at('model'))
  weighted = await trainTiny({ model, dataset, outputDir: at('weighted') }, at('weighted-final'))
})

const train = (name: string, options: Partial<TinyRunOptions>): Promise<TinyRun> =>
  trainTiny({ model, outputDir: at(name), ...options }, at(`${name}-final`))

describe('a run with weights', () => {
  it('weights of 1 train the very bytes of rows without weights, others do not', async () => {
    const ones = tinyRows(40).map((row) => ({ ...row, row_weight: 1 }))
    const plain = await train('plain', {})
    expect((await train('ones', { dataset: ones })).bytes === plain.bytes).toBe(true)
    expect(weighted.bytes === plain.bytes).toBe(false)
    const tokens = ({ events }: TinyRun) => ofType(events, 'step').map(({ numInputTokensSeen }) => numInputTokensSeen)
    expect(tokens(weighted)).toEqual(tokens(plain))
  })

  it('a row of weight 0 is left out, as one with nothing to learn', async () => {
    const without = dataset.filter((_, i) => i !== 4)
    const out = dataset.map((row, i) => (i === 4 ? { ...row, row_weight: 0 } : row))
    const { bytes, events } = await train('zero', { dataset: out })
    expect(ofType(events, 'data')[0]).toMatchObject({ rows: 40, rowsWithoutTarget: 1 })
    expect(bytes === (await train('without', { dataset: without })).bytes).toBe(true)
  })

  it('a stopped run with weights goes on to the same bytes, and is refused with other weights', async () => {
    const name = (await readdir(at('weighted'))).find((entry) => entry === 'checkpoint-4') as string
    const resumeFromCheckpoint = at('weighted', name)
    const resumed = await train('resumed', { dataset, resumeFromCheckpoint })
    expect(ofType(resumed.events, 'start')[0]?.step).toBe(4)
    expect(resumed.bytes === weighted.bytes).toBe(true)
    const others = dataset.map((row, i) => (i === 1 ? { ...row, row_weight: 9 } : row))
    expect(await rejection(train('others', { dataset: others, resumeFromCheckpoint }))).toContain(
      'these differ: dataset (other rows, or other tokens of them)',
    )
  })

  it.each([
    ['in training', {}, 3 * 37],
    [
      'in evaluation',
      { perDeviceTrainBatchSize: 1, gradientCheckpointing: true, evalSplit: 6, perDeviceEvalBatchSize: 6 },
      6 * 37,
    ],
  ] as const)('the peak of a run with weights is planned to the byte: %s', async (_, training, tokens) => {
    // The head is most of the model: runs need most where it makes its logits, beside which the weights are.
    const model = await writeTinyModel(at('wide'), { config: { ...TINY_CONFIG, vocab_size: 8192 } })
    // Rows of one length; the largest batch may be one of rows that have no weights themselves.
    const rows = dataset.map((row, i) => ({
      ...row,
      prompt: `${i} ${'one two three '.repeat(60)}`,
      completion: 'four',
    }))
    const text = rows.map(({ prompt, completion, ...rest }) => ({ ...rest, text: prompt + completion }))
    const options = {
      model,
      dataset: text,
      dtype: 'float32',
      lora: { r: 3 },
      training: {
        maxSteps: 3,
        maxLength: 37,
        perDeviceTrainBatchSize: 3,
        gradientCheckpointing: false,
        evalStrategy: 'evalSplit' in training ? 'steps' : 'no',
        evalSteps: 2,
        ...training,
      },
    } as const
    const run = await trainLora(options)
    const { peak } = run.model.device.memory()
    run.dispose()
    const refused = await trainLora({ ...options, memoryBudget: peak - 1 }).then(
      () => undefined,
      (error: unknown) => error,
    )
    expect(refused).toBeInstanceOf(OutOfMemoryError)
    expect((refused as OutOfMemoryError).needed).toBe(peak)
    const plain = await trainLora({ ...options, dataset: text.map(({ text }) => ({ text })) })
    expect(peak - plain.model.device.memory().peak).toBe(Math.ceil((4 * tokens) / 64) * 64)
    plain.dispose()
  })
})

it('the loss of an evaluation with weights is sum(w l) / sum(w) whatever the batches, and counts supervised tokens', async () => {
  const tiny = await tinyModel()
  const lengths = [5, 17, 2, 31, 9, 12]
  const plain = randomExamples(lengths, Number(TINY_CONFIG.vocab_size))
  const examples = plain.map((example, row): Example => {
    const tokens = Array.from(example.inputIds, (_, i) => ((row + i) % 5) / 4)
    return row === 1 ? example : withWeights(example, { ranges: [{ start: 0, end: 31 }], tokens })
  })
  const batch = collate(examples)
  const { weights = new Float32Array(), ...unweighted } = batch
  const logProbs = await noGrad(() => tiny.logProbsRagged(unweighted)).read()
  const sum = weights.reduce((all, weight, i) => all - weight * (logProbs[i] as number), 0)
  const expected = sum / weights.reduce((all, weight) => all + weight, 0)
  const supervised = batch.labels.filter((label) => label !== -100).length
  for (const batchSize of [1, 4, 6]) {
    const { loss, perplexity, tokens } = await evaluateLoss(tiny, examples, { batchSize })
    expect(Math.abs(loss / expected - 1)).toBeLessThan(1e-6)
    expect(perplexity).toBe(Math.exp(loss))
    expect(tokens).toBe(supervised)
  }
  expect(weights.filter((weight) => weight > 0)).toHaveLength(supervised)
  expect(() => tiny.logProbsRagged(batch)).toThrow(
    '[logProbs] expected a batch without weights, got weights of its tokens; weigh what is made of the log probabilities',
  )
  tiny.device.close()
})

it('DPO refuses weights of rows and of messages, naming the row', async () => {
  const [user, chosen, rejected] = [
    { role: 'user', content: 'a' },
    { role: 'assistant', content: 'b', weight: 2 },
    { role: 'assistant', content: 'c' },
  ]
  const chatTemplate = "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}"
  const refusal = (row: object) => {
    const dataset = [row]
    const training = { chatTemplate }
    return rejection(
      trainObjective(dpo(), resolveTrainOptions({ model, dataset, dtype: 'float32', lora: { r: 2 }, training })),
    )
  }
  const message =
    '[dpo] expected answers without weights in row 1, got a weight other than 0 and 1; a pair is compared by whole log ' +
    'probabilities: remove the weights'
  expect(await refusal({ prompt: 'a', chosen: ' b', rejected: ' c', row_weight: 0.5 })).toBe(message)
  expect(await refusal({ prompt: [user], chosen: [chosen], rejected: [rejected] })).toBe(message)
})
