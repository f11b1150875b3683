/**
 * @file Checkpoints are gone on from as they were written or not at all; and the log that transformers' tools read
 * beside them.
 */

import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { TrainEvent } from '../../src/train/events.js'
import { readSafetensorsHeader } from '../../src/weights/safetensors.js'
import { editState, sealCheckpoint } from '../support/run-checkpoint.js'
import {
  ofType,
  rejection,
  type TinyRun,
  type TinyRunOptions,
  temporaryDirectory,
  tinyRows,
  trainedBytes,
  trainTiny,
  writeTinyModel,
} from '../support/tiny-model.js'

const directory = temporaryDirectory()
const at = (...names: string[]) => join(directory, ...names)
const evaluated = { evalDataset: tinyRows(5, 8), training: { evalSteps: 3, perDeviceEvalBatchSize: 2 } }
let model: string
let whole: TinyRun

beforeAll(async () => {
  model = await writeTinyModel(at('model'))
  whole = await trainTiny({ model, outputDir: at('whole'), ...evaluated }, at('final'))
})

/** A fresh copy of the output directory of the whole run with the checkpoints of its first `steps` steps. */
async function copyRun(steps: number): Promise<string> {
  const outputDir = at('copy')
  await rm(outputDir, { recursive: true, force: true })
  await mkdir(outputDir)
  for (const name of await readdir(at('whole')))
    if (Number(/^checkpoint-(\d+)$/.exec(name)?.[1]) <= steps)
      await cp(at('whole', name), join(outputDir, name), { recursive: true })
  return outputDir
}

const resume = (outputDir: string, options: Partial<TinyRunOptions> = {}) =>
  trainTiny({ model, outputDir, resumeFromCheckpoint: true, ...evaluated, ...options }, at('resumed'))

/** Changes a file of the latest of three checkpoints, and tells how going on is refused. */
async function refusedAfter(change: (checkpoint: string) => Promise<void>): Promise<string> {
  const outputDir = await copyRun(6)
  await change(join(outputDir, 'checkpoint-6'))
  return await rejection(resume(outputDir))
}

describe('a checkpoint that is not as it was written', () => {
  const damage: [string, string, (bytes: Buffer) => Uint8Array][] = [
    ['one flipped bit in the last weight', 'adapter_model.safetensors', (bytes) => flipped(bytes, bytes.length - 1)],
    ['one flipped bit in a moment', 'optimizer.safetensors', (bytes) => flipped(bytes, bytes.length >> 1)],
    ['a half of zeros', 'optimizer.safetensors', (bytes) => bytes.fill(0, bytes.length >> 1)],
    [
      'a digit of the state',
      'lowrank_state.json',
      (bytes) => Buffer.from(String(bytes).replace('"index": ', '"index": 1')),
    ],
    ['a digit of the log', 'trainer_state.json', (bytes) => flipped(bytes, String(bytes).indexOf('"loss": ') + 9)],
    ['the configuration of the adapter', 'adapter_config.json', (bytes) => Buffer.from(`${bytes}\n`)],
    ['a file cut short', 'adapter_model.safetensors', (bytes) => bytes.subarray(0, -4)],
    ['an empty file', 'lowrank_state.json', () => Buffer.alloc(0)],
  ]
  it.each(damage)(
    'a checkpoint that is not as it was written by %s is refused with the name of the file, and the checkpoint before is offered',
    async (_, file, change) => {
      const message = await refusedAfter(async (checkpoint) => {
        await writeFile(join(checkpoint, file), change(await readFile(join(checkpoint, file))))
      })
      const path = at('copy', 'checkpoint-6')
      expect(message).toMatch(
        new RegExp(
          `^\\[resume\\] the checkpoint ${path} is damaged: ${file} is not what was saved \\(SHA-256 [0-9a-f]{64}, in SHA256SUMS [0-9a-f]{64}\\); `,
        ),
      )
      expect(message).toMatch(
        new RegExp(`; go on from ${at('copy', 'checkpoint-4')}, which is whole: remove ${path} first$`),
      )
      // What is offered works.
      await rm(path, { recursive: true })
      expect((await resume(at('copy'))).bytes === whole.bytes).toBe(true)
    },
  )

  it.each(['adapter_model.safetensors', 'optimizer.safetensors', 'lowrank_state.json', 'SHA256SUMS'])(
    'a checkpoint that is not as it was written with %s of another step is refused',
    async (file) => {
      const message = await refusedAfter((checkpoint) => cp(at('whole', 'checkpoint-4', file), join(checkpoint, file)))
      expect(message).toMatch(/^\[resume\] the checkpoint .*checkpoint-6 is damaged: .* is not what was saved /)
    },
  )

  it.each([
    [
      'a file that is missing',
      (path: string) => rm(join(path, 'optimizer.safetensors')),
      'optimizer.safetensors of SHA256SUMS is missing',
    ],
    [
      'its state missing',
      (path: string) => rm(join(path, 'lowrank_state.json')),
      'lowrank_state.json of SHA256SUMS is missing',
    ],
    ['its checksums missing', (path: string) => rm(join(path, 'SHA256SUMS')), 'SHA256SUMS is missing'],
    [
      'weights that came later',
      (path: string) => writeFile(join(path, 'model.safetensors'), ''),
      'model.safetensors is not in SHA256SUMS',
    ],
    ['checksums that are none', (path: string) => writeFile(join(path, 'SHA256SUMS'), 'abc'), 'SHA256SUMS is damaged'],
    [
      'a path in its checksums',
      (path: string) => writeFile(join(path, 'SHA256SUMS'), `${'0'.repeat(64)}  ../x\n`),
      'SHA256SUMS is damaged',
    ],
  ])('a checkpoint that is not as it was written by %s is refused', async (_, change, problem) => {
    const message = await refusedAfter(change)
    expect(message).toContain('checkpoint-6 is damaged: ')
    expect(message).toContain(`${problem}; go on from ${at('copy', 'checkpoint-4')}, which is whole`)
  })

  it('a checkpoint that is not as it was written with a device in place of a file is refused before it is read', async () => {
    const message = await refusedAfter(async (checkpoint) => {
      await rm(join(checkpoint, 'optimizer.safetensors'))
      await symlink('/dev/zero', join(checkpoint, 'optimizer.safetensors'))
    })
    expect(message).toMatch(/expected .*optimizer.safetensors to be a file, got a device/)
  })

  it('offers the last that is whole, and says so when there is none', async () => {
    const outputDir = await copyRun(6)
    for (const step of [6, 4]) await writeFile(join(outputDir, `checkpoint-${step}`, 'optimizer.safetensors'), 'x')
    expect(await rejection(resume(outputDir))).toContain(
      `go on from ${join(outputDir, 'checkpoint-2')}, which is whole`,
    )
    await writeFile(join(outputDir, 'checkpoint-2', 'optimizer.safetensors'), 'x')
    expect(await rejection(resume(outputDir))).toMatch(
      /; no checkpoint before it is whole: start anew in another outputDir$/,
    )
  })

  it('a checkpoint that is not as it was written may have other files beside its own', async () => {
    const outputDir = await copyRun(4)
    await writeFile(join(outputDir, 'checkpoint-4', 'notes.txt'), 'mine')
    expect((await resume(outputDir)).bytes === whole.bytes).toBe(true)
  })

  it('a checkpoint that is not as it was written of another run among those of this one is refused', async () => {
    const outputDir = await copyRun(4)
    await trainTiny({ model, outputDir: at('other'), training: { maxSteps: 6 } }, at('other-final'))
    await cp(at('other', 'checkpoint-6'), join(outputDir, 'checkpoint-6'), { recursive: true })
    expect(await rejection(resume(outputDir))).toMatch(
      /^\[resume\] expected the checkpoints in .*copy to be of one run, but .*checkpoint-2 is of run [0-9a-f-]{36} and .*checkpoint-6 of run [0-9a-f-]{36}; move those of the other run away$/,
    )
  })
})

describe('a state that cannot be', () => {
  const refused = async (edit: (state: Record<string, unknown>) => Record<string, unknown>): Promise<string> => {
    const outputDir = await copyRun(4)
    await editState(join(outputDir, 'checkpoint-4'), edit)
    return await rejection(resume(outputDir))
  }

  it.each([
    [
      { step: 1e6 },
      /expected a step of at most \d+, which the run takes in all, got 1000000 in .*; raise numTrainEpochs or maxSteps/,
    ],
    [{ step: 3 }, /expected 4, as the cursor says, for step, got 3 in/],
    [
      { cursor: { epoch: 1e15, index: 0 } },
      /expected at most 4, the steps done, for cursor.epoch, got 1000000000000000 in/,
    ],
    [
      { cursor: { epoch: 2 ** 53, index: 0 } },
      /expected a whole number >= 0 for cursor.epoch, got 9007199254740992 in/,
    ],
    [
      { cursor: { epoch: 0, index: 10 ** 9 } },
      /expected a number below \d+, the micro-batches of an epoch, for cursor.index, got 1000000000 in/,
    ],
    [{ cursor: { epoch: 0, index: 1 } }, /expected the first micro-batch of a step for cursor.index, got 1 in/],
    [{ cursor: { epoch: 0, index: 3 } }, /expected 1, as the cursor says, for step, got 4 in/],
    [{ microStep: 12 }, /expected 11, as the cursor says, for microStep, got 12 in/],
    [{ optimizerSteps: 5 }, /expected 4, the steps done, for optimizerSteps, got 5 in/],
    [{ numInputTokensSeen: 0 }, /expected at least 4, one for each step, for numInputTokensSeen, got 0 in/],
    [{ numInputTokensSeen: -1 }, /expected a whole number >= 0 for numInputTokensSeen, got -1 in/],
    [{ runId: 'x'.repeat(300_000) }, /expected an id for runId, got "x+\.\.\." in/],
    [
      { log: { steps: 9, skipped: 0, loss: 1, gradNorm: 1, tokens: 1, seconds: 1 } },
      /expected at most 4, the steps done, for log.steps, got 9/,
    ],
    [
      { log: { steps: 1, skipped: 0, loss: null, gradNorm: 1, tokens: 1, seconds: 1 } },
      /expected a number >= 0 for log.loss, got null in/,
    ],
  ])('is refused by name: case %#', async (change, message) => {
    const text = await refused((state) => ({ ...state, ...change }))
    expect(text).toMatch(/^\[resume\] /)
    expect(text).toMatch(message)
    expect(text).toContain('lowrank_state.json')
    expect(text.length).toBeLessThan(600)
  })

  it('a state of a run with fewer steps now is refused, and not taken for finished', async () => {
    const outputDir = await copyRun(6)
    expect(await rejection(resume(outputDir, { training: { maxSteps: 5 } }))).toMatch(
      /expected a step of at most 5, which the run takes in all, got 6 in .*; raise numTrainEpochs or maxSteps, or go on from an earlier checkpoint$/,
    )
  })

  it.each([
    ['adapter_model.safetensors', Number.NaN, 'finite numbers', 0],
    ['adapter_model.safetensors', Number.NEGATIVE_INFINITY, 'finite numbers', 2],
    ['optimizer.safetensors', Number.POSITIVE_INFINITY, 'finite numbers', 0],
    ['optimizer.safetensors', -1, 'finite numbers of at least 0', 3],
  ])(
    'a state with a number in %s that is %d is refused naming tensor and place',
    async (file, value, expected, index) => {
      const outputDir = await copyRun(4)
      const path = join(outputDir, 'checkpoint-4', file)
      const { tensors } = await readSafetensorsHeader(path)
      // Second moments are squares.
      const entry = [...tensors.values()].find(({ name }) => expected === 'finite numbers' || name.endsWith('.v'))
      const bytes = await readFile(path)
      bytes.writeFloatLE(value, (entry?.fileOffset ?? 0) + 4 * index)
      await writeFile(path, bytes)
      await sealCheckpoint(join(outputDir, 'checkpoint-4'))
      expect(await rejection(resume(outputDir))).toBe(
        `[resume] expected ${expected} in "${entry?.name}", got ${value} at ${index} in ${path}; go on from an earlier checkpoint`,
      )
    },
  )
})

describe('a checkpoint of an early version, without checksums and with its state in trainer_state.json', () => {
  it('is gone on from to the same bytes, with a warning', async () => {
    const outputDir = await copyRun(4)
    const path = join(outputDir, 'checkpoint-4')
    const { runId: _, log: __, ...state } = JSON.parse(await readFile(join(path, 'lowrank_state.json'), 'utf8'))
    await writeFile(join(path, 'trainer_state.json'), JSON.stringify(state))
    for (const name of ['lowrank_state.json', 'SHA256SUMS']) await rm(join(path, name))
    const { bytes, events } = await resume(outputDir)
    expect(bytes === whole.bytes).toBe(true)
    expect(ofType(events, 'warning').map(({ message }) => message)).toEqual([
      `[resume] ${path} is of a version that wrote no checksums: what a disk changed in it cannot be seen; the next checkpoint has them`,
    ])
  })
})

describe('trainer_state.json', () => {
  const stateIn = async (...names: string[]) => JSON.parse(await readFile(at(...names, 'trainer_state.json'), 'utf8'))
  /** Without what depends on the clock. */
  const timeless = (history: Record<string, unknown>[]) =>
    history.map((entry) => Object.fromEntries(Object.entries(entry).filter(([key]) => !/runtime|per_second/.test(key))))

  it('has the fields of transformers, and its log the entries, of every log event and evaluation', async () => {
    const state = await stateIn('whole')
    const { step, loss } = whole.run
    expect({ ...state, log_history: undefined }).toEqual({
      best_global_step: null,
      best_metric: null,
      best_model_checkpoint: null,
      epoch: 2,
      eval_steps: 3,
      global_step: step,
      is_hyper_param_search: false,
      is_local_process_zero: true,
      is_world_process_zero: true,
      log_history: undefined,
      logging_steps: 2,
      max_steps: step,
      num_input_tokens_seen: ofType(whole.events, 'step').at(-1)?.numInputTokensSeen,
      num_train_epochs: 2,
      save_steps: 2,
      stateful_callbacks: {},
      total_flos: 0,
      train_batch_size: 1,
      trial_name: null,
      trial_params: null,
    })
    const entryOf = (event: TrainEvent): Record<string, number>[] => {
      if (event.type === 'log') {
        const { epoch, gradNorm, learningRate, loss, step } = event
        return [{ epoch, grad_norm: gradNorm, learning_rate: learningRate, loss, step }]
      }
      if (event.type !== 'evaluate') return []
      const { epoch, loss, perplexity, step } = event
      return [{ epoch, eval_loss: loss, eval_perplexity: perplexity as number, step }]
    }
    const entries = timeless(state.log_history)
    expect(entries).toEqual([...whole.events.flatMap(entryOf), { epoch: 2, step, total_flos: 0, train_loss: loss }])
    const evaluation = state.log_history.find((entry: object) => 'eval_loss' in entry)
    // Five rows in three batches.
    expect(evaluation.eval_steps_per_second / evaluation.eval_samples_per_second).toBeCloseTo(3 / 5, 1)
    expect(Object.keys(state.log_history.at(-1)).sort()).toEqual([
      'epoch',
      'step',
      'total_flos',
      'train_loss',
      'train_runtime',
      'train_samples_per_second',
      'train_steps_per_second',
    ])
  })

  it('trainer_state.json in a checkpoint tells of the steps before it', async () => {
    const state = await stateIn('whole', 'checkpoint-4')
    expect(state).toMatchObject({ global_step: 4, max_steps: whole.run.step, train_batch_size: 1 })
    expect(state.log_history.map(({ step }: { step: number }) => step)).toEqual([2, 3, 4])
  })

  it('trainer_state.json of a resumed run goes on with the log, averages that a stop had cut through and the evaluation after the checkpoint included', async () => {
    const expected = timeless((await stateIn('whole')).log_history).slice(0, -1)
    for (const stop of [3, 5, 6]) {
      const outputDir = at(`stop-${stop}`)
      const controller = new AbortController()
      const options = { model, outputDir, ...evaluated }
      await trainTiny(
        {
          ...options,
          signal: controller.signal,
          onEvent: (event) => {
            if (event.type === 'step' && event.step === stop) controller.abort()
          },
        },
        at('unused'),
      )
      expect((await stateIn(`stop-${stop}`)).global_step).toBeLessThan(whole.run.step)
      await trainTiny({ ...options, resumeFromCheckpoint: true }, at('unused'))
      expect(timeless((await stateIn(`stop-${stop}`)).log_history).slice(0, -1), `stopped at ${stop}`).toEqual(expected)
    }
  })

  it('trainer_state.json that cannot be written at the end is a warning, and the run has its result', async () => {
    const outputDir = at('blocked')
    await mkdir(join(outputDir, 'trainer_state.json'), { recursive: true })
    const { run, events, bytes } = await trainTiny({ model, outputDir, ...evaluated }, at('blocked-final'))
    expect(run.reason).toBe('completed')
    expect(bytes === whole.bytes).toBe(true)
    expect(ofType(events, 'warning').map(({ message }) => message)).toEqual([
      `[save] expected ${join(outputDir, 'trainer_state.json')} to be a file or not to exist, got a directory; remove it, or save under another name`,
    ])
  })

  it('trainer_state.json with a log that is none is refused by a run that would go on with it', async () => {
    for (const history of ['null', '[1]', '[{"loss":"low"}]', '{}']) {
      const outputDir = await copyRun(4)
      await writeFile(join(outputDir, 'checkpoint-4', 'trainer_state.json'), `{"log_history":${history}}`)
      await sealCheckpoint(join(outputDir, 'checkpoint-4'))
      expect(await rejection(resume(outputDir))).toMatch(
        /^\[resume\] expected a list of figures for log_history, got .* in .*trainer_state.json; go on from an earlier checkpoint$/,
      )
    }
  })
})

it('checkpoints of a whole model in training have checksums of all its files', async () => {
  const full = { model, method: 'full' as const, outputDir: at('full'), training: { maxSteps: 4 } }
  const { bytes } = await trainTiny(full, at('full-final'))
  const sums = await readFile(at('full', 'checkpoint-2', 'SHA256SUMS'), 'utf8')
  const names = sums
    .trimEnd()
    .split('\n')
    .map((line) => line.slice(66))
  expect(names).toEqual((await readdir(at('full', 'checkpoint-2'))).filter((name) => name !== 'SHA256SUMS').sort())
  expect(names).toContain('model.safetensors')
  await rm(at('full', 'checkpoint-4'), { recursive: true })
  await trainTiny({ ...full, resumeFromCheckpoint: true }, at('full-again'))
  expect((await trainedBytes(at('full-again'), 'full')) === bytes).toBe(true)
})

function flipped(bytes: Buffer, at: number): Buffer {
  bytes[at] = (bytes[at] as number) ^ 1
  return bytes
}
