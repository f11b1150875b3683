/**
 * @file Encoding a text together with character spans of it: which tokens cover which characters. The tokenizers of
 * lowrank say where their tokens stand; for those of other libraries boundaries are found by encoding, and checked.
 */

import { ModelError } from '../lowrank-error.js'
import { runAtOnce, type Steps } from '../turns.js'
import type { TextSpan } from './chat-template.js'
import type { EncodedText, Tokenizer } from './tokenizer.js'

/** Tokens `[start, end)`. */
export interface TokenRange {
  start: number
  end: number
}

/**
 * Encodes `text` once, as a whole, without added special tokens, and finds the tokens that cover each span. A token
 * that only partly lies in a span belongs to it.
 *
 * @param spans In order, without overlap.
 * @throws ModelError when a boundary cannot be placed with certainty.
 */
export function encodeWithSpans(
  tokenizer: Tokenizer,
  text: string,
  spans: readonly TextSpan[],
): { ids: number[]; ranges: TokenRange[] } {
  if (tokenizer.encodeWithOffsets !== undefined) {
    return runAtOnce(rangesByOffsets(tokenizer.encodeWithOffsets(text, WHOLE_TOKENS), text, spans))
  }
  const ids = tokenizer.encode(text, { addSpecialTokens: false })
  const cuts = cutsOf(text, spans)
  const placed = placeBySegments(tokenizer, text, ids, cuts) ?? placeByPrefixes(tokenizer, text, ids, cuts)
  const ranges = spans.map(({ start, end }) => ({
    start: start <= 0 ? 0 : start >= text.length ? ids.length : placed.get(start)!.floor,
    end: end <= 0 ? 0 : end >= text.length ? ids.length : placed.get(end)!.ceil,
  }))
  return { ids, ranges }
}

/** `encodeWithSpans` for texts of any length. Tokenizers of other libraries encode a text at a stretch. */
export function* encodeWithSpanSteps(
  tokenizer: Tokenizer,
  text: string,
  spans: readonly TextSpan[],
): Steps<{ ids: number[]; ranges: TokenRange[] }> {
  if (tokenizer.encodeInSteps === undefined) return encodeWithSpans(tokenizer, text, spans)
  return yield* rangesByOffsets(yield* tokenizer.encodeInSteps(text, WHOLE_TOKENS), text, spans)
}

// A token stands where all of it does, its white space included.
const WHOLE_TOKENS = { addSpecialTokens: false, trimOffsets: false }

function cutsOf(text: string, spans: readonly TextSpan[]): number[] {
  const inside = spans.flatMap((span) => [span.start, span.end]).filter((cut) => cut > 0 && cut < text.length)
  return [...new Set(inside)]
}

// Tokens and spans that are gone through within a fraction of a millisecond.
const PLACES_OF_STEP = 1 << 13

function* rangesByOffsets(
  { ids, offsets }: EncodedText,
  text: string,
  spans: readonly TextSpan[],
): Steps<{ ids: number[]; ranges: TokenRange[] }> {
  const ranges: TokenRange[] = []
  // Tokens wholly before a place, and tokens that begin before it.
  let floor = 0
  let ceil = 0
  let places = 0
  for (const { start, end } of spans) {
    for (; floor < ids.length && offsets[2 * floor + 1]! <= start; floor++) if (++places % PLACES_OF_STEP === 0) yield
    const first = start <= 0 ? 0 : start >= text.length ? ids.length : floor
    for (; floor < ids.length && offsets[2 * floor + 1]! <= end; floor++) if (++places % PLACES_OF_STEP === 0) yield
    for (; ceil < ids.length && offsets[2 * ceil]! < end; ceil++) if (++places % PLACES_OF_STEP === 0) yield
    const after = end <= 0 ? 0 : end >= text.length ? ids.length : Math.max(floor, ceil)
    ranges.push({ start: first, end: after })
    if (++places % PLACES_OF_STEP === 0) yield
  }
  return { ids, ranges }
}

/** Number of tokens wholly before a cut, and number of tokens that begin before it. */
interface Placement {
  floor: number
  ceil: number
}

/** Where the pieces between the cuts encode to the same ids as the whole, the cuts fall between tokens. */
function placeBySegments(
  tokenizer: Tokenizer,
  text: string,
  ids: readonly number[],
  cuts: readonly number[],
): Map<number, Placement> | undefined {
  const placed = new Map<number, Placement>()
  if (cuts.length === 0) return placed
  let position = 0
  let count = 0
  for (const cut of [...cuts, text.length]) {
    const piece = text.slice(position, cut)
    const pieceIds = piece === '' ? [] : tokenizer.encode(piece, { addSpecialTokens: false })
    for (const id of pieceIds) {
      if (ids[count++] !== id) return undefined
    }
    placed.set(cut, { floor: count, ceil: count })
    position = cut
  }
  return count === ids.length ? placed : undefined
}

/**
 * Each prefix is encoded and compared: equal ids are certain; from the first difference on, tokens are taken while
 * their text still is a prefix of the prefix's text.
 */
function placeByPrefixes(
  tokenizer: Tokenizer,
  text: string,
  ids: readonly number[],
  cuts: readonly number[],
): Map<number, Placement> {
  return new Map(cuts.map((cut) => [cut, placeCut(tokenizer, text, ids, cut)]))
}

// A word's tokens change at most this far back when it continues; beyond it, texts that differ are a mistake.
const WINDOW = 64

function placeCut(tokenizer: Tokenizer, text: string, ids: readonly number[], cut: number): Placement {
  const prefix = tokenizer.encode(text.slice(0, cut), { addSpecialTokens: false })
  let same = 0
  while (same < prefix.length && same < ids.length && prefix[same] === ids[same]) same++
  if (same === prefix.length) return { floor: same, ceil: same }
  // Decoding from a few tokens earlier keeps first-token conventions (a dropped leading space) off the comparison.
  const from = Math.max(0, same - 4)
  const target = tokenizer.decode(prefix.slice(from))
  let floor = same
  for (let end = same + 1; end <= Math.min(ids.length, same + WINDOW); end++) {
    const decoded = tokenizer.decode(ids.slice(from, end))
    const complete = withoutPartialCharacter(decoded)
    // A partial character after all of the target is the first one beyond the cut.
    if (target.startsWith(complete) && (complete === decoded || complete.length < target.length)) floor = end
    if (decoded === target) return { floor: end, ceil: end }
    if (decoded.startsWith(target)) return { floor, ceil: end }
  }
  throw new ModelError(
    `[tokenizer] expected tokens to line up with the text at character ${cut} ` +
      `(${JSON.stringify(text.slice(Math.max(0, cut - 12), cut))} | ${JSON.stringify(text.slice(cut, cut + 12))}), got ` +
      'tokens that do not decode to it, so no loss mask can be built; train on all tokens (assistantOnlyLoss: false, ' +
      'completionOnlyLoss: false) or use another tokenizer',
  )
}

/** Tokens can end inside a UTF-8 sequence, which decodes to replacement characters. */
function withoutPartialCharacter(text: string): string {
  return text.replace(/\uFFFD+$/, '')
}
