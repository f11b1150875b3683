/**
 * @file What a run leaves beside its checkpoints: a log that a resumed run continues, options that run again, a card.
 */

import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { appendFile, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { parse } from 'yaml'
import type { LogEvent, TrainEvent } from '../../src/train/events.js'
import type { TrainRunOptions } from '../../src/train/options.js'
import { PRESETS } from '../../src/train/presets.js'
import { resolveTrainOptions } from '../../src/train/resolve-options.js'
import { type RunSummary, runCardText } from '../../src/train/run-card.js'
import { runConfigText } from '../../src/train/run-config.js'
import { RunLog } from '../../src/train/run-log.js'
import { trainLora } from '../../src/train/train-lora.js'
import {
  ofType,
  TINY_TRAINING,
  type TinyRun,
  type TinyRunOptions,
  temporaryDirectory,
  tinyRows,
  trainedBytes,
  trainTiny,
  writeTinyModel,
} from '../support/tiny-model.js'

/** A disk that takes so many bytes more of log files. */
const disk = vi.hoisted(() => ({ left: Number.POSITIVE_INFINITY, writes: 0 }))

vi.mock('node:fs', async (importOriginal) => {
  const real = await importOriginal<typeof import('node:fs')>()
  const writeSync = (file: number, bytes: Uint8Array, at: number): number => {
    disk.writes++
    const written = Math.min(disk.left, bytes.length - at)
    if (written > 0) real.writeSync(file, bytes, at, written)
    disk.left -= written
    if (written < bytes.length - at) throw Object.assign(new Error('ENOSPC: write'), { code: 'ENOSPC' })
    return written
  }
  return { ...real, default: { ...real, writeSync }, writeSync }
})

const directory = temporaryDirectory()
const at = (...names: string[]) => join(directory, ...names)
const evalDataset = tinyRows(7, 31)
const training = { evalSteps: 4, saveSteps: 2, loggingSteps: 2 }
let model: string
let whole: TinyRun

beforeAll(async () => {
  model = await writeTinyModel(at('model'))
  whole = await trainTiny({ model, outputDir: at('whole'), evalDataset, training }, at('whole', 'adapter'))
})

afterEach(() => {
  disk.left = Number.POSITIVE_INFINITY
})

async function logOf(outputDir: string): Promise<TrainEvent[]> {
  const text = await readFile(join(outputDir, 'log.jsonl'), 'utf8')
  return text === ''
    ? []
    : text
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as TrainEvent)
}

/** What does not depend on the clock. */
const figures = (events: readonly TrainEvent[]) =>
  events.flatMap((event) => (event.type === 'log' || event.type === 'evaluate' ? [[event.type, event.step]] : []))

/** Trains until the event is there, and stops. */
async function trainUntil(step: number, outputDir: string, options: Partial<TinyRunOptions> = {}): Promise<void> {
  const controller = new AbortController()
  const onEvent = (event: TrainEvent): void => {
    if (event.type === 'step' && event.step === step) controller.abort()
  }
  await trainTiny(
    { model, outputDir, evalDataset, training, signal: controller.signal, onEvent, ...options },
    `${outputDir}-stopped`,
  )
}

describe('log.jsonl', () => {
  it('has a line for every log event and every evaluation, as they came', async () => {
    const events = whole.events.filter(({ type }) => type === 'log' || type === 'evaluate')
    expect(events.length).toBeGreaterThan(5)
    expect(await logOf(at('whole'))).toEqual(events)
  })

  const linesIn = (outputDir: string): number =>
    fs.readFileSync(join(outputDir, 'log.jsonl'), 'utf8').split('\n').length - 1

  it('is there while the run goes on', async () => {
    const outputDir = at('while')
    const training = { maxSteps: 6, loggingSteps: 1 }
    let logs = 0
    const callback = {
      name: 'reader',
      async onEvent({ type }: { readonly type: string }) {
        if (type !== 'log') return
        logs++
        // The run waits for this.
        await vi.waitFor(() => expect(linesIn(outputDir)).toBe(logs), { timeout: 5000, interval: 5 })
      },
    }
    const { events } = await trainTiny({ model, outputDir, training, callbacks: [callback] }, at('while-adapter'))
    expect(logs).toBe(6)
    expect(ofType(events, 'warning')).toEqual([])
  })

  it('has the lines of before a checkpoint when the checkpoint is there', async () => {
    const outputDir = at('before')
    const training = { maxSteps: 9, loggingSteps: 1, saveStrategy: 'steps', saveSteps: 3 } as const
    const seen: number[] = []
    await trainTiny(
      {
        model,
        outputDir,
        training,
        onEvent: ({ type }) => {
          if (type === 'save') seen.push(linesIn(outputDir))
        },
      },
      at('before-adapter'),
    )
    expect(seen.slice(0, 3)).toEqual([3, 6, 9])
  })

  it('writes log events that come quickly together, and what waits when it is told to', async () => {
    const path = at('quick.jsonl')
    const log = await RunLog.open(path, { from: undefined, step: 0 }, expect.unreachable)
    const [event] = ofType(whole.events, 'log')
    const begin = performance.now()
    disk.writes = 0
    for (let step = 1; step <= 777; step++) log.append({ ...(event as LogEvent), step })
    log.flush()
    expect(disk.writes).toBeLessThanOrEqual(2 + (performance.now() - begin) / 50)
    const lines = fs.readFileSync(path, 'utf8').trimEnd().split('\n')
    expect(lines.map((line) => JSON.parse(line).step)).toEqual(Array.from({ length: 777 }, (_, index) => index + 1))
    log.flush()
    expect(fs.readFileSync(path, 'utf8').trimEnd().split('\n')).toEqual(lines)
  })

  it('log.jsonl of a run that was stopped anywhere and resumed has every step once, as that of a run that was not', async () => {
    for (const step of [1, 2, 5, 6]) {
      const outputDir = at(`stop-${step}`)
      await trainUntil(step, outputDir)
      const stopped = await logOf(outputDir)
      const { events } = await trainTiny(
        { model, outputDir, evalDataset, training, resumeFromCheckpoint: true },
        at('unused'),
      )
      const log = await logOf(outputDir)
      expect(figures(log)).toEqual(figures(whole.events))
      // Lines of before are those that were there, and those of after the events of the resumed run.
      expect(log.slice(0, stopped.length)).toEqual(stopped)
      expect(log.at(-1)).toEqual(events.filter(({ type }) => type === 'log' || type === 'evaluate').at(-1))
    }
  })

  it('drops what a killed run logged after its last checkpoint, half a line, and what is no line of a log', async () => {
    const outputDir = at('killed')
    await trainUntil(5, outputDir)
    const [name = ''] = (await readdir(outputDir)).filter((entry) => entry.startsWith('checkpoint-')).slice(-1)
    const step = Number(name.split('-')[1])
    const kept = await logOf(outputDir)
    const later = JSON.stringify({ type: 'log', step: step + 1, loss: 9 })
    const again = JSON.stringify(kept[0])
    await appendFile(join(outputDir, 'log.jsonl'), `${later}\nnot json\n${again}\n[]\n{"type":"log","st`)
    await trainTiny({ model, outputDir, evalDataset, training, resumeFromCheckpoint: true }, at('unused'))
    expect(figures(await logOf(outputDir))).toEqual(figures(whole.events))
  })

  it('log.jsonl of a run from a checkpoint elsewhere begins with the log of that run', async () => {
    const outputDir = at('elsewhere')
    const resumeFromCheckpoint = at('whole', 'checkpoint-4')
    await trainTiny({ model, outputDir, evalDataset, training, resumeFromCheckpoint }, at('unused'))
    expect(figures(await logOf(outputDir))).toEqual(figures(whole.events))
    expect((await logOf(outputDir))[0]).toEqual((await logOf(at('whole')))[0])
  })

  it('log.jsonl of a new run in a directory without checkpoints begins anew', async () => {
    const outputDir = at('anew')
    for (const maxSteps of [6, 2])
      await trainTiny({ model, outputDir, training: { maxSteps, saveStrategy: 'no' } }, at('unused'))
    expect(figures(await logOf(outputDir))).toEqual([['log', 2]])
  })

  it('log.jsonl that does not fit on the disk warns once, never holds half a line, and is whole when there is space again', async () => {
    const outputDir = at('full')
    let logs = 0
    const { events, bytes } = await trainTiny(
      {
        model,
        outputDir,
        evalDataset,
        training,
        onEvent: ({ type }) => {
          if (type === 'log') logs++
          // Half of the next line fits; space is free again for the last one.
          if (type === 'log' && logs === 2) disk.left = 100
          if (type === 'evaluate')
            expect(fs.readFileSync(join(outputDir, 'log.jsonl'), 'utf8').length).toBeGreaterThan(0)
          if (type === 'log' && logs === 4) disk.left = Number.POSITIVE_INFINITY
        },
      },
      at('full', 'adapter'),
    )
    expect(ofType(events, 'warning').map(({ message }) => message)).toEqual([
      `[train] ${join(outputDir, 'log.jsonl')} cannot be written: ENOSPC: write; the run goes on, and writes it as soon as that is possible`,
    ])
    expect(await logOf(outputDir)).toEqual(events.filter(({ type }) => type === 'log' || type === 'evaluate'))
    expect(bytes === whole.bytes).toBe(true)
  })

  it.each([
    ['a directory', (path: string) => mkdir(path, { recursive: true })],
    [
      'a link to a file of someone else',
      async (path: string) => {
        await mkdir(join(path, '..'), { recursive: true })
        await writeFile(at('precious'), 'precious')
        await symlink(at('precious'), path)
      },
    ],
  ])('log.jsonl in whose place is %s does not end the run, and changes nothing there', async (what, place) => {
    const outputDir = at(`place-${what.length}`)
    await place(join(outputDir, 'log.jsonl'))
    const { run, events } = await trainTiny({ model, outputDir, training: { maxSteps: 2 } }, at('unused'))
    expect(run.reason).toBe('completed')
    if (what === 'a directory') expect(ofType(events, 'warning')[0]?.message).toContain('log.jsonl cannot be written')
    else expect(await readFile(at('precious'), 'utf8')).toBe('precious')
  })
})

describe('train.yaml', () => {
  const settings = {
    model: 'org/name',
    revision: 'f'.repeat(40),
    dtype: 'float32',
    device: 'cpu',
    lineage: { dataset: [] },
    secrets: [],
  }
  const base = { model: 'org/name', dataset: '/rows.jsonl', outputDir: '/out' }
  const text = (options: Partial<TrainRunOptions>) =>
    runConfigText(resolveTrainOptions({ ...base, ...options }), settings)

  const CASES: Partial<TrainRunOptions>[] = [
    {},
    { evalDataset: ['/a.jsonl', '/b/*.jsonl'] },
    { training: { lrSchedulerType: 'constant' } },
    { training: { warmupSteps: 0 } },
    { training: { warmupSteps: 7, saveTotalLimit: 3, maxSteps: 4, evalSplit: 0.1, evalSteps: 5 } },
    { training: { warmupRatio: 0, gradientAccumulationSteps: 3, gradientCheckpointing: 'full' } },
    { training: { learningRate: 1e-9, adamEpsilon: 1e-12, seed: Number.MAX_SAFE_INTEGER } },
    {
      training: {
        chatTemplate: "{% for m in messages %}\r\n  {{ m['content'] }}\t\n\n{% endfor %} # 'x' : - \u2028 \u{1f600}",
      },
    },
    {
      training: {
        chatTemplateKwargs: { enable_thinking: false, name: 'null', list: [1, 'yes', null] },
        roleMapping: { human: 'user' },
      },
    },
    { training: { packing: true, padding: false } },
    { lora: { targetModules: ['q_proj', 'v_proj'], layersToTransform: [0, 1], bias: 'lora_only' } },
    { lora: { targetModules: '.*\\.(q|v)_proj', rankPattern: { 'layers\\.0\\..*': 4 }, initLoraWeights: false } },
    { lora: { r: 3, modulesToSave: ['lm_head'] }, quantization: 'nf4', threads: 2, memoryBudget: 8e9 },
    { method: 'full' },
    { localFilesOnly: true, cacheDir: '~/cache' },
    {
      dataset: [
        { prompt: 'a: b', completion: ' - "c"\n' },
        { prompt: '1e3', completion: '~' },
      ],
    },
    ...Object.keys(PRESETS).map((preset) => ({ preset }) as Partial<TrainRunOptions>),
  ]

  it.each(CASES)('gives the same options when it is read: %j', async (options) => {
    const { preset: _, ...resolved } = resolveTrainOptions({ ...base, ...options })
    expect(resolveTrainOptions(parse(await text(options)))).toEqual({
      ...resolved,
      revision: settings.revision,
      dtype: 'float32',
      device: 'cpu',
      resumeFromCheckpoint: true,
    })
  })

  it('makes paths absolute', async () => {
    const local = runConfigText(
      resolveTrainOptions({
        ...base,
        model: 'models/x',
        dataset: 'data/*.jsonl',
        evalTasks: [
          {
            type: 'generation',
            dataset: 'held-out.jsonl',
            scoreAnswer: 'score.mjs',
            judge: { model: 'judge', apiKey: 'planted', rubric: 'rubric.yaml', replies: 'judge.replies' },
          },
          { type: 'perplexity', dataset: 'org/name' },
        ],
        outputDir: 'out',
        cacheDir: 'cache',
      }),
      { ...settings, model: 'models/x', revision: undefined },
    )
    expect(local).not.toContain('planted')
    const here = (name: string): string => join(process.cwd(), name)
    expect(parse(local).evalTasks).toEqual([
      {
        type: 'generation',
        dataset: here('held-out.jsonl'),
        scoreAnswer: here('score.mjs'),
        judge: { model: 'judge', rubric: here('rubric.yaml'), replies: here('judge.replies') },
      },
      { type: 'perplexity', dataset: 'org/name' },
    ])
    expect(parse(local)).toMatchObject({
      model: here('models/x'),
      dataset: here('data/*.jsonl'),
      outputDir: here('out'),
      cacheDir: here('cache'),
    })
  })

  it('names what only a program can give, and is then refused for the lack of it', async () => {
    async function* rows(): AsyncGenerator<object> {
      yield { text: 'x' }
    }
    const written = await text({ dataset: rows(), training: { chatTemplateKwargs: { now: () => 'x' } } })
    expect(written).toContain('# Not here, because no file can hold it: dataset: rows that a program gave\n')
    expect(() => resolveTrainOptions(parse(written))).toThrow('for dataset, got nothing')
    const large = await text({ dataset: Array.from({ length: 5000 }, () => ({ text: 'many rows' })) })
    expect(large.length).toBeLessThan(5000)
  })

  it('says in comments which bytes the rows were, the paths without secrets', async () => {
    const sha256 = 'a'.repeat(64)
    const lineage = {
      dataset: [{ location: 'a "b"\n.jsonl', rows: 3, size: 70, sha256 }],
      evalDataset: [{ location: 'uc://main.default.rows', rows: 5 }],
    }
    const options = resolveTrainOptions(base)
    const written = runConfigText(options, { ...settings, lineage, secrets: ['default.rows'] })
    expect(written).toContain(`\n# dataset: "a \\"b\\"\\n.jsonl", 3 rows, 70 bytes, SHA-256 ${sha256}\n`)
    expect(written).toContain('\n# evalDataset: "uc://main.***", 5 rows\n')
    expect(parse(written)).toEqual(parse(runConfigText(options, settings)))
    const many = { dataset: Array.from({ length: 35 }, (_, i) => ({ location: `${i}.jsonl`, rows: 1 })) }
    expect(runConfigText(options, { ...settings, lineage: many })).toContain('"31.jsonl", 1 rows\n# and 3 more\n')
  })

  it('names in a run the file of the rows with its hash', async () => {
    const bytes = '{"prompt": "one", "completion": " two"}\n'.repeat(7)
    const outputDir = at('hashed')
    const dataset = at('hashed.jsonl')
    await writeFile(dataset, bytes)
    const { events } = await trainTiny({ model, outputDir, dataset, training: { maxSteps: 1 } }, at('unused'))
    const sha256 = createHash('sha256').update(bytes).digest('hex')
    const size = bytes.length
    expect(ofType(events, 'data')[0]?.lineage).toEqual([{ location: dataset, rows: 7, size, sha256 }])
    const written = await readFile(join(outputDir, 'train.yaml'), 'utf8')
    expect(written).toContain(`# dataset: ${JSON.stringify(dataset)}, 7 rows, ${size} bytes, SHA-256 ${sha256}\n`)
    const card = await readFile(join(outputDir, 'README.md'), 'utf8')
    expect(card).toContain(`| training | \`hashed.jsonl\` | 7 | ${size} | \`${sha256}\` |`)
  })

  it('has no secret, wherever it was put', async () => {
    const token = 'hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345'
    const options = resolveTrainOptions({
      ...base,
      token,
      cacheDir: `/cache/${token}`,
      training: { chatTemplateKwargs: { key: token } },
    })
    const written = runConfigText(options, { ...settings, secrets: [token] })
    expect(written).not.toContain(token)
    expect(written).toContain('# A secret stood here and is left out: ***')
    expect(parse(written)).not.toHaveProperty('token')
  })

  it('repeats the run: in its directory nothing is left to do, and in another one the bytes are the same', async () => {
    const options = parse(await readFile(at('whole', 'train.yaml'), 'utf8')) as TrainRunOptions
    const again = async (changed: Partial<TrainRunOptions>, saveTo: string) => {
      const events: TrainEvent[] = []
      const run = await trainLora({ ...options, ...changed, onEvent: (event) => void events.push(event) })
      await run.save(saveTo)
      run.dispose()
      return { steps: ofType(events, 'step').length, bytes: await trainedBytes(saveTo) }
    }
    expect(await again({}, at('repeated'))).toEqual({ steps: 0, bytes: whole.bytes })
    expect(await again({ outputDir: at('repeated-run') }, at('repeated'))).toEqual({
      steps: whole.run.step,
      bytes: whole.bytes,
    })
  })
})

describe('a train.yaml of one’s own', () => {
  it('a train.yaml of one’s own in the output directory stays as it is, with a warning', async () => {
    const outputDir = at('own-config')
    await mkdir(outputDir)
    await writeFile(join(outputDir, 'train.yaml'), '# mine\nmodel: m\n')
    const { events } = await trainTiny({ model, outputDir, training: { maxSteps: 1, warmupSteps: 0 } }, outputDir)
    expect(await readFile(join(outputDir, 'train.yaml'), 'utf8')).toBe('# mine\nmodel: m\n')
    expect(ofType(events, 'warning').map(({ message }) => message)).toEqual([
      `[train] ${join(outputDir, 'train.yaml')} was not written: another file of that name is there; to have the options of the run as ` +
        'well, give yours another name; the run goes on',
    ])
  })
})

describe('README.md', () => {
  const figuresOf = (step: number) => ({
    step,
    totalSteps: 40,
    epoch: 2,
    learningRate: 1e-4,
    gradNorm: 1,
    tokensPerSecond: 1,
    numInputTokensSeen: 1,
    etaSeconds: 0,
  })
  const summary: RunSummary = {
    options: resolveTrainOptions({ model: 'org/name', dataset: '/home/me/private/rows.jsonl', outputDir: '/out' }),
    model: 'org/name',
    origin: { revision: 'f'.repeat(40), license: { id: 'apache-2.0' } },
    dtype: 'bfloat16',
    statistics: {
      rows: 100,
      truncatedRows: 5,
      rowsCutToNothing: 2,
      rowsWithoutTarget: 1,
      skippedRows: 4,
      conversations: 100,
      tokens: 5000,
      supervisedTokens: 2000,
      longest: 64,
    },
    lineage: {
      dataset: [{ location: `hf://datasets/org/rows@${'a'.repeat(40)}/train.parquet`, rows: 100, size: 12345 }],
    },
    trainRows: 90,
    evalRows: 7,
    step: 40,
    totalSteps: 40,
    epoch: 2,
    lastLog: { ...figuresOf(40), type: 'log', loss: 1.25 },
    lastEvaluation: { ...figuresOf(40), type: 'evaluate', loss: 1.5, perplexity: 4.4817, tokens: 321, seconds: 1 },
    curve: [
      { ...figuresOf(20), type: 'log', loss: 2.5 },
      { ...figuresOf(40), type: 'log', loss: 1.25 },
    ],
    end: {},
    secrets: [],
  }
  const header = (text: string) => parse(text.split('---\n')[1] as string) as Record<string, unknown>

  it('is in the output directory and beside the adapter', async () => {
    const card = await readFile(at('whole', 'README.md'), 'utf8')
    expect(await readFile(at('whole', 'adapter', 'README.md'), 'utf8')).toBe(card)
    // A directory of this machine is nothing that the Hub could find.
    const { loss, perplexity } = whole.run.evaluation ?? {}
    expect(header(card)).toEqual({
      library_name: 'peft',
      pipeline_tag: 'text-generation',
      tags: ['lora', 'lowrank'],
      'model-index': [
        {
          name: 'whole',
          results: [
            {
              task: { type: 'text-generation', name: 'Text Generation' },
              dataset: { type: 'rows of a program', name: 'rows of a program' },
              metrics: [
                { type: 'loss', value: loss, name: 'Loss', verified: false },
                { type: 'perplexity', value: perplexity, name: 'Perplexity', verified: false },
              ],
            },
          ],
        },
      ],
    })
    const [first] = ofType(whole.events, 'evaluate')
    expect(card).toContain(`| ${first?.step} | ${first?.epoch.toFixed(2)} |`)
    expect(card).toContain('| Base model | `model` |')
    expect(card).toContain(`| Steps | ${whole.run.step} of ${whole.run.step}, 2.00 epochs |`)
    const last = whole.run.step
    expect(card).toContain(`| Held-out loss | ${whole.run.evaluation?.loss.toFixed(4)} at step ${last} |`)
    expect(card).toContain(
      `| Loss when last logged | ${ofType(whole.events, 'log').at(-1)?.loss.toFixed(4)} at step ${last} |`,
    )
    expect(card).not.toContain(directory)
  })

  it('says model, data, options and results, and what was lost of the data', async () => {
    const card = runCardText(summary)
    expect(header(card)).toEqual({
      base_model: 'org/name',
      base_model_relation: 'adapter',
      library_name: 'peft',
      pipeline_tag: 'text-generation',
      license: 'apache-2.0',
      datasets: ['org/rows'],
      tags: ['base_model:adapter:org/name', 'lora', 'lowrank'],
      'model-index': [
        {
          name: 'out',
          results: [
            {
              task: { type: 'text-generation', name: 'Text Generation' },
              dataset: { type: 'org/rows', name: 'org/rows, held-out rows', revision: 'a'.repeat(40) },
              metrics: [
                { type: 'loss', value: 1.5, name: 'Loss', verified: false },
                { type: 'perplexity', value: 4.4817, name: 'Perplexity', verified: false },
              ],
            },
          ],
        },
      ],
    })
    for (const row of [
      `| Base model | \`org/name\` at commit \`${'f'.repeat(40)}\` |`,
      '| Licence | apache-2.0 |',
      '| Method | LoRA |',
      '| Computed in | bfloat16 |',
      '| Data | `rows.jsonl`: 100 rows (3 lost their end, 2 cut to nothing, 1 with nothing to learn, 4 skipped) |',
      '| Tokens | 5000, 2000 of them learnt |',
      '| Rows | 90 to train on, 7 held out |',
      '| Steps | 40 of 40, 2.00 epochs |',
      '| Held-out perplexity | 4.4817 over 321 tokens |',
      `| training | \`hf://datasets/org/rows@${'a'.repeat(40)}/train.parquet\` | 100 | 12345 | - |`,
      'Training loss  2.5000 █▁ 1.2500',
      '| 20 | 2.00 | 2.5000 | 0.000100 |',
      `- Node.js ${process.versions.node}`,
      `base = AutoModelForCausalLM.from_pretrained("org/name", revision="${'f'.repeat(40)}")`,
      `const model = await loadModel("org/name", { revision: "${'f'.repeat(40)}" })`,
    ])
      expect(card).toContain(`${row}\n`)
    const options = parse(/```yaml\n([\s\S]*?)```/.exec(card)?.[1] ?? '') as Record<string, object>
    expect(options.lora).toMatchObject({ r: 16, loraAlpha: 32 })
    expect(options.training).toMatchObject({ learningRate: 2e-4 })
    expect(card).not.toContain('private')
  })

  it('names the Hub id that a model given as a path belongs to, where that was said', async () => {
    const options = resolveTrainOptions({ model: '/models/x', dataset: [{ text: 'x' }], baseModelName: 'org/base' })
    const card = await runCardText({ ...summary, options, model: '/models/x', origin: {} })
    expect(header(card)).toMatchObject({ base_model: 'org/base', base_model_relation: 'adapter' })
    expect(card).toContain('# LoRA adapter for org/base\n')
    const local = resolveTrainOptions({ model: '/models/x', dataset: [{ text: 'x' }], baseModelName: '/models/x' })
    expect(
      header(await runCardText({ ...summary, options: local, model: '/models/x', origin: {} })),
    ).not.toHaveProperty('base_model')
  })

  it('README.md of a whole model and of a stopped run says so', async () => {
    const options = resolveTrainOptions({ model: 'org/name', dataset: [{ text: 'x' }], method: 'full' })
    const card = runCardText({ ...summary, options, step: 3, lastLog: undefined, lastEvaluation: undefined })
    expect(header(card)).toMatchObject({
      base_model_relation: 'finetune',
      library_name: 'transformers',
      tags: ['lowrank'],
    })
    expect(card).toContain('| Method | every weight |')
    expect(card).toContain('| Steps | 3 of 40, 2.00 epochs; stopped before its end |')
    expect(card).toContain('| Data | rows of a program: 100 rows')
    expect(card).not.toContain('Held-out loss')
  })

  it('README.md cannot be broken by names or templates, and has no secret', async () => {
    const options = resolveTrainOptions({
      model: 'x',
      dataset: '/data/a`|b\n<script>.jsonl',
      training: { chatTemplate: '{{ 1 }}\n```\n# not a heading\n````' },
      token: 'swordfish',
    })
    const card = runCardText({
      ...summary,
      options,
      origin: {},
      model: '/m/<b>[x](javascript:1)|swordfish',
      secrets: ['swordfish'],
    })
    expect(card).toContain('| Data | `ab<script>.jsonl`: 100 rows')
    expect(card).toContain('# LoRA adapter for \\<b\\>\\[x\\](javascript:1)\\|***\n')
    expect(card.split('`````')).toHaveLength(3)
    expect(card).not.toContain('swordfish')
  })

  it('README.md of one’s own stays as it is', async () => {
    const outputDir = at('own')
    await mkdir(outputDir)
    await writeFile(join(outputDir, 'README.md'), 'mine')
    await trainTiny({ model, outputDir, training: { maxSteps: 1 } }, outputDir)
    expect(await readFile(join(outputDir, 'README.md'), 'utf8')).toBe('mine')
  })

  it('README.md that cannot be written is a warning', async () => {
    const outputDir = at('card')
    await mkdir(join(outputDir, 'README.md'), { recursive: true })
    const { run, events } = await trainTiny(
      { model, outputDir, training: { ...TINY_TRAINING, maxSteps: 1, warmupSteps: 0 } },
      at('unused'),
    )
    expect(run.reason).toBe('completed')
    expect(ofType(events, 'warning').map(({ message }) => message)).toEqual([
      expect.stringMatching(/^\[train\] .*README\.md was not written: .*; the run goes on$/),
    ])
    await rm(join(outputDir, 'README.md'), { recursive: true })
  })
})
