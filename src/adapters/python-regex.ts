/** @file Python regular expressions (module re) for JavaScript: the common ones mean the same, and the others are errors. */

import { runInNewContext } from 'node:vm'
import { describeValue } from '../errors.js'

// Module paths are short: what takes longer never ends (nested quantifiers).
const TIME_LIMIT_MS = 1000

/**
 * The texts that `pattern` matches as a whole, as `re.fullmatch` does.
 * @throws when the pattern is no Python expression, uses what JavaScript lacks, or takes too long
 */
export function fullMatches(where: string, pattern: string, texts: readonly string[]): string[] {
  const expression = compile(where, pattern)
  try {
    return [
      ...runInNewContext(
        'texts.filter((text) => expression.test(text))',
        { texts, expression },
        { timeout: TIME_LIMIT_MS },
      ),
    ]
  } catch (error) {
    throw new Error(
      `[${where}] the regular expression ${describeValue(pattern)} took longer than ${TIME_LIMIT_MS} ms; avoid nested quantifiers`,
      { cause: error },
    )
  }
}

function compile(where: string, pattern: string): RegExp {
  const fail = (problem: string, cause?: unknown) =>
    new Error(`[${where}] expected a Python regular expression, got ${describeValue(pattern)}: ${problem}`, { cause })
  const { flags, rest } = takeFlags(pattern, fail)
  const source = translate(rest, fail)
  try {
    return new RegExp(`^(?:${source})$`, `u${flags}`)
  } catch (error) {
    throw fail(error instanceof Error ? error.message.replace(/^.*\/: /, '') : String(error), error)
  }
}

type Fail = (problem: string) => Error

/** Leading `(?i)`: the flags that both languages have. */
function takeFlags(pattern: string, fail: Fail): { flags: string; rest: string } {
  const [all = '', letters = ''] = /^\(\?([a-zA-Z]+)\)/.exec(pattern) ?? []
  const unknown = letters.replace(/[imsau]/g, '')
  if (unknown !== '') throw fail(`the flag "${unknown}" is not supported`)
  return { flags: [...new Set(letters.replace(/[au]/g, ''))].join(''), rest: pattern.slice(all.length) }
}

/** Rewrites what the two languages spell differently. JavaScript's strict mode (u) then refuses what it does not know. */
function translate(pattern: string, fail: Fail): string {
  let out = ''
  let inClass = false
  for (let at = 0; at < pattern.length; ) {
    const rest = pattern.slice(at)
    const [token, result] = inClass ? translateInClass(rest, fail) : translateOutside(rest, fail)
    if (!inClass && token.startsWith('[')) inClass = true
    else if (inClass && token === ']') inClass = false
    out += result
    at += token.length
  }
  return out
}

function translateOutside(rest: string, fail: Fail): [token: string, result: string] {
  const [head = ''] = rest
  if (head === '\\') return translateEscape(rest, fail)
  if (head === '[') {
    // A bracket in first place is itself: []a] and [^]a].
    const [token = ''] = /^\[\^?\]?/.exec(rest) ?? []
    return [token, token.endsWith(']') ? `${token.slice(0, -1)}\\]` : token]
  }
  if (head === '{') {
    const [token, least, comma = '', most = ''] = /^\{(\d*)(,?)(\d*)\}/.exec(rest) ?? []
    const isQuantifier = token !== undefined && (least !== '' || comma !== '')
    return isQuantifier ? [token, `{${least || '0'}${comma}${most}}`] : ['{', '\\{']
  }
  if (head === '}' || head === ']') return [head, `\\${head}`]
  const comment = /^\(\?#[^)]*\)/.exec(rest)?.[0]
  if (comment !== undefined) return [comment, '']
  const group = /^\(\?P(?:<(\w+)>|=(\w+)\))/.exec(rest)
  if (group) return [group[0], group[1] === undefined ? `\\k<${group[2]}>` : `(?<${group[1]}>`]
  if (/^\(\?[a-zA-Z-]+[:)]/.test(rest)) throw fail('flags inside of the expression are not supported; put (?i) first')
  return [head, head]
}

function translateInClass(rest: string, fail: Fail): [token: string, result: string] {
  const [head = ''] = rest
  if (head === '\\') return translateEscape(rest, fail)
  return head === '[' ? ['[', '\\['] : [head, head]
}

function translateEscape(rest: string, fail: Fail): [token: string, result: string] {
  const character = [...rest.slice(1, 3)][0]
  if (character === undefined) throw fail('it ends in a backslash')
  const token = `\\${character}`
  if (character === 'A') return [token, '^']
  if (character === 'Z') return [token, '$']
  if (character === 'a') return [token, '\\x07']
  if (/[bBdDsSwWnrtfvxu0-9]/.test(character)) return [token, token]
  if (/[a-zA-Z]/.test(character)) throw fail(`the escape ${token} is not supported`)
  // Python lets any other character be escaped; JavaScript only those that mean something.
  return [token, /[\^$\\.*+?()[\]{}|/-]/.test(character) ? `\\x${hex(character)}` : character]
}

function hex(character: string): string {
  return character.charCodeAt(0).toString(16).padStart(2, '0')
}
