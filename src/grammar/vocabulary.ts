/**
 * @file The tokens of a tokenizer as a grammar sees them: the bytes of each id, the ids that end an answer, and the
 * masks that do not depend on a schema.
 */

import { LowrankError, ModelError } from '../lowrank-error.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { type Steps, Turns } from '../turns.js'
import { TerminalMasks } from './terminal-masks.js'
import { buildTrie, type TokenTrie } from './token-trie.js'

/** What grammars need of a tokenizer; made once, and shared by all grammars. */
export interface TokenVocabulary {
  /** Largest id + 1. */
  readonly size: number
  readonly trie: TokenTrie
  /** Ids that end an answer. */
  readonly eosTokenIds: readonly number[]
  /** Bytes of a token; undefined for ids without a token and for added tokens. */
  bytesOf(id: number): Uint8Array | undefined
  /** Id of an added token with this text. */
  addedTokenId(text: string): number | undefined
  /** Added tokens that are not special: text may hold them, values of JSON may not. */
  readonly addedTextIds: ReadonlySet<number>
  readonly masks: TerminalMasks
}

export interface TokenVocabularyOptions {
  /**
   * Ids that end an answer.
   * @default those of the tokenizer
   */
  readonly eosTokenIds?: Iterable<number>
  /** @default none: the work goes on to its end */
  readonly signal?: AbortSignal | undefined
}

const STEP = 2048
// What a turn leaves behind is collected within it.
const TURN_MS = 5

/**
 * Reads a tokenizer for grammars, in short turns of the event loop.
 *
 * @throws ModelError for a tokenizer that does not tell the bytes of its tokens or has no token that ends an answer
 */
export async function createTokenVocabulary(
  tokenizer: Tokenizer,
  { eosTokenIds = tokenizer.eosTokenIds, signal }: TokenVocabularyOptions = {},
): Promise<TokenVocabulary> {
  if (tokenizer.tokenBytes === undefined) {
    throw new ModelError(
      '[grammar] expected a tokenizer that tells the bytes of its tokens, got one that does not; use loadTokenizer, ' +
        'and a model with byte-level BPE or SentencePiece tokens',
    )
  }
  const eos = [...new Set(eosTokenIds)]
  if (eos.length === 0) {
    throw new ModelError('[grammar] expected a token that ends answers, got a tokenizer without one; give eosTokenIds')
  }
  return await new Turns(signal, TURN_MS).run(read(tokenizer, eos))
}

function* read(tokenizer: Tokenizer, eosTokenIds: readonly number[]): Steps<TokenVocabulary> {
  const { vocabSize } = tokenizer
  const bytes = new Array<Uint8Array | undefined>(vocabSize).fill(undefined)
  const texts: [number, string][] = []
  const special = new Set([...tokenizer.specialTokens.values(), ...eosTokenIds])
  const addedTextIds = new Set<number>()
  const isThere = new Uint8Array(256)
  for (let id = 0; id < vocabSize; id++) {
    if (id % STEP === 0) yield
    const own = special.has(id) ? undefined : tokenizer.tokenBytes!(id)
    if (own === undefined) {
      if (!special.has(id) && tokenizer.idToToken(id) !== undefined) addedTextIds.add(id)
      continue
    }
    bytes[id] = own
    if (own.length === 1) isThere[own[0]!] = 1
    texts.push([id, latin1(own)])
  }
  const missing = missingCharacters(isThere)
  if (missing !== '') {
    throw new ModelError(
      `[grammar] expected a token for each character of JSON, got a vocabulary without one for ${missing}; use a model ` +
        'with byte-level BPE, or with byte fallback',
    )
  }
  const trie = yield* buildTrie(texts)
  const size = Math.max(vocabSize, ...eosTokenIds.map((id) => id + 1))
  const masks = new TerminalMasks(trie, addedTextIds, size)
  yield* masks.prepare()
  return {
    size,
    trie,
    eosTokenIds,
    bytesOf: (id) => bytes[id],
    addedTokenId(text) {
      const id = tokenizer.tokenToId(text)
      return id !== undefined && bytes[id] === undefined ? id : undefined
    },
    addedTextIds,
    masks,
  }
}

/** Bytes without which a value could come to a place where no token continues it. */
function missingCharacters(isThere: Uint8Array): string {
  let missing = ''
  for (let byte = 0x20; byte < 0x7f; byte++) if (isThere[byte] === 0) missing += String.fromCharCode(byte)
  return missing
}

function latin1(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1')
}

/** The error for an id that the mask did not allow. */
export function notAllowed(id: number): Error {
  return new LowrankError(
    'INVALID_CALL',
    `[grammar] expected an id that the mask allows, got ${id}; ask allowed() before every draw, and accept each id once`,
  )
}
