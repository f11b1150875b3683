/** @file Characters that a normalizer puts one by one, and the text that they make. */

import type { Steps } from '../../turns.js'

/** Work on so many units takes less than a millisecond. */
export const UNITS_PER_STEP = 8192

/** Where a normalizer puts its characters. */
export interface Output {
  /**
   * A new character with what it does to the old ones: 0 replaces one, 1 is inserted, -n replaces one and removes the n
   * behind it.
   */
  put(code: number, change: number): void
  /** Old characters that nothing takes the place of. */
  remove(count: number): void
}

/** Puts what a text becomes; false where it stays as it is, and then nothing that was put counts. */
export type Changing = (text: string, output: Output) => Steps<boolean>

/** The text alone. */
export class TextOutput implements Output {
  readonly #parts: string[] = []
  #codes: number[] = []

  put(code: number): void {
    if (this.#codes.push(code) < 4096) return
    this.#flush()
  }

  remove(): void {}

  #flush(): void {
    this.#parts.push(String.fromCodePoint(...this.#codes))
    this.#codes = []
  }

  finish(): string {
    this.#flush()
    return this.#parts.length === 1 ? this.#parts[0]! : this.#parts.join('')
  }
}

/** Pieces of a text, joined a few thousand at a time: hundreds of thousands at once take long. */
export class TextParts {
  readonly #joined: string[] = []
  #parts: string[] = []

  push(part: string): void {
    if (this.#parts.push(part) === 4096) this.#join()
  }

  #join(): void {
    this.#joined.push(this.#parts.join(''))
    this.#parts = []
  }

  finish(): string {
    this.#join()
    return this.#joined.join('')
  }
}

/** Calls for each character of a text. */
export function* eachCode(text: string, visit: (code: number) => void): Steps<void> {
  for (let at = 0; at < text.length; ) {
    at = visitCodes(text, at, Math.min(text.length, at + UNITS_PER_STEP), visit)
    if (at < text.length) yield
  }
}

function visitCodes(text: string, from: number, to: number, visit: (code: number) => void): number {
  let at = from
  while (at < to) {
    const code = text.codePointAt(at)!
    at += code > 0xffff ? 2 : 1
    visit(code)
  }
  return at
}

/** The text with each character as `map` gives it; it may not leave its plane. */
export function* mapCodes(text: string, map: (code: number) => number): Steps<string> {
  const output = new TextOutput()
  let isChanged = false
  yield* eachCode(text, (code) => {
    const made = map(code)
    isChanged ||= made !== code
    output.put(made)
  })
  return isChanged ? output.finish() : text
}

/** Whether the text has nothing but ASCII. */
export function* isAscii(text: string): Steps<boolean> {
  for (let at = 0; at < text.length; at += UNITS_PER_STEP) {
    if (!isAsciiPart(text, at, Math.min(text.length, at + UNITS_PER_STEP))) return false
    if (at > 0) yield
  }
  return true
}

function isAsciiPart(text: string, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (text.charCodeAt(at) > 0x7f) return false
  return true
}
