/**
 * @file A text in chunks of tokens that overlap. Borders lie between words where they can, so that a chunk has the
 * tokens that it has within the whole. Knows no documents.
 */

import { DataError, OptionError } from '../lowrank-error.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import type { Turns } from '../turns.js'

/** A part of a text. */
export interface Chunk {
  /** Where it is in the text, in UTF-16 units. */
  readonly start: number
  readonly end: number
  /** Its tokens, counted in the whole text. */
  readonly tokens: number
}

/** How long chunks are. */
export interface ChunkSizes {
  /** Tokens that a chunk has at most. */
  readonly maxTokens: number
  /** Tokens that a chunk has in common with the one before it. */
  readonly overlap: number
}

/**
 * The chunks of a text, in order: each begins exactly `overlap` tokens before the end of the one before it, and
 * together they are the whole text. A chunk that is encoded by itself has at most `maxTokens` tokens too.
 *
 * @param name What errors call the text.
 */
export async function chunksOf(
  text: string,
  tokenizer: Tokenizer,
  { maxTokens, overlap }: ChunkSizes,
  turns: Turns,
  name: string,
): Promise<readonly Chunk[]> {
  const { encodeInSteps } = tokenizer
  if (encodeInSteps === undefined)
    throw new OptionError('[documents] expected a tokenizer that says where tokens stand, as loadTokenizer() gives it')
  const options = { addSpecialTokens: false, trimOffsets: false }
  const { offsets } = await turns.run(encodeInSteps.call(tokenizer, text, options))
  const borders = bordersOf(text, offsets)
  const count = borders.length - 1
  const chunks: Chunk[] = []
  for (let start = 0; start < count; ) {
    const place = borders[start] as number
    const fits = (end: number): boolean =>
      tokenizer.encode(text.slice(place, borders[end]), { addSpecialTokens: false }).length <= maxTokens
    const end = findEnd(text, borders, start, { maxTokens, overlap }, fits)
    if (end === undefined)
      throw new DataError(
        `[documents] expected a border between characters within ${maxTokens} tokens in ${name}, got none; raise maxTokens`,
        { file: name },
      )
    chunks.push({ start: place, end: borders[end] as number, tokens: end - start })
    if (end === count) break
    start = end - overlap
    if (turns.isOver) await turns.next()
  }
  return chunks
}

/** Where each token begins, and the end of the text. A token that begins within a character is -1. */
function bordersOf(text: string, offsets: ArrayLike<number>): Int32Array {
  const count = offsets.length / 2
  const borders = new Int32Array(count + 1)
  for (let token = 1; token < count; token++) {
    const start = offsets[2 * token] as number
    const isWithin = start < (offsets[2 * token - 1] as number) || start === offsets[2 * token - 2]
    borders[token] = isWithin ? -1 : start
  }
  // What no token stands for, as white space at an end, goes along.
  borders[count] = text.length
  return borders
}

/** The token before which a chunk ends: as far as it can be, between words before any other place. */
function findEnd(
  text: string,
  borders: Int32Array,
  start: number,
  { maxTokens, overlap }: ChunkSizes,
  fits: (end: number) => boolean,
): number | undefined {
  const count = borders.length - 1
  if (count <= start + maxTokens && fits(count)) return count
  const farthest = Math.min(start + maxTokens, count - 1)
  for (const isGood of [isBetweenWords, isBetweenCharacters]) {
    for (let end = farthest; end > start + overlap; end--) {
      if (isGood(text, borders[end] as number) && isGood(text, borders[end - overlap] as number) && fits(end))
        return end
    }
  }
  return undefined
}

function isBetweenWords(text: string, at: number): boolean {
  return isBetweenCharacters(text, at) && /\s/.test(text.charAt(at)) && !/\s/.test(text.charAt(at - 1))
}

function isBetweenCharacters(text: string, at: number): boolean {
  return at > 0 && !(isHalf(text, at - 1, 0xd800) && isHalf(text, at, 0xdc00))
}

function isHalf(text: string, at: number, first: number): boolean {
  const code = text.charCodeAt(at)
  return code >= first && code < first + 0x400
}
