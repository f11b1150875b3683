/** @file SQL of Databricks in pieces, and where a statement refers to tables and files. Runs nothing. */

import { FailedStatement } from './executor.js'

/** A piece of a statement; comments and blanks are none. */
export interface SqlToken {
  readonly kind: 'word' | 'name' | 'text' | 'number' | 'parameter' | 'sign'
  /** As written; of a name, a text and a parameter what it stands for. */
  readonly value: string
}

const TOKEN =
  /(\s+|--[^\n]*|\/\*[\s\S]*?\*\/)|`((?:[^`]|``)*)`|('(?:[^'\\]|\\[\s\S]|'')*'|"(?:[^"\\]|\\[\s\S])*")|(\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|([A-Za-z_]\w*)|(?<![\w`)\]:]):([A-Za-z_]\w*)|(<=>|<>|<=|>=|!=|==|\|\||::|->|=>|[-+*/%(),.;<>=!&|^~[\]{}?:@])/gy

/** @throws FailedStatement for what is no piece of SQL */
export function tokensOf(sql: string): SqlToken[] {
  const tokens: SqlToken[] = []
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < sql.length) {
    const at = TOKEN.lastIndex
    const match = TOKEN.exec(sql)
    if (match === null) throw syntaxError(sql.slice(at, at + 20))
    const [, , name, text, number, word, parameter, sign] = match
    if (name !== undefined) tokens.push({ kind: 'name', value: name.replaceAll('``', '`') })
    else if (text !== undefined) tokens.push({ kind: 'text', value: textOfLiteral(text) })
    else if (number !== undefined) tokens.push({ kind: 'number', value: number })
    else if (word !== undefined) tokens.push({ kind: 'word', value: word })
    else if (parameter !== undefined) tokens.push({ kind: 'parameter', value: parameter })
    else if (sign !== undefined) tokens.push({ kind: 'sign', value: sign })
  }
  while (tokens.at(-1)?.value === ';') tokens.pop()
  if (tokens.some(({ kind, value }) => kind === 'sign' && value === ';')) throw syntaxError(';')
  return tokens
}

export function syntaxError(near: string): FailedStatement {
  return new FailedStatement('BAD_REQUEST', `[PARSE_SYNTAX_ERROR] Syntax error at or near '${near}'. SQLSTATE: 42601`)
}

/** Reads the pieces of a statement from left to right. */
export class SqlReader {
  readonly #tokens: readonly SqlToken[]
  #at = 0

  constructor(tokens: readonly SqlToken[]) {
    this.#tokens = tokens
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#tokens.length
  }

  /** Takes these words or signs, or nothing. @returns whether they were next */
  take(...values: readonly string[]): boolean {
    const isNext = values.every((value, index) => {
      const token = this.#tokens[this.#at + index]
      return (token?.kind === 'word' || token?.kind === 'sign') && token.value.toUpperCase() === value
    })
    if (isNext) this.#at += values.length
    return isNext
  }

  /** @throws FailedStatement where these are not next */
  expect(...values: readonly string[]): void {
    if (!this.take(...values)) throw syntaxError(this.#tokens[this.#at]?.value ?? 'end of input')
  }

  /** A name of parts with dots in between. */
  name(): string[] {
    const parts: string[] = []
    do {
      const token = this.#tokens[this.#at++]
      if (token?.kind !== 'name' && token?.kind !== 'word') throw syntaxError(token?.value ?? 'end of input')
      parts.push(token.value)
    } while (this.take('.'))
    return parts
  }

  text(): string {
    const token = this.#tokens[this.#at++]
    if (token?.kind !== 'text') throw syntaxError(token?.value ?? 'end of input')
    return token.value
  }

  /** `('key' = 'value', ...)` or `('key', ...)`, whose values are then empty. */
  pairs(): Record<string, string> {
    this.expect('(')
    const pairs: Record<string, string> = {}
    do {
      const key = this.#tokens[this.#at]?.kind === 'text' ? this.text() : this.name().join('.')
      pairs[key] = this.take('=') ? this.scalar() : ''
    } while (this.take(','))
    this.expect(')')
    return pairs
  }

  /** A text, a number or a word such as `true`. */
  scalar(): string {
    const token = this.#tokens[this.#at++]
    if (token === undefined || token.kind === 'sign') throw syntaxError(token?.value ?? 'end of input')
    return token.value
  }

  /** All up to the bracket that closes the one that was taken. */
  untilClosed(): SqlToken[] {
    const start = this.#at
    for (let depth = 1; ; this.#at++) {
      const token = this.#tokens[this.#at]
      if (token === undefined) throw syntaxError('end of input')
      if (token.kind === 'sign' && token.value === '(') depth++
      if (token.kind === 'sign' && token.value === ')' && --depth === 0) return this.#tokens.slice(start, this.#at++)
    }
  }

  rest(): SqlToken[] {
    const rest = this.#tokens.slice(this.#at)
    this.#at = this.#tokens.length
    return rest
  }

  /** @throws FailedStatement where anything is left */
  end(): void {
    if (!this.isAtEnd) throw syntaxError(this.#tokens[this.#at]?.value ?? '')
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', r: '\r', t: '\t', b: '\b', 0: '\0', Z: '\u001a' }

function textOfLiteral(literal: string): string {
  return literal.slice(1, -1).replace(/\\(u[0-9A-Fa-f]{4}|[\s\S])|''/g, (whole, escaped: string | undefined) => {
    if (escaped === undefined) return "'"
    if (escaped.length === 5) return String.fromCharCode(Number.parseInt(escaped.slice(1), 16))
    // LIKE and regular expressions keep their own escapes.
    return ESCAPES[escaped] ?? (escaped === '%' || escaped === '_' ? whole : escaped)
  })
}
