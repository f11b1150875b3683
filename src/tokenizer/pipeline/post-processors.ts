/** @file Post-processors: the special tokens round a text, and offsets without the white space of tokens. */

import { describeValue } from '../../errors.js'
import { entriesOf, type Fields, fieldsOf, isIndex, isObject } from './fields.js'
import { whiteSpace } from './unicode.js'

/** Tokens with their texts and places, the last two only where offsets are asked for. */
export interface Segment {
  readonly ids: number[]
  readonly texts: readonly string[] | undefined
  /** Start and end of each token in UTF-16 units. */
  readonly offsets: number[] | undefined
}

export interface PostProcessing {
  readonly addSpecialTokens: boolean
  readonly trimOffsets: boolean
  /** The text that offsets point into. */
  readonly original: string
}

export type PostProcessor = (segments: readonly Segment[], options: PostProcessing) => readonly Segment[]

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
      return (segments, options) => steps.reduce((last, step) => step(last, options), segments)
    }
    case 'ByteLevel': {
      const addPrefixSpace = fields.boolean('add_prefix_space')
      const trims = fields.boolean('trim_offsets')
      fields.boolean('use_regex', true)
      return (segments, { original, trimOffsets }) =>
        trims && trimOffsets ? segments.map((segment) => trimmed(segment, original, addPrefixSpace)) : segments
    }
    case 'BertProcessing': {
      const [sep, cls] = [namedToken(fields, 'sep'), namedToken(fields, 'cls')]
      return (segments, { addSpecialTokens }) =>
        addSpecialTokens ? segments.map((segment, at) => join([...(at === 0 ? [cls] : []), segment, sep])) : segments
    }
    case 'RobertaProcessing': {
      const [sep, cls] = [namedToken(fields, 'sep'), namedToken(fields, 'cls')]
      const trims = fields.boolean('trim_offsets')
      const addPrefixSpace = fields.boolean('add_prefix_space')
      return (segments, { addSpecialTokens, original, trimOffsets }) => {
        const plain =
          trims && trimOffsets ? segments.map((segment) => trimmed(segment, original, addPrefixSpace)) : segments
        return addSpecialTokens ? plain.map((segment, at) => join([at === 0 ? cls : sep, segment, sep])) : plain
      }
    }
    case 'TemplateProcessing':
      return template(fields)
    default:
      throw fields.error('type', 'a post-processor that is known', type)
  }
}

/** All of the segments as one. */
export function join(segments: readonly Segment[]): Segment {
  if (segments.length === 1) return segments[0]!
  const texts = segments.map((segment) => segment.texts)
  const offsets = segments.map((segment) => segment.offsets)
  return {
    ids: all(segments.map(({ ids }) => ids)),
    texts: texts.every((part) => part !== undefined) ? all(texts) : undefined,
    offsets: offsets.every((part) => part !== undefined) ? all(offsets) : undefined,
  }
}

function all<T>(parts: readonly (readonly T[])[]): T[] {
  return ([] as T[]).concat(...parts)
}

function special(ids: readonly number[], texts: readonly string[]): Segment {
  return { ids: [...ids], texts, offsets: ids.flatMap(() => [0, 0]) }
}

function namedToken(fields: Fields, name: string): Segment {
  const value = fields.raw(name)
  if (!Array.isArray(value) || value.length !== 2 || typeof value[0] !== 'string' || !isIndex(value[1])) {
    throw fields.error(name, 'a token with its id')
  }
  return special([value[1]], [value[0]])
}

type Piece = Segment | 'A' | 'B'

function template(fields: Fields): PostProcessor {
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
  return (segments, { addSpecialTokens }) => {
    if (segments.length > 2) {
      throw new Error(
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

/** Offsets without the white space with which tokens begin and end; all but a space that was put before the text. */
function trimmed(segment: Segment, original: string, addPrefixSpace: boolean): Segment {
  if (segment.offsets === undefined) return segment
  const spaces = whiteSpace()
  const isSpace = (text: string, at: number): boolean => {
    const code = text.charCodeAt(at)
    return code === SPACE_LETTER || spaces.has(code)
  }
  const offsets = [...segment.offsets]
  segment.texts!.forEach((text, index) => {
    let leading = 0
    while (leading < text.length && isSpace(text, leading)) leading++
    let trailing = 0
    while (trailing < text.length && isSpace(text, text.length - 1 - trailing)) trailing++
    const end = offsets[2 * index + 1]!
    if (leading > 0) {
      const start = offsets[2 * index]!
      const isAdded = (index === 0 || start === 0) && addPrefixSpace && leading === 1
      if (!isAdded) offsets[2 * index] = Math.min(forward(original, start, leading), end)
    }
    if (trailing > 0) {
      const back = backward(original, end, trailing)
      if (back !== undefined) offsets[2 * index + 1] = Math.max(back, offsets[2 * index]!)
    }
  })
  return { ...segment, offsets }
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
