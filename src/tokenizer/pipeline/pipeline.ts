/**
 * @file The tokenizer of a tokenizer.json: its parts, read strictly, put together as in the Rust library `tokenizers`.
 * Ids, offsets and decoded text are that library's.
 */

import { runAtOnce, type Steps } from '../../turns.js'
import { type AddedToken, type AddedTokens, addTokens, readAddedTokens } from './added-tokens.js'
import {
  type AlignedText,
  alignedText,
  isUnmoved,
  originEnd,
  originStart,
  type Pausable,
  slice,
} from './aligned-text.js'
import { toByteLetters, utf8Length } from './bytes.js'
import { readDecoder } from './decoders.js'
import { type Fields, fieldsOf, isObject, wrong } from './fields.js'
import { readBpe } from './models/bpe.js'
import { type Model, Spans, textOfId } from './models/model.js'
import { readUnigram } from './models/unigram.js'
import { readWordLevel, readWordPiece } from './models/word-models.js'
import { readNormalizer } from './normalizers.js'
import { NumberList } from './number-list.js'
import { join, pushEdges, readPostProcessor, type Segment } from './post-processors.js'
import { inLetters, readPreTokenizer } from './pre-tokenizers.js'
import { UNITS_PER_STEP } from './text-output.js'
import { tokenBytesOf } from './token-bytes.js'
import { wellFormed } from './unicode.js'
import { type KnownWord, WordTable } from './word-table.js'

/** Ids with the place of each in the text. */
export interface Encoded {
  readonly ids: number[]
  /**
   * Start and end of each token in UTF-16 units: `[start0, end0, start1, ...]`; undefined where they were not asked
   * for.
   */
  readonly offsets: ArrayLike<number> | undefined
}

export interface PipelineEncodeOptions {
  readonly addSpecialTokens: boolean
  /** Whether offsets leave out white space where the post-processor says so. */
  readonly trimOffsets: boolean
  readonly offsets: boolean
}

export interface Pipeline {
  readonly added: AddedTokens
  /** Largest id + 1. */
  readonly idCount: number
  tokenToId(token: string): number | undefined
  idToToken(id: number): string | undefined
  /** Bytes of a token inside a text; undefined for ids without a token and for added tokens. */
  readonly idToBytes: ((id: number) => Uint8Array | undefined) | undefined
  encode(text: string, options: PipelineEncodeOptions): Encoded
  /** The same, interrupted about every millisecond. */
  encodeInSteps(text: string, options: PipelineEncodeOptions): Steps<Encoded>
  /** Ids without a token are left out. */
  decode(ids: ArrayLike<number>, skipSpecialTokens: boolean): string
}

const MODEL_TYPES = ['BPE', 'Unigram', 'WordPiece', 'WordLevel'] as const

/**
 * @param more Further added tokens, or the same with other properties, beside those of the file. Default: none.
 * @throws naming the part of the file that is unknown, damaged or not supported
 */
export function* readPipeline(
  file: unknown,
  more: (inFile: readonly AddedToken[]) => readonly AddedToken[] = () => [],
): Steps<Pipeline> {
  const fields = fieldsOf(file, 'tokenizer.json')
  const version = fields.raw('version') ?? '1.0'
  if (version !== '1.0') throw fields.error('version', '"1.0"')
  // Cutting and filling up rows is the trainer's, as it is transformers' whatever the file says.
  for (const name of ['truncation', 'padding']) {
    const value = fields.raw(name)
    if (value !== null && value !== undefined && !isObject(value)) throw fields.error(name, 'an object or null')
  }
  const model = yield* readModel(fields)
  const normalizer = readNormalizer(fields.raw('normalizer'), 'tokenizer.json.normalizer')
  yield
  const preTokenizer = readPreTokenizer(fields.raw('pre_tokenizer'), 'tokenizer.json.pre_tokenizer')
  yield
  const postProcessor = readPostProcessor(fields.raw('post_processor'), 'tokenizer.json.post_processor')
  yield
  const decoder = readDecoder(fields.raw('decoder'), 'tokenizer.json.decoder')
  const bytesOf = tokenBytesOf(fields.raw('decoder'))
  const tokens = readAddedTokens(fields)
  fields.done()
  const added = addTokens([...tokens, ...more(tokens)], model.vocabulary, normalizer)
  yield

  const { vocabulary } = model
  const usesFirst = preTokenizer?.usesFirst ?? false
  const startIsKnown = !usesFirst || normalizer === undefined || (normalizer.keepsStart && !added.hasNormalized)
  const isPlain =
    startIsKnown &&
    (normalizer === undefined || normalizer.plain !== undefined) &&
    (preTokenizer === undefined || preTokenizer.plain !== undefined)

  // What a word becomes does not depend on where it stands, so words are remembered with their tokens and places.
  const words = new WordTable()
  const cuts = preTokenizer?.cuts
  let ends: Int32Array | undefined
  let units: Uint16Array | undefined
  const tokensOf = (word: string): KnownWord => {
    // Each character of ASCII is one letter, so that tokens cover as many of the one as of the other.
    const letters = cuts?.inByteLetters ? toByteLetters(word) : word
    const known = isAscii(word) ? model.wordOfLetters?.(letters) : undefined
    if (known !== undefined) return { ids: known.ids, offsets: offsetsOf(known.lengths) }
    const ids = new NumberList()
    const offsets = new NumberList()
    const spans = new Spans(undefined)
    const whole = [alignedText(word)]
    for (const piece of cuts?.inByteLetters ? inLetters(whole) : whole) {
      if (piece === undefined) continue
      model.tokenize(piece.text, ids, spans)
      pushOffsets(placesOf(piece), spans, offsets, 0, spans.starts.length)
      spans.clear()
    }
    return { ids: runAtOnce(ids.drain()), offsets: runAtOnce(offsets.drain()) }
  }

  /** The tokens of a short piece whose characters come one from each other. */
  const encodeDirectly = (text: string, shift: number, ids: NumberList, offsets: NumberList | undefined): void => {
    ends ??= new Int32Array(UNITS_PER_STEP)
    units ??= new Uint16Array(UNITS_PER_STEP)
    writeUnits(text, units)
    const count = cuts!.cut({ text, units }, 0, text.length, ends, 0)
    let start = 0
    for (let part = 0; part < count; part++) {
      const end = ends[part]!
      if (!words.put(units, start, end, ids, offsets, shift + start)) {
        const known = tokensOf(text.slice(start, end))
        const { ids: own, offsets: places } = known
        words.add(units, start, end, known)
        for (let at = 0; at < own.length; at++) ids.push(own[at]!)
        if (offsets !== undefined) for (let at = 0; at < places.length; at++) offsets.push(shift + start + places[at]!)
      }
      start = end
    }
  }

  const encodePlain = function* (text: string): Steps<Segment> {
    const ids = new NumberList()
    let work = 0
    for (const part of added.split(text)) {
      if (part === undefined) {
        yield
        continue
      }
      if (part.id !== undefined) {
        ids.push(part.id)
        continue
      }
      if (part.start === part.end) continue
      const raw = text.slice(part.start, part.end)
      const normalized = normalizer === undefined ? raw : yield* normalizer.plain!(raw)
      for (const inner of added.splitNormalized(normalized)) {
        if (inner === undefined) {
          yield
          continue
        }
        if (inner.id !== undefined) {
          ids.push(inner.id)
          continue
        }
        if (inner.start === inner.end) continue
        const piece = normalized.slice(inner.start, inner.end)
        if (cuts !== undefined && piece.length <= UNITS_PER_STEP) {
          encodeDirectly(piece, 0, ids, undefined)
          yield
          continue
        }
        const first = part.start === 0 && inner.start === 0
        for (const word of preTokenizer === undefined ? [piece] : preTokenizer.plain!([piece], first)) {
          if (word === undefined) {
            yield
            continue
          }
          if (word.length > LONG) yield* model.tokenizeInSteps(word, ids)
          else model.tokenize(word, ids)
          work += word.length + 8
          if (work > STEP) {
            work = 0
            yield
          }
        }
      }
    }
    return { ids, offsets: undefined, edges: undefined }
  }

  const encodeAligned = function* (text: string, asks: { offsets: boolean; edges: boolean }): Steps<Segment> {
    const ids = new NumberList()
    const offsets = asks.offsets ? new NumberList() : undefined
    const edges = asks.edges ? new NumberList() : undefined
    const spans = asks.offsets ? new Spans(edges) : undefined
    let work = 0
    for (const part of alignedParts(text)) {
      if (part === undefined) {
        yield
        continue
      }
      const { piece, id } = part
      if (id !== undefined) {
        ids.push(id)
        // All of the piece is the token; in an empty one nothing is.
        offsets?.push(originStart(piece, 0))
        offsets?.push(originEnd(piece, piece.text.length - 1))
        if (edges !== undefined) pushEdges(piece.text, edges)
        continue
      }
      if (cuts !== undefined && edges === undefined && piece.text.length <= UNITS_PER_STEP && isUnmoved(piece)) {
        encodeDirectly(piece.text, piece.shift, ids, offsets)
        yield
        continue
      }
      for (const word of preTokenizer === undefined ? [piece] : preTokenizer.apply([piece])) {
        if (word === undefined) {
          yield
          continue
        }
        if (word.text.length > LONG) yield* model.tokenizeInSteps(word.text, ids, spans)
        else model.tokenize(word.text, ids, spans)
        if (spans !== undefined) {
          if (word.text.length > LONG) yield* pushOffsetsInSteps(word, spans, offsets!)
          else pushOffsets(placesOf(word), spans, offsets!, 0, spans.starts.length)
          spans.clear()
        }
        work += word.text.length + 8
        if (work > STEP) {
          work = 0
          yield
        }
      }
    }
    return { ids, offsets, edges }
  }

  const alignedParts = function* (text: string): Pausable<{ piece: AlignedText; id: number | undefined }> {
    const whole = alignedText(text)
    for (const part of added.split(text)) {
      if (part === undefined) {
        yield undefined
        continue
      }
      const piece = slice(whole, part.start, part.end)
      if (part.id !== undefined) {
        yield { piece, id: part.id }
        continue
      }
      if (piece.text === '') continue
      const normalized = normalizer === undefined ? piece : yield* normalizer.apply(piece)
      for (const inner of added.splitNormalized(normalized.text)) {
        if (inner === undefined) yield undefined
        else if (inner.start < inner.end) yield { piece: slice(normalized, inner.start, inner.end), id: inner.id }
      }
    }
  }

  const encodeInSteps = function* (
    given: string,
    { addSpecialTokens, trimOffsets, offsets }: PipelineEncodeOptions,
  ): Steps<Encoded> {
    const text = wellFormed(given)
    const edges = offsets && trimOffsets && postProcessor?.trims === true
    const segment = offsets || !isPlain ? yield* encodeAligned(text, { offsets, edges }) : yield* encodePlain(text)
    const processed =
      postProcessor === undefined
        ? [segment]
        : yield* postProcessor.process([segment], { addSpecialTokens, trimOffsets, original: text })
    const all = processed.length === 0 ? undefined : yield* join(processed)
    return {
      ids: all === undefined ? [] : yield* all.ids.drain(),
      offsets: offsets ? (all?.offsets === undefined ? [] : yield* all.offsets.drainTyped()) : undefined,
    }
  }

  let idCount = 0
  for (const id of vocabulary.ids.values()) idCount = Math.max(idCount, id + 1)
  for (const id of added.byId.keys()) idCount = Math.max(idCount, id + 1)
  const idToToken = (id: number): string | undefined => added.textOf(id) ?? textOfId(vocabulary, id)
  return {
    added,
    idCount,
    tokenToId: (token) => added.ids.get(token) ?? vocabulary.ids.get(token),
    idToToken,
    idToBytes:
      bytesOf === undefined
        ? undefined
        : (id) => {
            const token = added.byId.has(id) ? undefined : textOfId(vocabulary, id)
            return token === undefined ? undefined : bytesOf(token)
          },
    encode: (text, options) => runAtOnce(encodeInSteps(text, options)),
    encodeInSteps,
    decode(ids, skipSpecialTokens) {
      const tokens: string[] = []
      for (let at = 0; at < ids.length; at++) {
        const token = idToToken(ids[at]!)
        if (token !== undefined && !(skipSpecialTokens && added.special.has(token))) tokens.push(token)
      }
      return decoder === undefined ? tokens.join(' ') : decoder(tokens).join('')
    },
  }
}

function writeUnits(text: string, units: Uint16Array): void {
  Buffer.from(units.buffer, units.byteOffset, units.byteLength).write(text, 'utf16le')
}

function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false
  return true
}

/** Where tokens of these lengths begin that stand one behind the other. */
function offsetsOf(lengths: readonly number[]): number[] {
  const offsets: number[] = []
  let place = 0
  for (const length of lengths) {
    offsets.push(place)
    place += length
    offsets.push(place)
  }
  return offsets
}

const STEP = 16_384
/** Pieces above this length are tokenized in steps of their own. */
const LONG = 4096

function* readModel(fields: Fields): Steps<Model> {
  const value = fields.raw('model')
  const type = value instanceof Map ? value.get('type') : isObject(value) ? value.type : undefined
  if (type !== undefined && !MODEL_TYPES.includes(type)) {
    throw wrong('tokenizer.json.model', `a model of type ${MODEL_TYPES.join(', ')}`, type)
  }
  const model = fields.object('model')
  model.raw('type')
  const read = yield* readModelOf(type ?? guessType(model), model)
  model.done()
  return read
}

/** Files of before 2020 leave the type out: the fields tell. */
function guessType(model: Fields): (typeof MODEL_TYPES)[number] {
  if (model.has('merges')) return 'BPE'
  if (Array.isArray(model.raw('vocab'))) return 'Unigram'
  return model.has('continuing_subword_prefix') ? 'WordPiece' : 'WordLevel'
}

function* readModelOf(type: (typeof MODEL_TYPES)[number], model: Fields): Steps<Model> {
  switch (type) {
    case 'BPE':
      return yield* readBpe(model)
    case 'Unigram':
      return yield* readUnigram(model)
    case 'WordPiece':
      return yield* readWordPiece(model)
    case 'WordLevel':
      return yield* readWordLevel(model)
    default:
      return type satisfies never
  }
}

/**
 * Finds the unit of a text that each byte of its UTF-8 lies in. Bytes are asked for in order, but for a step back now
 * and then.
 */
interface Places {
  readonly word: AlignedText
  unit: number
  bytes: number
}

function placesOf(word: AlignedText): Places {
  return { word, unit: 0, bytes: 0 }
}

/** First unit of the character that a byte lies in. */
function unitAt(places: Places, byte: number): number {
  const { text } = places.word
  while (places.bytes > byte) {
    const isPair = places.unit > 1 && (text.charCodeAt(places.unit - 1) & 0xfc00) === 0xdc00
    places.unit -= isPair ? 2 : 1
    places.bytes -= utf8Length(text.codePointAt(places.unit)!)
  }
  while (places.unit < text.length) {
    const code = text.codePointAt(places.unit)!
    const length = utf8Length(code)
    if (byte < places.bytes + length) break
    places.bytes += length
    places.unit += code > 0xffff ? 2 : 1
  }
  return places.unit
}

/** Places of tokens in the original: those of the first and the last character that they lie in. */
function pushOffsets(places: Places, { starts, ends }: Spans, offsets: NumberList, from: number, to: number): void {
  const { word } = places
  for (let at = from; at < to; at++) {
    const start = starts.get(at)
    const end = ends.get(at)
    // Bytes of one unknown text all stand where it does.
    if (at > 0 && start === starts.get(at - 1) && end === ends.get(at - 1)) {
      offsets.push(offsets.get(offsets.length - 2))
      offsets.push(offsets.get(offsets.length - 2))
      continue
    }
    const first = unitAt(places, start)
    const last = unitAt(places, end - 1)
    offsets.push(originStart(word, first))
    offsets.push(originEnd(word, last))
  }
}

function* pushOffsetsInSteps(word: AlignedText, spans: Spans, offsets: NumberList): Steps<void> {
  const places = placesOf(word)
  const { starts, ends } = spans
  for (let at = 0; at < starts.length; ) {
    const from = at
    while (at < starts.length && at - from < LONG && ends.get(at) - places.bytes < STEP) at++
    if (at > from) pushOffsets(places, spans, offsets, from, at)
    else {
      // A token may cover more than can be gone through at once.
      const first = yield* seek(places, starts.get(at))
      const last = yield* seek(places, ends.get(at++) - 1)
      offsets.push(originStart(word, first))
      offsets.push(originEnd(word, last))
    }
    yield
  }
}

/** `unitAt` for a byte that may be far on. */
function* seek(places: Places, byte: number): Steps<number> {
  while (byte - places.bytes > STEP) {
    unitAt(places, places.bytes + STEP)
    yield
  }
  return unitAt(places, byte)
}
