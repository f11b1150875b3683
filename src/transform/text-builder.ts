/** @file The text of a document while it grows, with where its pages and headings begin. Knows no format. */

/** The text of a document. */
export interface DocumentText {
  readonly text: string
  /** Where each page begins, from page 1; empty where a document has none. */
  readonly pages: readonly number[]
  /** Pages that have no text, such as scanned ones. */
  readonly emptyPages: number
  readonly headings: readonly Heading[]
}

/** A heading, and where it begins. */
export interface Heading {
  readonly start: number
  /** 1 is the highest. */
  readonly level: number
  readonly text: string
}

/** Characters at the end that are looked at again, so that a line of a long document takes no longer than any other. */
const TAIL = 4096

/** Text that grows, with its headings. */
export class TextBuilder {
  readonly headings: Heading[] = []
  readonly #done: string[] = []
  #doneLength = 0
  #tail = ''

  get length(): number {
    return this.#doneLength + this.#tail.length
  }

  /** Whether a blank would begin a line or follow another. */
  get isAfterSpace(): boolean {
    return this.length === 0 || /\s/.test(this.#tail.charAt(this.#tail.length - 1))
  }

  add(text: string): void {
    this.#tail += text
    const surplus = this.#tail.length - TAIL
    if (surplus < TAIL) return
    this.#done.push(this.#tail.slice(0, surplus))
    this.#doneLength += surplus
    this.#tail = this.#tail.slice(surplus)
  }

  /** Ends a line, or leaves one blank: never more. */
  breakLine(lines: 1 | 2 = 1): void {
    if (this.length === 0) return
    let end = this.#tail.length
    while (/[ \t]/.test(this.#tail.charAt(end - 1))) end--
    this.#tail = this.#tail.slice(0, end)
    const ended = this.#tail.endsWith('\n\n') ? 2 : this.#tail.endsWith('\n') ? 1 : 0
    this.add('\n'.repeat(Math.max(0, lines - ended)))
  }

  addHeading(level: number, text: string): void {
    this.breakLine(2)
    this.headings.push({ start: this.length, level, text })
    this.add(text)
    this.breakLine(2)
  }

  toString(): string {
    return this.#done.join('') + this.#tail
  }
}
