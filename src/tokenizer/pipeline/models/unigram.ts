/** @file Unigram: the cut of a piece into tokens whose scores add up to the most. */

import { runAtOnce, type Steps } from '../../../turns.js'
import { byteLength } from '../bytes.js'
import { type Fields, wrong } from '../fields.js'
import type { NumberList } from '../number-list.js'
import { type Model, noToken, type Spans, textOfId, type Vocabulary } from './model.js'
import { buildTrie, type Trie } from './trie.js'

const STEP = 2048
/** How much less than the least token an unknown character scores. */
const UNKNOWN_PENALTY = 10

/** @throws naming what is damaged */
export function* readUnigram(fields: Fields): Steps<Model> {
  const entries = fields.list('vocab')
  const byteFallback = fields.boolean('byte_fallback', false)
  const unknown = fields.raw('unk_id')
  const unknownId = unknown === null || unknown === undefined ? undefined : fields.integer('unk_id')
  if (unknownId !== undefined && unknownId >= entries.length)
    throw fields.error('unk_id', `one of ${entries.length} tokens`)
  const ids = new Map<string, number>()
  const texts: string[] = []
  const scores = new Float64Array(entries.length)
  let least = Number.POSITIVE_INFINITY
  for (let id = 0; id < entries.length; id++) {
    const entry = entries[id]
    if (!Array.isArray(entry) || entry.length !== 2 || typeof entry[0] !== 'string' || typeof entry[1] !== 'number') {
      throw wrong(`${fields.path}.vocab[${id}]`, 'a token with its score', entry)
    }
    ids.set(entry[0], id)
    texts.push(entry[0])
    scores[id] = entry[1]
    least = Math.min(least, entry[1])
    if (id % STEP === 0) yield
  }
  const vocabulary: Vocabulary = { ids, texts, size: entries.length }
  const trie = yield* buildTrie(ids)
  return unigramModel(vocabulary, trie, { scores, unknownScore: least - UNKNOWN_PENALTY, unknownId, byteFallback })
}

interface Scoring {
  readonly scores: Float64Array
  readonly unknownScore: number
  readonly unknownId: number | undefined
  readonly byteFallback: boolean
}

function unigramModel(vocabulary: Vocabulary, trie: Trie, scoring: Scoring): Model {
  const { unknownId } = scoring
  const byteIds = scoring.byteFallback
    ? Array.from({ length: 256 }, (_, byte) =>
        vocabulary.ids.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`),
      )
    : undefined
  /** What no token of the path says may be a token, or bytes. */
  const appendUnknown = function* (
    text: string,
    from: number,
    to: number,
    ids: NumberList,
    spans: Spans | undefined,
  ): Steps<void> {
    const push = (id: number, shown: string): void => {
      ids.push(id)
      spans?.push(from, to, shown)
    }
    const id = vocabulary.ids.get(text)
    if (id !== undefined) {
      push(id, text)
      return
    }
    const bytes = byteIds === undefined ? undefined : Buffer.from(text)
    if (bytes !== undefined && (yield* haveIds(bytes, byteIds!))) {
      for (let at = 0; at < bytes.length; at++) {
        const byte = byteIds![bytes[at]!]!
        push(byte, textOfId(vocabulary, byte) ?? '')
        if (at % STEP === STEP - 1) yield
      }
      return
    }
    if (unknownId === undefined) throw noToken()
    push(unknownId, text)
  }
  const steps = function* (piece: string, ids: NumberList, spans?: Spans): Steps<void> {
    const { next, by } = yield* bestPath(piece, trie, scoring)
    let position = 0
    let count = 0
    // Unknown characters beside each other are one.
    for (let start = 0; start < piece.length; ) {
      const id = by[start]
      let end = next[start]!
      while (id === unknownId && end < piece.length && by[end] === unknownId) {
        end = next[end]!
        if (++count % STEP === 0) yield
      }
      const text = piece.slice(start, end)
      const length = spans === undefined ? 0 : byteLength(text)
      if (id === unknownId) yield* appendUnknown(text, position, position + length, ids, spans)
      else {
        ids.push(id!)
        spans?.push(position, position + length, text)
      }
      position += length
      start = end
      if (++count % STEP === 0) yield
    }
  }
  return {
    vocabulary,
    tokenize: (piece, ids, spans) => runAtOnce(steps(piece, ids, spans)),
    tokenizeInSteps: steps,
  }
}

function* haveIds(bytes: Uint8Array, byteIds: readonly (number | undefined)[]): Steps<boolean> {
  for (let at = 0; at < bytes.length; at++) {
    if (byteIds[bytes[at]!] === undefined) return false
    if (at % STEP === STEP - 1) yield
  }
  return true
}

/** For each place where a token of the path begins, where it ends and its id. */
interface Path {
  readonly next: Int32Array
  readonly by: Int32Array
}

function* bestPath(piece: string, { children, ends }: Trie, scoring: Scoring): Steps<Path> {
  const size = piece.length
  const best = new Float64Array(size + 1)
  const from = new Int32Array(size + 1).fill(-1)
  const by = new Int32Array(size + 1)
  const offer = (start: number, end: number, score: number, id: number): void => {
    if (from[end] !== -1 && score <= best[end]!) return
    best[end] = score
    from[end] = start
    by[end] = id
  }
  let work = 0
  for (let start = 0; start < size; ) {
    const code = piece.codePointAt(start)!
    const single = start + (code > 0xffff ? 2 : 1)
    const till = best[start]!
    let found = false
    let node = 0
    for (let at = start; at < size; at++) {
      const child = children[node]?.get(piece.charCodeAt(at))
      if (child === undefined) break
      node = child
      const id = ends[node]!
      if (++work % STEP === 0) yield
      if (id < 0) continue
      offer(start, at + 1, scoring.scores[id]! + till, id)
      if (at + 1 === single) found = true
    }
    if (!found) {
      const isBetter = from[single] === -1 || scoring.unknownScore + till > best[single]!
      if (isBetter && scoring.unknownId === undefined) throw noToken()
      offer(start, single, scoring.unknownScore + till, scoring.unknownId ?? -1)
    }
    if (++work % STEP === 0) yield
    start = single
  }
  // From the end to the start first, then the other way round, in the same places.
  for (let end = size, start = from[end]!, id = by[end]!; end > 0; ) {
    const [earlier, earlierId] = [from[start]!, by[start]!]
    from[start] = end
    by[start] = id
    end = start
    start = earlier
    id = earlierId
    if (++work % STEP === 0) yield
  }
  return { next: from, by }
}
