/**
 * @file The tokenizer of a tokenizer.json: its parts, read strictly, put together as in the Rust library `tokenizers`. Ids, offsets and decoded
 * text are that library's.
 */

import { runAtOnce, type Steps } from '../../turns.js'
import { type AddedToken, type AddedTokens, addTokens, readAddedTokens } from './added-tokens.js'
import { type AlignedText, alignedText, originEnd, originStart, slice } from './aligned-text.js'
import { utf8Length } from './bytes.js'
import { readDecoder } from './decoders.js'
import { type Fields, fieldsOf, isObject, wrong } from './fields.js'
import { readBpe } from './models/bpe.js'
import { type Model, type Spans, textOfId } from './models/model.js'
import { readUnigram } from './models/unigram.js'
import { readWordLevel, readWordPiece } from './models/word-models.js'
import { readNormalizer } from './normalizers.js'
import { join, readPostProcessor, type Segment } from './post-processors.js'
import { readPreTokenizer } from './pre-tokenizers.js'
import { wellFormed } from './unicode.js'

/** Ids with the place of each in the text. */
export interface Encoded {
  readonly ids: number[]
  /** Start and end of each token in UTF-16 units: `[start0, end0, start1, ...]`; undefined where they were not asked for. */
  readonly offsets: number[] | undefined
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

  const encodePlain = function* (text: string): Steps<Segment> {
    const ids: number[] = []
    let work = 0
    for (const part of added.split(text)) {
      if (part.id !== undefined) {
        ids.push(part.id)
        continue
      }
      if (part.start === part.end) continue
      const raw = text.slice(part.start, part.end)
      const normalized = normalizer === undefined ? raw : normalizer.plain!(raw)
      for (const inner of added.splitNormalized(normalized)) {
        if (inner.id !== undefined) {
          ids.push(inner.id)
          continue
        }
        if (inner.start === inner.end) continue
        const piece = normalized.slice(inner.start, inner.end)
        const first = part.start === 0 && inner.start === 0
        for (const word of preTokenizer === undefined ? [piece] : preTokenizer.plain!([piece], first)) {
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
    return { ids, texts: undefined, offsets: undefined }
  }

  const encodeAligned = function* (text: string): Steps<Segment> {
    const ids: number[] = []
    const texts: string[] = []
    const offsets: number[] = []
    let work = 0
    for (const part of alignedParts(text)) {
      if (part === undefined) {
        yield
        continue
      }
      const { piece, id } = part
      if (id !== undefined) {
        ids.push(id)
        texts.push(piece.text)
        // All of the piece is the token; in an empty one nothing is.
        offsets.push(originStart(piece, 0), originEnd(piece, piece.text.length - 1))
        continue
      }
      for (const word of preTokenizer === undefined ? [piece] : preTokenizer.apply([piece])) {
        const spans: Spans = { starts: [], ends: [], texts }
        if (word.text.length > LONG) yield* model.tokenizeInSteps(word.text, ids, spans)
        else model.tokenize(word.text, ids, spans)
        yield* pushOffsets(word, spans, offsets)
        work += word.text.length + 8
        if (work > STEP) {
          work = 0
          yield
        }
      }
    }
    return { ids, texts, offsets }
  }

  // Between two parts of a long text there is nothing now and then, where the work may be interrupted.
  const alignedParts = function* (text: string): Iterable<{ piece: AlignedText; id: number | undefined } | undefined> {
    const whole = alignedText(text)
    for (const part of added.split(text)) {
      const piece = slice(whole, part.start, part.end)
      if (part.id !== undefined) {
        yield { piece, id: part.id }
        continue
      }
      if (piece.text === '') continue
      if (piece.text.length > LONG) yield undefined
      const normalized = normalizer === undefined ? piece : normalizer.apply(piece)
      if (piece.text.length > LONG) yield undefined
      for (const inner of added.splitNormalized(normalized.text)) {
        if (inner.start < inner.end) yield { piece: slice(normalized, inner.start, inner.end), id: inner.id }
      }
    }
  }

  const encodeInSteps = function* (
    given: string,
    { addSpecialTokens, trimOffsets, offsets }: PipelineEncodeOptions,
  ): Steps<Encoded> {
    const text = wellFormed(given)
    const segment = offsets || !isPlain ? yield* encodeAligned(text) : yield* encodePlain(text)
    if (segment.ids.length > LONG) yield
    const processed =
      postProcessor === undefined
        ? [segment]
        : postProcessor([segment], { addSpecialTokens, trimOffsets, original: text })
    const all = processed.length === 0 ? { ids: [], offsets: [] } : join(processed)
    return { ids: all.ids, offsets: offsets ? all.offsets : undefined }
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

/** Places of tokens in the original: those of the first and the last character that they lie in. */
function* pushOffsets(word: AlignedText, { starts, ends }: Spans, offsets: number[]): Steps<void> {
  const { text } = word
  let unit = 0
  let bytes = 0
  // First unit of the character that a byte lies in; bytes are asked for in order, but for those of one character.
  const unitAt = (byte: number): number => {
    if (byte < bytes) {
      unit = 0
      bytes = 0
    }
    while (unit < text.length) {
      const code = text.codePointAt(unit)!
      const length = utf8Length(code)
      if (byte < bytes + length) break
      bytes += length
      unit += code > 0xffff ? 2 : 1
    }
    return unit
  }
  for (let at = 0; at < starts.length; at++) {
    const first = unitAt(starts[at]!)
    const last = unitAt(ends[at]! - 1)
    offsets.push(originStart(word, first), originEnd(word, last))
    if (at % 8192 === 8191) yield
  }
}
