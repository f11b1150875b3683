/**
 * @file What rows say beside their messages of how much these are learnt: weights of messages, of parts of their
 * content, and of ranges of its characters, by the names that OpenAI, Axolotl, ms-swift and torchtune have for them.
 */

import { PythonFloat } from '../lossless-json.js'
import { isObject } from '../values.js'
import { describeOrigin, type RowOrigin, rowError } from './row-origin.js'
import { isPresent, wrongType } from './row-values.js'

type Fields = Record<string, unknown>

/** Characters `[start, end)` of a content, in UTF-16 units, and what they count beside the weight of their message. */
export interface WeightedPart {
  readonly start: number
  readonly end: number
  readonly weight: number
}

// What people write about learning a message, and whether 1 asks for it.
const WEIGHT_KEYS: ReadonlyMap<string, boolean> = new Map([
  ['weight', true],
  ['train', true],
  ['loss', true],
  ['loss_scale', true],
  ['masked', false],
])

// Axolotl's names of ranges of characters.
const RANGE_KEYS: readonly string[] = ['train_detail', 'training_detail']

/** Whether a key of a message or of a part is about learning it, and reaches no template. */
export function isWeightKey(key: string): boolean {
  return WEIGHT_KEYS.has(key) || RANGE_KEYS.includes(key)
}

/**
 * What a message, or a part of it, counts in the loss, by whatever name: 1 as without it, 0 not at all; undefined where
 * it says nothing.
 * @throws for what is no number of at least 0, and for two that differ
 */
export function weightOf(given: Fields, where: string, origin: RowOrigin): number | undefined {
  let weight: number | undefined
  for (const [key, isAsking] of WEIGHT_KEYS) {
    const value = plain(given[key])
    if (!isPresent(value)) continue
    const isNumber = typeof value === 'number' && value >= 0 && Number.isFinite(value)
    // A mask is on or off.
    if (typeof value !== 'boolean' && !(isNumber && (isAsking || value <= 1)))
      throw wrongType('a number of at least 0, or true or false,', `${where}.${key}`, origin, value)
    const asked = isAsking ? Number(value) : 1 - Number(value)
    if (weight !== undefined && weight !== asked) {
      throw rowError(
        origin,
        `[data] expected one answer to whether ${where} in ${describeOrigin(origin)} is learnt, got ${key}: ${value} beside another; ` +
          'remove one',
      )
    }
    weight = asked
  }
  return weight
}

/**
 * Parts of a content that count by themselves; undefined where the message says nothing of them.
 *
 * Axolotl's ranges name the characters that are learnt, the last included; what they leave out is not learnt.
 */
export function weightedParts(
  given: Fields,
  content: unknown,
  where: string,
  origin: RowOrigin,
): readonly WeightedPart[] | undefined {
  const ranges = RANGE_KEYS.find((key) => isPresent(given[key]))
  if (ranges !== undefined) return partsOfRanges(given[ranges], textOfContent(content), `${where}.${ranges}`, origin)
  if (!Array.isArray(given.content)) return undefined
  const parts: WeightedPart[] = []
  let start = 0
  for (const [index, part] of given.content.entries()) {
    const { text } = (content as Fields[])[index] as { text: string }
    const weight = isObject(part) ? weightOf(part, `${where}.content[${index}]`, origin) : undefined
    if (weight !== undefined && text !== '') parts.push({ start, end: start + text.length, weight })
    start += text.length
  }
  return parts.length > 0 ? parts : undefined
}

function partsOfRanges(given: unknown, text: string, where: string, origin: RowOrigin): WeightedPart[] {
  if (!Array.isArray(given)) throw wrongType('a list of { begin_offset, end_offset, train }', where, origin, given)
  const parts: WeightedPart[] = []
  let end = 0
  const leaveOut = (to: number): void => {
    if (to > end) parts.push({ start: end, end: to, weight: 0 })
  }
  for (const [index, range] of given.entries()) {
    const { begin_offset: begin, end_offset: last, train = true } = (isObject(range) ? range : {}) as Fields
    const [start, stop] = [plain(begin), plain(last)]
    const isRange = Number.isInteger(start) && Number.isInteger(stop) && typeof train === 'boolean'
    const from = unitsOf(text, start as number)
    const to = unitsOf(text, (stop as number) + 1)
    if (!isRange || from === undefined || to === undefined || from < end || to <= from) {
      throw wrongType(
        '{ begin_offset, end_offset, train } behind the one before and within the content',
        `${where}[${index}]`,
        origin,
        range,
      )
    }
    leaveOut(from)
    parts.push({ start: from, end: to, weight: Number(train) })
    end = to
  }
  leaveOut(text.length)
  return parts
}

/** Where a character stands, counted as Python counts them; undefined beyond the end. */
function unitsOf(text: string, characters: number): number | undefined {
  let at = 0
  for (let count = 0; count < characters; count++) {
    const code = text.codePointAt(at)
    if (code === undefined) return undefined
    at += code > 0xffff ? 2 : 1
  }
  return at
}

function textOfContent(content: unknown): string {
  if (typeof content === 'string') return content
  return Array.isArray(content) ? content.map(({ text }: { text: string }) => text).join('') : ''
}

function plain(value: unknown): unknown {
  return value instanceof PythonFloat ? value.value : value
}
