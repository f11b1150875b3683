/** @file Finds the end of a value of JSON while it comes, and the first character that cannot belong to one. */

/** `inside`: the value goes on; `done`: it ends with this character; `wrong`: it is no JSON. */
export type ScanResult = 'inside' | 'done' | 'wrong'

type Place = 'value' | 'first value' | 'key' | 'first key' | 'colon' | 'next' | 'string' | 'escape' | 'hex' | 'bare'

const NUMBER = /^-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/
const LONGEST_BARE = 1000
const DEEPEST = 1000

/** Reads an object or a string, character by character. */
export class JsonScanner {
  /** Brackets that are open. */
  readonly #open: string[] = []
  #place: Place = 'value'
  #isKey = false
  #hexDigits = 0
  #bare = ''

  push(char: string): ScanResult {
    switch (this.#place) {
      case 'string':
        return this.#inString(char)
      case 'escape':
        if (char === 'u') this.#hexDigits = 4
        else if (!'"\\/bfnrt'.includes(char)) return 'wrong'
        this.#place = char === 'u' ? 'hex' : 'string'
        return 'inside'
      case 'hex':
        if (!/^[0-9a-fA-F]$/.test(char)) return 'wrong'
        if (--this.#hexDigits === 0) this.#place = 'string'
        return 'inside'
      case 'bare':
        return this.#inBare(char)
      default:
        return isSpace(char) && this.#open.length > 0 ? 'inside' : this.#between(char)
    }
  }

  #inString(char: string): ScanResult {
    if (char === '\\') this.#place = 'escape'
    else if (char < ' ') return 'wrong'
    else if (char === '"') {
      if (this.#open.length === 0) return 'done'
      this.#place = this.#isKey ? 'colon' : 'next'
    }
    return 'inside'
  }

  #inBare(char: string): ScanResult {
    if (/^[-+.0-9a-zA-Z]$/.test(char)) {
      this.#bare += char
      return this.#bare.length > LONGEST_BARE ? 'wrong' : 'inside'
    }
    if (!['true', 'false', 'null'].includes(this.#bare) && !NUMBER.test(this.#bare)) return 'wrong'
    this.#place = 'next'
    return isSpace(char) ? 'inside' : this.#between(char)
  }

  #between(char: string): ScanResult {
    const place = this.#place
    if (place === 'colon') {
      this.#place = 'value'
      return char === ':' ? 'inside' : 'wrong'
    }
    if (place === 'next' && char === ',') {
      this.#place = this.#open.at(-1) === '{' ? 'key' : 'value'
      return 'inside'
    }
    const mayClose = place === 'next' || place === 'first key' || place === 'first value'
    if (mayClose && char === (this.#open.at(-1) === '{' ? '}' : ']')) {
      this.#open.pop()
      this.#place = 'next'
      return this.#open.length === 0 ? 'done' : 'inside'
    }
    if (place === 'next') return 'wrong'
    this.#isKey = place === 'key' || place === 'first key'
    if (char === '"') {
      this.#place = 'string'
      return 'inside'
    }
    return this.#isKey ? 'wrong' : this.#value(char)
  }

  #value(char: string): ScanResult {
    if (char === '{' || char === '[') {
      this.#open.push(char)
      this.#place = char === '{' ? 'first key' : 'first value'
      return this.#open.length > DEEPEST ? 'wrong' : 'inside'
    }
    if (this.#open.length === 0 || !/^[-0-9tfn]$/.test(char)) return 'wrong'
    this.#bare = char
    this.#place = 'bare'
    return 'inside'
  }
}

/** White space of JSON. */
export function isSpace(char: string): boolean {
  return char === ' ' || char === '\n' || char === '\r' || char === '\t'
}
