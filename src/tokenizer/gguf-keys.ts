/**
 * @file A tokenizer as the keys of a GGUF file, from tokenizer.json and tokenizer_config.json, or from another GGUF
 * file. gguf.ts reads them again; a tokenizer that becomes another one there is refused.
 */

import { describeValue, listNames } from '../errors.js'
import { GgufMetadata, type GgufValue } from '../gguf/metadata.js'
import { arrayOf, bool, string, type TypedKeys, type TypedValue, uint32 } from '../gguf/writer.js'
import { ModelError } from '../lowrank-error.js'
import { runAtOnce } from '../turns.js'
import { ggufTokenizerFiles } from './gguf.js'
import { mergesOfTokens } from './gguf-merges.js'
import { SPLITS } from './gguf-splits.js'
import { entriesOf, isObject } from './pipeline/fields.js'
import type { Templates } from './template-files.js'
import { createTokenizer, type Tokenizer } from './tokenizer.js'

type JsonObject = Record<string, unknown>

/** What becomes the keys. */
export interface KeysSource {
  /** The contents of tokenizer.json. */
  readonly file: JsonObject
  /** The same tokenizer, loaded. */
  readonly tokenizer: Tokenizer
  /** The path, for errors. */
  readonly path: string
  /** Rows of the embedding; those that no token has get a name. */
  readonly rows: number
  /** Ends a text, where the tokenizer names no such token. */
  readonly eosTokenId: number | undefined
}

const KEYS = 'tokenizer.ggml.'
const TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const
const SPACE = '\u2581'

/** Keys of the tokenizer, and what of it llama.cpp does in another way, a sentence each. */
export interface TokenizerKeys {
  readonly keys: TypedKeys
  readonly warnings: readonly string[]
}

/**
 * The keys of a tokenizer from Hugging Face's files.
 * @throws naming the part that llama.cpp has nothing for, and the text that would become other ids
 */
export function tokenizerKeys(source: KeysSource): TokenizerKeys {
  const { file, tokenizer, path, rows } = source
  const { model } = file
  const refuse = (what: string): Error =>
    new ModelError(
      `[gguf] expected a tokenizer that GGUF files can hold, got ${path} with ${what}; give tokenizerFrom another, or export to another format`,
    )
  if (!isObject(model) || (model.type ?? 'BPE') !== 'BPE')
    throw refuse(`a model of type ${describeValue(isObject(model) ? model.type : model)}, not BPE`)
  for (const name of ['continuing_subword_prefix', 'end_of_word_suffix', 'dropout'])
    if (model[name]) throw refuse(`${name} ${describeValue(model[name])}`)
  const vocabulary = readVocabulary(file, model, rows, refuse)
  const isByteLevel = model.byte_fallback !== true
  const parts = isByteLevel ? byteLevelKeys(file, model, refuse) : sentencePieceKeys(file, model, vocabulary, refuse)
  const keys: TypedKeys = {
    ...parts.keys,
    [`${KEYS}tokens`]: arrayOf('string', vocabulary.tokens),
    ...parts.scores,
    [`${KEYS}token_type`]: arrayOf('int32', vocabulary.types),
    ...parts.merges,
    ...specialKeys(source, vocabulary, refuse),
    ...templateKeys(tokenizer.chatTemplate),
  }
  expectSame(keys, source, vocabulary, refuse)
  return { keys, warnings: parts.warnings }
}

/** The same keys in another file, for a tokenizer that is in a GGUF file already. */
export function copiedTokenizerKeys(metadata: GgufMetadata, templates: Templates | undefined, rows: number): TypedKeys {
  const keys: Record<string, TypedValue> = {}
  for (const key of metadata.keys()) {
    if (key.startsWith(KEYS)) keys[key] = typed(key, metadata.get(key) as GgufValue)
  }
  const tokens = metadata.texts(`${KEYS}tokens`)
  const missing = rows - tokens.length
  if (missing > 0) {
    const names = Array.from({ length: missing }, (_, i) => unusedName(tokens.length + i))
    keys[`${KEYS}tokens`] = arrayOf('string', [...tokens, ...names])
    const fill = (name: string, of: 'int32' | 'float32', value: number): void => {
      if (!metadata.has(KEYS + name)) return
      keys[KEYS + name] = arrayOf(of, [...metadata.numbers(KEYS + name), ...names.map(() => value)])
    }
    fill('token_type', 'int32', TYPE.unused)
    fill('scores', 'float32', 0)
  }
  return { ...keys, ...templateKeys(templates) }
}

function typed(key: string, value: GgufValue): TypedValue {
  if (typeof value === 'string') return string(value)
  if (typeof value === 'boolean') return bool(value)
  if (typeof value === 'number') return uint32(value)
  if (key.endsWith('.scores')) return arrayOf('float32', value as number[])
  return typeof value[0] === 'number' ? arrayOf('int32', value as number[]) : arrayOf('string', value as string[])
}

type Refuse = (what: string) => Error

interface AddedToken {
  readonly id: number
  readonly content: string
  readonly special: boolean
}

/** A vocabulary as the file lists it: every id has a text. */
interface Vocabulary {
  readonly tokens: string[]
  readonly types: number[]
  readonly ids: ReadonlyMap<string, number>
  readonly added: readonly AddedToken[]
}

function unusedName(id: number): string {
  return `[PAD${id}]`
}

function readVocabulary(file: JsonObject, model: JsonObject, rows: number, refuse: Refuse): Vocabulary {
  const ids = new Map<string, number>()
  for (const [token, id] of entriesOf(model.vocab) ?? []) ids.set(token, id as number)
  const added = ((file.added_tokens ?? []) as JsonObject[]).map((token): AddedToken => {
    const { id, content, special } = token
    for (const name of ['lstrip', 'rstrip', 'single_word'])
      if (token[name] === true) throw refuse(`the added token ${describeValue(content)}, which has ${name}`)
    return { id: id as number, content: content as string, special: special === true }
  })
  for (const { id, content } of added) ids.set(content, id)
  const beyond = [...ids].find(([, id]) => id >= rows)
  if (beyond)
    throw refuse(`token ${describeValue(beyond[0])} of id ${beyond[1]}, where the model has ${rows} rows of embeddings`)
  const tokens = Array.from({ length: rows }, (_, id) => unusedName(id))
  const types = new Array<number>(rows).fill(TYPE.unused)
  for (const [token, id] of ids) {
    tokens[id] = token
    types[id] = model.byte_fallback === true && /^<0x[0-9A-F]{2}>$/.test(token) ? TYPE.byte : TYPE.normal
  }
  for (const { id, special } of added) types[id] = special ? TYPE.control : TYPE.userDefined
  const unknown = typeof model.unk_token === 'string' ? ids.get(model.unk_token) : undefined
  if (unknown !== undefined && model.byte_fallback === true) types[unknown] = TYPE.unknown
  return { tokens, types, ids, added }
}

interface ModelKeys {
  readonly keys: TypedKeys
  readonly scores: TypedKeys
  readonly merges: TypedKeys
  readonly warnings: readonly string[]
}

function byteLevelKeys(file: JsonObject, model: JsonObject, refuse: Refuse): ModelKeys {
  const warnings: string[] = []
  const normalizers = partsOf(file.normalizer, 'normalizers')
  const other = normalizers.find(({ type }) => type !== 'NFC')
  if (other)
    throw refuse(`the normalizer ${describeValue(other.type)}, which llama.cpp does not have for byte-level tokenizers`)
  if (normalizers.length > 0)
    warnings.push(
      'llama.cpp does not compose characters (NFC), as the tokenizer does: text with letters and accents apart becomes other ids there',
    )
  const expressions = expressionsOf(file, refuse)
  const ignoreMerges = model.ignore_merges === true
  const name = Object.keys(SPLITS).find(
    (candidate) =>
      (SPLITS[candidate]?.ignoreMerges ?? false) === ignoreMerges &&
      JSON.stringify(SPLITS[candidate]?.expressions) === JSON.stringify(expressions),
  )
  if (name === undefined)
    throw refuse(
      `a pre-tokenizer that llama.cpp has no name for: it cuts by ${listNames(expressions)}${ignoreMerges ? ', with ignore_merges' : ''}`,
    )
  const merges = mergesOf(model).map((pair) => pair.join(' '))
  return {
    keys: { [`${KEYS}model`]: string('gpt2'), [`${KEYS}pre`]: string(name) },
    scores: {},
    merges: { [`${KEYS}merges`]: arrayOf('string', merges) },
    warnings,
  }
}

/** The parts of a sequence, or the one part; none for null. */
function partsOf(part: unknown, list: 'normalizers' | 'pretokenizers'): JsonObject[] {
  if (!isObject(part)) return []
  if (part.type !== 'Sequence') return [part]
  return ((part[list] ?? []) as unknown[]).flatMap((inner) => partsOf(inner, list))
}

function mergesOf(model: JsonObject): [string, string][] {
  return ((model.merges ?? []) as unknown[]).map((merge) => {
    if (typeof merge !== 'string') return merge as [string, string]
    const at = merge.indexOf(' ', 1)
    return [merge.slice(0, at), merge.slice(at + 1)]
  })
}

/** How files spell what gguf-splits.ts spells otherwise. */
const SPELLINGS: readonly (readonly [string, string])[] = [
  ["(?i:'s|'t|'re|'ve|'m|'ll|'d)", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"],
  ["'(?i:[sdmt]|ll|ve|re)", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"],
  ["'(?:[sdmt]|ll|ve|re)", "'s|'t|'re|'ve|'m|'ll|'d"],
]

/** The expressions that text is cut by, one after the other. */
function expressionsOf(file: JsonObject, refuse: Refuse): string[] {
  const [gpt2] = SPLITS['gpt-2']?.expressions ?? []
  const parts = partsOf(file.pre_tokenizer, 'pretokenizers')
  const expressions = parts.flatMap((part): string[] => {
    switch (part.type) {
      case 'Split': {
        const { pattern, behavior, invert } = part
        const regex = isObject(pattern) ? pattern.Regex : undefined
        if (typeof regex !== 'string' || behavior !== 'Isolated' || invert === true)
          throw refuse(`the pre-tokenizer ${describeValue(part)}`)
        return [SPELLINGS.reduce((text, [theirs, ours]) => text.replace(theirs, ours), regex)]
      }
      case 'Digits':
        if (part.individual_digits !== true) throw refuse('the pre-tokenizer Digits without individual_digits')
        return [String.raw`\p{N}`]
      case 'ByteLevel':
        if (part.add_prefix_space === true) throw refuse('add_prefix_space')
        return part.use_regex === false ? [] : [gpt2 as string]
      default:
        throw refuse(`the pre-tokenizer ${describeValue(part.type)}`)
    }
  })
  if (parts.at(-1)?.type !== 'ByteLevel') throw refuse('a pre-tokenizer that does not end in bytes (ByteLevel)')
  return expressions
}

function sentencePieceKeys(file: JsonObject, model: JsonObject, vocabulary: Vocabulary, refuse: Refuse): ModelKeys {
  const normalizers = partsOf(file.normalizer, 'normalizers')
  const unknown = normalizers.find(
    ({ type, prepend, pattern, content }) =>
      !(type === 'Prepend' && prepend === SPACE) &&
      !(type === 'Replace' && isObject(pattern) && pattern.String === ' ' && content === SPACE),
  )
  if (unknown) throw refuse(`the normalizer ${describeValue(unknown)}`)
  const [part, ...more] = partsOf(file.pre_tokenizer, 'pretokenizers')
  if (more.length > 0 || (part && part.type !== 'Metaspace'))
    throw refuse(`the pre-tokenizer ${describeValue(file.pre_tokenizer)}`)
  const scheme = part && (part.prepend_scheme ?? (part.add_prefix_space === false ? 'never' : 'always'))
  const addSpace = part ? scheme !== 'never' : normalizers.some(({ type }) => type === 'Prepend')
  const warnings =
    scheme === 'first'
      ? [
          'llama.cpp puts a space behind every special token, and the tokenizer only at the beginning of a text: text behind a special token becomes other ids there',
        ]
      : []
  const scores = scoresOf(model, vocabulary, refuse)
  return {
    keys: {
      [`${KEYS}model`]: string('llama'),
      [`${KEYS}pre`]: string('default'),
      [`${KEYS}add_space_prefix`]: bool(addSpace),
    },
    scores: { [`${KEYS}scores`]: arrayOf('float32', scores) },
    merges: {},
    warnings,
  }
}

/**
 * Scores that give the merges of tokenizer.json again: SentencePiece makes the piece of the highest score, so that the
 * pieces that are merged first have the highest. Single characters come last.
 */
function scoresOf(model: JsonObject, { tokens, types }: Vocabulary, refuse: Refuse): number[] {
  const ranks = new Map<string, number>()
  const merges = mergesOf(model)
  for (const [left, right] of merges) if (!ranks.has(left + right)) ranks.set(left + right, ranks.size)
  const scores = tokens.map((token, id) => (types[id] === TYPE.normal ? -(ranks.get(token) ?? ranks.size) : 0))
  const again = runAtOnce(mergesOfTokens(tokens, scores, (id) => types[id] === TYPE.normal))
  const rankOf = ([left, right]: readonly [string, string]): number => ranks.get(left + right) as number
  const isSorted = merges.every((pair, i) => i === 0 || rankOf(merges[i - 1] as [string, string]) <= rankOf(pair))
  const known = new Set(merges.map((pair) => pair.join(' ')))
  if (isSorted && again.length === known.size && again.every((pair) => known.has(pair.join(' ')))) return scores
  throw refuse('merges that no scores of pieces give: it is not of SentencePiece')
}

/** Ids of special tokens, and whether they are put round a text. */
function specialKeys(
  { tokenizer, eosTokenId }: KeysSource,
  { ids, types, tokens }: Vocabulary,
  refuse: Refuse,
): TypedKeys {
  const { bosTokenId, padTokenId, templateVariables } = tokenizer
  const eos = tokenizer.eosTokenId ?? eosTokenId
  const idOf = (name: string): number | undefined => {
    const text = templateVariables[name]
    return typeof text === 'string' ? ids.get(text) : undefined
  }
  const named: Record<string, number | undefined> = {
    bos: bosTokenId,
    eos,
    unknown: idOf('unk_token') ?? (types.includes(TYPE.unknown) ? types.indexOf(TYPE.unknown) : undefined),
    seperator: idOf('sep_token'),
    padding: padTokenId,
    mask: idOf('mask_token'),
  }
  const keys: Record<string, TypedValue> = {}
  for (const [name, id] of Object.entries(named)) if (id !== undefined) keys[`${KEYS}${name}_token_id`] = uint32(id)
  const text = 'a'
  const plain = tokenizer.encode(text, { addSpecialTokens: false })
  const full = tokenizer.encode(text)
  const at = full.indexOf(plain[0] as number)
  const before = full.slice(0, at)
  const after = full.slice(at + plain.length)
  const isOne = (added: number[], id: number | undefined): boolean =>
    added.length === 0 || (added.length === 1 && added[0] === id)
  if (!isOne(before, bosTokenId) || !isOne(after, eos)) {
    const shown = [...before, ...after].map((id) => tokens[id] ?? String(id))
    throw refuse(
      `${listNames(shown)} put round each text, where llama.cpp puts the begin and the end of a text at most`,
    )
  }
  keys[`${KEYS}add_bos_token`] = bool(before.length === 1)
  keys[`${KEYS}add_eos_token`] = bool(after.length === 1)
  return keys
}

function templateKeys(templates: Templates | undefined): TypedKeys {
  if (templates === undefined) return {}
  if (typeof templates === 'string') return { 'tokenizer.chat_template': string(templates) }
  const { default: main, ...others } = templates
  const names = Object.keys(others)
  return {
    ...(main === undefined ? {} : { 'tokenizer.chat_template': string(main) }),
    'tokenizer.chat_templates': arrayOf('string', names),
    ...Object.fromEntries(names.map((name) => [`tokenizer.chat_template.${name}`, string(others[name] as string)])),
  }
}

/** Texts of all sorts, in composed characters. */
const PROBES = [
  'The quick brown fox jumps over the lazy dog.',
  "I'm sure they'll say we've done what she'd asked; it's HERS, isn't IT'S? DON'T'VE",
  '1 22 333 4444 55555 3.14159 1,234,567 ½ ²³ ٣٤٥ 0x1F',
  'leading   spaces\tand\ttabs \n\n\n new lines\r\n  \r\n end   ',
  'for (let i = 0; i < 10; i++) { a[i] = b?.c ?? "d"; } // <!-- --> #!/bin/sh',
  'Straße naïve café Ünïcödé Ελληνικά Русский язык العربية עברית हिन्दी ไทย',
  '日本語のテキスト、中文文本。한국어 문장입니다 カタカナ',
  'emoji 👩‍👩‍👧‍👦 🇩🇪 👍🏽 ❤️ ∑∫√≠∞ → ⇒ “quotes” ‘single’ – — …',
  'camelCase PascalCase SCREAMING_SNAKE kebab-case a1b2c3 http://example.com/?q=1&r=%20',
  '$100 + 5% = ~€105.00 ^ | \\ / * & @ # _ __init__ <tag attr="x">',
  '\u00a0nbsp\u2003em\u200bzero\ufeffbom',
  ' ',
  '  a',
  'a\n',
] as const

/** @throws where the keys make another tokenizer, as far as texts of all sorts and all added tokens show it */
function expectSame(keys: TypedKeys, { tokenizer, path }: KeysSource, { added }: Vocabulary, refuse: Refuse): void {
  const values = new Map(Object.entries(keys).map(([key, { value }]) => [key, value as GgufValue]))
  const files = runAtOnce(ggufTokenizerFiles(new GgufMetadata(path, values)))
  const written = createTokenizer(files.tokenizer, files.config)
  // Behind a special token SentencePiece of llama.cpp has a space: see the warning.
  const isByteLevel = values.get(`${KEYS}model`) === 'gpt2'
  const probes = [...PROBES, ...(isByteLevel ? added.map(({ content }) => `x${content} y`) : [])]
  for (const text of probes) {
    for (const addSpecialTokens of [true, false]) {
      const [ours, theirs] = [tokenizer, written].map((one) => one.encode(text, { addSpecialTokens }))
      if (JSON.stringify(ours) === JSON.stringify(theirs)) continue
      throw refuse(
        `a way of cutting text that the file would not keep: ${describeValue(text)} becomes ${describeValue(theirs)} in place of ${describeValue(ours)}`,
      )
    }
  }
}
