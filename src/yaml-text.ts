/**
 * @file The little of YAML that the library itself writes and reads: options in train.yaml, headers of model cards. The
 * YAML package is for what people write; it asks Node for modules in a way that no bundler puts into one ESM file.
 * Imports of src/ only what an object is.
 */

import { isObject } from './values.js'

/** Texts that need no quotes: they begin with a letter and hold nothing that YAML gives a meaning. */
const PLAIN = /^[A-Za-z_/](?:[\w ./@+()-]*[\w./@+()-])?$/
/** Plain texts that readers take for something else. */
const WORDS = /^(?:null|true|false|yes|no|on|off|y|n)$/i
const INDENT = '  '

/** A plain value (what JSON can hold) as a YAML document, in block style, ended by a line break. */
export function yamlText(value: unknown): string {
  const text = block(value, '')
  return text.startsWith('\n') ? text.slice(1) : `${text.trimStart()}\n`
}

/** What stands behind a key's colon: a scalar with its blank, or lines of a deeper level with their breaks. */
function block(value: unknown, indent: string): string {
  if (Array.isArray(value) && value.length > 0) {
    return `\n${value.map((item) => `${indent}-${inItem(block(item, `${indent}${INDENT}`), indent)}\n`).join('')}`
  }
  if (isObject(value)) {
    const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
    if (entries.length > 0) {
      const lines = entries.map(([key, inner]) => {
        const text = block(inner, `${indent}${INDENT}`)
        return `${indent}${scalar(key)}:${text.startsWith('\n') ? text : `${text}\n`}`
      })
      return `\n${lines.join('')}`
    }
  }
  return ` ${scalar(value)}`
}

/** The first line of what an item holds goes behind its dash. */
function inItem(text: string, indent: string): string {
  return text.startsWith('\n') ? ` ${text.slice(1 + indent.length + INDENT.length, -1)}` : text
}

function scalar(value: unknown): string {
  if (typeof value !== 'string') return Array.isArray(value) ? '[]' : JSON.stringify(value)
  if (PLAIN.test(value) && !WORDS.test(value)) return value
  // JSON's quotes and escapes are YAML's; some characters YAML wants escaped that JSON does not.
  return JSON.stringify(value).replace(
    /[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/**
 * The texts under some of the top keys of a YAML mapping that a stranger wrote: a text, or a list of texts. What is
 * written in another way, as in several lines or with an anchor, is left out.
 */
export function readYamlTexts(yaml: string, keys: readonly string[]): Record<string, string | string[]> {
  const found: Record<string, string | string[]> = {}
  const lines = yaml.split(/\r?\n/)
  for (const [index, line] of lines.entries()) {
    const [, key, rest] = /^(\w+):(?:[ \t]+(.*))?$/.exec(line) ?? []
    if (key === undefined || !keys.includes(key)) continue
    const value = rest === undefined || /^(?:#.*)?$/.test(rest) ? listAfter(lines, index) : readValue(rest)
    if (value !== undefined) found[key] = value
  }
  return found
}

/** The items of a block list below a key. */
function listAfter(lines: readonly string[], index: number): string[] | undefined {
  const items: string[] = []
  for (const line of lines.slice(index + 1)) {
    const [, item] = /^[ \t]*-[ \t]+(.*)$/.exec(line) ?? []
    if (item === undefined) break
    const text = readText(item)
    if (text === undefined) return undefined
    items.push(text)
  }
  return items.length > 0 ? items : undefined
}

function readValue(text: string): string | string[] | undefined {
  const [, list] = /^\[([^[\]{}]*)\][ \t]*(?:#.*)?$/.exec(text) ?? []
  if (list === undefined) return readText(text)
  const items = list.split(',').map((item) => readText(item.trim()))
  return items.every((item) => item !== undefined) ? items : undefined
}

/** A text in one line, plain or in quotes, without the comment behind it. */
function readText(source: string): string | undefined {
  const [, double, single, plain] =
    /^(?:("(?:[^"\\]|\\.)*")|'((?:[^']|'')*)'|([^\s"'#|>@`&*!%[\]{},?-].*?|[?-]\S.*?))(?:[ \t]+#.*)?[ \t]*$/.exec(
      source,
    ) ?? []
  if (single !== undefined) return single.replaceAll("''", "'")
  if (plain !== undefined) return /: |:$/.test(plain) ? undefined : plain
  try {
    return double === undefined ? undefined : (JSON.parse(double) as string)
  } catch {
    // An escape that JSON does not have.
    return undefined
  }
}
