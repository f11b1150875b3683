/**
 * @file What tokenizer_config.json and special_tokens_map.json add to a tokenizer.json, as AutoTokenizer of
 * transformers 5 applies them: further added tokens, and tidying of decoded text. Fields of Python classes that rebuild
 * a tokenizer are left out: tokenizer.json counts.
 */

import { describeValue } from '../errors.js'
import { type AddedToken, readAddedToken } from './pipeline/added-tokens.js'
import { cleanUpSpaces } from './pipeline/clean-up.js'
import { entriesOf, fieldsOf, isObject, wrong } from './pipeline/fields.js'

type JsonObject = Record<string, unknown>

/** In the order in which transformers adds those that the vocabulary lacks. */
export const NAMED_TOKENS = [
  'bos_token',
  'eos_token',
  'unk_token',
  'sep_token',
  'pad_token',
  'cls_token',
  'mask_token',
] as const

/** Further tokens, as a list or by name. transformers 5 saves the second for what it reads under the first. */
const EXTRA_TOKENS = ['extra_special_tokens', 'model_specific_special_tokens'] as const

const WHERE = 'tokenizer_config.json'

/**
 * One configuration of both files. A map of special tokens is of older files: it counts where the configuration does
 * not list the added tokens itself.
 */
export function mergeConfigs(config: JsonObject | undefined, specialTokensMap: JsonObject | undefined): JsonObject {
  if (config?.added_tokens_decoder !== undefined || specialTokensMap === undefined) return { ...config }
  const given = Object.entries(specialTokensMap).filter(([, value]) => value !== null && value !== undefined)
  return { ...config, ...Object.fromEntries(given) }
}

/** Texts of a token given as a string, as an AddedToken object or as a list of either. */
export function tokenTexts(value: unknown): string[] {
  return tokensOf(value).map(({ content }) => content)
}

/** Texts of the tokens that a model has names of its own for, as `image_token`, which templates know them by. */
export function ownNamedTokens(config: JsonObject): [name: string, text: string][] {
  return EXTRA_TOKENS.flatMap((key) => [...(entriesOf(config[key]) ?? [])]).flatMap(([name, token]) =>
    tokenTexts(token)
      .slice(0, 1)
      .map((text): [string, string] => [name, text]),
  )
}

interface GivenToken {
  readonly content: string
  readonly given?: JsonObject
}

function tokensOf(value: unknown): GivenToken[] {
  if (typeof value === 'string') return [{ content: value }]
  if (Array.isArray(value)) return value.flatMap(tokensOf)
  if (isObject(value) && typeof value.content === 'string') return [{ content: value.content, given: value }]
  return []
}

/**
 * The added tokens that the configuration has besides, or with other properties than, those of the file.
 *
 * @throws naming what is damaged, or asks for what is not supported
 */
export function configuredTokens(config: JsonObject, inFile: readonly AddedToken[]): AddedToken[] {
  refuseUnsupported(config)
  const known = new Map(inFile.map((token) => [token.content, token]))
  const more: AddedToken[] = []
  const add = (token: AddedToken): void => {
    const before = known.get(token.content)
    known.set(token.content, token)
    if (before === undefined || JSON.stringify(before) !== JSON.stringify(token)) more.push(token)
  }
  for (const token of decoderTokens(config.added_tokens_decoder)) add(token)
  const { additional_special_tokens: additional } = config
  const extra = EXTRA_TOKENS.map((name) => {
    const byName = entriesOf(config[name])
    return byName === undefined ? config[name] : Array.from(byName, ([, token]) => token)
  })
  const named = [...NAMED_TOKENS.map((name) => config[name]), additional, ...extra]
  for (const { content, given = {} } of named.flatMap(tokensOf)) {
    if (content === '') continue
    const flag = (name: string): boolean => given[name] === true
    const fresh = {
      content,
      singleWord: flag('single_word'),
      lstrip: flag('lstrip'),
      rstrip: flag('rstrip'),
      normalized: flag('normalized'),
    }
    // What is known of a token by its text stays, but for being special.
    add({ ...(known.get(content) ?? fresh), special: true })
  }
  return more
}

function decoderTokens(value: unknown): AddedToken[] {
  if (value === null || value === undefined) return []
  const given = entriesOf(value)
  if (given === undefined) throw wrong(`${WHERE}.added_tokens_decoder`, 'an object of id to token', value)
  const entries = Array.from(given, ([id, token]) => {
    if (!/^\d{1,10}$/.test(id)) throw wrong(`${WHERE}.added_tokens_decoder`, 'ids as keys', id)
    const fields = fieldsOf(token, `${WHERE}.added_tokens_decoder[${describeValue(id)}]`)
    return { id: Number(id), token: readAddedToken(fields) }
  })
  return entries.sort((a, b) => a.id - b.id).map(({ token }) => token)
}

function refuseUnsupported(config: JsonObject): void {
  for (const name of ['split_special_tokens', 'fix_mistral_regex']) {
    if (config[name] === true) throw wrong(`${WHERE}.${name}`, 'false (true is not supported)', true)
  }
  const { add_prefix_space: prefix, tokenizer_class: tokenizerClass } = config
  // This class puts a pre-tokenizer of its own in the place of the file's.
  if (prefix === true && /^Qwen2Tokenizer(Fast)?$/.test(String(tokenizerClass)))
    throw wrong(`${WHERE}.add_prefix_space`, `false for ${tokenizerClass} (true is not supported)`, true)
}

// Classes of transformers that set this on their byte-level pre-tokenizer, whatever the file says.
const SETS_PREFIX_SPACE = /^(GPT2|Roberta)Tokenizer(Fast)?$/

/** The file with what the configuration sets in its parts. */
export function configuredFile(file: JsonObject, config: JsonObject): JsonObject {
  const { add_prefix_space: prefix, tokenizer_class: name } = config
  const { pre_tokenizer: part } = file
  if (typeof prefix !== 'boolean' || typeof name !== 'string' || !SETS_PREFIX_SPACE.test(name)) return file
  if (!isObject(part) || part.type !== 'ByteLevel') return file
  return { ...file, pre_tokenizer: { ...part, add_prefix_space: prefix } }
}

/**
 * What decoded text goes through last: `clean_up_tokenization_spaces` takes the spaces before punctuation away, but not
 * after BPE, whose spaces are those of the text.
 */
export function cleanUpOf(file: JsonObject, config: JsonObject): (text: string) => string {
  const isBpe = isObject(file.model) && (file.model.type ?? ('merges' in file.model ? 'BPE' : '')) === 'BPE'
  const force = config.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output === true
  if (config.clean_up_tokenization_spaces !== true || (isBpe && !force)) return (text) => text
  return cleanUpSpaces
}
