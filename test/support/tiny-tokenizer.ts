/**
 * @file Small real tokenizers for tests, trained on a few sentences when asked for: byte-level BPE as in GPT-2 and
 * Llama 3, and a SentencePiece-like BPE with byte fallback as in Llama 2.
 */

import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

const CORPUS =
  'The assistant answers the question of the user. the user asks, the system says hello and the assistant says hello ' +
  'again. What is the capital of France? The capital of France is Paris. one two three four five six seven eight nine ' +
  'Below is an instruction that describes a task. Write a response that appropriately completes the request. ' +
  'system user assistant model user assistant answer\n\nquestion\n\nanswer\n\nInstruction:\n\nResponse:\n\n'

/** Special tokens of the usual chat formats; their ids follow the vocabulary in this order. */
const SPECIAL_TOKENS = [
  '<|endoftext|>',
  '<s>',
  '</s>',
  '<|im_start|>',
  '<|im_end|>',
  '<|begin_of_text|>',
  '<|start_header_id|>',
  '<|end_header_id|>',
  '<|eot_id|>',
  '<|system|>',
  '<|user|>',
  '<|assistant|>',
]

/** The contents of tokenizer.json and tokenizer_config.json. */
export interface TinyTokenizerFiles {
  tokenizer: Record<string, unknown>
  config: Record<string, unknown>
}

export interface TinyTokenizerOptions {
  chatTemplate?: string
  /** Text of the end token. Default `</s>`; null: none. */
  eosToken?: string | null
  /** Put this token before every encoded text. Default: none. */
  bosToken?: string
}

/** Byte-level BPE: any text round-trips. */
export function tinyByteLevelTokenizer(options: TinyTokenizerOptions = {}): TinyTokenizerFiles {
  const letters = byteLetters()
  const words = (CORPUS.match(/ ?[A-Za-z]+|\s+(?!\S)|\s+|[^\sA-Za-z]+/g) ?? []).map((word) =>
    Array.from(new TextEncoder().encode(word), (byte) => letters[byte] as string),
  )
  return files(letters, learnMerges(words, 200), options, {
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    byteFallback: false,
  })
}

/** BPE over words that begin with U+2581, a leading space added to each text; unknown characters become bytes. */
export function tinySentencePieceTokenizer(options: TinyTokenizerOptions = {}): TinyTokenizerFiles {
  const words = CORPUS.split(/(?= )/).map((word) => Array.from(word.replaceAll(' ', '\u2581')))
  const bytes = Array.from({ length: 256 }, (_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`)
  const letters = ['<unk>', ...bytes, ...new Set(words.flat())]
  return files(letters, learnMerges(words, 200), options, {
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'Prepend', prepend: '\u2581' },
        { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' },
      ],
    },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: '\u2581' }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        { type: 'Strip', content: ' ', start: 1, stop: 0 },
      ],
    },
    byteFallback: true,
  })
}

/** Writes tokenizer.json and tokenizer_config.json into a directory, made where missing. */
export async function writeTinyTokenizer(directory: string, contents: TinyTokenizerFiles): Promise<void> {
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'tokenizer.json'), JSON.stringify(contents.tokenizer))
  await writeFile(join(directory, 'tokenizer_config.json'), JSON.stringify(contents.config))
}

interface Parts {
  normalizer: unknown
  pre_tokenizer: unknown
  decoder: unknown
  byteFallback: boolean
}

function files(
  letters: readonly string[],
  merges: readonly (readonly [string, string])[],
  options: TinyTokenizerOptions,
  parts: Parts,
): TinyTokenizerFiles {
  const texts = [...new Set([...letters, ...merges.map(([left, right]) => left + right)])]
  const vocab = Object.fromEntries(texts.map((text, id) => [text, id]))
  const idOf = (token: string): number => texts.length + SPECIAL_TOKENS.indexOf(token)
  const { byteFallback, ...rest } = parts
  const { chatTemplate, bosToken, eosToken = '</s>' } = options
  const special = (token: string) => ({ id: token, ids: [idOf(token)], tokens: [token] })
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: SPECIAL_TOKENS.map((content) => ({
        id: idOf(content),
        content,
        single_word: false,
        lstrip: false,
        rstrip: false,
        normalized: false,
        special: true,
      })),
      ...rest,
      post_processor:
        bosToken === undefined
          ? null
          : {
              type: 'TemplateProcessing',
              single: [{ SpecialToken: { id: bosToken, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
              pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
              special_tokens: { [bosToken]: special(bosToken) },
            },
      model: {
        type: 'BPE',
        dropout: null,
        unk_token: byteFallback ? '<unk>' : null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: byteFallback,
        byte_fallback: byteFallback,
        ignore_merges: false,
        vocab,
        merges,
      },
    },
    config: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...(bosToken === undefined ? {} : { bos_token: bosToken }),
      ...(eosToken === null ? {} : { eos_token: eosToken }),
      ...(chatTemplate === undefined ? {} : { chat_template: chatTemplate }),
    },
  }
}

/** GPT-2's printable stand-ins for the 256 bytes. */
function byteLetters(): string[] {
  let next = 256
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174
    return String.fromCharCode(printable ? byte : next++)
  })
}

/** The most frequent pair first, the earlier seen of equal ones, as BPE training does. */
function learnMerges(words: string[][], count: number): [string, string][] {
  const merges: [string, string][] = []
  let current = words
  while (merges.length < count) {
    const frequency = new Map<string, { pair: [string, string]; times: number }>()
    for (const word of current) {
      for (let at = 0; at + 1 < word.length; at++) {
        const pair: [string, string] = [word[at] as string, word[at + 1] as string]
        const known = frequency.get(pair.join('\0'))
        if (known === undefined) frequency.set(pair.join('\0'), { pair, times: 1 })
        else known.times++
      }
    }
    const [first, ...others] = frequency.values()
    if (first === undefined) break
    const { pair } = others.reduce((best, entry) => (entry.times > best.times ? entry : best), first)
    merges.push(pair)
    current = current.map((word) => mergePair(word, pair))
  }
  return merges
}

function mergePair(word: readonly string[], [left, right]: readonly [string, string]): string[] {
  const merged: string[] = []
  for (let at = 0; at < word.length; at++) {
    const joined = word[at] === left && word[at + 1] === right
    merged.push(joined ? left + right : (word[at] as string))
    if (joined) at++
  }
  return merged
}
