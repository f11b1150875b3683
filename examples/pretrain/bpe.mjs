// @ts-check
/**
 * @file Trains a byte-level BPE tokenizer as GPT-2 has it and writes it in the file formats of Hugging Face.
 *
 *   node examples/pretrain/bpe.mjs [--corpus out/pretrain/train.jsonl] [--out models/lowrank-base-5m] [--vocab 4096]
 *
 * Words (GPT-2's pre-tokens) are counted once; then the most frequent pair of symbols is merged until the vocabulary is
 * full. Ties go to the pair that is first in byte order of its two symbols, so the result depends on the text alone.
 */
import { createReadStream, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'

export const SPECIAL_TOKENS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>', '<|pad|>']

/** GPT-2's pre-tokenizer, which `ByteLevel` with `use_regex` means. */
const WORD = /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu

/** GPT-2's printable stand-in for each byte. @returns {string[]} */
function byteAlphabet() {
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    return String.fromCharCode(printable ? byte : next++)
  })
}

/**
 * Learns merges. A pair is the number `left * limit + right`.
 * @param {Map<string, number>} counts words and how often each occurs
 * @param {number} limit size of the vocabulary without special tokens
 * @returns {{ symbols: string[], merges: [string, string][] }}
 */
export function learnMerges(counts, limit) {
  const symbols = byteAlphabet()
  const encoder = new TextEncoder()
  const words = [...counts].map(([word, count]) => ({ ids: [...encoder.encode(word)], count }))
  /** @type {Map<number, number>} */
  const pairs = new Map()
  /** Words that held a pair at some time; looked through again when it is merged. @type {Map<number, Set<number>>} */
  const where = new Map()
  const count = (/** @type {number} */ word, /** @type {number} */ sign) => {
    const { ids, count } = words[word] ?? { ids: [], count: 0 }
    for (let i = 0; i + 1 < ids.length; i++) {
      const pair = (ids[i] ?? 0) * limit + (ids[i + 1] ?? 0)
      pairs.set(pair, (pairs.get(pair) ?? 0) + sign * count)
      if (sign < 0) continue
      const at = where.get(pair)
      if (at) at.add(word)
      else where.set(pair, new Set([word]))
    }
  }
  for (let i = 0; i < words.length; i++) count(i, 1)
  /** @type {[string, string][]} */
  const merges = []
  while (symbols.length < limit) {
    let best = -1
    let most = 1
    for (const [pair, n] of pairs) if (n > most || (n === most && best >= 0 && pair < best)) [best, most] = [pair, n]
    if (best < 0) break
    const [left, right] = [Math.floor(best / limit), best % limit]
    const merged = symbols.length
    merges.push([symbols[left] ?? '', symbols[right] ?? ''])
    symbols.push(`${symbols[left]}${symbols[right]}`)
    for (const at of where.get(best) ?? []) {
      count(at, -1)
      const word = words[at]
      if (word) word.ids = mergePair(word.ids, left, right, merged)
      count(at, 1)
    }
    pairs.delete(best)
    where.delete(best)
  }
  return { symbols, merges }
}

/** @param {number[]} ids @param {number} left @param {number} right @param {number} merged */
function mergePair(ids, left, right, merged) {
  /** @type {number[]} */
  const out = []
  for (let i = 0; i < ids.length; i++) {
    const hit = ids[i] === left && ids[i + 1] === right
    out.push(hit ? merged : (ids[i] ?? 0))
    if (hit) i++
  }
  return out
}

/** @param {string[]} symbols @param {[string, string][]} merges tokenizer.json of Hugging Face */
function tokenizerJson(symbols, merges) {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true }
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL_TOKENS.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: byteLevel,
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries([...SPECIAL_TOKENS, ...symbols].map((symbol, id) => [symbol, id])),
      merges,
    },
  }
}

const CHAT_TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

const TOKENIZER_CONFIG = {
  tokenizer_class: 'PreTrainedTokenizerFast',
  bos_token: null,
  eos_token: '<|endoftext|>',
  pad_token: '<|pad|>',
  unk_token: null,
  additional_special_tokens: ['<|im_start|>', '<|im_end|>'],
  add_bos_token: false,
  add_eos_token: false,
  clean_up_tokenization_spaces: false,
  model_max_length: 512,
  chat_template: CHAT_TEMPLATE,
}

async function main() {
  const { values } = parseArgs({
    options: {
      corpus: { type: 'string', default: 'out/pretrain/train.jsonl' },
      out: { type: 'string', default: 'models/lowrank-base-5m' },
      vocab: { type: 'string', default: '4096' },
    },
  })
  /** @type {Map<string, number>} */
  const counts = new Map()
  for await (const line of createInterface({ input: createReadStream(values.corpus) })) {
    const text = JSON.parse(line).text.replace(/<\|\w+\|>/g, '\n')
    for (const word of text.match(WORD) ?? []) counts.set(word, (counts.get(word) ?? 0) + 1)
  }
  // Words met once or twice are names and slips; they would only slow the count.
  for (const [word, n] of counts) if (n < 3) counts.delete(word)
  const { symbols, merges } = learnMerges(counts, Number(values.vocab) - SPECIAL_TOKENS.length)
  mkdirSync(values.out, { recursive: true })
  const write = (/** @type {string} */ name, /** @type {unknown} */ value, indent = 2) =>
    writeFileSync(join(values.out, name), `${JSON.stringify(value, null, indent)}\n`)
  write('tokenizer.json', tokenizerJson(symbols, merges), 0)
  write('tokenizer_config.json', TOKENIZER_CONFIG)
  write('generation_config.json', { eos_token_id: [0, 2], pad_token_id: 3 })
  console.log(`${counts.size} words, ${symbols.length + SPECIAL_TOKENS.length} tokens -> ${values.out}`)
}

if (process.argv[1] && import.meta.filename === process.argv[1]) await main()
