/** @file Escaping for HTML, as markupsafe does it, and the way back, as Python's html.unescape does it. */

import { unsupported, valueError } from './errors.js'
import { codePoints } from './text.js'

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  "'": '&#39;',
  '"': '&#34;',
}

export function escapeHtml(text: string): string {
  return text.replace(/[&<>'"]/g, (character) => ENTITIES[character] as string)
}

/** Names of the characters from U+00A0 to U+00FF. HTML knows these without a semicolon too. */
const LATIN =
  'nbsp iexcl cent pound curren yen brvbar sect uml copy ordf laquo not shy reg macr deg plusmn sup2 sup3 acute micro ' +
  'para middot cedil sup1 ordm raquo frac14 frac12 frac34 iquest Agrave Aacute Acirc Atilde Auml Aring AElig Ccedil ' +
  'Egrave Eacute Ecirc Euml Igrave Iacute Icirc Iuml ETH Ntilde Ograve Oacute Ocirc Otilde Ouml times Oslash Ugrave ' +
  'Uacute Ucirc Uuml Yacute THORN szlig agrave aacute acirc atilde auml aring aelig ccedil egrave eacute ecirc euml ' +
  'igrave iacute icirc iuml eth ntilde ograve oacute ocirc otilde ouml divide oslash ugrave uacute ucirc uuml yacute ' +
  'thorn yuml'

const NAMED: ReadonlyMap<string, string> = new Map([
  ...LATIN.split(' ').map((name, index) => [name, String.fromCharCode(0xa0 + index)] as const),
  ['COPY', '\u00a9'],
  ['REG', '\u00ae'],
  ['amp', '&'],
  ['AMP', '&'],
  ['lt', '<'],
  ['LT', '<'],
  ['gt', '>'],
  ['GT', '>'],
  ['quot', '"'],
  ['QUOT', '"'],
])

/** What the numbers from 0x80 to 0x9f mean, which are windows-1252's. */
const WINDOWS =
  '\u20ac\x81\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152\x8d\u017d\x8f' +
  '\x90\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\x9d\u017e\u0178'

const REFERENCE = /&(#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?)/gu
/** Most digits that Python reads as a decimal integer. */
const MAX_DIGITS = 4300

/**
 * `html.unescape(text)`.
 *
 * @throws for names beyond those of HTML 4's Latin letters, of which HTML has some two thousand
 */
export function unescapeHtml(text: string): string {
  return text.replace(REFERENCE, (_, body: string) => (body.startsWith('#') ? numbered(body) : named(body)))
}

function numbered(body: string): string {
  const isHex = /^#x/i.test(body)
  const digits = body.slice(isHex ? 2 : 1).replace(';', '')
  if (!isHex && digits.length > MAX_DIGITS) return valueError('Exceeds the limit for integer string conversion')
  const code = Number.parseInt(digits, isHex ? 16 : 10)
  if (code === 0 || (code >= 0xd800 && code <= 0xdfff) || code > 0x10ffff) return '\ufffd'
  if (code === 0x0d) return '\r'
  if (code >= 0x80 && code <= 0x9f) return WINDOWS[code - 0x80] as string
  const isControl = code < 9 || code === 11 || (code > 13 && code < 32) || code === 0x7f
  const isNoCharacter = (code & 0xfffe) === 0xfffe || (code >= 0xfdd0 && code <= 0xfdef)
  return isControl || isNoCharacter ? '' : String.fromCodePoint(code)
}

function named(body: string): string {
  const known = NAMED.get(body.endsWith(';') ? body.slice(0, -1) : body)
  if (known !== undefined) return known
  if (body.endsWith(';')) return unsupported(`the HTML entity &${body} in striptags`)
  const points = codePoints(body)
  for (let length = points.length - 1; length > 1; length--) {
    const character = NAMED.get(points.slice(0, length).join(''))
    if (character !== undefined) return character + points.slice(length).join('')
  }
  return `&${body}`
}
