/** @file Tasks and sample prompts at the evaluations of a run. */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { LoraAdapter } from '../../src/adapters/lora-adapter.js'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { runTasks } from '../../src/evaluate/run-tasks.js'
import { generateTexts } from '../../src/generation/generate-texts.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import type { TrainEvent } from '../../src/train/events.js'
import { planTraining } from '../../src/train/plan.js'
import type { SamplePrompt } from '../../src/train/probe-options.js'
import {
  ofType,
  rejection,
  TINY_CONFIG,
  type TinyRunOptions,
  temporaryDirectory,
  tinyRows,
  trainTiny,
  writeTinyModel,
} from '../support/tiny-model.js'

const directory = temporaryDirectory()
const at = (...names: string[]) => join(directory, ...names)
const evalTasks = [
  { name: 'said', type: 'generation' as const, dataset: tinyRows(5, 3), generation: { maxNewTokens: 6 } },
  { name: 'surprise', type: 'perplexity' as const, dataset: tinyRows(3, 8) },
]
const samplePrompts = ['one two', 'the assistant says']
let model: string
beforeAll(async () => {
  model = await writeTinyModel(at('model'))
})

const trains = async (name: string, options: Partial<TinyRunOptions> = {}) =>
  await trainTiny(
    {
      model,
      outputDir: at(name),
      dataset: tinyRows(24, 3),
      evalTasks,
      samplePrompts,
      sampleGeneration: { maxNewTokens: 5 },
      ...options,
      training: { maxSteps: 4, evalSteps: 2, perDeviceTrainBatchSize: 2, packing: false, ...options.training },
    },
    at(`${name}-final`),
  )
const linesOf = async (...names: string[]) =>
  (await readFile(at(...names), 'utf8'))
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))

describe('evalTasks and samplePrompts', () => {
  it('give the scores and answers that the trained model gives by itself, in events and files', async () => {
    const { events } = await trains('probed')
    const evaluations = ofType(events, 'evaluate')
    expect(evaluations.map(({ step }) => step)).toEqual([2, 4])
    const last = evaluations.at(-1)
    expect(last?.loss).toBe(Number.NaN)
    const trained = await loadModel(model, { dtype: 'float32' })
    await LoraAdapter.load(trained, at('probed-final'))
    const tokenizer = await loadTokenizer(model)
    const reports = await runTasks(trained, tokenizer, evalTasks)
    const scores = Object.fromEntries(
      reports.flatMap(({ name, metrics }) =>
        metrics.map((metric) => [`eval_${name}_${metric.name}`, metric.scores.model?.value]),
      ),
    )
    expect(Object.keys(scores)).toContain('eval_said_exact_match')
    expect(Object.keys(scores)).toContain('eval_surprise_perplexity')
    expect(last?.metrics).toEqual(scores)
    const answers = await generateTexts(trained, tokenizer, samplePrompts, { maxNewTokens: 5, batchSize: 8 })
    expect(last?.samples).toEqual(
      answers.map(({ text, finishReason }, index) => ({ prompt: samplePrompts[index], text, finishReason })),
    )
    trained.dispose()
    const samples = await linesOf('probed', 'samples.jsonl')
    expect(samples).toEqual(
      evaluations.map(({ step, epoch, samples: given }) => ({ type: 'samples', step, epoch, samples: given })),
    )
    const logged = (await linesOf('probed', 'log.jsonl')).filter(({ type }) => type === 'evaluate')
    expect(logged.map(({ metrics }) => metrics)).toEqual(evaluations.map(({ metrics }) => metrics))
    expect(logged.some((line) => 'samples' in line)).toBe(false)
    const { log_history: history } = JSON.parse(await readFile(at('probed', 'trainer_state.json'), 'utf8'))
    expect(history.filter((entry: object) => 'eval_surprise_perplexity' in entry)).toHaveLength(2)
  })

  it('are asked with the variables of the chat template that training has', async () => {
    const chatTemplate =
      "{% for m in messages %}{{ m['content'] }}{% endfor %}{% if said is defined %} {{ said }}{% endif %}"
    const training = {
      chatTemplate,
      chatTemplateKwargs: { said: 'the assistant says' },
      learningRate: 1e-12,
      maxSteps: 1,
    }
    const answersOf = async (name: string, prompt: SamplePrompt) => {
      const events: TrainEvent[] = []
      await trains(name, {
        samplePrompts: [prompt],
        training: { ...training, evalSteps: 1 },
        onEvent: (event) => events.push(event),
      })
      return ofType(events, 'evaluate')[0]!.samples![0]!.text
    }
    const asked = await answersOf('variables', [{ role: 'user', content: 'one two' }])
    const ids = (await loadTokenizer(model)).encode('one two the assistant says', { addSpecialTokens: false })
    const loaded = await loadModel(model, { dtype: 'float32' })
    const [bare] = await generateTexts(loaded, await loadTokenizer(model), [ids], { maxNewTokens: 5 })
    expect(asked).toBe(bare!.text)
    loaded.dispose()
  })

  it('change no byte of what is trained, also with dropout', async () => {
    const lora = { r: 4, loraAlpha: 8, loraDropout: 0.2 }
    const probed = await trains('with', { lora, sampleGeneration: { maxNewTokens: 5, temperature: 0.8 } })
    const { bytes } = await trainTiny(
      {
        model,
        lora,
        outputDir: at('without'),
        dataset: tinyRows(24, 3),
        training: { maxSteps: 4, perDeviceTrainBatchSize: 2, packing: false },
      },
      at('without-final'),
    )
    expect(probed.bytes).toBe(bytes)
  })

  it('decide which model is the best one, and when the run ends', async () => {
    const { events, run } = await trains('judged', {
      training: {
        maxSteps: 8,
        loadBestModelAtEnd: true,
        metricForBestModel: 'surprise_perplexity',
        earlyStoppingPatience: 3,
      },
    })
    const values = ofType(events, 'evaluate').map(({ metrics }) => metrics?.eval_surprise_perplexity as number)
    expect(run.best?.value).toBe(Math.min(...values))
    expect(await rejection(trains('wrong', { training: { metricForBestModel: 'surprised_perplexity' } }))).toBe(
      "[training] expected a metric of this run's evaluations for metricForBestModel, got eval_surprised_perplexity; they tell eval_said_METRIC, eval_surprise_METRIC",
    )
  })

  it('go on after a stop with the same answers', async () => {
    const whole = await trains('whole', { evalDataset: tinyRows(4, 8), training: { saveSteps: 1 } })
    const resumed = await trains('resumed', {
      evalDataset: tinyRows(4, 8),
      training: { saveSteps: 1 },
      resumeFromCheckpoint: at('whole', 'checkpoint-3'),
    })
    expect(await linesOf('resumed', 'samples.jsonl')).toEqual(await linesOf('whole', 'samples.jsonl'))
    expect(resumed.bytes).toBe(whole.bytes)
  })

  it('are refused with what they do not take', async () => {
    expect(await rejection(trains('no-type', { evalTasks: [{ dataset: tinyRows(2) }] as never }))).toMatch(
      /^\[tasks\[0\]\] expected 'perplexity', 'generation'.* for type, got undefined$/,
    )
    expect(await rejection(trains('no-prompt', { samplePrompts: [''] }))).toContain(
      'expected a list of texts or conversations for samplePrompts',
    )
  })

  it('are in the memory plan', async () => {
    const given = {
      model: TINY_CONFIG,
      device: 'cpu',
      dtype: 'float32',
      training: { maxLength: 16, perDeviceTrainBatchSize: 1 },
    } as const
    const plain = await planTraining(given)
    const probed = await planTraining({
      ...given,
      samplePrompts,
      sampleGeneration: { maxNewTokens: 400 },
      training: { ...given.training, perDeviceEvalBatchSize: 32 },
    })
    // Keys and values of 32 sequences of 416 tokens in two layers of two heads of 12 numbers, in float32.
    expect(probed.peakTensors - plain.peakTensors).toBeGreaterThan((2 * 2 * 2 * 12 * 416 * 32 * 4) / 2)
  })
})
