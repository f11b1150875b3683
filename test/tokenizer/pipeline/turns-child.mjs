// @ts-check
/**
 * @file Encodes long texts with every kind of normalizer, pre-tokenizer, model and post-processor, and prints as JSON
 * the longest turns of the event loop of each: this thread's processor time in milliseconds, what of it the collector
 * of garbage may have had, and how soon an abort ended it.
 */

import { readFileSync } from 'node:fs'
import { PerformanceObserver } from 'node:perf_hooks'
import { createTokenizer } from '../../../dist/tokenizer/tokenizer.js'
import { Turns } from '../../../dist/turns.js'

const size = Number(process.argv[2])
const charsmap = process.argv[3] ?? ''

/** Milliseconds of processor time of this thread. */
const processorTime = () => Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6

/** @type {{ from: number, to: number }[]} */
const pauses = []
new PerformanceObserver((list) => {
  for (const { startTime, duration } of list.getEntries()) pauses.push({ from: startTime, to: startTime + duration })
}).observe({ entryTypes: ['gc'] })

const words =
  'Der schnelle braune Fuchs \u{1f98a} springt "über" den\nfaulen Hund, 12345 mal. ÀÉ e\u0301 한국 中文字 ﬁ Ⅷ '
const text = words.repeat(Math.ceil(size / words.length))
const letters = [...new Set(words)]
const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
const tokens = [...new Set(['[UNK]', ...bytes, ...letters, 'er', 'en', 'sch', ' b', '▁', 'Ġ', 'Der', 'Hund'])]
for (let code = 0x21; code < 0x180; code++) {
  if (!tokens.includes(String.fromCharCode(code))) tokens.push(String.fromCharCode(code))
}
for (const letter of letters) tokens.push(`##${letter}`)
const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]))

/** @type {Record<string, object>} */
const MODELS = {
  BPE: { type: 'BPE', unk_token: '[UNK]', fuse_unk: true, byte_fallback: true, vocab, merges: ['e r', 'e n'] },
  Unigram: {
    type: 'Unigram',
    unk_id: 0,
    byte_fallback: true,
    vocab: tokens.map((token, id) => [token, -1 - id / 100]),
  },
  WordPiece: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 1e9,
    vocab,
  },
  WordLevel: { type: 'WordLevel', unk_token: '[UNK]', vocab },
}
const split = (/** @type {object} */ pattern, /** @type {string} */ behavior, invert = false) => ({
  type: 'Split',
  pattern,
  behavior,
  invert,
})
/** @type {Record<string, object>} */
const NORMALIZERS = {
  NFC: { type: 'NFC' },
  NFD: { type: 'NFD' },
  NFKC: { type: 'NFKC' },
  NFKD: { type: 'NFKD' },
  Lowercase: { type: 'Lowercase' },
  Strip: { type: 'Strip', strip_left: true, strip_right: true },
  StripAccents: { type: 'StripAccents' },
  Prepend: { type: 'Prepend', prepend: '▁' },
  'Replace a text': { type: 'Replace', pattern: { String: 'schnelle' }, content: 'S' },
  'Replace a character': { type: 'Replace', pattern: { String: ' ' }, content: '▁' },
  'Replace an expression': { type: 'Replace', pattern: { Regex: '[aeiou]+' }, content: 'x' },
  Nmt: { type: 'Nmt' },
  ByteLevel: { type: 'ByteLevel' },
  Precompiled: { type: 'Precompiled', precompiled_charsmap: charsmap },
  BertNormalizer: {
    type: 'BertNormalizer',
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  },
}
/** @type {Record<string, object>} */
const PRE_TOKENIZERS = {
  ByteLevel: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
  'ByteLevel alone': { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
  Metaspace: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  'Metaspace alone': { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: false },
  'Split removed': split({ String: ' ' }, 'Removed'),
  'Split isolated': split({ Regex: String.raw`\p{L}+|\s+` }, 'Isolated', true),
  'Split merged': split({ Regex: String.raw`(?<=\s)\w` }, 'MergedWithPrevious'),
  'Split contiguous': split({ Regex: '.' }, 'Contiguous'),
  Whitespace: { type: 'Whitespace' },
  WhitespaceSplit: { type: 'WhitespaceSplit' },
  BertPreTokenizer: { type: 'BertPreTokenizer' },
  Punctuation: { type: 'Punctuation', behavior: 'MergedWithNext' },
  Digits: { type: 'Digits', individual_digits: true },
  CharDelimiterSplit: { type: 'CharDelimiterSplit', delimiter: 'z' },
  UnicodeScripts: { type: 'UnicodeScripts' },
  FixedLength: { type: 'FixedLength', length: 3 },
}
const trims = { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true }
const roberta = {
  type: 'RobertaProcessing',
  sep: ['en', 1],
  cls: ['er', 2],
  trim_offsets: true,
  add_prefix_space: true,
}

/** @type {Record<string, { parts: object, of?: string }>} */
const cases = {}
for (const [name, normalizer] of Object.entries(NORMALIZERS)) {
  cases[`normalizer ${name}`] = { parts: { normalizer, pre_tokenizer: PRE_TOKENIZERS.WhitespaceSplit } }
}
for (const [name, pre_tokenizer] of Object.entries(PRE_TOKENIZERS))
  cases[`pre-tokenizer ${name}`] = { parts: { pre_tokenizer } }
const run = (/** @type {string} */ unit) => unit.repeat(Math.ceil(size / unit.length))
for (const [name, model] of Object.entries(MODELS)) {
  cases[`model ${name}, one word`] = { parts: { model } }
  cases[`model ${name}, one word of what it has no token for`] = { parts: { model }, of: run('ж') }
}
cases['offsets trimmed'] = { parts: { pre_tokenizer: PRE_TOKENIZERS.ByteLevel, post_processor: trims } }
cases['offsets trimmed between tokens'] = {
  parts: { pre_tokenizer: PRE_TOKENIZERS.ByteLevel, post_processor: roberta },
}
const token = (/** @type {string} */ content, /** @type {object} */ more) => ({
  id: vocab[content] ?? tokens.length,
  content,
  single_word: false,
  lstrip: false,
  rstrip: false,
  normalized: false,
  special: false,
  ...more,
})
cases['added tokens'] = {
  parts: { added_tokens: [token('faulen', { lstrip: true, rstrip: true }), token('z', { normalized: true })] },
}
cases['added tokens that nearly match everywhere'] = {
  parts: { added_tokens: [token(`${'a'.repeat(100)}b`, {})] },
  of: run('a'),
}
cases['blanks that an added token takes'] = {
  parts: { added_tokens: [token('Hund', { lstrip: true, rstrip: true })] },
  of: `${run(' ')}Hund${run(' ')}`,
}
cases['marks behind one letter'] = { parts: { normalizer: NORMALIZERS.NFC }, of: `a${run('\u0301\u0316')}b` }
cases['a run without end for an expression'] = { parts: { pre_tokenizer: PRE_TOKENIZERS.ByteLevel }, of: run('a') }
cases['blanks without end for an expression'] = { parts: { pre_tokenizer: PRE_TOKENIZERS.ByteLevel }, of: run(' ') }

/**
 * @param {Turns} turns
 * @param {import('../../../dist/tokenizer/tokenizer.js').Tokenizer} tokenizer
 * @param {string} given
 */
const encode = (turns, tokenizer, given) => turns.run(/** @type {any} */ (tokenizer).encodeInSteps(given))

/**
 * What else a machine does makes turns longer and never shorter: the first of so many measurements that keeps the
 * limit counts, or else the last.
 */
const TRIES = 4
const LIMIT = 20

/**
 * @param {import('../../../dist/tokenizer/tokenizer.js').Tokenizer} tokenizer
 * @param {string} given
 */
async function measure(tokenizer, given) {
  /** @type {{ time: number, from: number, to: number }[]} */
  const turns = []
  let running = true
  let last = processorTime()
  let from = performance.now()
  const turn = () => {
    const [now, to] = [processorTime(), performance.now()]
    turns.push({ time: now - last, from, to })
    last = now
    from = to
    if (running) setImmediate(turn)
  }
  setImmediate(turn)
  const { ids } = await encode(new Turns(), tokenizer, given)
  running = false
  await new Promise((resolve) => setTimeout(resolve, 1))
  const controller = new AbortController()
  let aborted = 0
  let left = Math.floor(turns.length / 2)
  const abort = () => {
    if (left-- > 0) setImmediate(abort)
    else {
      aborted = processorTime()
      controller.abort(new Error('enough'))
    }
  }
  setImmediate(abort)
  const ended = await encode(new Turns(controller.signal), tokenizer, given).catch((error) => error.message)
  const abortTime = ended === 'enough' ? processorTime() - aborted : null
  const collected = (/** @type {{ from: number, to: number }} */ one) =>
    pauses.reduce((sum, pause) => sum + Math.max(0, Math.min(one.to, pause.to) - Math.max(one.from, pause.from)), 0)
  const longest = turns
    .sort((a, b) => b.time - a.time)
    .slice(0, 5)
    .map((one) => ({ time: one.time, collected: Math.min(one.time, collected(one)) }))
  const keepsLimit =
    longest.every(({ time, collected: pause }) => time - pause < LIMIT) &&
    (longest[2]?.time ?? 0) < LIMIT &&
    (abortTime ?? 0) < LIMIT
  return { keepsLimit, result: { tokens: ids.length, turns: turns.length, longest, abortTime } }
}

/** @type {Record<string, object>} */
const results = {}
for (const [name, { parts, of: given = text }] of Object.entries(cases)) {
  const empty = { truncation: null, padding: null, added_tokens: [], normalizer: null, pre_tokenizer: null }
  const tokenizer = createTokenizer({
    version: '1.0',
    ...empty,
    post_processor: null,
    decoder: null,
    model: MODELS.BPE,
    ...parts,
  })
  // What is compiled on the way is not what is measured.
  await encode(new Turns(), tokenizer, given.slice(0, 50_000))
  for (let tries = 1; ; tries++) {
    const { keepsLimit, result } = await measure(tokenizer, given)
    results[name] = result
    if (keepsLimit || tries === TRIES) break
  }
}
process.stdout.write(JSON.stringify(results))
