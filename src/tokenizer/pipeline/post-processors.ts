/** @file Post-processors: the special tokens round a text, and offsets without the white space of tokens. */

import { describeValue } from '../../errors.js'
import { ModelError } from '../../lowrank-error.js'
import type { Steps } from '../../turns.js'
import { entriesOf, type Fields, fieldsOf, isIndex, isObject } from './fields.js'
import { NumberList } from './number-list.js'
import { whiteSpace } from './unicode.js'

/** Tokens with their places, where these are asked for. */
export interface Segment {
  readonly ids: NumberList
  /** Start and end of each token in UTF-16 units. */
  readonly offsets: NumberList | undefined
  /** How many white spaces each token begins and ends with, where offsets may leave them out. */
  readonly edges: NumberList | undefined
}

export interface PostProcessing {
  readonly addSpecialTokens: boolean
  readonly trimOffsets: boolean
  /** The text that offsets point into. */
  readonly original: string
}

export interface PostProcessor {
  process(segments: readonly Segment[], options: PostProcessing): Steps<readonly Segment[]>
  /** Whether it asks for the edges of tokens. */
  readonly trims: boolean
}

/** @throws naming the part that is unknown or damaged */
export function readPostProcessor(value: unknown, path: string): PostProcessor | undefined {
  if (value === null || value === undefined) return undefined
  const fields = fieldsOf(value, path)
  const processor = readOne(fields)
  fields.done()
  return processor
}

function readOne(fields: Fields): PostProcessor {
  const type = fields.raw('type')
  switch (type) {
    case 'Sequence': {
      const steps = fields.list('processors').map((entry, at) => {
        const name = `processors[${at}]`
        if (!isObject(entry)) throw fields.error(name, 'an object', entry)
        return readPostProcessor(entry, `${fields.path}.${name}`)!
      })
      return {
        *process(segments, options) {
          let last = segments
          for (const step of steps) last = yield* step.process(last, options)
          return last
        },
        trims: steps.some((step) => step.trims),
      }
    }
    case 'ByteLevel': {
      const addPrefixSpace = fields.boolean('add_prefix_space')
      const trims = fields.boolean('trim_offsets')
      fields.boolean('use_regex', true)
      return { process: (segments, options) => trimmed(trims, segments, options, addPrefixSpace), trims }
    }
    case 'BertProcessing': {
      const [sep, cls] = [namedToken(fields, 'sep'), namedToken(fields, 'cls')]
      return { process: (segments, options) => framed(segments, options, [cls], [], sep), trims: false }
    }
    case 'RobertaProcessing': {
      const [sep, cls] = [namedToken(fields, 'sep'), namedToken(fields, 'cls')]
      const trims = fields.boolean('trim_offsets')
      const addPrefixSpace = fields.boolean('add_prefix_space')
      return {
        *process(segments, options) {
          return yield* framed(yield* trimmed(trims, segments, options, addPrefixSpace), options, [cls], [sep], sep)
        },
        trims,
      }
    }
    case 'TemplateProcessing':
      return { process: template(fields), trims: false }
    default:
      throw fields.error('type', 'a post-processor that is known', type)
  }
}

/** Each segment between tokens: those before the first, and those before the others. */
function* framed(
  segments: readonly Segment[],
  { addSpecialTokens }: PostProcessing,
  first: readonly Segment[],
  others: readonly Segment[],
  after: Segment,
): Steps<readonly Segment[]> {
  if (!addSpecialTokens) return segments
  const all: Segment[] = []
  for (const segment of segments) all.push(yield* join([...(all.length === 0 ? first : others), segment, after]))
  return all
}

/** All of the segments as one. */
export function* join(segments: readonly Segment[]): Steps<Segment> {
  if (segments.length === 1) return segments[0]!
  const offsets = segments.every((segment) => segment.offsets !== undefined) ? new NumberList() : undefined
  const edges = segments.every((segment) => segment.edges !== undefined) ? new NumberList() : undefined
  const all: Segment = { ids: new NumberList(), offsets, edges }
  for (const segment of segments) {
    yield* all.ids.append(segment.ids)
    if (offsets !== undefined) yield* offsets.append(segment.offsets!)
    if (edges !== undefined) yield* edges.append(segment.edges!)
  }
  return all
}

function special(ids: readonly number[], texts: readonly string[]): Segment {
  const segment = { ids: new NumberList(), offsets: new NumberList(), edges: new NumberList() }
  for (const [at, id] of ids.entries()) {
    segment.ids.push(id)
    for (let count = 0; count < 2; count++) segment.offsets.push(0)
    pushEdges(texts[at]!, segment.edges)
  }
  return segment
}

function namedToken(fields: Fields, name: string): Segment {
  const value = fields.raw(name)
  if (!Array.isArray(value) || value.length !== 2 || typeof value[0] !== 'string' || !isIndex(value[1])) {
    throw fields.error(name, 'a token with its id')
  }
  return special([value[1]], [value[0]])
}

type Piece = Segment | 'A' | 'B'

function template(fields: Fields): PostProcessor['process'] {
  const known = new Map<string, Segment>()
  for (const [name, entry] of entriesOf(fields.raw('special_tokens')) ?? []) {
    const token = fieldsOf(entry, `${fields.path}.special_tokens[${describeValue(name)}]`)
    token.text('id')
    const ids = token.list('ids')
    const texts = token.list('tokens')
    if (!ids.every(isIndex)) throw token.error('ids', 'a list of ids', ids)
    if (texts.length !== ids.length || !texts.every((text): text is string => typeof text === 'string')) {
      throw token.error('tokens', `${ids.length} texts, one for each id`, texts)
    }
    token.done()
    known.set(name, special(ids, texts))
  }
  const single = pieces(fields, 'single', known)
  const pair = pieces(fields, 'pair', known)
  if (single.includes('B')) throw fields.error('single', 'no sequence B, which a single text does not have')
  return function* (segments, { addSpecialTokens }) {
    if (segments.length > 2) {
      throw new ModelError(
        `[tokenizer] expected at most one template in ${fields.path}'s sequence, got one behind a template of its own`,
      )
    }
    const used = segments.length === 1 ? single : pair
    return used.flatMap((piece) => {
      if (piece === 'A' || piece === 'B') return [segments[piece === 'A' ? 0 : 1]!]
      return addSpecialTokens ? [piece] : []
    })
  }
}

function pieces(fields: Fields, name: string, known: ReadonlyMap<string, Segment>): Piece[] {
  return fields.list(name).map((value, at) => {
    const [kind, inner] = [...(entriesOf(value) ?? [])][0] ?? []
    const piece = fieldsOf(inner, `${fields.path}.${name}[${at}]`)
    piece.integer('type_id')
    if (kind === 'Sequence') {
      const sequence = piece.oneOf('id', ['A', 'B'])
      piece.done()
      return sequence
    }
    const id = piece.text('id')
    const token = known.get(id)
    if (kind !== 'SpecialToken' || token === undefined) {
      throw fields.error(`${name}[${at}]`, 'a sequence, or a token of special_tokens', value)
    }
    piece.done()
    return token
  })
}

const SPACE_LETTER = 0x120

function isSpace(text: string, at: number): boolean {
  const code = text.charCodeAt(at)
  return code === SPACE_LETTER || whiteSpace().has(code)
}

/** Says how many white spaces a token begins and ends with. */
export function pushEdges(text: string, edges: NumberList): void {
  let leading = 0
  while (leading < text.length && isSpace(text, leading)) leading++
  let trailing = 0
  while (trailing < text.length && isSpace(text, text.length - 1 - trailing)) trailing++
  edges.push(leading)
  edges.push(trailing)
}

const TOKENS_PER_STEP = 4096

/** Offsets without the white space with which tokens begin and end; all but a space that was put before the text. */
function* trimmed(
  trims: boolean,
  segments: readonly Segment[],
  { trimOffsets, original }: PostProcessing,
  addPrefixSpace: boolean,
): Steps<readonly Segment[]> {
  if (!trims || !trimOffsets) return segments
  // A template may use a segment twice.
  for (const { offsets, edges } of new Set(segments)) {
    if (offsets === undefined || edges === undefined) continue
    for (let index = 0; 2 * index < edges.length; index++) {
      if (index % TOKENS_PER_STEP === TOKENS_PER_STEP - 1) yield
      const leading = edges.get(2 * index)
      const trailing = edges.get(2 * index + 1)
      const end = offsets.get(2 * index + 1)
      if (leading > 0) {
        const start = offsets.get(2 * index)
        const isAdded = (index === 0 || start === 0) && addPrefixSpace && leading === 1
        if (!isAdded) offsets.set(2 * index, Math.min(forward(original, start, leading), end))
      }
      if (trailing > 0) {
        const back = backward(original, end, trailing)
        if (back !== undefined) offsets.set(2 * index + 1, Math.max(back, offsets.get(2 * index)))
      }
    }
  }
  return segments
}

/** So many characters on; beyond the text one unit each. */
function forward(text: string, from: number, count: number): number {
  let at = from
  for (let left = count; left > 0; left--) at += (text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1
  return at
}

/** So many characters back; undefined where there are fewer. */
function backward(text: string, from: number, count: number): number | undefined {
  let at = from
  for (let left = count; left > 0; left--) {
    if (at <= 0) return undefined
    at -= at > 1 && (text.codePointAt(at - 2) ?? 0) > 0xffff ? 2 : 1
  }
  return at
}
