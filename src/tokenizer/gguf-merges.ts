/**
 * @file The merges that a SentencePiece vocabulary in a GGUF file means: it merges the neighbours that make the piece
 * of the highest score, so that every way of making a piece of two others is a merge. Found in time that grows with the
 * letters of the vocabulary.
 */

import type { Steps } from '../turns.js'

/** A way to make a token of two others. */
interface Way {
  readonly pair: readonly [string, string]
  readonly score: number
  readonly leftId: number
  readonly rightId: number
  /** Letters of the left part, and of all. */
  readonly leftLength: number
  readonly length: number
}

const BASE = 0x01000193
const LETTERS_PER_STEP = 8192
const SORTED_AT_ONCE = 1024

/**
 * All ways to make the tokens that `isMade` names, those of the highest score first. Among ways of equal score the one
 * with the longer left part goes first, as in the tokenizers that transformers makes of such vocabularies.
 */
export function* mergesOfTokens(
  tokens: readonly string[],
  scores: readonly number[],
  isMade: (id: number) => boolean,
): Steps<(readonly [string, string])[]> {
  const byHash = yield* hashTokens(tokens)
  const ways: Way[] = []
  let work = 0
  for (let id = 0; id < tokens.length; id++) {
    if (!isMade(id) || tokens[id] === '') continue
    const found = waysToMake(tokens, id, scores[id]!, byHash)
    found.sort((a, b) => a.leftId - b.leftId || a.rightId - b.rightId)
    for (const way of found) ways.push(way)
    work += tokens[id]!.length
    if (work > LETTERS_PER_STEP) {
      work = 0
      yield
    }
  }
  const sorted = yield* sortInSteps(
    ways,
    (a, b) => b.score - a.score || b.leftLength - a.leftLength || b.length - a.length,
  )
  return sorted.map(({ pair }) => pair)
}

/**
 * Ids by hash and length of the text: a polynomial, so that those of all beginnings and ends of a text come one from
 * the other.
 */
function* hashTokens(tokens: readonly string[]): Steps<Map<number, number[]>> {
  const byHash = new Map<number, number[]>()
  let work = 0
  for (let id = 0; id < tokens.length; id++) {
    const token = tokens[id]!
    if (token === '') continue
    let hash = 0
    for (let at = 0; at < token.length; at++) hash = (Math.imul(hash, BASE) + token.charCodeAt(at)) | 0
    const key = keyOf(hash, token.length)
    const same = byHash.get(key)
    if (same === undefined) byHash.set(key, [id])
    else same.push(id)
    work += token.length
    if (work > LETTERS_PER_STEP) {
      work = 0
      yield
    }
  }
  return byHash
}

function keyOf(hash: number, length: number): number {
  return (length % 0x100000) * 2 ** 32 + (hash >>> 0)
}

function waysToMake(
  tokens: readonly string[],
  id: number,
  score: number,
  byHash: ReadonlyMap<number, readonly number[]>,
): Way[] {
  const token = tokens[id]!
  const lefts = new Map<number, { ids: readonly number[]; letters: number }>()
  let hash = 0
  let letters = 0
  for (let at = 1; at < token.length; at++) {
    const unit = token.charCodeAt(at - 1)
    hash = (Math.imul(hash, BASE) + unit) | 0
    if ((unit & 0xfc00) !== 0xdc00) letters++
    const ids = byHash.get(keyOf(hash, at))
    if (ids !== undefined) lefts.set(at, { ids, letters })
  }
  if (lefts.size === 0) return []
  const length = letters + ((token.charCodeAt(token.length - 1) & 0xfc00) === 0xdc00 ? 0 : 1)
  const ways: Way[] = []
  hash = 0
  let power = 1
  for (let at = token.length - 1; at > 0; at--) {
    hash = (Math.imul(token.charCodeAt(at), power) + hash) | 0
    power = Math.imul(power, BASE)
    const left = lefts.get(at)
    const rights = left === undefined ? undefined : byHash.get(keyOf(hash, token.length - at))
    if (left === undefined || rights === undefined) continue
    const leftId = left.ids.find((one) => tokens[one] === token.slice(0, at))
    const rightId = rights.find((one) => tokens[one] === token.slice(at))
    if (leftId === undefined || rightId === undefined) continue
    ways.push({ pair: [tokens[leftId]!, tokens[rightId]!], score, leftId, rightId, leftLength: left.letters, length })
  }
  return ways
}

/** Array.prototype.sort in steps: parts first, which are then merged. */
function* sortInSteps<T>(values: readonly T[], compare: (a: T, b: T) => number): Steps<T[]> {
  let runs: T[][] = []
  for (let at = 0; at < values.length; at += SORTED_AT_ONCE) {
    runs.push(values.slice(at, at + SORTED_AT_ONCE).sort(compare))
    yield
  }
  while (runs.length > 1) {
    const merged: T[][] = []
    for (let at = 0; at < runs.length; at += 2) {
      const [left, right] = [runs[at]!, runs[at + 1]]
      merged.push(right === undefined ? left : yield* merge(left, right, compare))
    }
    runs = merged
  }
  return runs[0] ?? []
}

function* merge<T>(left: readonly T[], right: readonly T[], compare: (a: T, b: T) => number): Steps<T[]> {
  const out: T[] = []
  let [l, r] = [0, 0]
  while (l < left.length || r < right.length) {
    const takesLeft = r === right.length || (l < left.length && compare(left[l]!, right[r]!) <= 0)
    out.push(takesLeft ? left[l++]! : right[r++]!)
    if (out.length % SORTED_AT_ONCE === 0) yield
  }
  return out
}
