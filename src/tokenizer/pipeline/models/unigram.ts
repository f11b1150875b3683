/** @file Unigram: the cut of a piece into tokens whose scores add up to the most. */

import { runAtOnce, type Steps } from '../../../turns.js'
import { type Fields, wrong } from '../fields.js'
import { type Model, noToken, type Spans, type Vocabulary } from './model.js'
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
  const append = (text: string, from: number, to: number, ids: number[], spans: Spans | undefined): void => {
    const push = (id: number, shown: string): void => {
      ids.push(id)
      spans?.starts.push(from)
      spans?.ends.push(to)
      spans?.texts.push(shown)
    }
    const id = vocabulary.ids.get(text)
    if (id !== undefined) {
      push(id, text)
      return
    }
    const bytes = byteIds === undefined ? undefined : Array.from(Buffer.from(text), (byte) => byteIds[byte])
    if (bytes !== undefined && !bytes.includes(undefined)) {
      for (const byte of bytes)
        push(byte!, vocabulary.texts instanceof Map ? '' : (vocabulary.texts as readonly string[])[byte!]!)
      return
    }
    if (unknownId === undefined) throw noToken()
    push(unknownId, text)
  }
  const steps = function* (piece: string, ids: number[], spans?: Spans): Steps<void> {
    const path = yield* bestPath(piece, trie, scoring)
    let position = 0
    let count = 0
    // Unknown characters beside each other are one.
    for (let at = 0; at < path.length; ) {
      const { start, id } = path[at]!
      let { end } = path[at]!
      at++
      while (id === unknownId && at < path.length && path[at]!.id === unknownId) end = path[at++]!.end
      const text = piece.slice(start, end)
      const length = spans === undefined ? 0 : Buffer.byteLength(text)
      append(text, position, position + length, ids, spans)
      position += length
      if (++count % STEP === 0) yield
    }
  }
  return {
    vocabulary,
    tokenize: (piece, ids, spans) => runAtOnce(steps(piece, ids, spans)),
    tokenizeInSteps: steps,
  }
}

interface PathNode {
  readonly start: number
  readonly end: number
  readonly id: number
}

function* bestPath(piece: string, { children, ends }: Trie, scoring: Scoring): Steps<PathNode[]> {
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
  const path: PathNode[] = []
  for (let end = size; end > 0; ) {
    const start = from[end]!
    path.push({ start, end, id: by[end]! })
    end = start
  }
  return path.reverse()
}
