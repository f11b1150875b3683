/** @file Models that look words up: WordPiece, the longest part first, and WordLevel, the whole. */

import { runAtOnce, type Steps } from '../../../turns.js'
import { byteLength } from '../bytes.js'
import type { Fields } from '../fields.js'
import { NumberList } from '../number-list.js'
import { atOnce, type Model, noToken, type Spans } from './model.js'
import { buildTrie, type Trie } from './trie.js'
import { readVocabulary } from './vocabulary.js'

const STEP = 2048
// Letters of a word times those of the longest token, above which not every length of a part is tried.
const LONG_WORK = 1 << 14

/** @throws naming what is damaged */
export function* readWordPiece(fields: Fields): Steps<Model> {
  const unknown = fields.text('unk_token')
  const prefix = fields.text('continuing_subword_prefix')
  const maxCharacters = fields.integer('max_input_chars_per_word')
  const vocabulary = yield* readVocabulary(fields, 'vocab')
  const { ids: known } = vocabulary
  let longest = 0
  for (const token of known.keys()) longest = Math.max(longest, token.length)
  let trie: Trie | undefined
  function* steps(piece: string, ids: NumberList, spans?: Spans): Steps<void> {
    const isLong = piece.length * longest > LONG_WORK
    let parts: Parts | undefined
    if (yield* hasAtMost(piece, maxCharacters)) {
      if (isLong) trie ??= yield* buildTrie(known)
      parts = isLong && trie !== undefined ? yield* partsOfLong(piece, prefix, trie) : longestParts(piece)
    }
    if (parts === undefined) {
      pushWhole(known.get(unknown), unknown, piece, ids, spans)
      return
    }
    let position = 0
    let start = 0
    for (let at = 0; at < parts.ids.length; at++) {
      const end = parts.ends.get(at)
      ids.push(parts.ids.get(at))
      if (spans !== undefined) {
        const part = piece.slice(start, end)
        const first = position
        position += byteLength(part)
        spans.push(first, position, (start > 0 ? prefix : '') + part)
      }
      start = end
      if (at % STEP === STEP - 1) yield
    }
  }
  const longestParts = (piece: string): Parts | undefined => {
    const parts: Parts = { ids: new NumberList(), ends: new NumberList() }
    for (let start = 0; start < piece.length; ) {
      // Nothing longer than the longest token needs to be tried.
      let end = Math.min(piece.length, start + longest)
      let id: number | undefined
      for (; end > start; end--) {
        if (isInside(piece, end)) continue
        id = known.get((start > 0 ? prefix : '') + piece.slice(start, end))
        if (id !== undefined) break
      }
      if (id === undefined) return undefined
      parts.ids.push(id)
      parts.ends.push(end)
      start = end
    }
    return parts
  }
  return { vocabulary, tokenize: (piece, ids, spans) => runAtOnce(steps(piece, ids, spans)), tokenizeInSteps: steps }
}

/** The parts of a word with where each ends. */
interface Parts {
  readonly ids: NumberList
  readonly ends: NumberList
}

/** As trying the longest first, in time that grows with the word times the longest token. */
function* partsOfLong(piece: string, prefix: string, { children, ends }: Trie): Steps<Parts | undefined> {
  const walk = (text: string): number | undefined => {
    let node: number | undefined = 0
    for (let at = 0; at < text.length && node !== undefined; at++) node = children[node]?.get(text.charCodeAt(at))
    return node
  }
  const inner = walk(prefix)
  const parts: Parts = { ids: new NumberList(), ends: new NumberList() }
  let work = 0
  for (let start = 0; start < piece.length; ) {
    let node = start > 0 ? inner : 0
    let last = -1
    let lastEnd = start
    for (let at = start; at < piece.length && node !== undefined; at++) {
      node = children[node]?.get(piece.charCodeAt(at))
      const id = node === undefined ? -1 : (ends[node] ?? -1)
      if (id >= 0 && !isInside(piece, at + 1)) {
        last = id
        lastEnd = at + 1
      }
      if (++work % STEP === 0) yield
    }
    if (last < 0) return undefined
    parts.ids.push(last)
    parts.ends.push(lastEnd)
    start = lastEnd
  }
  return parts
}

/** @throws naming what is damaged */
export function* readWordLevel(fields: Fields): Steps<Model> {
  const unknown = fields.text('unk_token')
  const vocabulary = yield* readVocabulary(fields, 'vocab')
  const { ids: known } = vocabulary
  const model = {
    vocabulary,
    tokenize(piece: string, ids: NumberList, spans?: Spans): void {
      const id = known.get(piece)
      pushWhole(id ?? known.get(unknown), id === undefined ? unknown : piece, piece, ids, spans)
    },
  }
  return { ...model, tokenizeInSteps: (piece, ids, spans) => atOnce(model, piece, ids, spans) }
}

function pushWhole(
  id: number | undefined,
  text: string,
  piece: string,
  ids: NumberList,
  spans: Spans | undefined,
): void {
  if (id === undefined) throw noToken()
  ids.push(id)
  spans?.push(0, byteLength(piece), text)
}

function isInside(text: string, at: number): boolean {
  return at < text.length && (text.charCodeAt(at) & 0xfc00) === 0xdc00
}

/** Whether a text has not more characters. */
function* hasAtMost(text: string, most: number): Steps<boolean> {
  if (text.length <= most) return true
  let characters = 0
  for (let at = 0; at < text.length; at++) {
    if (!isInside(text, at) && ++characters > most) return false
    if (at % STEP === STEP - 1) yield
  }
  return true
}
