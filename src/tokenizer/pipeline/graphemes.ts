/**
 * @file Where what a reader sees as one character ends (extended grapheme clusters of UAX #29), as far as
 * SentencePiece's character maps ask: they look a short one up as a whole.
 */

import { categoryRanges, codeSet, graphemeAttach, graphemePrepend, lazy, mergeRanges, pairsOf } from './unicode.js'

const control = lazy(() => {
  const ranges = ['Cc', 'Cf', 'Zl', 'Zp'].flatMap((name) => pairsOf(categoryRanges(name)!))
  const all = codeSet(mergeRanges([...ranges, [0x2065, 0x2065], [0xfff0, 0xfff8], [0xe0000, 0xe0fff]]))
  return (code: number): boolean => all.has(code) && !graphemeAttach().has(code) && !graphemePrepend().has(code)
})

type Hangul = 'L' | 'V' | 'T' | 'LV' | 'LVT' | undefined

function hangul(code: number): Hangul {
  if (code < 0x1100) return undefined
  if (code <= 0x115f || (code >= 0xa960 && code <= 0xa97c)) return 'L'
  if (code <= 0x11a7 || (code >= 0xd7b0 && code <= 0xd7c6)) return 'V'
  if (code <= 0x11ff || (code >= 0xd7cb && code <= 0xd7fb)) return 'T'
  if (code < 0xac00 || code > 0xd7a3) return undefined
  return (code - 0xac00) % 28 === 0 ? 'LV' : 'LVT'
}

function joinsHangul(before: Hangul, code: number): boolean {
  const here = hangul(code)
  if (before === undefined || here === undefined) return false
  if (before === 'L') return here !== 'T'
  if (before === 'LV' || before === 'V') return here === 'V' || here === 'T'
  return here === 'T'
}

const ZWJ = 0x200d
const isFlag = (code: number): boolean => code >= 0x1f1e6 && code <= 0x1f1ff
const isPicture = (code: number): boolean => /^\p{Extended_Pictographic}$/u.test(String.fromCodePoint(code))

/** A cluster that is gone through character by character. */
export class Cluster {
  #before = 0
  #flags = 0
  /** Whether pictures and marks, and nothing else, stand before. */
  #picture = false

  begin(code: number): void {
    this.#flags = 0
    this.#picture = false
    this.#take(code, graphemeAttach().has(code))
  }

  /** Whether a character belongs to the cluster; it is taken into it then. */
  joins(code: number): boolean {
    const before = this.#before
    const attaches = graphemeAttach().has(code)
    if (before === 13 && code === 10) {
      // The only two controls that stay together.
    } else if (control()(before) || control()(code)) return false
    else if (
      !attaches &&
      !graphemePrepend().has(before) &&
      !joinsHangul(hangul(before), code) &&
      !(before === ZWJ && this.#picture && isPicture(code)) &&
      !(isFlag(before) && isFlag(code) && this.#flags % 2 === 1)
    ) {
      return false
    }
    if (!attaches) this.#picture = false
    this.#take(code, attaches)
    return true
  }

  #take(code: number, attaches: boolean): void {
    this.#flags = isFlag(code) ? this.#flags + 1 : 0
    if (!attaches) this.#picture = code > 0xa8 && isPicture(code)
    this.#before = code
  }
}
