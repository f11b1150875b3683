/**
 * @file The tokenizer of a GGUF file as the tokenizer.json and tokenizer_config.json that would say the same:
 * byte-level BPE, and BPE of SentencePiece. Follows llama.cpp in what the file leaves open.
 */

import { describeValue, listNames } from '../errors.js'
import type { GgufMetadata } from '../gguf/metadata.js'
import { ModelError } from '../lowrank-error.js'
import type { Steps } from '../turns.js'
import { mergesOfTokens } from './gguf-merges.js'
import { SPLITS, type Splits } from './gguf-splits.js'
import { ggufTemplates } from './template-files.js'

type JsonObject = Record<string, unknown>

/** The contents of both files. */
export interface TokenizerFiles {
  readonly tokenizer: JsonObject
  readonly config: JsonObject
}

/** Numbers of `tokenizer.ggml.token_type`. */
const NORMAL = 1
const UNKNOWN = 2
const CONTROL = 3
const USER_DEFINED = 4

/** Tokens or merges between two interruptions. */
const STEP = 2048

const KEYS = 'tokenizer.ggml.'
const KNOWN_KEYS = [
  'model',
  'pre',
  'tokens',
  'token_type',
  'scores',
  'merges',
  'add_bos_token',
  'add_eos_token',
  'add_sep_token',
  'add_space_prefix',
  'remove_extra_whitespaces',
]

/** A vocabulary as the file lists it. */
interface Vocabulary {
  readonly tokens: readonly string[]
  readonly types: readonly number[]
  readonly ids: ReadonlyMap<string, number>
}

/**
 * In steps: vocabularies are long.
 * @throws naming the key that is missing, damaged or means something that is not supported
 */
export function* ggufTokenizerFiles(metadata: GgufMetadata): Steps<TokenizerFiles> {
  checkKeys(metadata)
  const vocabulary = yield* readVocabulary(metadata)
  const model = metadata.text(`${KEYS}model`)
  switch (model) {
    case 'gpt2': {
      const splits = splitsOf(metadata)
      const special = specialTokens(metadata, vocabulary, { addBos: splits.addBos ?? false })
      return filesOf(metadata, vocabulary, special, yield* byteLevelParts(metadata, vocabulary, splits))
    }
    case 'llama': {
      const special = specialTokens(metadata, vocabulary, { addBos: true, bos: 1, eos: 2, unknown: 0 })
      return filesOf(metadata, vocabulary, special, yield* sentencePieceParts(metadata, vocabulary, special.unknown))
    }
    default:
      throw metadata.error(`${KEYS}model`, "'gpt2' or 'llama'", model)
  }
}

/**
 * Keys that change how text becomes ids are understood or an error; ids of further tokens are names for what templates
 * write.
 */
function checkKeys(metadata: GgufMetadata): void {
  const unknown = [...metadata.keys()].filter((key) => {
    const name = key.startsWith(KEYS) ? key.slice(KEYS.length) : undefined
    return name !== undefined && !KNOWN_KEYS.includes(name) && !name.endsWith('_token_id')
  })
  if (unknown.length > 0) {
    throw new ModelError(
      `[gguf] ${metadata.path}: expected keys of tokenizers that are known, got ${listNames(unknown)}; a key that is not understood may change ` +
        'how text becomes ids: give a tokenizer of your own',
    )
  }
  for (const name of ['add_sep_token', 'remove_extra_whitespaces']) {
    if (metadata.boolean(KEYS + name, false)) throw metadata.error(KEYS + name, 'false (true is not supported)', true)
  }
}

function* readVocabulary(metadata: GgufMetadata): Steps<Vocabulary> {
  const tokens = metadata.texts(`${KEYS}tokens`)
  const types = metadata.has(`${KEYS}token_type`)
    ? metadata.numbers(`${KEYS}token_type`)
    : new Array<number>(tokens.length).fill(NORMAL)
  if (types.length !== tokens.length)
    throw metadata.error(`${KEYS}token_type`, `${tokens.length} numbers, one for each token`, types.length)
  const ids = new Map<string, number>()
  for (const [id, token] of tokens.entries()) {
    if (id % STEP === 0) yield
    // Nothing can be encoded as an empty token.
    if (token === '') continue
    const other = ids.get(token)
    if (other !== undefined)
      throw metadata.error(`${KEYS}tokens`, 'every token once', `${describeValue(token)} as ${other} and ${id}`)
    ids.set(token, id)
  }
  return { tokens, types, ids }
}

/** Texts of special tokens, and whether they are put round a text. */
interface SpecialTokens {
  readonly bos: string | undefined
  readonly eos: string | undefined
  readonly unknown: string | undefined
  readonly padding: string | undefined
  readonly before: readonly string[]
  readonly after: readonly string[]
}

function specialTokens(
  metadata: GgufMetadata,
  { tokens }: Vocabulary,
  defaults: { addBos: boolean; bos?: number; eos?: number; unknown?: number },
): SpecialTokens {
  const textOf = (name: string, fallback?: number): string | undefined => {
    const key = `${KEYS}${name}_token_id`
    if (!metadata.has(key)) return fallback === undefined ? undefined : tokens[fallback]
    const id = metadata.integer(key)
    if (tokens[id]) return tokens[id]
    throw metadata.error(key, `the id of one of ${tokens.length} tokens`, id)
  }
  const bos = textOf('bos', defaults.bos)
  const eos = textOf('eos', defaults.eos)
  const added = (key: string, fallback: boolean, token: string | undefined, idKey: string): string[] => {
    if (!metadata.boolean(KEYS + key, fallback)) return []
    if (token === undefined)
      throw metadata.error(KEYS + idKey, `the id of the token that ${KEYS}${key} adds`, undefined)
    return [token]
  }
  return {
    bos,
    eos,
    unknown: textOf('unknown', defaults.unknown),
    padding: textOf('padding'),
    before: added('add_bos_token', defaults.addBos, bos, 'bos_token_id'),
    after: added('add_eos_token', false, eos, 'eos_token_id'),
  }
}

/** The parts of tokenizer.json in which the two kinds differ. */
interface Parts {
  readonly normalizer: JsonObject | null
  readonly pre_tokenizer: JsonObject | null
  readonly decoder: JsonObject
  readonly model: JsonObject
}

function filesOf(metadata: GgufMetadata, vocabulary: Vocabulary, special: SpecialTokens, parts: Parts): TokenizerFiles {
  const { bos, eos, unknown, padding } = special
  const templates = ggufTemplates(metadata)
  const named = { bos_token: bos, eos_token: eos, unk_token: unknown, pad_token: padding }
  return {
    tokenizer: {
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens(vocabulary),
      ...parts,
      post_processor: postProcessor(special, vocabulary),
    },
    config: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      clean_up_tokenization_spaces: false,
      ...Object.fromEntries(Object.entries(named).filter(([, text]) => text !== undefined)),
      ...(templates === undefined ? {} : { chat_template: templates }),
    },
  }
}

/** Tokens that are found in a text before it is cut. */
function addedTokens({ tokens, types }: Vocabulary): JsonObject[] {
  return tokens.flatMap((content, id) => {
    const type = types[id]
    if (content === '' || (type !== CONTROL && type !== USER_DEFINED && type !== UNKNOWN)) return []
    const special = type !== USER_DEFINED
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }]
  })
}

function postProcessor({ before, after }: SpecialTokens, { ids }: Vocabulary): JsonObject | null {
  if (before.length + after.length === 0) return null
  const place = (token: string, type: number): JsonObject => ({ SpecialToken: { id: token, type_id: type } })
  const round = (sequence: 'A' | 'B', type: number): JsonObject[] => [
    ...before.map((token) => place(token, type)),
    { Sequence: { id: sequence, type_id: type } },
    ...after.map((token) => place(token, type)),
  ]
  const used = [...new Set([...before, ...after])]
  return {
    type: 'TemplateProcessing',
    single: round('A', 0),
    pair: [...round('A', 0), ...round('B', 1)],
    special_tokens: Object.fromEntries(
      used.map((token) => [token, { id: token, ids: [ids.get(token)], tokens: [token] }]),
    ),
  }
}

function splitsOf(metadata: GgufMetadata): Splits {
  const key = `${KEYS}pre`
  if (!metadata.has(key)) {
    throw new ModelError(
      `[gguf] ${metadata.path}: expected ${key}, which says how text is cut, got nothing; the file is of before May 2024: get a newer ` +
        'conversion of the model, or give a tokenizer of your own',
    )
  }
  const name = metadata.text(key)
  if (Object.hasOwn(SPLITS, name)) return SPLITS[name] as Splits
  throw new ModelError(
    `[gguf] ${metadata.path}: expected a way to cut text that is known for ${key}, got ${describeValue(name)}; those that are: ` +
      `${listNames(Object.keys(SPLITS), 99)}; give a tokenizer of your own`,
  )
}

function* byteLevelParts(
  metadata: GgufMetadata,
  { ids }: Vocabulary,
  { expressions, ignoreMerges }: Splits,
): Steps<Parts> {
  if (metadata.boolean(`${KEYS}add_space_prefix`, false))
    throw metadata.error(`${KEYS}add_space_prefix`, 'false for a byte-level tokenizer', true)
  const merges: (readonly [string, string])[] = []
  for (const merge of metadata.texts(`${KEYS}merges`)) {
    // A space that belongs to the left part is spelled otherwise: the first that is not at the beginning parts the two.
    const at = merge.indexOf(' ', 1)
    const pair = [merge.slice(0, at), merge.slice(at + 1)] as const
    if (at < 0 || !ids.has(pair[0]) || !ids.has(pair[1]) || !ids.has(pair[0] + pair[1]))
      throw metadata.error(`${KEYS}merges`, 'pairs of tokens that make a token', merge)
    if (merges.push(pair) % STEP === 0) yield
  }
  return {
    normalizer: null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        ...expressions.map((expression) => ({
          type: 'Split',
          pattern: { Regex: expression },
          behavior: 'Isolated',
          invert: false,
        })),
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false },
      ],
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: bpeModel(ids, merges, { ignore_merges: ignoreMerges ?? false }),
  }
}

const SPACE = '\u2581'

/**
 * SentencePiece merges the neighbours that make the piece of the highest score.
 * As in llama.cpp, a space is added at the beginning and behind each special token.
 */
function* sentencePieceParts(
  metadata: GgufMetadata,
  vocabulary: Vocabulary,
  unknown: string | undefined,
): Steps<Parts> {
  const addSpace = metadata.boolean(`${KEYS}add_space_prefix`, true)
  return {
    normalizer: {
      type: 'Sequence',
      normalizers: [
        ...(addSpace ? [{ type: 'Prepend', prepend: SPACE }] : []),
        { type: 'Replace', pattern: { String: ' ' }, content: SPACE },
      ],
    },
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: SPACE }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(addSpace ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: bpeModel(vocabulary.ids, yield* mergesByScore(metadata, vocabulary), {
      unk_token: unknown ?? null,
      fuse_unk: true,
      byte_fallback: true,
    }),
  }
}

function* mergesByScore(metadata: GgufMetadata, { tokens, types }: Vocabulary): Steps<(readonly [string, string])[]> {
  const scores = metadata.numbers(`${KEYS}scores`)
  if (scores.length !== tokens.length)
    throw metadata.error(`${KEYS}scores`, `${tokens.length} numbers, one for each token`, scores.length)
  return yield* mergesOfTokens(tokens, scores, (id) => types[id] === NORMAL)
}

function bpeModel(ids: ReadonlyMap<string, number>, merges: readonly unknown[], options: JsonObject): JsonObject {
  return {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    vocab: ids,
    merges,
    ...options,
  }
}
