/** @file The filter urlize: links in the place of URLs and mail addresses. */

import { bind, plainText } from './arguments.js'
import { order } from './compare.js'
import { fail, typeError } from './errors.js'
import type { Filter } from './filters.js'
import { escapeHtml } from './html.js'
import { asIndex } from './numbers.js'
import { repr, str } from './repr.js'
import type { Runtime } from './runtime.js'
import { codePointLength, codePoints, compareText, SPACE_CLASS, splitSpace } from './text.js'
import { isTrue, iterate, Markup, typeName, Undefined, type Value } from './values.js'

const SPACES = new RegExp(`([${SPACE_CLASS}]+)`)
const W = '\\p{L}\\p{N}_'
const URL_PATTERN = new RegExp(
  `^(?:(?:https?://|www\\.)(?:(?:[${W}%\\-]+\\.)+)?(?:[a-z]{2,63}|xn--[${W}%]{2,59})` +
    `|(?:[${W}%\\-]{2,63}\\.)+(?:com|net|int|edu|gov|org|info|mil)` +
    '|https?://(?:\\p{Nd}{1,3}(?:\\.\\p{Nd}{1,3}){3}|\\[(?:[\\p{Nd}a-f]{0,4}:){2}(?:[\\p{Nd}a-f]{0,4}:?){1,6}\\]))' +
    `(?::\\p{Nd}{1,5})?(?:[/?#][^${SPACE_CLASS}]*)?$`,
  'iu',
)
const MAIL_HOST = new RegExp(`^[${W}][${W}.\\-]*\\.[${W}]+$`, 'u')
const HEAD = /^(?:[(<]|&lt;)+/
const SCHEME = new RegExp(`^[${W}.+\\-]{2,}:/{0,2}$`, 'u')
const PAIRS = [
  ['(', ')'],
  ['<', '>'],
  ['&lt;', '&gt;'],
] as const

interface Link {
  /** Attributes of links, each with a blank before it. */
  rel: string
  target: string
  shown: (text: string) => string
  schemes: readonly string[]
}

export const urlizeFilter: Filter = (rt, value, given) => {
  const [limit = null, nofollow = false, target = null, rel = null, schemesGiven = null] = bind(
    'urlize',
    given,
    'trim_url_limit?',
    'nofollow?',
    'target?',
    'rel?',
    'extra_schemes?',
  )
  const words = new Set(isTrue(rel) ? splitSpace(plainText(rel), -1) : [])
  if (isTrue(nofollow)) words.add('nofollow')
  words.add('noopener')
  const attribute = (name: string, text: Value): string => {
    return isTrue(text) ? ` ${name}="${text instanceof Markup ? text.text : escapeHtml(str(rt, text))}"` : ''
  }
  const link: Link = {
    rel: attribute('rel', [...words].sort(compareText).join(' ')),
    target: attribute('target', target),
    shown: shortening(rt, limit),
    schemes: schemesOf(rt, schemesGiven),
  }
  const text = value instanceof Markup ? value.text : escapeHtml(str(rt, value))
  rt.room(text.length)
  return text
    .split(SPACES)
    .map((word, index) => {
      if (index % 2 === 1) return word
      const made = linked(rt, word, link)
      rt.room(made.length)
      return made
    })
    .join('')
}

function shortening(rt: Runtime, limit: Value): (text: string) => string {
  if (limit === null) return (text) => text
  return (text) => {
    if (order(rt, codePointLength(text), limit, '>') <= 0) return text
    const end = Number(asIndex(limit, typeName(limit)))
    return `${codePoints(text).slice(0, end).join('')}...`
  }
}

function schemesOf(rt: Runtime, given: Value): string[] {
  if (given === null) return []
  const schemes: string[] = []
  const iterator = iterate(given)
  for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
    rt.step()
    const scheme = next.value
    if (scheme instanceof Undefined) return scheme.fail()
    if (typeof scheme !== 'string') return typeError('expected string or bytes-like object')
    if (!SCHEME.test(scheme)) fail('FilterArgumentError', `${repr(rt, scheme)} is not a valid URI scheme prefix.`)
    schemes.push(scheme)
  }
  return schemes
}

function linked(rt: Runtime, word: string, link: Link): string {
  const head = HEAD.exec(word)?.[0] ?? ''
  const body = word.slice(head.length)
  let [middle, tail] = splitTail(body)
  for (const [open, close] of PAIRS) {
    const opened = count(middle, open)
    if (opened <= count(middle, close)) continue
    // As many closing ones as the word opened belong to it.
    let end = 0
    for (let moved = Math.min(opened, count(tail, close)); moved > 0; moved--)
      end = tail.indexOf(close, end) + close.length
    middle += tail.slice(0, end)
    tail = tail.slice(end)
  }
  return head + anchored(rt, middle, link) + tail
}

/** Closing brackets and stops at the end of a word, which belong to the sentence. */
function splitTail(word: string): [string, string] {
  let end = word.length
  for (;;) {
    if (end > 0 && ')>.,'.includes(word[end - 1] as string)) end--
    else if (word.slice(Math.max(0, end - 4), end) === '&gt;') end -= 4
    else return [word.slice(0, end), word.slice(end)]
  }
}

function count(text: string, part: string): number {
  return text.split(part).length - 1
}

function anchored(rt: Runtime, word: string, { rel, target, shown, schemes }: Link): string {
  // Python's expressions take these two for the letter i where case is ignored.
  if (URL_PATTERN.test(word.replace(/[\u0130\u0131]/g, 'i'))) {
    const hasScheme = word.startsWith('https://') || word.startsWith('http://')
    return `<a href="${hasScheme ? word : `https://${word}`}"${rel}${target}>${shown(word)}</a>`
  }
  if (word.startsWith('mailto:') && isMail(word.slice(7))) return `<a href="${word}">${word.slice(7)}</a>`
  const mayBeMail = word.includes('@') && !word.startsWith('www.') && !word.startsWith('@') && !word.includes(':')
  if (mayBeMail && isMail(word)) return `<a href="mailto:${word}">${word}</a>`
  let made = word
  for (const scheme of schemes) {
    rt.step()
    if (made === scheme || !made.startsWith(scheme)) continue
    made = `<a href="${made}"${rel}${target}>${made}</a>`
    rt.room(made.length)
  }
  return made
}

function isMail(word: string): boolean {
  const at = word.lastIndexOf('@')
  return at > 0 && MAIL_HOST.test(word.slice(at + 1))
}
