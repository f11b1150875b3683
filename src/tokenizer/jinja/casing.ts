/** @file Upper, lower and title case of whole texts, letter by letter as Python does it. */

import { codePoints } from './text.js'
import { isLower, isTitle, isUpper, titleCase } from './unicode.js'

const CASED = /^\p{Cased}$/u
const CASE_IGNORABLE = /^\p{Case_Ignorable}$/u

/** Lower case of the character at `at`: a sigma that ends a word has a form of its own. */
function lowerAt(points: readonly string[], at: number): string {
  const character = points[at] as string
  if (character !== 'Σ') return character.toLowerCase()
  let before = at - 1
  while (before >= 0 && CASE_IGNORABLE.test(points[before] as string)) before--
  if (before < 0 || !CASED.test(points[before] as string)) return 'σ'
  let after = at + 1
  while (after < points.length && CASE_IGNORABLE.test(points[after] as string)) after++
  return after === points.length || !CASED.test(points[after] as string) ? 'ς' : 'σ'
}

/** `str.title()`: the first letter of each run of cased letters in title case, the others in lower case. */
export function titled(text: string): string {
  let inWord = false
  return each(text, (points, at) => {
    const character = points[at] as string
    const changed = inWord ? lowerAt(points, at) : titleCase(character)
    inWord = isLower(character) || isUpper(character) || isTitle(character)
    return changed
  })
}

/** `str.capitalize()`. */
export function capitalized(text: string): string {
  return each(text, (points, at) => (at === 0 ? titleCase(points[0] as string) : lowerAt(points, at)))
}

/** `str.swapcase()`. */
export function swapped(text: string): string {
  return each(text, (points, at) => {
    const character = points[at] as string
    if (isUpper(character)) return lowerAt(points, at)
    return isLower(character) ? character.toUpperCase() : character
  })
}

/** `str.casefold()`. */
export function folded(text: string): string {
  return each(text, (points, at) => {
    const character = points[at] as string
    // Cherokee folds to upper case, and two letters have a fold that no other letter has.
    if (/[\u13a0-\u13f5ı]/.test(character)) return character
    if (/[\u13f8-\u13fd\uab70-\uabbf]/.test(character)) return character.toUpperCase()
    return character === 'ẞ' ? 'ss' : character.toUpperCase().toLowerCase()
  })
}

function each(text: string, change: (points: readonly string[], at: number) => string): string {
  const points = codePoints(text)
  let result = ''
  for (let at = 0; at < points.length; at++) result += change(points, at)
  return result
}
