/** @file Normalizers: what is done to a text before it is cut. */

import type { Steps } from '../../turns.js'
import {
  type AlignedText,
  isReplacedWhole,
  keepRange,
  prepend,
  replaceMatches,
  replaceUnit,
  replaceUnitIn,
  transform,
} from './aligned-text.js'
import { putByteLetters } from './byte-level.js'
import { toByteLettersInSteps } from './bytes.js'
import { type Fields, fieldsOf, isObject } from './fields.js'
import { type Form, putForm } from './normalization-forms.js'
import { readPattern, replaceIn } from './patterns.js'
import { readCharacterMap } from './precompiled.js'
import { type Changing, eachCode, isAscii, mapCodes, TextOutput, UNITS_PER_STEP } from './text-output.js'
import { cleanedAway, codesOf, combiningMark, lowerCase, nonspacingMark, wellFormed, whiteSpace } from './unicode.js'

/** One step, or several. */
export interface Normalizer {
  apply(text: AlignedText): Steps<AlignedText>
  /** The same for the text alone; undefined where that cannot be known without the alignment. */
  readonly plain: ((text: string) => Steps<string>) | undefined
  /** Whether the first character of the result still comes from the first one of the text. */
  readonly keepsStart: boolean
}

/** A step that puts new characters in the place of all. */
function changing(change: Changing, keepsStart: boolean): Normalizer & { plain: object } {
  return {
    apply: (text) => transform(text, change),
    *plain(text) {
      const output = new TextOutput()
      return (yield* change(text, output)) ? output.finish() : text
    },
    keepsStart,
  }
}

function filtering(keep: (code: number) => boolean): Normalizer {
  return changing(function* (text, output) {
    yield* eachCode(text, (code) => {
      if (keep(code)) output.put(code, 0)
      else output.remove(1)
    })
    return true
  }, false)
}

/** A step that puts one character of the same plane in the place of each. */
function mapping(map: (code: number) => number): Normalizer & { plain: object } {
  const whole = changing(function* (text, output) {
    yield* eachCode(text, (code) => output.put(map(code), 0))
    return true
  }, true)
  const plain = (text: string): Steps<string> => mapCodes(text, map)
  return {
    *apply(text) {
      return isReplacedWhole(text) ? { ...text, text: yield* plain(text.text) } : yield* whole.apply(text)
    },
    plain,
    keepsStart: true,
  }
}

function inOrder(steps: readonly Normalizer[]): Normalizer {
  const plain = steps.flatMap((step) => step.plain ?? [])
  return {
    *apply(text) {
      let last = text
      for (const step of steps) last = yield* step.apply(last)
      return last
    },
    plain:
      plain.length < steps.length
        ? undefined
        : function* (text) {
            let last = text
            for (const step of plain) last = yield* step(last)
            return last
          },
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
      const unit =
        pattern.text !== undefined && pattern.text.length === 1 && content.length === 1 ? pattern.text : undefined
      return {
        apply: (text) =>
          unit === undefined
            ? replaceMatches(text, pattern.matches(text.text), content)
            : replaceUnit(text, unit, content),
        // Text that is inserted at the very beginning comes from nowhere, which later steps tell apart.
        plain: pattern.canBeEmpty
          ? undefined
          : (text) =>
              pattern.text?.length === 1
                ? replaceUnitIn(text, pattern.text, content)
                : replaceIn(text, pattern.matches(text), content),
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
        ...changing(putByteLetters, true),
        plain: toByteLettersInSteps,
      }
    case 'Precompiled':
      return changing(readCharacterMap(fields), false)
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

function formOf(form: Form): Normalizer {
  const whole = changing(function* (text, output) {
    yield* putForm(text, form, output)
    return true
  }, true)
  return {
    *apply(text) {
      return isReplacedWhole(text) && (yield* isAscii(text.text)) ? text : yield* whole.apply(text)
    },
    *plain(text) {
      return (yield* isAscii(text)) ? text : yield* whole.plain(text)
    },
    keepsStart: true,
  }
}

/** The only character that has two in lower case. */
const CAPITAL_I_WITH_DOT = '\u0130'

function lowercase(): Normalizer {
  const whole = changing(function* (text, output) {
    const map = lowerCase()
    yield* eachCode(text, (code) => {
      const made = map.get(code)
      if (made === undefined) output.put(code, 0)
      else for (let index = 0; index < made.length; index++) output.put(made[index]!, index === 0 ? 0 : 1)
    })
    return true
  }, true)
  const single = mapping((code) => (code < 0x80 ? lowerAscii(code) : (lowerCase().get(code)?.[0] ?? code)))
  return {
    apply: (text) => (text.text.includes(CAPITAL_I_WITH_DOT) ? whole : single).apply(text),
    plain: (text) => (text.includes(CAPITAL_I_WITH_DOT) ? whole : single).plain(text),
    keepsStart: true,
  }
}

function lowerAscii(code: number): number {
  return code >= 0x41 && code <= 0x5a ? code + 0x20 : code
}

function strip(left: boolean, right: boolean): Normalizer {
  const kept = function* (text: string): Steps<{ first: number; last: number }> {
    const spaces = whiteSpace()
    let first = 0
    let last = text.length
    // All white space is one unit.
    while (left && first < last && spaces.has(text.charCodeAt(first))) if (++first % UNITS_PER_STEP === 0) yield
    while (right && last > first && spaces.has(text.charCodeAt(last - 1))) if (--last % UNITS_PER_STEP === 0) yield
    return { first, last }
  }
  const whole = changing(function* (text, output) {
    const { first, last } = yield* kept(text)
    if (first === 0 && last === text.length) return false
    output.remove(first)
    yield* eachCode(text.slice(first, last), (code) => output.put(code, 0))
    return true
  }, !left)
  return {
    *apply(text) {
      if (!isReplacedWhole(text)) return yield* whole.apply(text)
      const { first, last } = yield* kept(text.text)
      return first === 0 && last === text.text.length ? text : keepRange(text, first, last)
    },
    *plain(text) {
      const { first, last } = yield* kept(text)
      return text.slice(first, last)
    },
    keepsStart: !left,
  }
}

function prepending(content: string): Normalizer {
  const codes = codesOf(wellFormed(content))
  return {
    apply: (text) => prepend(text, codes),
    // biome-ignore lint/correctness/useYield: nothing in it takes long
    *plain(text) {
      return text === '' ? '' : content + text
    },
    keepsStart: codes.length > 0,
  }
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
      changing(function* (text, output) {
        yield* eachCode(text, (code) => {
          if (!isChinese(code)) {
            output.put(code, 0)
            return
          }
          output.put(SPACE, 0)
          output.put(code, 1)
          output.put(SPACE, 1)
        })
        return true
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
