/** @file Byte-pair encoding: the characters of a piece become tokens, which are merged by rank. */

import { describeValue } from '../../../errors.js'
import { ModelError } from '../../../lowrank-error.js'
import { runAtOnce, type Steps } from '../../../turns.js'
import { utf8Length } from '../bytes.js'
import { type Fields, wrong } from '../fields.js'
import { NumberList, type NumberSink } from '../number-list.js'
import { type Merging, mergeShortWord, mergeWord, type Word } from './bpe-word.js'
import { type MergeTable, mergeTable } from './merge-table.js'
import { type Model, noToken, type Spans, textOfId, type Vocabulary } from './model.js'
import { readVocabulary } from './vocabulary.js'

interface Options {
  readonly unknown: string | undefined
  readonly prefix: string
  readonly suffix: string
  readonly fuseUnknown: boolean
  readonly byteFallback: boolean
  readonly ignoreMerges: boolean
}

const STEP = 2048
const SHORT = 48
const LETTERS = 512
/** Pieces that are remembered: short ones, and so many. */
const CACHED_LENGTH = 64
const CACHED_PIECES = 30_000

/** @throws naming what is damaged, or a merge whose parts are not in the vocabulary */
export function* readBpe(fields: Fields): Steps<Model> {
  const options = readOptions(fields)
  const vocabulary = yield* readVocabulary(fields, 'vocab')
  const table = yield* readMerges(fields, vocabulary, options.prefix)
  return bpeModel(vocabulary, table, options)
}

function readOptions(fields: Fields): Options {
  const optional = (name: string): string | undefined => {
    const value = fields.raw(name)
    if (value === null || value === undefined) return undefined
    if (typeof value !== 'string') throw fields.error(name, 'a string or null')
    return value
  }
  const flag = (name: string): boolean => {
    const value = fields.raw(name) ?? false
    if (typeof value !== 'boolean') throw fields.error(name, 'true, false or null')
    return value
  }
  const dropout = fields.raw('dropout') ?? 0
  // The library leaves merges out at random whenever it encodes, so that no text has ids of its own.
  if (dropout !== 0) throw fields.error('dropout', 'null or 0 (ids must not be left to chance)')
  const options = {
    unknown: optional('unk_token'),
    prefix: optional('continuing_subword_prefix') ?? '',
    suffix: optional('end_of_word_suffix') ?? '',
    fuseUnknown: flag('fuse_unk'),
    byteFallback: flag('byte_fallback'),
    ignoreMerges: flag('ignore_merges'),
  }
  if (options.byteFallback && options.prefix + options.suffix !== '') {
    throw fields.error(
      'byte_fallback',
      'false beside continuing_subword_prefix or end_of_word_suffix (their bytes would become tokens)',
    )
  }
  return options
}

function* readMerges(fields: Fields, { ids }: Vocabulary, prefix: string): Steps<MergeTable> {
  const merges = fields.list('merges')
  const prefixLength = Buffer.byteLength(prefix)
  const table = mergeTable(merges.length)
  let isText: boolean | undefined
  let rank = 0
  for (let at = 0; at < merges.length; at++) {
    if (at % STEP === 0) yield
    const merge = merges[at]
    const where = (): string => `${fields.path}.merges[${at}]`
    if (isText !== undefined && isText !== (typeof merge === 'string')) {
      throw wrong(where(), 'merges that are all texts or all pairs', merge)
    }
    isText = typeof merge === 'string'
    let left: unknown
    let right: unknown
    if (typeof merge === 'string') {
      if (merge.startsWith('#version')) continue
      const space = merge.indexOf(' ')
      if (space < 0 || merge.includes(' ', space + 1)) throw wrong(where(), 'two tokens with a space between', merge)
      left = merge.slice(0, space)
      right = merge.slice(space + 1)
    } else if (Array.isArray(merge) && merge.length === 2) {
      ;[left, right] = merge
    }
    if (typeof left !== 'string' || typeof right !== 'string') throw wrong(where(), 'a pair of tokens', merge)
    const made = left + (prefixLength === 0 ? right : withoutBytes(right, prefixLength))
    const [leftId, rightId, madeId] = [ids.get(left), ids.get(right), ids.get(made)]
    if (leftId === undefined || rightId === undefined || madeId === undefined) {
      throw wrong(where(), 'tokens of the vocabulary that make a token of it', [left, right])
    }
    table.add(leftId, rightId, rank++, madeId)
  }
  return table
}

/** The library drops as many bytes as the prefix has, whatever they are. */
function withoutBytes(text: string, count: number): string {
  const bytes = Buffer.from(text)
  if (bytes.length < count || ((bytes[count] ?? 0) & 0xc0) === 0x80) {
    throw new ModelError(
      `[tokenizer] expected a merge whose second part begins with continuing_subword_prefix, got ${describeValue(text)}`,
    )
  }
  return bytes.subarray(count).toString('utf8')
}

function bpeModel(vocabulary: Vocabulary, table: MergeTable, options: Options): Model {
  const { ids: known } = vocabulary
  const { unknown, prefix, suffix } = options
  const unknownId = unknown === undefined ? undefined : known.get(unknown)
  const byteIds = options.byteFallback ? byteTokens(known) : undefined
  const plain = prefix === '' && suffix === ''
  let recent = new Map<string, Word>()
  let older = new Map<string, Word>()

  const symbolsOf = function* (piece: string, { ids, lengths }: Word<NumberSink>): Steps<void> {
    let pending = -1
    let pendingLength = 0
    let work = 0
    const push = (id: number, length: number): void => {
      ids.push(id)
      lengths.push(length)
    }
    for (let at = 0; at < piece.length; ) {
      const code = piece.codePointAt(at)!
      const end = at + (code > 0xffff ? 2 : 1)
      const length = utf8Length(code)
      let symbol = piece.slice(at, end)
      if (!plain) symbol = (at > 0 ? prefix : '') + symbol + (end === piece.length ? suffix : '')
      at = end
      if (++work % STEP === 0) yield
      const id = known.get(symbol)
      if (id !== undefined) {
        if (pending >= 0) push(pending, pendingLength)
        pending = -1
        push(id, length)
        continue
      }
      const bytes = byteIds === undefined ? undefined : bytesOf(symbol, byteIds)
      if (bytes !== undefined) {
        for (const byte of bytes) push(byte, 1)
        continue
      }
      // Without an unknown token the library leaves the character out.
      if (unknown === undefined) continue
      if (pending >= 0 && options.fuseUnknown) {
        pendingLength += length
        continue
      }
      if (pending >= 0) push(pending, pendingLength)
      if (unknownId === undefined) throw noToken()
      pending = unknownId
      pendingLength = length
    }
    if (pending >= 0) push(pending, pendingLength)
  }

  // Letters that stand for bytes have codes below 512: their ids without a string for each.
  const letterIds = new Int32Array(LETTERS).fill(-1)
  if (plain) {
    for (let code = 0; code < LETTERS; code++) letterIds[code] = known.get(String.fromCharCode(code)) ?? -1
  }
  const wholeId = (piece: string): number | undefined => (options.ignoreMerges ? known.get(piece) : undefined)
  const canMergeShort = plain && pendingFree(options)

  /** Tokens of a piece that is not long. */
  const wordOf = (piece: string): Word => {
    const id = wholeId(piece)
    if (id !== undefined) return { ids: [id], lengths: [Buffer.byteLength(piece)] }
    const word: Word = { ids: [], lengths: [] }
    // Characters beyond the short ones are many or bytes: the merging tells.
    if (piece.length <= SHORT && canMergeShort) {
      runAtOnce(symbolsOf(piece, word))
      mergeShortWord(word, table)
    } else {
      const push = (one: number, length: number): void => {
        word.ids.push(one)
        word.lengths.push(length)
      }
      runAtOnce(longTokens(piece, push))
    }
    return word
  }

  /** The same for a short piece of letters that all have an id, with lengths in letters. */
  const wordOfLetters = (piece: string): Word | undefined => {
    const whole = wholeId(piece)
    if (whole !== undefined) return { ids: [whole], lengths: [piece.length] }
    if (piece.length > SHORT) return undefined
    const word: Word = { ids: [], lengths: [] }
    for (let at = 0; at < piece.length; at++) {
      const code = piece.charCodeAt(at)
      const id = code < LETTERS ? letterIds[code]! : -1
      if (id < 0) return undefined
      word.ids.push(id)
      word.lengths.push(1)
    }
    mergeShortWord(word, table)
    return word
  }

  const longTokens = function* (piece: string, push: (id: number, length: number) => void): Steps<void> {
    const symbols = { ids: new NumberList(), lengths: new NumberList() }
    yield* symbolsOf(piece, symbols)
    const merging: Merging = mergeWord(symbols, table)
    while (merging.advance(STEP)) yield
    while (merging.each(STEP, push)) yield
  }

  const remember = (piece: string, word: Word): void => {
    if (recent.size >= CACHED_PIECES) {
      older = recent
      recent = new Map()
    }
    recent.set(piece, word)
  }

  const cached = (piece: string): Word | undefined => {
    if (piece.length > CACHED_LENGTH) return undefined
    const word = recent.get(piece)
    if (word !== undefined) return word
    const old = older.get(piece)
    if (old !== undefined) remember(piece, old)
    return old
  }

  /** Takes tokens in order. */
  const appending = (ids: NumberList, spans: Spans | undefined): ((id: number, length: number) => void) => {
    let position = 0
    return (id, length) => {
      ids.push(id)
      spans?.push(position, position + length, spans.asksText ? (textOfId(vocabulary, id) ?? '') : '')
      position += length
    }
  }

  return {
    vocabulary,
    ...(canMergeShort && { wordOfLetters }),
    tokenize(piece, ids, spans) {
      let word = cached(piece)
      if (word === undefined) {
        word = wordOf(piece)
        if (piece.length <= CACHED_LENGTH) remember(piece, word)
      }
      if (spans === undefined) {
        for (const id of word.ids) ids.push(id)
        return
      }
      const append = appending(ids, spans)
      for (let at = 0; at < word.ids.length; at++) append(word.ids[at]!, word.lengths[at]!)
    },
    *tokenizeInSteps(piece, ids, spans) {
      const append = appending(ids, spans)
      const id = wholeId(piece)
      if (id === undefined) yield* longTokens(piece, append)
      else append(id, Buffer.byteLength(piece))
    },
  }
}

/**
 * Unknown symbols may stand for several texts, and then an entry that has gone stale can still hold: only the heap
 * tells.
 */
function pendingFree({ unknown, byteFallback }: Options): boolean {
  return unknown === undefined && !byteFallback
}

function byteTokens(known: ReadonlyMap<string, number>): (number | undefined)[] {
  return Array.from({ length: 256 }, (_, byte) => known.get(`<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>`))
}

function bytesOf(symbol: string, byteIds: readonly (number | undefined)[]): number[] | undefined {
  const ids: number[] = []
  for (const byte of Buffer.from(symbol)) {
    const id = byteIds[byte]
    if (id === undefined) return undefined
    ids.push(id)
  }
  return ids
}
