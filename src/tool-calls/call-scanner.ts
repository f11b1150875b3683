/** @file One call while it comes: its name, and the text of its arguments as far as that is certain. */

import { isSpace, JsonScanner } from './json-scanner.js'

/** What a character did to a call. */
export type CallResult = 'inside' | 'done' | 'wrong'

/** A call as it is read. */
export interface CallScanner {
  /** Known before any of the arguments are. */
  readonly name: string | undefined
  push(char: string): CallResult
  /** Text of the arguments since it was last taken; nothing while the name is not known. */
  takeArguments(): string
}

/** `{"name": "...", "arguments": {...}}`, in either order, with an id where the syntax has one. */
export class ObjectCall implements CallScanner {
  readonly #argumentsKey: string
  name: string | undefined
  #arguments = ''
  #hasArguments = false
  #place: 'open' | 'key' | 'colon' | 'before value' | 'value' | 'next' = 'open'
  #scanner = new JsonScanner()
  #text = ''
  #key = ''

  constructor(argumentsKey: string) {
    this.#argumentsKey = argumentsKey
  }

  takeArguments(): string {
    if (this.name === undefined) return ''
    const taken = this.#arguments
    this.#arguments = ''
    return taken
  }

  push(char: string): CallResult {
    switch (this.#place) {
      case 'open':
        this.#place = 'key'
        return char === '{' ? 'inside' : 'wrong'
      case 'key':
        if (this.#text === '' && isSpace(char)) return 'inside'
        return this.#inKey(char)
      case 'colon':
        if (isSpace(char)) return 'inside'
        this.#place = 'before value'
        return char === ':' ? 'inside' : 'wrong'
      case 'before value':
        if (isSpace(char)) return 'inside'
        // Names and ids are texts, arguments an object.
        if (char !== (this.#key === this.#argumentsKey ? '{' : '"')) return 'wrong'
        this.#place = 'value'
        return this.#inValue(char)
      case 'value':
        return this.#inValue(char)
      case 'next':
        if (isSpace(char)) return 'inside'
        if (char === ',') {
          this.#place = 'key'
          return 'inside'
        }
        return char === '}' && this.name !== undefined && this.#hasArguments ? 'done' : 'wrong'
      default:
        return this.#place satisfies never
    }
  }

  #inKey(char: string): CallResult {
    if (this.#text === '' && char !== '"') return 'wrong'
    const result = this.#scan(char)
    if (result !== 'done') return result
    this.#key = this.#takeText()
    const isNew =
      this.#key === this.#argumentsKey ? !this.#hasArguments : this.#key === 'name' && this.name === undefined
    this.#place = 'colon'
    return isNew || this.#key === 'id' ? 'inside' : 'wrong'
  }

  #inValue(char: string): CallResult {
    const isArguments = this.#key === this.#argumentsKey
    const result = this.#scan(char)
    if (result === 'wrong') return result
    if (isArguments) this.#arguments += char
    if (result === 'inside') return result
    this.#place = 'next'
    const text = this.#takeText(isArguments)
    if (isArguments) this.#hasArguments = true
    else if (this.#key === 'name') this.name = text
    return 'inside'
  }

  #scan(char: string): CallResult {
    const result = this.#scanner.push(char)
    if (result !== 'wrong') this.#text += char
    return result
  }

  /** The string that was read; arguments stay as they are. */
  #takeText(isRaw = false): string {
    const text = isRaw ? '' : (JSON.parse(this.#text) as string)
    this.#text = ''
    this.#scanner = new JsonScanner()
    return text
  }
}

/** `name[ARGS]{...}`, maybe with `[CALL_ID]...` before the arguments. */
export class NamedCall implements CallScanner {
  name: string | undefined
  #head = ''
  #arguments = ''
  readonly #scanner = new JsonScanner()

  takeArguments(): string {
    const taken = this.#arguments
    this.#arguments = ''
    return taken
  }

  push(char: string): CallResult {
    if (this.name === undefined) {
      if (char !== '{') {
        this.#head += char
        return this.#head.length > 500 ? 'wrong' : 'inside'
      }
      const [, name] = /^\s*([\w.-]+)(?:\[CALL_ID\]\w*)?(?:\[ARGS\])?\s*$/.exec(this.#head) ?? []
      if (name === undefined) return 'wrong'
      this.name = name
    }
    const result = this.#scanner.push(char)
    if (result !== 'wrong') this.#arguments += char
    return result
  }
}
