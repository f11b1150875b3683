/**
 * @file Rows encoded by other threads: the same as by this one, in order, with the same errors; and how threads end.
 */

import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Worker } from 'node:worker_threads'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type PrepareOptions, prepareDataset } from '../../src/data/dataset.js'
import type { EncodeTask } from '../../src/data/encode-messages.js'
import { EncodePool } from '../../src/data/encode-pool.js'
import type { SourceRow } from '../../src/data/sources/row-source.js'
import { DataError } from '../../src/lowrank-error.js'
import { createTokenizer, loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { CHATML } from '../support/chat-templates.js'
import { isLong } from '../support/long.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer } from '../support/tiny-tokenizer.js'

const folder = join(temporaryDirectory(), 'tokenizer')
const { tokenizer: file, config } = tinyByteLevelTokenizer({ chatTemplate: CHATML })
mkdirSync(folder, { recursive: true })
writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(file))
writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(config))

// Threads start with row 2,048, and the source waits for them behind it.
const BEFORE = 2100
const ROWS = 2700

interface Watched {
  readonly worker: Worker
  readonly ready: Promise<unknown>
  readonly exit: Promise<unknown>
  replies: number
}

let watched: Watched[] = []
function watch(worker: Worker): void {
  const exit = new Promise((resolve) => worker.once('exit', resolve))
  const ready = Promise.race([exit, new Promise((resolve) => worker.once('message', resolve))])
  const entry: Watched = { worker, ready, exit, replies: -1 }
  worker.on('message', () => entry.replies++)
  watched.push(entry)
}
beforeEach(() => {
  watched = []
  process.on('worker', watch)
})
afterEach(() => void process.off('worker', watch))

function rowAt(index: number): object {
  if (index % 50 === 7) return { messages: [{ role: 'user', content: `Only ${index}` }] }
  const answer = index % 9 === 0 ? 'one two three four five six seven eight nine ten'.repeat(3) : `${2 * index}`
  return {
    extra: index,
    messages: [
      ...(index % 3 === 0 ? [{ role: 'system', content: 'Be brief.' }] : []),
      { role: 'user', content: `Double ${index}?` },
      { role: 'assistant', content: answer, ...(index % 11 === 0 && { weight: 0 }) },
    ],
  }
}

/** Rows that wait for the threads, if any are to come. */
function sourceOf(threads: number, change: (index: number) => unknown = rowAt) {
  return {
    name: 'rows',
    async *rows(): AsyncGenerator<SourceRow> {
      const before = watched.length
      for (let index = 0; index < ROWS; index++) {
        if (index === BEFORE) {
          // Node tells of new threads once promises rest.
          await new Promise((resolve) => setImmediate(resolve))
          const started = watched.slice(before)
          expect(started).toHaveLength(threads)
          await Promise.all(started.map(({ ready }) => ready))
        }
        yield { value: change(index), origin: { file: 'rows.jsonl', line: index + 1 } }
      }
    },
  }
}

async function prepare(tokenizer: Tokenizer, threads: number, options: PrepareOptions = {}, change = rowAt) {
  return await prepareDataset(sourceOf(threads, change), tokenizer, {
    datasetNumProc: threads,
    maxLength: 40,
    ...options,
  })
}

test('rows that threads encode are those that one thread encodes, in the same order, with the same counts', async () => {
  const tokenizer = await loadTokenizer(folder)
  const alone = await prepare(tokenizer, 0)
  expect(watched).toHaveLength(0)
  const shared = await prepare(tokenizer, 2)
  expect(shared).toEqual(alone)
  expect(shared.statistics).toMatchObject({ rows: ROWS, ignoredColumns: ['extra'] })
  for (const { replies } of watched) expect(replies).toBeGreaterThan(3)
  await Promise.all(watched.map(({ exit }) => exit))
  if (!isLong) return
  expect(await prepare(tokenizer, 1, { padding: 'max_length' })).toEqual(
    await prepare(tokenizer, 0, { padding: 'max_length' }),
  )
})

test('the first row with a defect is the one that is told of, whichever thread finds it', async () => {
  const tokenizer = await loadTokenizer(folder)
  const broken = (index: number): unknown => {
    if (index === 2300)
      return {
        messages: [
          { role: 'usr', content: 'Hi' },
          { role: 'assistant', content: 'Yo' },
        ],
      }
    // This one is seen while the one before is with a thread.
    return index === 2320 ? { messages: 'none' } : rowAt(index)
  }
  const errorOf = async (threads: number): Promise<DataError> => {
    const error = await prepare(tokenizer, threads, {}, broken as typeof rowAt).catch((reason: unknown) => reason)
    expect(error).toBeInstanceOf(DataError)
    return error as DataError
  }
  const shared = await errorOf(2)
  const alone = await errorOf(0)
  expect(shared).toMatchObject({ file: 'rows.jsonl', row: 2301, message: alone.message })
  expect(shared.cause).toMatchObject({ message: (alone.cause as Error).message })
  await Promise.all(watched.map(({ exit }) => exit))
  const skipped = await prepare(tokenizer, 2, { onError: 'skip' }, broken as typeof rowAt)
  expect(skipped).toEqual(await prepare(tokenizer, 0, { onError: 'skip' }, broken as typeof rowAt))
  expect(skipped.statistics).toMatchObject({ skippedRows: 2, skippedRowErrors: [alone.message, expect.any(String)] })
})

test('rows that would not reach a thread as they are stay with the main one, in their place', async () => {
  const tokenizer = await loadTokenizer(folder)
  class Text extends String {}
  const odd = (index: number): unknown => {
    const row = rowAt(index) as { messages: { content: unknown }[] }
    if (index % 100 === 30) return { ...row, chat_template_kwargs: { tools_note: new Text('x') } }
    if (index === 2250) return { text: 'y'.repeat(300_000) }
    return row
  }
  const plain = (index: number): unknown => (index === 2250 ? rowAt(1) : odd(index))
  const given = async (threads: number) => await prepare(tokenizer, threads, { onError: 'skip' }, plain as typeof rowAt)
  expect(await given(2)).toEqual(await given(0))
  expect(watched.some(({ replies }) => replies > 0)).toBe(true)
})

test('a tokenizer that was not loaded from files, or was changed since, encodes in the main thread', async () => {
  const loaded = await loadTokenizer(folder)
  const rows = Array.from({ length: 2200 }, (_, index) => rowAt(index))
  for (const tokenizer of [createTokenizer(file, config), { ...loaded }]) {
    const { statistics } = await prepareDataset(rows, tokenizer, { datasetNumProc: 2 })
    expect(statistics.rows).toBe(2200)
  }
  expect(watched).toHaveLength(0)
})

test('an abort ends the threads and rejects with its reason', async () => {
  const tokenizer = await loadTokenizer(folder)
  const controller = new AbortController()
  const reason = new Error('enough')
  const change = (index: number): object => {
    if (index === 2600) controller.abort(reason)
    return rowAt(index)
  }
  await expect(prepare(tokenizer, 2, { signal: controller.signal }, change)).rejects.toBe(reason)
  await Promise.all(watched.map(({ exit }) => exit))
})

test('a thread that ends by itself rejects what was asked of it, and says what to do', async () => {
  const program = (code: string): URL => new URL(`data:text/javascript,${encodeURIComponent(code)}`)
  const begin = "import { parentPort } from 'node:worker_threads'; parentPort.postMessage(undefined);"
  for (const [code, reason] of [
    [`${begin} parentPort.on('message', () => process.exit(3))`, 'it ended with code 3'],
    [`${begin} parentPort.on('message', () => { throw new Error('no memory') })`, 'no memory'],
  ] as const) {
    watched = []
    const pool = new EncodePool(1, {} as EncodeTask, program(code))
    await new Promise((resolve) => setImmediate(resolve))
    await watched[0]?.ready
    await expect(pool.send([])).rejects.toThrow(
      `[data] expected a thread that encodes rows to go on, got its end: ${reason}; give the process more memory, or set datasetNumProc: 0`,
    )
    expect(() => pool.ready).toThrow(reason)
    await pool.close('closed')
  }
})

test('a thread that finds other files of the tokenizer ends the work', async () => {
  const tokenizer = await loadTokenizer(folder)
  const path = join(folder, 'tokenizer_config.json')
  writeFileSync(path, JSON.stringify({ ...config, note: 'changed' }))
  try {
    const source = sourceOf(1)
    // Rows go on until the thread has ended.
    async function* endless(): AsyncGenerator<object> {
      for await (const { value } of source.rows()) yield value as object
    }
    watched = []
    const waiting = prepareDataset(endless(), tokenizer, { datasetNumProc: 1 })
    await expect(waiting).rejects.toThrow('as it was loaded, got other files')
  } finally {
    writeFileSync(path, JSON.stringify(config))
  }
})
