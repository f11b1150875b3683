/** @file Filters for HTML and URLs. */

import { bind } from './arguments.js'
import { fail, typeError, valueError } from './errors.js'
import type { Filter } from './filters.js'
import { escapeHtml, unescapeHtml } from './html.js'
import { isNumeric } from './numbers.js'
import { repr, str } from './repr.js'
import type { Runtime } from './runtime.js'
import { splitSpace } from './text.js'
import { urlizeFilter } from './urlize.js'
import { Dict, isTrue, listOf, Markup, Tuple, textOf, typeName, Undefined, type Value } from './values.js'

function quoteUrl(rt: Runtime, value: Value, forQuery: boolean): string {
  const text = textOf(value) ?? str(rt, value)
  rt.room(text.length * 3)
  const quoted = encodeURIComponent(text).replace(
    /[!'()*]/g,
    (unit) => `%${unit.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return forQuery ? quoted.replaceAll('%20', '+') : quoted.replaceAll('%2F', '/')
}

const urlEncode: Filter = (rt, value, given) => {
  bind('urlencode', given)
  const isIterable = textOf(value) === undefined && !isNumeric(value) && value !== null
  if (!isIterable) return quoteUrl(rt, value, false)
  const items = value instanceof Dict ? Array.from(value.entries(), (pair) => new Tuple(pair)) : listOf(rt, value)
  return items
    .map((item) => {
      const pair = listOf(rt, item)
      if (pair.length !== 2) return valueError('expected pairs of key and value')
      return `${quoteUrl(rt, pair[0] as Value, true)}=${quoteUrl(rt, pair[1] as Value, true)}`
    })
    .join('&')
}

const stripTags: Filter = (rt, value, given) => {
  bind('striptags', given)
  const text = textOf(value) ?? str(rt, value)
  rt.step(text.length >> 4)
  let kept = ''
  let from = 0
  for (let start = text.indexOf('<'); start >= 0; start = text.indexOf('<', from)) {
    const isComment = text.startsWith('<!--', start)
    const end = isComment ? text.indexOf('-->', start + 4) : text.indexOf('>', start)
    if (end < 0) break
    rt.step()
    kept += text.slice(from, start)
    from = end + (isComment ? 3 : 1)
  }
  return unescapeHtml(splitSpace(kept + text.slice(from), -1).join(' '))
}

const xmlAttributes: Filter = (rt, value, given) => {
  const [autospace = true] = bind('xmlattr', given, 'autospace?')
  if (value instanceof Undefined) return value.fail()
  if (!(value instanceof Dict)) return fail('AttributeError', `'${typeName(value)}' object has no attribute 'items'`)
  const items: string[] = []
  for (const [key, item] of value.entries()) {
    if (item === null || item instanceof Undefined) continue
    const name = textOf(key) ?? typeError('expected string or bytes-like object')
    if (/[\s/>=]/.test(name)) valueError(`Invalid character in attribute name: ${repr(rt, name)}`)
    items.push(`${escaped(rt, key).text}="${escaped(rt, item).text}"`)
  }
  const text = items.join(' ')
  return isTrue(autospace) && text !== '' ? ` ${text}` : text
}

function escaped(rt: Runtime, value: Value): Markup {
  if (value instanceof Markup) return value
  const text = str(rt, value)
  rt.room(text.length * 6)
  return new Markup(escapeHtml(text))
}

const escapeFilter: Filter = (rt, value, given) => {
  bind('escape', given)
  return escaped(rt, value)
}

export const HTML_FILTERS: Readonly<Record<string, Filter>> = {
  e: escapeFilter,
  escape: escapeFilter,
  forceescape(rt, value, given) {
    bind('forceescape', given)
    return escaped(rt, textOf(value) ?? str(rt, value))
  },
  safe(rt, value, given) {
    bind('safe', given)
    return value instanceof Markup ? value : new Markup(str(rt, value))
  },
  striptags: stripTags,
  urlencode: urlEncode,
  urlize: urlizeFilter,
  xmlattr: xmlAttributes,
}
