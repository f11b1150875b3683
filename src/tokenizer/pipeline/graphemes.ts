/**
 * @file Where what a reader sees as one character ends (extended grapheme clusters of UAX #29), as far as SentencePiece's character maps ask:
 * they look a short one up as a whole.
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

/** Where the cluster that begins at `start` ends. */
export function clusterEnd(codes: readonly number[], start: number): number {
  let at = start
  let flags = 0
  // Whether pictures and marks, and nothing else, stand before.
  let picture = false
  for (; at < codes.length; at++) {
    const code = codes[at]!
    if (at > start) {
      const before = codes[at - 1]!
      const attaches = graphemeAttach().has(code)
      if (before === 13 && code === 10) {
        // The only two controls that stay together.
      } else if (control()(before) || control()(code)) break
      else if (
        !attaches &&
        !graphemePrepend().has(before) &&
        !joinsHangul(hangul(before), code) &&
        !(before === ZWJ && picture && isPicture(code)) &&
        !(isFlag(before) && isFlag(code) && flags % 2 === 1)
      ) {
        break
      }
      if (!attaches) picture = false
    }
    flags = isFlag(code) ? flags + 1 : 0
    if (!graphemeAttach().has(code)) picture = code > 0xa8 && isPicture(code)
  }
  return at
}
