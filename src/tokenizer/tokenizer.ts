/**
 * @file The tokenizer that the rest of lowrank sees, and loading it from a Hugging Face directory or a GGUF file.
 * Chat templates are in `chat-template.ts`; other libraries' tokenizers enter through `adapt.ts`.
 */

import { createHash, type Hash } from 'node:crypto'
import { readdir, stat } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { describeValue, expectPath } from '../errors.js'
import { isGgufPath, readGgufInSteps } from '../gguf/reader.js'
import { LowrankError, ModelError } from '../lowrank-error.js'
import { readRegularFileIfThere } from '../regular-file.js'
import { runAtOnce, type Steps, Turns } from '../turns.js'
import { isObject, toError } from '../values.js'
import { type ChatMessage, ChatTemplate, type RenderOptions } from './chat-template.js'
import { ggufTokenizerFiles } from './gguf.js'
import { parseJsonInSteps } from './json-steps.js'
import { isIndex } from './pipeline/fields.js'
import { type Encoded, readPipeline } from './pipeline/pipeline.js'
import { readTemplates, type Templates, templatesOf } from './template-files.js'
import {
  cleanUpOf,
  configuredFile,
  configuredTokens,
  mergeConfigs,
  NAMED_TOKENS,
  ownNamedTokens,
  tokenTexts,
} from './tokenizer-config.js'

export interface EncodeOptions {
  /**
   * Add what the tokenizer's post-processor adds, usually BOS.
   * @default true
   */
  addSpecialTokens?: boolean
  /**
   * Whether offsets leave out the white space of tokens where the tokenizer's post-processor says so.
   * @default true
   */
  trimOffsets?: boolean
}

export interface DecodeOptions {
  /**
   * Leave special tokens out of the text.
   * @default false
   */
  skipSpecialTokens?: boolean
}

/** Token ids with the place of each in the text. */
export interface EncodedText {
  readonly ids: number[]
  /**
   * Start and end of each token in UTF-16 units, `[start0, end0, start1, ...]`; both 0 for what was put round the text.
   * For thousands of tokens it is a typed array.
   */
  readonly offsets: ArrayLike<number>
}

/** Text to token ids and back. */
export interface Tokenizer {
  /** Largest id + 1. */
  readonly vocabSize: number
  readonly bosTokenId?: number
  readonly eosTokenId?: number
  readonly padTokenId?: number
  /** Every id that ends a text, `eosTokenId` first; empty where the tokenizer has none. */
  readonly eosTokenIds: readonly number[]
  /** Text of each special token and its id. */
  readonly specialTokens: ReadonlyMap<string, number>
  /** The variables that templates know special tokens by: `bos_token`, `eos_token`... */
  readonly templateVariables: Readonly<Record<string, unknown>>
  /**
   * Jinja source, where the tokenizer has a chat template; or several by name, of which `tool_use` is for rows with
   * tools.
   */
  readonly chatTemplate?: Templates
  encode(text: string, options?: EncodeOptions): number[]
  /** Ids and where each token stands in the text; tokenizers of other libraries do not have it. */
  encodeWithOffsets?(text: string, options?: EncodeOptions): EncodedText
  /**
   * The same for long texts, interrupted about every millisecond so that the event loop can turn: for `Turns.run` of
   * `turns.ts`. Tokenizers of other libraries do not have it.
   */
  encodeInSteps?(text: string, options?: EncodeOptions): Steps<EncodedText>
  /** Ids that no token has are left out, as models may have more rows than their tokenizer tokens. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string
  tokenToId(token: string): number | undefined
  idToToken(id: number): string | undefined
  /**
   * The bytes of UTF-8 that a token stands for inside a text, maybe a part of a character; undefined for ids without a
   * token and for added tokens. Tokenizers of other libraries do not have it, nor those whose tokens mean other bytes
   * in other places.
   */
  tokenBytes?(id: number): Uint8Array | undefined
  /**
   * The text of a conversation; encode it with `addSpecialTokens: false`, since the template writes special tokens.
   *
   * @throws ModelError when there is no chat template or it refuses the messages, and where there are none.
   */
  applyChatTemplate(messages: readonly ChatMessage[], options?: RenderOptions): string
}

type JsonObject = Record<string, unknown>

/** What a tokenizer was loaded from. */
export interface TokenizerFiles {
  readonly path: string
  /** Tells whether the files are still those that were loaded. */
  readonly digest: string
}

const loaded = new WeakMap<Tokenizer, { readonly files: TokenizerFiles; readonly own: Tokenizer }>()

/** The files of a tokenizer that `loadTokenizer` gave and nobody has changed since; undefined for others. */
export function filesOfTokenizer(tokenizer: Tokenizer): TokenizerFiles | undefined {
  const found = loaded.get(tokenizer)
  const names = Object.keys(tokenizer) as (keyof Tokenizer)[]
  return names.every((name) => tokenizer[name] === found?.own[name]) ? found?.files : undefined
}

// Vocabularies are many small objects, which the collector of garbage moves about.
const LOADING_TURN_MS = 3

/**
 * Loads `tokenizer.json` and, where present, `tokenizer_config.json`, `special_tokens_map.json` and chat templates
 * from a model directory, or what a GGUF file holds in their place.
 *
 * @throws ModelError when `tokenizer.json` is missing or a file does not parse, with the path and the remedy.
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  expectPath('loadTokenizer', 'path', path)
  const turns = new Turns(undefined, LOADING_TURN_MS)
  const digest = createHash('sha256')
  const tokenizer = isGgufPath(path)
    ? await loadFromGguf(path, turns, digest)
    : await loadFromDirectory(path, turns, digest)
  loaded.set(tokenizer, { files: { path: resolve(path), digest: digest.digest('hex') }, own: { ...tokenizer } })
  return tokenizer
}

async function loadFromGguf(path: string, turns: Turns, digest: Hash): Promise<Tokenizer> {
  // Most of the file is weights: it counts as the same as long as nobody writes to it.
  const { size, mtimeNs, ino } = await stat(path, { bigint: true })
  digest.update(`gguf ${size} ${mtimeNs} ${ino}`)
  const { metadata } = await turns.run(readGgufInSteps(path))
  const { tokenizer, config } = await turns.run(ggufTokenizerFiles(metadata))
  // The file says of every token whether it is special, so that names add none.
  return await buildFrom(path, tokenizer, config, () => [], turns)
}

async function loadFromDirectory(directory: string, turns: Turns, digest: Hash): Promise<Tokenizer> {
  const digests = new Map<string, string>()
  const [tokenizer, config, specialTokensMap] = await Promise.all([
    readJson(join(directory, 'tokenizer.json'), turns, digests),
    readJson(join(directory, 'tokenizer_config.json'), turns, digests),
    readJson(join(directory, 'special_tokens_map.json'), turns, digests),
  ])
  if (tokenizer === undefined) throw await missingTokenizer(directory)
  const chatTemplate = await readTemplates(directory, config?.chat_template)
  digest.update(JSON.stringify([[...digests].sort(), chatTemplate]))
  const where = `tokenizer.json and tokenizer_config.json of ${directory}`
  const merged = { ...mergeConfigs(config, specialTokensMap), chat_template: chatTemplate }
  return await buildFrom(where, tokenizer, merged, configuredTokens, turns)
}

async function buildFrom(
  where: string,
  tokenizer: JsonObject,
  config: JsonObject,
  more: typeof configuredTokens,
  turns: Turns,
): Promise<Tokenizer> {
  try {
    return await turns.run(buildTokenizer(tokenizer, config, more))
  } catch (error) {
    const reason = toError(error).message
    throw new ModelError(`[loadTokenizer] expected a tokenizer in ${where}, got: ${reason}`, { cause: error })
  }
}

/**
 * A tokenizer from the parsed contents of `tokenizer.json` and `tokenizer_config.json`.
 *
 * @throws ModelError naming the part that is unknown, damaged or not supported, or when the chat template does not
 * parse.
 */
export function createTokenizer(tokenizer: JsonObject, config: JsonObject = {}): Tokenizer {
  return runAtOnce(buildTokenizer(tokenizer, config, configuredTokens))
}

function* buildTokenizer(file: JsonObject, config: JsonObject, more: typeof configuredTokens): Steps<Tokenizer> {
  const pipeline = yield* readPipeline(configuredFile(file, config), (inFile) => more(config, inFile))
  const cleanUp = cleanUpOf(file, config)
  const specialTokens = new Map<string, number>()
  for (const [id, token] of pipeline.added.byId) if (token.special) specialTokens.set(token.content, id)
  const templateVariables: JsonObject = Object.fromEntries(ownNamedTokens(config))
  const named = new Map<string, number[]>()
  for (const name of NAMED_TOKENS) {
    const texts = tokenTexts(config[name])
    if (texts[0] !== undefined) templateVariables[name] = texts[0]
    const ids = texts.flatMap((text) => pipeline.tokenToId(text) ?? [])
    named.set(name, ids)
    for (const text of texts) {
      const id = pipeline.tokenToId(text)
      if (id !== undefined) specialTokens.set(text, id)
    }
  }
  const source = templatesOf(config.chat_template)
  const chat = source === undefined ? undefined : new ChatTemplate(source, templateVariables)
  const optionsOf = ({ addSpecialTokens = true, trimOffsets = true }: EncodeOptions = {}, offsets: boolean) => ({
    addSpecialTokens,
    trimOffsets,
    offsets,
  })
  return {
    vocabSize: pipeline.idCount,
    bosTokenId: named.get('bos_token')?.[0],
    eosTokenId: named.get('eos_token')?.[0],
    padTokenId: named.get('pad_token')?.[0],
    eosTokenIds: named.get('eos_token') ?? [],
    specialTokens,
    templateVariables,
    chatTemplate: source,
    encode: (text, options) => pipeline.encode(expectText(text), optionsOf(options, false)).ids,
    encodeWithOffsets: (text, options) => withOffsets(pipeline.encode(expectText(text), optionsOf(options, true))),
    *encodeInSteps(text, options) {
      return withOffsets(yield* pipeline.encodeInSteps(expectText(text), optionsOf(options, true)))
    },
    decode(ids, { skipSpecialTokens = false } = {}) {
      for (let at = 0; at < ids.length; at++) if (!isIndex(ids[at])) throw notAnId(ids[at], at)
      return cleanUp(pipeline.decode(ids, skipSpecialTokens))
    },
    tokenToId: (token) => pipeline.tokenToId(token),
    idToToken: (id) => pipeline.idToToken(id),
    ...(pipeline.idToBytes && { tokenBytes: pipeline.idToBytes }),
    applyChatTemplate(messages, options) {
      if (chat === undefined) throw noChatTemplate()
      if (messages.length === 0)
        throw new LowrankError('INVALID_CALL', '[chat template] expected at least one message, got none')
      return chat.render(messages, options)
    },
  }
}

function withOffsets({ ids, offsets }: Encoded): EncodedText {
  return { ids, offsets: offsets! }
}

function notAnId(got: unknown, at: number): Error {
  return new LowrankError(
    'INVALID_CALL',
    `[tokenizer] expected token ids from 0 to 2^32 - 1, got ${describeValue(got)} at index ${at}`,
  )
}

/** The error for conversations without a template. */
export function noChatTemplate(): Error {
  return new ModelError(
    '[chat template] expected a chat template for messages, got a tokenizer without one; use the instruction-tuned ' +
      "model's tokenizer, put a chat_template.jinja beside tokenizer.json, set chatTemplate, or use prompt/completion " +
      'rows of plain text',
  )
}

async function readOptional(path: string): Promise<Buffer | undefined> {
  return await readRegularFileIfThere(path, { where: 'loadTokenizer' })
}

/** @param digests gets the hash of the file under its name */
async function readJson(path: string, turns: Turns, digests: Map<string, string>): Promise<JsonObject | undefined> {
  const bytes = await readOptional(path)
  if (bytes === undefined) return undefined
  digests.set(basename(path), await turns.run(digestOf(bytes)))
  let value: unknown
  try {
    value = await turns.run(parseJsonInSteps(bytes))
  } catch (error) {
    throw new ModelError(
      `[loadTokenizer] expected JSON in ${path}, got: ${(error as Error).message}; the file is damaged or a ` +
        'pointer of Git LFS: download it again',
      { cause: error },
    )
  }
  if (!isObject(value)) throw new ModelError(`[loadTokenizer] expected a JSON object in ${path}, got ${typeof value}`)
  return value
}

// Hashed within a few milliseconds.
const HASHED_IN_STEP = 1 << 20

function* digestOf(bytes: Uint8Array): Steps<string> {
  const hash = createHash('sha256')
  for (let at = 0; at < bytes.length; at += HASHED_IN_STEP) {
    hash.update(bytes.subarray(at, at + HASHED_IN_STEP))
    yield
  }
  return hash.digest('hex')
}

async function missingTokenizer(directory: string): Promise<Error> {
  const names = await readdir(directory).catch(() => undefined)
  if (names === undefined) {
    return new ModelError(
      `[loadTokenizer] expected a model directory, got ${directory}, which cannot be read; check the path`,
    )
  }
  const older = names.filter((name) => /^(tokenizer\.model|vocab\.json|vocab\.txt|spiece\.model)$/.test(name))
  const remedy =
    older.length > 0
      ? `${older.join(' and ')} alone cannot be used: take tokenizer.json from the model's page, or save the ` +
        'tokenizer once with a tool that writes it'
      : "download it from the model's page into this directory"
  return new ModelError(`[loadTokenizer] expected tokenizer.json in ${directory}, got none; ${remedy}`)
}

function expectText(text: unknown): string {
  if (typeof text === 'string') return text
  throw new LowrankError('INVALID_CALL', `[tokenizer] expected a string to encode, got ${describeValue(text)}`)
}
