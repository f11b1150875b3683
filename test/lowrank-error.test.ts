/**
 * @file Every code of an error comes out of a real failure: through the public API with its fields, and through the
 * command line.
 */

import { cp, readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { describeFailure, exitCodeOf } from '../src/cli/exit.js'
import { UsageError } from '../src/cli/usage-error.js'
import type { ErrorCode } from '../src/index.js'
import * as api from '../src/index.js'
import { lowrank } from './cli/run-cli.js'
import { TINY_CONFIG, temporaryDirectory, tinyRows, writeTinyModel } from './support/tiny-model.js'

const folder = temporaryDirectory()
const at = (name: string): string => join(folder, name)
const OFFLINE = { HF_HUB_OFFLINE: '1', HF_HOME: at('cache') }
const NOT_UTF8 = Buffer.of(0xff)
const SHORT = { maxSteps: 2, maxLength: 48, saveSteps: 1, lrSchedulerType: 'constant' } as const

let model: string
let rows: string

beforeAll(async () => {
  model = await writeTinyModel(at('model'))
  rows = at('rows.jsonl')
  await writeFile(
    rows,
    tinyRows(6)
      .map((row) => `${JSON.stringify(row)}\n`)
      .join(''),
  )
  await writeFile(at('broken.jsonl'), '{"text": "whole"}\n\n{"text": "cut\n')
  await writeFile(at('rows.json'), '[{"text": "whole"}, {"text": 1}]')
  await cp(model, at('damaged'), { recursive: true })
  await writeFile(join(at('damaged'), 'config.json'), '{"model_type": "llama"')
  await writeFile(at('file'), '')
})

async function failure(run: () => unknown): Promise<unknown> {
  try {
    await run()
  } catch (error) {
    return error
  }
  throw new Error('nothing was thrown')
}

const train = (options: Partial<api.TrainLoraOptions>): Promise<unknown> =>
  api.trainLora({ model, dataset: rows, dtype: 'float32', ...options, training: { ...SHORT, ...options.training } })

interface Failure {
  readonly code: ErrorCode
  readonly type: { readonly name: string }
  readonly run: () => unknown
  readonly fields?: () => object
}

const FAILURES: readonly Failure[] = [
  {
    code: 'INVALID_OPTION',
    type: api.OptionError,
    run: () => train({ training: { learningRate: -1, maxLength: 0 } }),
    fields: () => ({
      problems: [
        {
          options: [['training', 'maxLength']],
          message: expect.stringMatching(/^\[training\] expected .* for maxLength/),
        },
        { options: [['training', 'learningRate']], message: expect.stringMatching(/ for learningRate, got -1$/) },
      ],
    }),
  },
  {
    code: 'INVALID_DATA',
    type: api.DataError,
    run: () => train({ dataset: at('broken.jsonl') }),
    fields: () => ({ file: at('broken.jsonl'), row: 3, cause: expect.any(SyntaxError) }),
  },
  {
    code: 'INVALID_DATA',
    type: api.DataError,
    run: () => train({ dataset: at('rows.json') }),
    fields: () => ({ file: at('rows.json'), row: 2 }),
  },
  {
    code: 'INVALID_DATA',
    type: api.DataError,
    run: () => train({ dataset: [{ text: 'whole' }, { text: '\ud800' }] }),
    fields: () => ({ file: undefined, row: 2, cause: expect.any(api.DataError) }),
  },
  { code: 'INVALID_MODEL', type: api.ModelError, run: () => api.loadModel(at('damaged')) },
  {
    code: 'OUT_OF_MEMORY',
    type: api.OutOfMemoryError,
    run: () => train({ memoryBudget: 2 ** 20 }),
    fields: () => ({ needed: expect.any(Number), budget: expect.any(Number) }),
  },
  {
    code: 'OUT_OF_MEMORY',
    type: api.OutOfMemoryError,
    run: async () => {
      const device = api.Device.open('cpu', { memoryBudget: 2 ** 20 })
      try {
        const wide = api.createModel({ ...TINY_CONFIG, vocab_size: 4099 }, { device, seed: 1 })
        await wide.forward({ inputIds: [[1, 2, 3]] }, { logits: true }).logits.read()
      } finally {
        device.close()
      }
    },
    fields: () => ({ needed: expect.any(Number), budget: 2 ** 20, cause: expect.any(Error) }),
  },
  {
    code: 'DIVERGED',
    type: api.DivergedError,
    run: () => train({ outputDir: at('diverged'), training: { learningRate: 1e30 } }),
    fields: () => ({ step: 2, checkpoint: join(at('diverged'), 'checkpoint-1') }),
  },
  {
    code: 'HUB',
    type: api.HubError,
    run: () => api.loadModel('org/name', { cacheDir: at('cache'), localFilesOnly: true }),
  },
  {
    code: 'CHECKPOINT',
    type: api.LowrankError,
    run: () => train({ outputDir: at('new'), resumeFromCheckpoint: model }),
  },
  {
    code: 'FILE',
    type: api.LowrankError,
    run: () => train({ outputDir: join(at('file'), 'below') }),
    fields: () => ({ cause: expect.objectContaining({ code: 'ENOTDIR' }) }),
  },
  { code: 'ENGINE', type: api.LowrankError, run: () => api.Device.open('cuda:99') },
  {
    code: 'INVALID_CALL',
    type: api.LowrankError,
    run: async () => {
      const loaded = await api.loadModel(model)
      loaded.dispose()
      loaded.forward({ inputIds: [[1]] })
    },
  },
]

describe('an error of the public API', () => {
  it.each(FAILURES)(
    'has the code $code, its class and its fields ($type.name)',
    async ({ code, type, run, fields }) => {
      const error = await failure(run)
      expect(error).toBeInstanceOf(api.LowrankError)
      expect(error).toMatchObject({ code, name: type.name, ...fields?.() })
      expect(error).toBeInstanceOf(type)
      expect((error as Error).message).toMatch(/^\[[^\]]+\] /)
    },
  )

  it('needs more than the budget where it says that memory ran out', async () => {
    for (const { code, run } of FAILURES) {
      if (code !== 'OUT_OF_MEMORY') continue
      const { needed, budget } = (await failure(run)) as api.OutOfMemoryError
      expect(needed).toBeGreaterThan(budget as number)
    }
  })

  it('is no error of this package where a signal aborts, but the reason of the signal', async () => {
    const reason = new Error('enough')
    expect(await failure(() => train({ signal: AbortSignal.abort(reason) }))).toBe(reason)
    const error = await failure(() => train({ signal: AbortSignal.abort() }))
    expect(error).toBeInstanceOf(DOMException)
    expect(error).toMatchObject({ name: 'AbortError' })
  })
})

describe('the command line', () => {
  const command = (...more: string[]): string[] => [
    'train',
    '--json',
    '--model',
    model,
    '--dataset',
    rows,
    '--output',
    at(`run-${more.join('').replace(/\W/g, '')}`),
    '--dtype',
    'float32',
    '--max-steps',
    '2',
    '--set',
    'training.saveSteps=1',
    '--set',
    'training.lrSchedulerType=constant',
    ...more,
  ]

  const cases: readonly [ErrorCode, number, () => string[], () => object][] = [
    ['INVALID_OPTION', 2, () => command('--lr', '-1'), () => ({})],
    ['INVALID_OPTION', 2, () => ['trian', '--json'], () => ({})],
    ['INVALID_OPTION', 2, () => command('--target-modules', 'nothing'), () => ({})],
    ['INVALID_DATA', 1, () => command('--dataset', at('broken.jsonl')), () => ({ file: at('broken.jsonl'), row: 3 })],
    ['INVALID_MODEL', 1, () => command('--model', at('damaged')), () => ({})],
    [
      'OUT_OF_MEMORY',
      1,
      () => command('--set', 'memoryBudget=1000000'),
      () => ({ needed: expect.any(Number), budget: expect.any(Number) }),
    ],
    [
      'DIVERGED',
      1,
      () => command('--lr', '1e30'),
      () => ({ step: 2, checkpoint: expect.stringMatching(/checkpoint-1$/) }),
    ],
    ['HUB', 1, () => command('--model', 'org/name'), () => ({})],
    ['CHECKPOINT', 1, () => command('--set', `resumeFromCheckpoint=${model}`), () => ({})],
    ['FILE', 1, () => command('--output', join(at('file'), 'below')), () => ({})],
    ['ENGINE', 1, () => command('--device', 'cuda:99'), () => ({})],
    ['INVALID_CALL', 1, () => ['generate', '--json', '--model', model], () => ({})],
  ]

  it.each(cases)(
    'ends a command that fails with %s with exit code %d, and writes code and fields',
    async (code, exitCode, args, fields) => {
      const { code: ended, stdout, stderr } = await lowrank(args(), { env: OFFLINE, input: NOT_UTF8 })
      const line = JSON.parse(stdout.trimEnd().split('\n').at(-1) as string) as object
      expect(line).toEqual({ type: 'error', code, message: expect.any(String), exitCode, ...fields() })
      expect(ended).toBe(exitCode)
      expect(stderr).toMatch(/error: /)
    },
  )

  it('tells errors by their code alone, also where they are none of this package', () => {
    expect(exitCodeOf(new UsageError('[x] y'))).toBe(2)
    expect(exitCodeOf(new api.OptionError('[x] y'))).toBe(2)
    expect(exitCodeOf(new api.LowrankError('STOPPED', 'x'))).toBe(1)
    expect(describeFailure(new TypeError('x'))).toMatchObject({ code: 'INTERNAL', message: 'x', exitCode: 1 })
    expect(describeFailure('x')).toMatchObject({ code: 'INTERNAL', message: 'x', exitCode: 1 })
    expect(describeFailure(Object.assign(new Error('x'), { code: 'EIO' }))).toMatchObject({ code: 'FILE' })
  })

  it('asks for no error by its text or class outside of the list of exit codes', async () => {
    const folderOfCommands = join(import.meta.dirname, '../src/cli')
    const asking: string[] = []
    for (const file of await readdir(folderOfCommands, { recursive: true })) {
      if (!file.endsWith('.ts')) continue
      const text = await readFile(join(folderOfCommands, file), 'utf8')
      for (const [found] of text.matchAll(
        /instanceof \w*Error\b|\.message\.(?:match|includes|startsWith|test)\b|\.test\(\w*\.?message\)/g,
      ))
        asking.push(`${file}: ${found}`)
    }
    expect(asking.sort()).toEqual([
      'exit.ts: instanceof LowrankError',
      'exit.ts: instanceof LowrankError',
      // What is wrong with the words, the file and the options is told at once.
      'main.ts: instanceof UsageError',
      'parse.ts: instanceof OptionError',
      'run-options.ts: instanceof OptionError',
      'run-program.ts: instanceof OptionError',
      'run-tasks.ts: instanceof OptionError',
      'usage-error.ts: instanceof OptionError',
    ])
  })
})
