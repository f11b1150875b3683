// @ts-check
/**
 * @file Prepares data of awkward sizes and prints, as JSON, the longest turn of the event loop of each case in
 * milliseconds of this thread's processor time, which does not depend on what else the machine does. A process of its
 * own: a test runner has work to do on its event loop.
 */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gunzipSync } from 'node:zlib'
import { BatchSchedule } from '../../dist/data/batches.js'
import { prepareDataset } from '../../dist/data/dataset.js'
import { datasetFingerprint } from '../../dist/data/fingerprint.js'
import { listOf } from '../../dist/data/items.js'
import { DATA_OPTIONS } from '../../dist/data/options.js'
import { splitExamples } from '../../dist/data/split.js'
import { defaultsOf } from '../../dist/options/table.js'
import { loadTokenizer } from '../../dist/tokenizer/tokenizer.js'
import { Turns } from '../../dist/turns.js'
import { LIMIT, measureTurns, processorTime } from '../support/measure-turns.mjs'

const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}" +
  "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

/** The whole conversation within one macro. */
const ONE_MACRO =
  '{% macro all(list) %}{% for m in list %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% endmacro %}' +
  '{% generation %}{{ all(messages) | trim }}{% endgeneration %}'
const templates = new URL('../golden/templates/trl.json.gz', import.meta.url)
/** @type {{ sources: Record<string, string> }} */
const { sources } = JSON.parse(gunzipSync(readFileSync(templates)).toString())

const BATCHES = { ...defaultsOf(DATA_OPTIONS), perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 1 }
const scale = Number(process.argv[2] ?? 1)
const directory = mkdtempSync(join(tmpdir(), 'lowrank-turns-'))
const tokenizer = await loadTokenizer(fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url)))
/**
 * @type {Record<string, { longest: number, collected: number, turns: number, examples: number, aborts: (number |
 * undefined)[] }>}
 */
const results = {}

/**
 * What else a machine does makes turns longer and never shorter: the first of so many measurements that keeps the
 * limit counts, or else the last.
 */
const TRIES = 4

/**
 * @param {string} name
 * @param {(signal?: AbortSignal) => Promise<number>} work gives how many examples there were
 */
async function measure(name, work) {
  for (let tries = 1; ; tries++) {
    const result = await measureOnce(work)
    results[name] = result
    const { longest, collected, aborts } = result
    const keepsLimit = longest < LIMIT && collected <= 1 && aborts.every((time) => (time ?? 0) < LIMIT)
    if (keepsLimit || tries === TRIES) return
  }
}

/** @param {(signal?: AbortSignal) => Promise<number>} work */
async function measureOnce(work) {
  const { longest, collected, turns, given: examples } = await measureTurns(work)
  const aborts = [await abortAfter(work, 2), await abortAfter(work, Math.floor(turns / 3))]
  return { longest, collected, turns, examples, aborts }
}

/**
 * Processor time from an abort after so many turns of the event loop to the end of the work; undefined where that ended
 * before.
 *
 * @param {(signal: AbortSignal) => Promise<number>} work
 * @param {number} turns
 */
async function abortAfter(work, turns) {
  const controller = new AbortController()
  const reason = new Error('enough')
  let aborted = 0
  let left = turns
  let running = true
  const turn = () => {
    if (!running) return
    if (left-- > 0) setImmediate(turn)
    else {
      aborted = processorTime()
      controller.abort(reason)
    }
  }
  setImmediate(turn)
  const ended = await work(controller.signal).catch((error) => error)
  running = false
  return ended === reason ? processorTime() - aborted : undefined
}

/** @param {string} name @param {string} content */
function file(name, content) {
  const path = join(directory, name)
  writeFileSync(path, content)
  return path
}

/** @param {string} path @param {import('../../dist/data/dataset.js').PrepareOptions} options */
async function prepare(path, options = {}) {
  const { examples } = await prepareDataset(path, tokenizer, { maxLength: 1 << 30, chatTemplate: CHATML, ...options })
  return examples.length
}

const words = 'Der schnelle braune Fuchs \u{1f98a} springt "über" den\nfaulen Hund, 12345 mal. '
const turnsOf = (/** @type {number} */ count, /** @type {string} */ content) =>
  Array.from({ length: count }, (_, i) => ({ role: i % 2 ? 'assistant' : 'user', content: `${i} ${content}` }))
const cases = {
  'a line of megabytes beside the text': file(
    'beside.jsonl',
    JSON.stringify({ text: 'a', meta: [words.repeat(60_000 * scale), ...turnsOf(20_000 * scale, '')] }),
  ),
  'a text of 200,000 tokens': file('text.jsonl', JSON.stringify({ text: words.repeat(7_000) })),
  'a word of 100,000 letters': file('word.jsonl', JSON.stringify({ text: 'a'.repeat(100_000) })),
  'a conversation of 1,600 messages': file('long.jsonl', JSON.stringify({ messages: turnsOf(1600, words) })),
  'two messages of 100,000 tokens': file('large.jsonl', JSON.stringify({ messages: turnsOf(2, words.repeat(3_500)) })),
  'blank lines of megabytes': file('blank.jsonl', `${'\n'.repeat(2_000_000 * scale)}${JSON.stringify({ text: 'a' })}`),
  'an array of megabytes': file(
    'array.json',
    JSON.stringify(
      Array.from({ length: 3000 * scale }, (_, i) => ({ prompt: `${i} ${words}`, completion: words.repeat(8) })),
      null,
      2,
    ),
  ),
}
const parts = (/** @type {number} */ count) =>
  Array.from({ length: count }, (_, i) => ({ type: 'text', text: `Teil ${i} der Antwort. ` }))
const tool = (/** @type {number} */ i) => ({
  type: 'function',
  function: {
    name: `tool_number_${i}`,
    description: words,
    parameters: { type: 'object', properties: { city: { type: 'string', description: words } }, required: ['city'] },
  },
})
const toolRow = (/** @type {number} */ tools, /** @type {number} */ calls) => {
  const list = Array.from({ length: calls }, (_, i) => i)
  const call = (/** @type {number} */ i) => ({
    name: `tool_number_${i}`,
    arguments: { city: `${i} ${words}`, count: i },
  })
  return {
    tools: Array.from({ length: tools }, (_, i) => tool(i)),
    messages: [
      { role: 'user', content: words },
      { role: 'assistant', content: '', tool_calls: list.map((i) => ({ type: 'function', function: call(i) })) },
      ...list.map((i) => ({ role: 'tool', content: `${i} ${words}` })),
      { role: 'assistant', content: words },
    ],
  }
}
const longToolRow = toolRow(2000, 2000)
/** Rows and their template, in place of a file. */
/** @type {Record<string, [rows: object[], chatTemplate: string]>} */
const conversations = {
  '10,000 messages': [[{ messages: turnsOf(10_000, words) }], CHATML],
  '20,000 messages': [[{ messages: turnsOf(20_000, 'Ja.') }], CHATML],
  "20,000 messages with Gemma's template": [[{ messages: turnsOf(20_000, 'Ja.') }], sources['gemma3.jinja']],
  '10,000 messages with generation tags': [[{ messages: turnsOf(10_000, words) }], sources['qwen2_5_training.jinja']],
  '20,000 messages in one macro': [[{ messages: turnsOf(20_000, words.slice(0, 20)) }], ONE_MACRO],
  '5,000 messages of eight parts, joined': [
    [{ messages: turnsOf(5000, '').map((message) => ({ ...message, content: parts(8) })) }],
    CHATML,
  ],
  '5,000 messages of eight parts, which the template joins': [
    [{ messages: turnsOf(5000, '').map((message) => ({ ...message, content: parts(8) })) }],
    sources['qwen2_5_vl.jinja'],
  ],
  'two messages of 20,000 parts': [
    [{ messages: turnsOf(2, '').map((message) => ({ ...message, content: parts(20_000) })) }],
    sources['qwen2_5_vl.jinja'],
  ],
  '2,000 tools and 2,000 calls in one row': [[longToolRow], sources['qwen3.jinja']],
  '2,000 tools as JSON text, written as one list': [
    [{ ...toolRow(1, 2), tools: JSON.stringify(longToolRow.tools) }],
    `{{ tools | tojson }}${CHATML}`,
  ],
  'rows with tools and calls': [Array.from({ length: 400 * scale }, () => toolRow(3, 2)), sources['qwen3.jinja']],
  '20,000 messages, printed and within other JSON': [
    [{ messages: turnsOf(20_000, 'Ja.') }],
    "{{ messages }}{{ messages | string | length }}{{ [1, { 'all': messages }] | tojson(indent=1) | length }}" +
      '{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}<|im_end|>{% endfor %}',
  ],
  // JSON changes each content, so that all are looked for in vain.
  'contents that the template rewrites': [
    [{ messages: turnsOf(15_000, words) }],
    '{% for m in messages %}{% generation %}{{ m.content | tojson }}{% endgeneration %}<|im_end|>{% endfor %}',
  ],
}
// What is compiled and optimised on the way is not what is measured.
for (const path of Object.values(cases).slice(2, 3)) await prepare(path)
for (const [name, path] of Object.entries(cases)) await measure(name, (signal) => prepare(path, { signal }))
for (const [name, [rows, chatTemplate]] of Object.entries(conversations)) {
  await measure(name, async (signal) => {
    const { examples } = await prepareDataset(rows, tokenizer, { maxLength: 1 << 30, chatTemplate, signal })
    return examples.length
  })
}
const letters = [...words]
const manyRows = Array.from({ length: 20_000 * scale }, (_, i) => ({
  text: `${i} ${i % 7} ${letters.slice(0, i % 70).join('')}`,
}))
await measure('many rows, split, planned, packed and hashed', async (signal) => {
  const turns = new Turns(signal)
  const { examples } = await prepareDataset(manyRows, tokenizer, { signal })
  const { train, evaluation } = await splitExamples(examples, { evalSplit: 0.1, signal })
  for (const packing of [false, true]) {
    for (const packingStrategy of /** @type {const} */ (['bfd', 'sequential'])) {
      const plan = new BatchSchedule(listOf(train), { ...BATCHES, packing, packingStrategy })
      await plan.countWindows(3.5, turns)
      for (const epoch of [0, 1]) await plan.prepare(epoch, turns)
      plan.largestBatch()
    }
  }
  await turns.run(datasetFingerprint(train))
  return train.length + evaluation.length
})
rmSync(directory, { recursive: true })
process.stdout.write(JSON.stringify(results))
