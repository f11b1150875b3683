/** @file How many columns of a terminal a text takes, and how it is cut, broken and made harmless for one. */

const ZERO_WIDTH = /^[\p{Mn}\p{Me}\p{Cf}\u1160-\u11ff]$/u
// Where terminals disagree (emoji) two columns are counted: a line that is too short does no harm.
const WIDE =
  /^[\p{Emoji_Presentation}\p{Extended_Pictographic}\p{Regional_Indicator}\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Bopomofo}\p{Script=Yi}\p{Script=Tangut}\u2e80-\u303e\u3099-\u30ff\u3190-\u4dbf\uf900-\ufaff\ufe10-\ufe19\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6]$/u
const ASCII = /^[\x20-\x7e]*$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: those are what must not reach a terminal
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g

/** A blank at which no line is broken; `breakLine` turns it into a common one. */
export const FIXED_BLANK = '\u2007'

/** Columns that a text without control characters takes. */
export function textWidth(text: string): number {
  if (ASCII.test(text)) return text.length
  let width = 0
  for (const character of text) width += characterWidth(character)
  return width
}

function characterWidth(character: string): number {
  if (character.length === 1 && character >= ' ' && character <= '~') return 1
  if (ZERO_WIDTH.test(character)) return 0
  return WIDE.test(character) ? 2 : 1
}

/**
 * The longest beginning of a text that fits into so many columns; where something is cut off, it ends in an ellipsis.
 */
export function cutToWidth(text: string, columns: number): string {
  if (textWidth(text) <= columns) return text
  let width = 0
  let kept = ''
  for (const character of text) {
    width += characterWidth(character)
    if (width > columns - 1) break
    kept += character
  }
  return columns > 0 ? `${kept}\u2026` : ''
}

/**
 * Escape sequences and other control characters of names, paths and rows change nothing on the screen; line breaks
 * stay. Those of ASCII get their picture, as a tab or the CR of a line from Windows is no damage to a row.
 */
export function harmless(text: string): string {
  return text.replace(CONTROL, (character) => {
    const code = character.charCodeAt(0)
    if (code < 0x20) return String.fromCharCode(0x2400 + code)
    return code === 0x7f ? '\u2421' : '\ufffd'
  })
}

/**
 * Breaks a line at its blanks so that no part is wider than the terminal; what follows the first part is indented. A
 * word that is wider stays whole, so that paths can be copied.
 */
export function breakLine(line: string, columns = Number.POSITIVE_INFINITY, indent = '  '): string[] {
  const parts: string[] = []
  let part = ''
  for (const [, blanks, word] of line.matchAll(/( *)([^ ]+)/g) as Iterable<[string, string, string]>) {
    if (part === '') part = blanks + word
    else if (textWidth(part + blanks + word) <= columns) part += blanks + word
    else {
      parts.push(part)
      part = indent + word
    }
  }
  return [...parts, part].map((text) => text.replaceAll(FIXED_BLANK, ' '))
}
