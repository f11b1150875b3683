/** @file The tokens of a template and the place among them that a parser has come to. */

import { fail } from './errors.js'
import type { Token, TokenType } from './lexer.js'

export class TokenCursor {
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens
  }

  get current(): Token {
    return this.#tokens[this.#at] as Token
  }

  /** Goes one token on and gives the one left behind. */
  next(): Token {
    const token = this.current
    if (this.#at < this.#tokens.length - 1) this.#at++
    return token
  }

  /** The token behind the current one. */
  look(): Token {
    return this.#tokens[Math.min(this.#at + 1, this.#tokens.length - 1)] as Token
  }

  isOperator(sign: string): boolean {
    return this.current.type === 'operator' && this.current.text === sign
  }

  isName(name: string): boolean {
    return this.current.type === 'name' && this.current.text === name
  }

  expectType(type: TokenType): Token {
    if (this.current.type === type) return this.next()
    return this.unexpected(type.replace('_', ' '))
  }

  expectOperator(sign: string): void {
    if (!this.skipOperator(sign)) this.unexpected(`'${sign}'`)
  }

  expectName(name: string): void {
    if (!this.skipName(name)) this.unexpected(`'${name}'`)
  }

  skipOperator(sign: string): boolean {
    const found = this.isOperator(sign)
    if (found) this.next()
    return found
  }

  skipName(name: string): boolean {
    const found = this.isName(name)
    if (found) this.next()
    return found
  }

  unexpected(expected: string): never {
    const { type, text, line } = this.current
    const got = type === 'eof' ? 'the end of the template' : text === '' ? type.replace('_', ' ') : JSON.stringify(text)
    return fail('TemplateSyntaxError', `expected ${expected}, got ${got}`, line)
  }
}
