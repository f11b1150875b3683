/** @file Normalizers: what is done to a text before it is cut. */

import {
  type AlignedText,
  type Changes,
  filterChanges,
  prepend,
  replaceMatches,
  replaceUnit,
  transform,
} from './aligned-text.js'
import { byteLetters, toByteLetters } from './bytes.js'
import { type Fields, fieldsOf, isObject } from './fields.js'
import { type Form, formChanges, isAscii } from './normalization-forms.js'
import { readPattern, replaceIn } from './patterns.js'
import { readCharacterMap } from './precompiled.js'
import {
  cleanedAway,
  codesOf,
  combiningMark,
  lowerCase,
  nonspacingMark,
  textOf,
  wellFormed,
  whiteSpace,
} from './unicode.js'

/** One step, or several. */
export interface Normalizer {
  apply(text: AlignedText): AlignedText
  /** The same for the text alone; undefined where that cannot be known without the alignment. */
  readonly plain: ((text: string) => string) | undefined
  /** Whether the first character of the result still comes from the first one of the text. */
  readonly keepsStart: boolean
}

/** A step that is given as the changes of all characters. */
function changing(
  changesOf: (codes: readonly number[]) => Changes & { removedFirst?: number },
  keepsStart: boolean,
): Normalizer {
  return {
    apply: (text) => {
      const changes = changesOf(codesOf(text.text))
      return transform(text, changes, changes.removedFirst)
    },
    plain: (text) => textOf(changesOf(codesOf(text)).codes),
    keepsStart,
  }
}

function filtering(keep: (code: number) => boolean): Normalizer {
  return changing((codes) => filterChanges(codes, keep), false)
}

function mapping(map: (code: number) => number): Normalizer {
  return changing((codes) => ({ codes: codes.map(map), changes: codes.map(() => 0) }), true)
}

function inOrder(steps: readonly Normalizer[]): Normalizer {
  const plain = steps.map((step) => step.plain)
  return {
    apply: (text) => steps.reduce((last, step) => step.apply(last), text),
    plain: plain.includes(undefined) ? undefined : (text) => plain.reduce((last, step) => step!(last), text),
    keepsStart: steps.every((step) => step.keepsStart),
  }
}

/** @throws naming the part that is unknown or damaged */
export function readNormalizer(value: unknown, path: string): Normalizer | undefined {
  if (value === null || value === undefined) return undefined
  const fields = fieldsOf(value, path)
  const normalizer = readOne(fields)
  fields.done()
  return normalizer
}

function readOne(fields: Fields): Normalizer {
  const type = fields.raw('type')
  switch (type) {
    case 'Sequence':
      return inOrder(
        fields.list('normalizers').map((entry, at) => {
          if (!isObject(entry)) throw fields.error(`normalizers[${at}]`, 'an object', entry)
          return readNormalizer(entry, `${fields.path}.normalizers[${at}]`)!
        }),
      )
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return formOf(type)
    case 'Lowercase':
      return lowercase()
    case 'Strip':
      return strip(fields.boolean('strip_left'), fields.boolean('strip_right'))
    case 'StripAccents':
      return filtering((code) => code < 0x300 || !combiningMark().has(code))
    case 'Prepend':
      return prepending(fields.text('prepend'))
    case 'Replace': {
      const pattern = readPattern(fields, 'pattern')
      const content = wellFormed(fields.text('content'))
      const replaced = (text: string): string =>
        pattern.text === undefined
          ? replaceIn(text, pattern.matches(text), content)
          : text.replaceAll(pattern.text, () => content)
      const unit =
        pattern.text !== undefined && pattern.text.length === 1 && content.length === 1 ? pattern.text : undefined
      return {
        apply: (text) =>
          unit === undefined
            ? replaceMatches(text, pattern.matches(text.text), content)
            : replaceUnit(text, unit, content),
        // Text that is inserted at the very beginning comes from nowhere, which later steps tell apart.
        plain: pattern.canBeEmpty ? undefined : replaced,
        keepsStart: content !== '',
      }
    }
    case 'Nmt':
      return inOrder([
        filtering((code) => !NMT_REMOVED.has(code)),
        mapping((code) => (isNmtSpace(code) ? SPACE : code)),
      ])
    case 'ByteLevel':
      return {
        apply: (text) => (text.text === '' ? text : transform(text, byteChanges(text.text))),
        plain: toByteLetters,
        keepsStart: true,
      }
    case 'Precompiled': {
      const changesOf = readCharacterMap(fields)
      return {
        apply: (text) => {
          const changes = changesOf(text.text)
          return changes === undefined ? text : transform(text, changes)
        },
        plain: (text) => {
          const changes = changesOf(text)
          return changes === undefined ? text : textOf(changes.codes)
        },
        keepsStart: false,
      }
    }
    case 'BertNormalizer':
      return bert(fields)
    default:
      throw fields.error('type', 'a normalizer that is known', type)
  }
}

const SPACE = 0x20
const NMT_REMOVED = new Set([
  ...Array.from({ length: 8 }, (_, at) => at + 1),
  0xb,
  0x7f,
  0x8f,
  0x9f,
  ...Array.from({ length: 18 }, (_, at) => at + 0xe),
])
const NMT_SPACES = new Set([
  9, 0xa, 0xc, 0xd, 0x1680, 0x200b, 0x200c, 0x200d, 0x200e, 0x200f, 0x2028, 0x2029, 0x2581, 0xfeff, 0xfffd,
])

function isNmtSpace(code: number): boolean {
  return NMT_SPACES.has(code)
}

/** A text of ASCII that comes from itself stays as it is in every form. */
function isUnchanged(text: AlignedText): boolean {
  return text.starts === undefined && isAscii(text.text)
}

function formOf(form: Form): Normalizer {
  return {
    apply: (text) => (isUnchanged(text) ? text : transform(text, formChanges(text.text, form))),
    plain: (text) => (isAscii(text) ? text : textOf(formChanges(text, form).codes)),
    keepsStart: true,
  }
}

function lowercase(): Normalizer {
  const lowered = (codes: readonly number[]): Changes => {
    const map = lowerCase()
    const out: number[] = []
    const changes: number[] = []
    for (const code of codes) {
      const made = map.get(code)
      if (made === undefined) {
        out.push(code)
        changes.push(0)
        continue
      }
      made.forEach((one, index) => {
        out.push(one)
        changes.push(index === 0 ? 0 : 1)
      })
    }
    return { codes: out, changes }
  }
  return {
    ...changing(lowered, true),
    plain: (text) => (isAscii(text) ? text.toLowerCase() : textOf(lowered(codesOf(text)).codes)),
  }
}

function strip(left: boolean, right: boolean): Normalizer {
  const kept = (codes: readonly number[]): { first: number; last: number } => {
    const spaces = whiteSpace()
    let first = 0
    let last = codes.length
    while (left && first < last && spaces.has(codes[first]!)) first++
    while (right && last > first && spaces.has(codes[last - 1]!)) last--
    return { first, last }
  }
  return {
    apply: (text) => {
      const codes = codesOf(text.text)
      const { first, last } = kept(codes)
      if (first === 0 && last === codes.length) return text
      const rest = codes.slice(first, last)
      return transform(text, { codes: rest, changes: rest.map(() => 0) }, first)
    },
    plain: (text) => {
      const codes = codesOf(text)
      const { first, last } = kept(codes)
      return textOf(codes.slice(first, last))
    },
    keepsStart: !left,
  }
}

function prepending(content: string): Normalizer {
  const codes = codesOf(wellFormed(content))
  return {
    apply: (text) => prepend(text, codes),
    plain: (text) => (text === '' ? '' : content + text),
    keepsStart: codes.length > 0,
  }
}

/** Each byte of the text's UTF-8 as a letter; the letters of one character come from it. */
export function byteChanges(text: string): Changes {
  const letters = byteLetters()
  const codes: number[] = []
  const changes: number[] = []
  const push = (byte: number, change: number): void => {
    codes.push(letters[byte]!)
    changes.push(change)
  }
  for (const code of codesOf(text)) {
    if (code < 0x80) push(code, 0)
    else if (code < 0x800) push(0xc0 | (code >> 6), 0)
    else if (code < 0x10000) push(0xe0 | (code >> 12), 0)
    else push(0xf0 | (code >> 18), 0)
    if (code >= 0x10000) push(0x80 | ((code >> 12) & 63), 1)
    if (code >= 0x800) push(0x80 | ((code >> 6) & 63), 1)
    if (code >= 0x80) push(0x80 | (code & 63), 1)
  }
  return { codes, changes }
}

function isChinese(code: number): boolean {
  return (
    (code >= 0x4e00 && code <= 0x9fff) ||
    (code >= 0x3400 && code <= 0x4dbf) ||
    (code >= 0x20000 && code <= 0x2a6df) ||
    (code >= 0x2a700 && code <= 0x2b73f) ||
    (code >= 0x2b740 && code <= 0x2b81f) ||
    (code >= 0x2b920 && code <= 0x2ceaf) ||
    (code >= 0xf900 && code <= 0xfaff) ||
    (code >= 0x2f800 && code <= 0x2fa1f)
  )
}

function bert(fields: Fields): Normalizer {
  const clean = fields.boolean('clean_text')
  const chinese = fields.boolean('handle_chinese_chars')
  const lower = fields.boolean('lowercase')
  const given = fields.raw('strip_accents')
  if (given !== null && given !== undefined && typeof given !== 'boolean')
    throw fields.error('strip_accents', 'true, false or null')
  const steps: Normalizer[] = []
  if (clean) {
    const spaces = whiteSpace()
    const removed = cleanedAway()
    steps.push(
      filtering((code) => code !== 0 && !removed.has(code)),
      mapping((code) => (spaces.has(code) ? SPACE : code)),
    )
  }
  if (chinese) {
    steps.push(
      changing((codes) => {
        const out: number[] = []
        const changes: number[] = []
        for (const code of codes) {
          if (isChinese(code)) {
            out.push(SPACE, code, SPACE)
            changes.push(0, 1, 1)
          } else {
            out.push(code)
            changes.push(0)
          }
        }
        return { codes: out, changes }
      }, true),
    )
  }
  if (typeof given === 'boolean' ? given : lower) {
    const marks = nonspacingMark()
    steps.push(
      formOf('NFD'),
      filtering((code) => code < 0x300 || !marks.has(code)),
    )
  }
  if (lower) steps.push(lowercase())
  return inOrder(steps)
}
