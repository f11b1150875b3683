/** @file What else an adapter changed: divergence against float64, answers by category, and rows that it recites. */

import { rmSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, expect, it } from 'vitest'
import { LoraAdapter } from '../../../src/adapters/lora-adapter.js'
import { disableAdapters, enableAdapters } from '../../../src/adapters/named-adapters.js'
import { compareBehaviour, repetition } from '../../../src/evaluate/behaviour/compare-behaviour.js'
import { divergences } from '../../../src/evaluate/behaviour/divergence.js'
import type { BehaviourReport } from '../../../src/evaluate/behaviour/options.js'
import { PROBES } from '../../../src/evaluate/behaviour/probes.js'
import { longestCommonRun } from '../../../src/evaluate/behaviour/recitation.js'
import type { EvaluationReport } from '../../../src/evaluate/evaluation-report.js'
import { encodePrompt } from '../../../src/generation/prompt-ids.js'
import { loadTokenizer, type Tokenizer } from '../../../src/tokenizer/tokenizer.js'
import type { TrainEvent } from '../../../src/train/events.js'
import { trainLora } from '../../../src/train/train-lora.js'
import { inProcess } from '../../cli/in-process.js'
import {
  rejection,
  temporaryDirectory,
  tinyAdapter,
  tinyModel,
  tinyRows,
  writeTinyModel,
} from '../../support/tiny-model.js'

const directory = temporaryDirectory()
let tokenizer: Tokenizer
beforeAll(async () => {
  tokenizer = await loadTokenizer(await writeTinyModel(directory))
})

/** The definition, with shares that are written out. */
function reference(p: readonly number[], q: readonly number[]): number {
  const softmax = (logits: readonly number[]): number[] => {
    const shares = logits.map((logit) => Math.exp(logit))
    const all = shares.reduce((sum, share) => sum + share, 0)
    return shares.map((share) => share / all)
  }
  const [a, b] = [softmax(p), softmax(q)]
  return a.reduce((sum, share, column) => sum + share * Math.log(share / (b[column] as number)), 0)
}

it('has 120 different prompts in six categories', () => {
  const prompts = Object.values(PROBES).flat()
  expect(Object.values(PROBES).map(({ length }) => length)).toEqual([20, 20, 20, 20, 20, 20])
  expect(new Set(prompts).size).toBe(120)
})

it('computes the divergence of each row as its definition says, also where a share is nothing', () => {
  const p = [1, 2, 3, -1, 0.5, 0]
  const q = [0, 2, 1, 4, -2, 1]
  const found = divergences(Float32Array.from(p), Float32Array.from(q), 3)
  // Both sums are made in float64 of the same six numbers.
  expect(found[0]).toBeCloseTo(reference(p.slice(0, 3), q.slice(0, 3)), 13)
  expect(found[1]).toBeCloseTo(reference(p.slice(3), q.slice(3)), 13)
  expect([...divergences(Float32Array.of(1e4, -1e4), Float32Array.of(0, 0), 2)]).toEqual([Math.log(2)])
  expect([...divergences(Float32Array.of(3, 4), Float32Array.of(3, 4), 2)]).toEqual([0])
})

it('counts runs of four tokens that come again, and the longest run that two lists share', () => {
  expect(repetition([1, 2, 3])).toBe(0)
  expect(repetition([1, 2, 3, 4, 5])).toBe(0)
  expect(repetition([7, 7, 7, 7, 7, 7])).toBeCloseTo(2 / 3, 15)
  expect(longestCommonRun([9, 1, 2, 3, 8], [1, 2, 3, 4])).toBe(3)
  expect(longestCommonRun([1, 2], [3])).toBe(0)
})

it('finds no difference for an adapter whose B is zero, and needs one', async () => {
  const model = await tinyModel()
  expect(await rejection(compareBehaviour(model, tokenizer))).toBe(
    '[behaviour] expected a model with an active adapter to compare with its base, got one without; load the adapter',
  )
  LoraAdapter.create(model, { r: 4 })
  const { all, categories, recitation } = await compareBehaviour(model, tokenizer, {
    maxNewTokens: 5,
    probesPerCategory: 2,
  })
  expect(Object.keys(categories)).toEqual(['chat', 'code', 'arithmetic', 'refusals', 'json', 'languages'])
  expect(all.prompts).toBe(12)
  for (const change of [all, ...Object.values(categories)]) {
    expect(change.klPerToken).toBe(0)
    expect(change.perplexity.adapter).toBe(change.perplexity.base)
    expect(change.adapter).toEqual(change.base)
  }
  expect(recitation).toBeUndefined()
  model.dispose()
})

it('gives the mean divergence over the tokens of the answers of the base', async () => {
  const model = await tinyModel()
  tinyAdapter(model)
  const { categories } = await compareBehaviour(model, tokenizer, { maxNewTokens: 3, probesPerCategory: 1 })
  for (const [category, [prompt]] of Object.entries(PROBES)) {
    const ids = encodePrompt(
      tokenizer,
      tokenizer.chatTemplate === undefined ? prompt : [{ role: 'user', content: prompt }],
    ).slice()
    const sums = { kl: 0, base: 0, adapter: 0 }
    let tokens = 0
    for (; tokens < 3; tokens++) {
      const logitsOf = async (): Promise<number[]> => {
        const { logits } = model.forward({ inputIds: [ids] }, { logits: true })
        return [...(await logits.read()).subarray(-model.config.vocabSize)]
      }
      const adapter = await logitsOf()
      disableAdapters(model)
      const base = await logitsOf()
      enableAdapters(model)
      const id = base.indexOf(Math.max(...base))
      const loss = (all: number[]): number =>
        Math.log(all.reduce((sum, logit) => sum + Math.exp(logit), 0)) - (all[id] as number)
      sums.kl += reference(base, adapter)
      sums.base += loss(base)
      sums.adapter += loss(adapter)
      ids.push(id)
      if (tokenizer.eosTokenIds.includes(id)) {
        tokens++
        break
      }
    }
    const change = categories[category]
    // Logits are float32 of sums in another order: a batch of one token more or less.
    expect(change?.klPerToken).toBeCloseTo(sums.kl / tokens, 4)
    expect(Math.log(change?.perplexity.base ?? 0)).toBeCloseTo(sums.base / tokens, 4)
    expect(Math.log(change?.perplexity.adapter ?? 0)).toBeCloseTo(sums.adapter / tokens, 4)
    expect(change?.klPerToken).toBeGreaterThan(0)
  }
  model.dispose()
})

it('lists the rows that an overfitted adapter recites, with their origins, and none of others', async () => {
  const rows = tinyRows(20).map(({ prompt, completion }, index) => ({
    text: `row ${index}: ${prompt} ->${completion} end.`,
  }))
  const run = await trainLora({
    model: directory,
    dataset: rows,
    dtype: 'float32',
    lora: { r: 16, loraAlpha: 32 },
    training: {
      numTrainEpochs: 60,
      learningRate: 1e-2,
      perDeviceTrainBatchSize: 10,
      gradientAccumulationSteps: 1,
      lrSchedulerType: 'constant',
    },
  })
  const fractions: number[] = []
  const { recitation, all } = await compareBehaviour(run.model, run.tokenizer, {
    dataset: [...rows, { text: 'x' }],
    maxNewTokens: 2,
    probesPerCategory: 1,
    onFraction: (fraction) => void fractions.push(fraction),
  })
  expect(recitation).toMatchObject({ rows: 20, tooShort: 1, byBase: 0 })
  const recited = recitation?.recited ?? []
  expect(recited.length).toBeGreaterThanOrEqual(15)
  for (const { origin, run: found, needed } of recited) {
    expect(origin).toMatch(/\d+/)
    expect(found.adapter).toBe(needed)
    expect(found.base).toBeLessThan(needed)
  }
  expect(all.klPerToken).toBeGreaterThan(0.1)
  expect(fractions.at(-1)).toBe(1)
  const others = tinyRows(5, 99).map(({ prompt }) => ({ text: `something else ${prompt} and more of it than before` }))
  const unseen = await compareBehaviour(run.model, run.tokenizer, {
    dataset: others,
    maxNewTokens: 2,
    probesPerCategory: 1,
  })
  expect(unseen.recitation?.recited).toEqual([])
  run.dispose()
})

it('takes nothing of a run where it fails: the run tells it as a warning, and is complete', async () => {
  const outputDir = join(directory, 'without')
  const dataset = join(directory, 'goes-away.jsonl')
  await writeFile(dataset, `${JSON.stringify(tinyRows(1)[0])}\n`)
  const events: TrainEvent[] = []
  const run = await trainLora({
    model: directory,
    dataset,
    dtype: 'float32',
    outputDir,
    behaviour: true,
    training: { maxSteps: 1 },
    onEvent: (event) => {
      events.push(event)
      if (event.type === 'start') rmSync(dataset)
    },
  })
  run.dispose()
  expect(run.reason).toBe('completed')
  const warnings = events.flatMap((event) => (event.type === 'warning' ? [event.message] : []))
  expect(warnings.filter((message) => message.startsWith('[behaviour]'))).toEqual([
    expect.stringMatching(
      /^\[behaviour\] behaviour\.json was not written: .*goes-away\.jsonl, which does not exist.*; the adapter is complete, and lowrank eval --behaviour compares it$/,
    ),
  ])
  expect(events.at(-1)?.type).toBe('end')
})

it('is written at the end of a run, and in the report of an evaluation', async () => {
  const outputDir = join(directory, 'run')
  const run = await trainLora({
    model: directory,
    dataset: tinyRows(6),
    dtype: 'float32',
    lora: { r: 2, loraDropout: 0.1 },
    outputDir,
    behaviour: true,
    training: { maxSteps: 2 },
  })
  await run.save(join(outputDir, 'adapter'))
  run.dispose()
  const written = JSON.parse(await readFile(join(outputDir, 'behaviour.json'), 'utf8')) as BehaviourReport
  expect(written.all.prompts).toBe(120)
  expect(written.recitation).toMatchObject({ byBase: 0 })
  const held = join(directory, 'held.jsonl')
  await writeFile(
    held,
    tinyRows(6)
      .map((row) => `${JSON.stringify(row)}\n`)
      .join(''),
  )
  const words = [
    'eval',
    '--model',
    directory,
    '--adapter',
    outputDir,
    '--dataset',
    held,
    '--dtype',
    'float32',
    '--behaviour',
    '--training-data',
    held,
  ]
  const { code, stdout, stderr } = await inProcess(words)
  expect([code, stderr]).toEqual([0, expect.any(String)])
  expect(stdout).toContain('What else changed with run:\ncategory    prompts  KL/token')
  expect(stdout).toMatch(/\nall +120 +\d\.\d{4} /)
  expect(stdout).toMatch(/It recites 0 of \d+ rows of training/)
  const { behaviour } = JSON.parse((await inProcess([...words, '--json'])).stdout) as EvaluationReport
  // The weights of the run, and those that were read again, are the same.
  expect(behaviour?.run?.all.klPerToken).toBeCloseTo(written.all.klPerToken, 5)
})
