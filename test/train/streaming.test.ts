/** @file Training on rows as they come: their order, steps and bytes, where a run goes on, and what ends it. */

import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { RowSource } from '../../src/data/sources/row-source.js'
import { linesOf } from '../../src/progress/event-lines.js'
import { Random } from '../../src/random.js'
import type { TrainEvent } from '../../src/train/events.js'
import { dpo } from '../../src/train/objectives/dpo.js'
import { resolveTrainOptions } from '../../src/train/resolve-options.js'
import { trainLora, trainObjective } from '../../src/train/train-lora.js'
import type { TrainingOptions } from '../../src/train/training-options.js'
import { isLong } from '../support/long.js'
import {
  ofType,
  rejection,
  type TinyRun,
  type TinyRunOptions,
  temporaryDirectory,
  tinyRows,
  trainTiny,
  writeTinyModel,
} from '../support/tiny-model.js'

const directory = temporaryDirectory()
const at = (...names: string[]) => join(directory, ...names)
const rows = tinyRows(31)
const BUFFER = 7
/** Each step takes three micro-batches of one row, the last one of an epoch a single row: 11 steps an epoch. */
const STREAMING: TrainingOptions = { streaming: true, shuffleBufferSize: BUFFER, packing: false }
let model: string
let runs = 0

beforeAll(async () => {
  model = await writeTinyModel(at('model'))
  await writeFile(at('rows.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
})

function train(options: Partial<TinyRunOptions> = {}): Promise<TinyRun> {
  const training = { ...STREAMING, ...options.training }
  return trainTiny({ model, dataset: rows, ...options, training }, at(`final-${runs++}`))
}

/** Rows that come one by one, with other things happening in between. */
function slowly(given: readonly object[]): AsyncIterable<object> {
  return {
    async *[Symbol.asyncIterator]() {
      for (const row of given) {
        await new Promise((resolve) => setImmediate(resolve))
        yield row
      }
    },
  }
}

async function* once(given: readonly object[]): AsyncGenerator<object> {
  yield* given
}

/** The order of the package datasets: a row of the full buffer is drawn, and the next one takes its place. */
function bufferShuffled<T>(given: readonly T[], size: number, random: Random): T[] {
  const buffer = given.slice(0, size)
  const order: T[] = []
  for (const row of given.slice(size)) {
    const drawn = random.below(size)
    order.push(buffer[drawn] as T)
    buffer[drawn] = row
  }
  return [...order, ...random.shuffle_(buffer)]
}

describe('rows that are taken as they come', () => {
  it('are trained on in the order of a shuffle buffer, another in each epoch, to the bytes of rows that lie in that order', async () => {
    const streamed = await train()
    const epochs = [0, 1].map((epoch) => bufferShuffled(rows, BUFFER, new Random(42, epoch)))
    expect(epochs[0]).not.toEqual(epochs[1])
    // Windows end with an epoch: one epoch of both would go on over its border.
    const first = await train({
      dataset: epochs[0] as object[],
      training: { streaming: false, shuffle: false, maxSteps: 11 },
    })
    const alone = await train({ training: { maxSteps: 11 } })
    expect(alone.bytes === first.bytes).toBe(true)
    expect(streamed.run.step).toBe(22)
    expect(ofType(streamed.events, 'step').map(({ step }) => step)).toEqual(Array.from({ length: 22 }, (_, n) => n + 1))
    expect(ofType(alone.events, 'step').at(-1)?.loss).not.toBe(ofType(streamed.events, 'step').at(-1)?.loss)
  })

  it('give the same bytes whatever they come from and however fast they come', async () => {
    const whole = await train()
    const source: RowSource = {
      name: 'counted rows',
      count: async () => rows.length,
      async *rows() {
        for (const [index, value] of rows.entries()) yield { value, origin: { row: index + 1 } }
      },
    }
    for (const dataset of [{ path: rows, streaming: true }, source])
      expect(
        (await train({ dataset, training: { streaming: undefined, ...(dataset === source && STREAMING) } })).bytes ===
          whole.bytes,
      ).toBe(true)
    const limited = await train({ training: { maxSteps: 22 } })
    const again = { path: at('rows.jsonl'), streaming: true }
    for (const dataset of [at('rows.jsonl'), again, slowly(rows)])
      expect((await train({ dataset, training: { maxSteps: 22 } })).bytes === limited.bytes).toBe(true)
    expect(limited.bytes === whole.bytes).toBe(true)
  })

  it('are rows of a file in the order of the file where nothing shuffles them', async () => {
    const plain = await train({ training: { shuffle: false } })
    const whole = await train({ training: { shuffle: false, streaming: false } })
    expect(plain.bytes === whole.bytes).toBe(true)
    expect((await train({ training: { shuffleBufferSize: 8 } })).bytes).not.toBe((await train()).bytes)
  })

  it('have their first step trained before the last row is given, and never many more taken than were trained on', async () => {
    let given = 0
    let trained = 0
    let firstStep: number | undefined
    let release = (): void => {}
    const stepped = new Promise<void>((resolve) => {
      release = resolve
    })
    const many = tinyRows(200)
    const dataset = {
      async *[Symbol.asyncIterator]() {
        for (const row of many) {
          // What a buffer, a step and the look-ahead of a micro-batch take, and not one row more.
          if (given === BUFFER + 3 + 1) await stepped
          given++
          expect(given - trained).toBeLessThanOrEqual(BUFFER + 3 * 3 + 2)
          yield row
        }
      },
    }
    const { events, run } = await train({
      dataset,
      training: { maxSteps: 67 },
      onEvent: (event) => {
        if (event.type !== 'step') return
        firstStep ??= given
        trained = Math.min(200, 3 * event.step)
        release()
      },
    })
    expect(firstStep).toBe(BUFFER + 3 + 1)
    expect(given).toBe(200)
    expect(run.step).toBe(67)
    expect(run.statistics.rows).toBe(200)
    // What became of the rows is known, and told, once all have come.
    const types = events.map(({ type }) => type)
    expect(types.indexOf('data')).toBeGreaterThan(types.indexOf('step'))
    expect(ofType(events, 'data')).toMatchObject([{ split: 'train', rows: 200, warnings: [] }])
    expect(ofType(events, 'data')[0]).not.toHaveProperty('isPartial')
    expect(ofType(events, 'start')[0]).toMatchObject({
      trainRows: null,
      totalSteps: 67,
      streaming: { shuffleBufferSize: BUFFER, plannedLength: 48 },
    })
    const [start] = ofType(events, 'start')
    expect(linesOf(start as TrainEvent)[0]?.text).toContain(
      'on rows as they come (a buffer of 7, memory for rows of 48 tokens)',
    )
  })

  it('are counted as far as they were taken where the run ends before them', async () => {
    const { events, run } = await train({ dataset: slowly(rows), training: { maxSteps: 2 } })
    const [data] = ofType(events, 'data')
    // Two steps of three rows, a buffer, and a micro-batch of look-ahead.
    expect(data).toMatchObject({ rows: 6 + BUFFER + 1, isPartial: true })
    expect(run.statistics.rows).toBe(6 + BUFFER + 1)
    expect(linesOf(data as TrainEvent)[0]?.text).toMatch(/; not all were taken$/)
  })

  it('are looked at before the first step, and with what is held out', async () => {
    const evalDataset = rows.slice(0, 4)
    const { events } = await train({ evalDataset, training: { maxSteps: 4, evalSteps: 2 } })
    const types = events.map(({ type }) => type)
    const [warning] = ofType(events, 'warning').filter(({ message }) => message.includes('prompt-in-evaluation'))
    expect(warning?.message).toMatch(/^\d+ of \d+ rows /)
    expect(types.lastIndexOf('warning')).toBeLessThan(types.indexOf('step'))
    expect(ofType(events, 'evaluate').map(({ step }) => step)).toEqual([2, 4])
  })

  it('are pairs of answers too', async () => {
    const pairs = rows.map(({ prompt, completion }) => ({ prompt, chosen: completion, rejected: ` ${prompt} no` }))
    const losses: number[][] = []
    for (const dataset of [bufferShuffled(pairs, BUFFER, new Random(42, 0)), pairs]) {
      const training = { maxSteps: 4, perDeviceTrainBatchSize: 2, gradientAccumulationSteps: 2, maxLength: 48 }
      const how = dataset === pairs ? STREAMING : { shuffle: false }
      const options = resolveTrainOptions({ model, dataset, dtype: 'float32', training: { ...training, ...how } })
      const seen: number[] = []
      const onEvent = (event: TrainEvent): void => {
        if (event.type === 'step') seen.push(event.loss)
      }
      const run = await trainObjective(dpo(), { ...options, onEvent })
      run.dispose()
      losses.push(seen)
    }
    expect(losses[0]).toHaveLength(4)
    expect(losses[1]).toEqual(losses[0])
  })
})

describe('a run on rows as they come', () => {
  const batches: readonly [string, TrainingOptions][] = [
    ['one row a micro-batch', {}],
    ['packs of the fewest gaps', { packing: true, maxSteps: 9, shuffleBufferSize: 11 }],
    ['packs in the order of rows', { packing: true, packingStrategy: 'sequential', maxSteps: 9 }],
    ['as many tokens as fit', { maxTokensPerBatch: 60, maxSteps: 9 }],
    ['rows of similar length', { groupByLength: true, perDeviceTrainBatchSize: 2 }],
    ['whole micro-batches alone', { dataloaderDropLast: true, perDeviceTrainBatchSize: 2 }],
  ]
  const saveSteps = isLong ? 1 : 8
  it.each(batches)('goes on to the same bytes from every checkpoint with %s', async (_, training) => {
    const outputDir = at(`all-${runs++}`)
    const whole = await train({
      outputDir,
      dataset: slowly(rows),
      training: { maxSteps: 22, ...training, saveSteps },
    })
    expect(new Set(ofType(whole.events, 'step').map(({ epoch }) => Math.floor(epoch))).size).toBeGreaterThan(1)
    for (const name of (await readdir(outputDir)).filter((entry) => entry.startsWith('checkpoint-'))) {
      const resumed = await train({
        outputDir: at(`from-${runs++}`),
        resumeFromCheckpoint: join(outputDir, name),
        training: { maxSteps: 22, ...training, saveSteps },
      })
      expect(resumed.bytes === whole.bytes, name).toBe(true)
    }
  })

  it('packs whole rows of the buffer, and every row once an epoch', async () => {
    const training = { packing: true, maxSteps: 40, shuffleBufferSize: 16 }
    const { events } = await train({ training })
    const epochs = ofType(events, 'step').filter(({ epoch }) => epoch <= 1)
    const [data] = ofType(events, 'data')
    expect(epochs.at(-1)?.numInputTokensSeen).toBe(data?.tokens)
    expect(epochs.length).toBeLessThan(11)
  })

  it('does not go on from rows that are others than those it was trained on, and does where later ones were mended', async () => {
    const outputDir = at('other-rows')
    const broken = rows.map((row, index) => (index === 25 ? { ...row, completion: 5 } : row))
    const message = await rejection(train({ outputDir, dataset: { path: broken, streaming: true } }))
    expect(message).toMatch(/in row 26/)
    // All steps whose rows had come were made and kept.
    const checkpoints = (await readdir(outputDir)).filter((name) => name.startsWith('checkpoint-'))
    expect(checkpoints).toContain('checkpoint-5')
    const first = rows.map((row, index) => (index === 3 ? { ...row, prompt: 'other' } : row))
    expect(await rejection(train({ outputDir, dataset: first, resumeFromCheckpoint: true }))).toMatch(
      /^\[resume\] expected the first \d+ rows of the pass to be those that the run has taken, got other rows/,
    )
    expect(await rejection(train({ outputDir, dataset: rows.slice(0, 9), resumeFromCheckpoint: true }))).toContain(
      'got other rows',
    )
    const resumed = await train({ outputDir, resumeFromCheckpoint: true })
    expect(resumed.bytes === (await train()).bytes).toBe(true)
    expect(await rejection(train({ outputDir, resumeFromCheckpoint: true, training: { streaming: false } }))).toContain(
      'these differ: ',
    )
  })

  it('leaves rows with a defect out where it is told to, counts them, and says what an epoch lacks', async () => {
    const broken = rows.map((row, index) => (index === 5 || index === 6 ? { ...row, completion: 5 } : row))
    const { events, run } = await train({ dataset: broken, training: { onError: 'skip', numTrainEpochs: 1 } })
    expect(run.statistics).toMatchObject({ rows: 31, skippedRows: 2 })
    expect(run.step).toBe(10)
    expect(ofType(events, 'warning').map(({ message }) => message)).toContainEqual(
      expect.stringMatching(/^\[train\] the rows ended with step 10 of 11, and so does the run/),
    )
    expect(ofType(events, 'end')).toMatchObject([{ reason: 'completed', step: 10, totalSteps: 10 }])
  })

  it('says where a source has fewer or more rows than it told', async () => {
    const telling = (count: number): RowSource => ({
      name: 'a table',
      count: async () => count,
      async *rows() {
        for (const [index, value] of rows.entries()) yield { value, origin: { row: index + 1 } }
      },
    })
    const warnings = ({ events }: TinyRun) => ofType(events, 'warning').map(({ message }) => message)
    const fewer = await train({ dataset: telling(40) })
    expect(fewer.run.step).toBe(22)
    expect(warnings(fewer)).toEqual([
      '[data] a table gave 31 rows and not 40, as it had told: its epochs end earlier than was planned',
      expect.stringContaining('the rows ended with step 22 of 28'),
    ])
    const more = await train({ dataset: telling(15) })
    expect(more.run.step).toBe(10)
    const whole = await train({ dataset: telling(31) })
    expect(warnings(whole)).toEqual([])
    expect(ofType(whole.events, 'start')[0]).toMatchObject({ trainRows: 31, totalSteps: 22 })
  })

  it('ends with the rows of a stream that can be read once, and says so', async () => {
    const { events, run } = await train({ dataset: once(rows), training: { maxSteps: 500 } })
    expect(run).toMatchObject({ step: 11, reason: 'completed' })
    expect(ofType(events, 'warning').map(({ message }) => message)).toEqual([
      expect.stringContaining('the rows ended with step 11 of 500'),
    ])
    const empty = { [Symbol.asyncIterator]: () => once([]) }
    expect(await rejection(train({ dataset: empty, training: { maxSteps: 2 } }))).toContain('expected at least one row')
    const generator = once(rows)
    const again = { [Symbol.asyncIterator]: () => generator }
    expect(await rejection(train({ dataset: again, training: { maxSteps: 20 } }))).toMatch(
      /^\[data\] expected rows that can be read again for epoch 2, got none from rows of a program/,
    )
  })

  it('is stopped while a row is waited for: with a checkpoint after a step, else with the reason', async () => {
    for (const count of [5, 14]) {
      const controller = new AbortController()
      let isClosed = false
      const dataset = {
        [Symbol.asyncIterator]: () => {
          const given = rows.slice(0, count)[Symbol.iterator]()
          return {
            next: async () => {
              const next = given.next()
              if (!next.done) return next
              // Whoever waits for this row waits for ever.
              setImmediate(() => controller.abort(new Error('enough')))
              return await new Promise<never>(() => {})
            },
            return: async () => {
              isClosed = true
              return { done: true, value: undefined } as const
            },
          }
        },
      }
      const outputDir = at(`stuck-${count}`)
      const run = train({ dataset, outputDir, signal: controller.signal, training: { maxSteps: 9, saveSteps: 100 } })
      if (count === 5) expect(await rejection(run)).toBe('enough')
      else {
        expect((await run).run).toMatchObject({ reason: 'aborted', step: 2 })
        expect(await readdir(outputDir)).toContain('checkpoint-2')
      }
      // An iterator that waits for itself cannot be ended.
      expect(isClosed).toBe(false)
    }
  })

  it('ends an iterable that it needs no more', async () => {
    let ended = 0
    const dataset = {
      async *[Symbol.asyncIterator]() {
        try {
          yield* rows
        } finally {
          ended++
        }
      },
    }
    await train({ dataset, training: { maxSteps: 13 } })
    expect(ended).toBe(2)
  })

  it('writes what it is told of into train.yaml, from which it runs again', async () => {
    const outputDir = at('written')
    const dataset = { path: at('rows.jsonl'), streaming: true }
    await train({ outputDir, dataset, training: { streaming: undefined, maxSteps: 2 } })
    const text = await readFile(join(outputDir, 'train.yaml'), 'utf8')
    expect(text).toContain('streaming: true')
    expect(text).toContain('shuffleBufferSize: 7')
    expect(await readFile(join(outputDir, 'README.md'), 'utf8')).toMatch(/Rows \| 14 to train on/)
  })
})

describe('options of streaming', () => {
  const refusal = (training: TrainingOptions, dataset: unknown = rows): string => {
    try {
      resolveTrainOptions({ model: 'm', dataset, training: { streaming: true, ...training } })
      return 'nothing'
    } catch (error) {
      return (error as Error).message
    }
  }

  it('go not with what needs all rows first', () => {
    expect(refusal({ evalSplit: 0.1 })).toMatch(/expected no evalSplit with streaming: .* give evalDataset/)
    expect(refusal({ packing: true })).toContain('expected maxSteps with streaming and packing')
    expect(refusal({ maxTokensPerBatch: 4096 })).toContain('expected maxSteps with streaming and maxTokensPerBatch')
    expect(refusal({ maxTokensPerBatch: 100, maxSteps: 5 })).toContain('of at least maxLength with streaming')
    expect(refusal({ maxSteps: 5 }, { path: 'a.jsonl', shuffle: true })).toContain('expected no shuffle: true')
    expect(refusal({ shuffleBufferSize: 0 })).toContain('shuffleBufferSize')
    expect(refusal({ maxSteps: 5, packing: true })).toBe('nothing')
  })

  it('refuse several epochs of rows that can be read once', () => {
    for (const dataset of [once(rows), rows[Symbol.iterator](), new ReadableStream(), { path: once(rows) }]) {
      expect(refusal({}, dataset)).toContain('expected numTrainEpochs of at most 1 with streaming')
      expect(refusal({ numTrainEpochs: 1 }, dataset)).toBe('nothing')
      expect(refusal({ maxSteps: 9 }, dataset)).toBe('nothing')
    }
  })

  it('refuse rows that nobody can count without maxSteps, before the model is looked at', async () => {
    const message = await rejection(
      trainLora({ model: at('nothing'), dataset: { path: at('rows.jsonl'), streaming: true } }),
    )
    expect(message).toMatch(/^\[train\] expected maxSteps with streaming, as .*rows\.jsonl cannot tell how many rows/)
  })

  it('make a run take rows as they come only where somebody asks for it, or a table is read', () => {
    const streaming = (dataset: unknown, training: TrainingOptions = {}) =>
      resolveTrainOptions({ model: 'm', dataset, training }).training.streaming
    expect(streaming('rows.jsonl')).toBeUndefined()
    expect(streaming({ path: 'rows.jsonl', streaming: true }, { maxSteps: 3 })).toBe(true)
    expect(streaming({ path: 'rows.jsonl', streaming: true }, { streaming: false, evalSplit: 0.1 })).toBe(false)
    expect(streaming([{ path: 'a.jsonl', streaming: true }, 'b.jsonl'])).toBeUndefined()
    expect(streaming('uc://main.default.rows')).toBe(true)
    expect(streaming({ path: 'uc://main.default.rows', limit: 9 })).toBe(true)
    expect(streaming('uc://main.default.rows', { evalSplit: 0.1 })).toBeUndefined()
    expect(streaming('uc://main.default.rows', { packing: true })).toBeUndefined()
    expect(streaming('uc://main.default.rows', { streaming: false })).toBe(false)
  })
})
