/**
 * @file No turn of the event loop is long while tokenizers load and encode: processor time of the main thread between
 * turns, in a child process.
 */

import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseJsonInSteps } from '../../../src/tokenizer/json-steps.js'
import { runAtOnce } from '../../../src/turns.js'
import { ggufBytes, tokenizerKeys } from '../../support/gguf.js'
import { isLong } from '../../support/long.js'
import { REAL_TOKENIZERS } from '../../support/rust-tokenizers.js'

const run = promisify(execFile)
const DIST = pathToFileURL(fileURLToPath(new URL('../../../dist/', import.meta.url))).href

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-turns-'))
})
afterAll(() => rm(directory, { recursive: true }))

/**
 * The longest turns in milliseconds of processor time while `work` goes on: of the main thread where Linux says, else
 * of the process.
 */
async function longestTurns(work: string, prepare = ''): Promise<{ longest: number[]; all: number }> {
  const script = `
    const { loadTokenizer } = await import(${JSON.stringify(`${DIST}tokenizer/tokenizer.js`)})
    const { Turns } = await import(${JSON.stringify(`${DIST}turns.js`)})
    const { readFileSync } = await import('node:fs')
    const cpu = () => {
      try {
        return Number(readFileSync('/proc/self/task/' + process.pid + '/schedstat', 'utf8').split(' ')[0]) / 1e6
      } catch {
        const { user, system } = process.cpuUsage()
        return (user + system) / 1000
      }
    }
    const turns = []
    let busy = true
    let last = cpu()
    const began = last
    const watch = () => { const now = cpu(); turns.push(now - last); last = now; if (busy) setImmediate(watch) }
    ${prepare}
    last = cpu()
    setImmediate(watch)
    ${work}
    busy = false
    await new Promise((resolve) => setImmediate(resolve))
    turns.sort((a, b) => b - a)
    console.log(JSON.stringify({ longest: turns.slice(0, 5), all: cpu() - began }))
  `
  const args = ['--input-type=module', '-e', script]
  const { stdout } = await run(process.execPath, args, { maxBuffer: 1 << 24 })
  return JSON.parse(stdout) as { longest: number[]; all: number }
}

// Pauses of the collector of garbage fall into a turn or two, and are not the work's.
const PAUSES = 2

/**
 * What else a machine does makes turns longer and never shorter: the first of so many measurements that are short
 * counts.
 */
const TRIES = 4

/** The turns of a measurement, which are short. */
async function expectShort(work: string, prepare?: string): Promise<{ longest: number[]; all: number }> {
  let turns = await longestTurns(work, prepare)
  const isShort = () => (turns.longest[PAUSES] ?? 0) < 20 && (turns.longest[0] ?? 0) < 200
  for (let tries = 1; tries < TRIES && !isShort(); tries++) turns = await longestTurns(work, prepare)
  expect(turns.longest[PAUSES]).toBeLessThan(20)
  expect(turns.longest[0]).toBeLessThan(200)
  return turns
}

describe('turns of the event loop', () => {
  test.each(isLong ? (['qwen3', 'llama3', 'llama2'] as const) : (['qwen3'] as const))(
    'are short while the tokenizer.json of %s is read',
    async (name) => {
      const source = REAL_TOKENIZERS[name]
      const turns = await expectShort(`await loadTokenizer(${JSON.stringify(join(source, '..'))})`)
      // It was read in many of them.
      expect(turns.all).toBeGreaterThan(60)
    },
    120_000,
  )

  test.each([true, false])(
    'are short while a GGUF vocabulary is read (byte-level: %s)',
    async (isByteLevel) => {
      const name = isByteLevel ? 'gpt2' : 'llama2'
      const file = JSON.parse(await readFile(REAL_TOKENIZERS[name], 'utf8'))
      const tokens = Object.keys(file.model.vocab)
      const keys = isByteLevel
        ? { ...tokenizerKeys(file), pre: 'gpt-2' }
        : { model: 'llama', tokens, scores: tokens.map((_, id) => -id), token_type: tokens.map(() => 1) }
      const path = join(directory, `${name}.gguf`)
      const named = Object.entries(keys).map(([key, value]) => [`tokenizer.ggml.${key}`, value])
      await writeFile(path, ggufBytes({ keys: Object.fromEntries(named) }))
      await expectShort(`await loadTokenizer(${JSON.stringify(path)})`)
    },
    120_000,
  )

  test('are short while a text of a million characters is encoded, and one word of as many', async () => {
    const source = REAL_TOKENIZERS.llama2
    const prepare = `
      const tokenizer = await loadTokenizer(${JSON.stringify(join(source, '..'))})
      const text = 'The quick brown fox, 123 times. '.repeat(31250)
      const word = Array.from({ length: 1e6 }, (_, at) => String.fromCharCode(97 + ((at * 7919) % 26))).join('')
    `
    const work = 'for (const one of [text, word]) await new Turns().run(tokenizer.encodeInSteps(one))'
    const turns = await expectShort(work, prepare)
    // Quadratic merging took 20 s for each.
    expect(turns.all).toBeLessThan(10_000)
  }, 120_000)
})

describe('JSON in steps', () => {
  const plain = (value: unknown): unknown =>
    JSON.parse(JSON.stringify(value, (_, one) => (one instanceof Map ? Object.fromEntries(one) : one)))

  test('is what JSON.parse gives, for a real tokenizer and for values of all kinds and sizes', async () => {
    const real = await readFile(REAL_TOKENIZERS.gpt2)
    const long = (count: number): number[] => Array.from({ length: count }, (_, at) => at)
    const nested = {
      a: [{ b: long(20_000) }, long(9000).map(String), 'x'.repeat(50_000)],
      '"\\': { c: '[{"' },
      d: null,
    }
    const texts = [
      real.toString(),
      JSON.stringify(nested),
      JSON.stringify(nested, null, 2),
      ' [ ] ',
      '{}',
      '"a"',
      'true',
      '[1 , 2]',
    ]
    for (const text of texts) expect(plain(runAtOnce(parseJsonInSteps(Buffer.from(text))))).toEqual(JSON.parse(text))
  })

  test('refuses what no text in UTF-8 has: other bytes, and escapes of half a surrogate pair', () => {
    const read = (text: string | Buffer): unknown => runAtOnce(parseJsonInSteps(Buffer.from(text)))
    expect(() => read(Buffer.from('{"a": "caf\xe9"}', 'latin1'))).toThrow('bytes that are not UTF-8')
    const lone = ['\\ud800', 'a\\uDFFFb', '\\ud83d \\ude00', '\\ude00\\ud83d', '\\ud83d\\\\\\ude00', '\\\\ud83d\\ude00']
    for (const text of lone) {
      expect(() => read(`{"${text}": 1}`), text).toThrow('half of a surrogate pair')
      expect(() => read(`{"a": ["${'x'.repeat(40_000)}", "${text}"]}`), text).toThrow('half of a surrogate pair')
    }
    for (const text of ['\\ud83d\\ude00', '\\\\ud800', '\\\\\\ud83d\\ude00', '\\ud7ff\\ue000'])
      expect(read(`["${text}"]`)).toEqual(JSON.parse(`["${text}"]`))
  })

  test('refuses what JSON.parse refuses', () => {
    const list = `[${Array.from({ length: 20_000 }, (_, at) => `"${at}"`).join(',')}`
    const damaged = [
      '',
      '[',
      '{"a"}',
      '[1,]',
      '[1 2]',
      '{"a":1,}',
      'nul',
      '"a',
      '[1]]',
      `${list},]`,
      `${list}`,
      `${list}]x`,
      `{"a":${list}}`,
    ]
    for (const text of damaged)
      expect(() => runAtOnce(parseJsonInSteps(Buffer.from(text))), text.slice(0, 20)).toThrow(SyntaxError)
    expect(() => runAtOnce(parseJsonInSteps(Buffer.from('['.repeat(100_000))))).toThrow(SyntaxError)
  })
})
