/**
 * @file Cuts text of CSV or TSV (RFC 4180) into records of fields, in pieces of any size. Knows no header and no rows.
 */

/** One record: a line, or several where a field in quotes has line breaks. */
export interface CsvRecord {
  readonly fields: readonly string[]
  /** On which it begins, from 1. */
  readonly line: number
  /** What is wrong with it; the rest of its line is not in `fields`. */
  readonly damage?: string
}

const LINE_FEED = 10
const RETURN = 13
const QUOTE = 34

/** Where the text stands; 'damaged' is within a record that has a fault. */
type Place = 'start' | 'bare' | 'quoted' | 'behind quote' | 'behind return' | 'damaged'

/** Quotes begin a field or have no meaning: `5" pipe` is what it says. */
export class CsvSplitter {
  readonly #delimiter: string
  readonly #delimiterCode: number
  #place: Place = 'start'
  #fields: string[] = []
  /** What earlier pieces had of the present field. */
  #field = ''
  #line = 1
  #recordLine = 1
  #quoteLine = 1
  #length = 0

  /** @param delimiter One character. */
  constructor(delimiter: string) {
    this.#delimiter = delimiter
    this.#delimiterCode = delimiter.charCodeAt(0)
  }

  /** The line on which the next piece begins. */
  get line(): number {
    return this.#line
  }

  /** Where the record begins that is not whole yet, and how many characters it has so far. */
  get open(): { readonly line: number; readonly length: number } {
    return { line: this.#recordLine, length: this.#length }
  }

  /** The records that end in this piece. Blank lines are none. */
  split(text: string): CsvRecord[] {
    const records: CsvRecord[] = []
    // Places of characters are looked for once and used until the scan has passed them.
    let newline = -1
    let quote = -1
    let delimiter = -1
    const next = (found: number, wanted: string, from: number): number => {
      if (found >= from) return found
      const place = text.indexOf(wanted, from)
      return place < 0 ? Number.POSITIVE_INFINITY : place
    }
    let at = 0
    let recordStart = 0
    const endRecord = (damage?: string): void => {
      const fields = this.#fields
      const line = this.#recordLine
      records.push(damage === undefined ? { fields, line } : { fields, line, damage })
      this.#fields = []
    }
    const beginRecord = (): void => {
      this.#line++
      this.#recordLine = this.#line
      this.#place = 'start'
      this.#length = 0
      recordStart = at
    }
    while (at < text.length) {
      switch (this.#place) {
        case 'start': {
          if (this.#fields.length === 0) {
            newline = next(newline, '\n', at)
            quote = next(quote, '"', at)
            if (newline < quote) {
              // The whole record is here, and has no quotes.
              const end = newline > at && text.charCodeAt(newline - 1) === RETURN ? newline - 1 : newline
              if (end > at) {
                this.#fields = text.slice(at, end).split(this.#delimiter)
                endRecord()
              }
              at = newline + 1
              beginRecord()
              break
            }
          }
          if (text.charCodeAt(at) !== QUOTE) {
            this.#place = 'bare'
            break
          }
          this.#quoteLine = this.#line
          this.#place = 'quoted'
          at++
          break
        }
        case 'bare': {
          newline = next(newline, '\n', at)
          delimiter = next(delimiter, this.#delimiter, at)
          const end = Math.min(newline, delimiter, text.length)
          this.#field += text.slice(at, end)
          at = end
          if (end === text.length) break
          at++
          if (end === delimiter) {
            this.#endField()
            this.#place = 'start'
            break
          }
          if (this.#field.endsWith('\r')) this.#field = this.#field.slice(0, -1)
          const isBlank = this.#fields.length === 0 && this.#field === ''
          this.#endField()
          if (isBlank) this.#fields = []
          else endRecord()
          beginRecord()
          break
        }
        case 'quoted': {
          const start = at
          quote = next(quote, '"', at)
          let hasTwo = false
          while (quote < text.length - 1 && text.charCodeAt(quote + 1) === QUOTE) {
            hasTwo = true
            quote = next(-1, '"', quote + 2)
          }
          // A quote at the end of a piece may be the first of two.
          const end = Math.min(quote, text.length)
          const content = text.slice(start, end)
          this.#line += countLines(content)
          this.#field += hasTwo ? content.replaceAll('""', '"') : content
          at = Math.min(end + 1, text.length)
          if (end < text.length) this.#place = 'behind quote'
          break
        }
        case 'behind quote':
        case 'behind return': {
          const code = text.charCodeAt(at)
          if (code === LINE_FEED) {
            at++
            this.#endField()
            endRecord()
            beginRecord()
          } else if (this.#place === 'behind return') this.#place = 'damaged'
          else if (code === QUOTE) {
            at++
            this.#field += '"'
            this.#place = 'quoted'
          } else if (code === this.#delimiterCode) {
            at++
            this.#endField()
            this.#place = 'start'
          } else if (code === RETURN) {
            at++
            this.#place = 'behind return'
          } else this.#place = 'damaged'
          break
        }
        case 'damaged': {
          newline = next(newline, '\n', at)
          if (newline > text.length) {
            at = text.length
            break
          }
          at = newline + 1
          this.#field = ''
          endRecord('a closing quote with more behind it; write a quote within quotes as two')
          beginRecord()
        }
      }
    }
    this.#length += text.length - recordStart
    return records
  }

  /**
   * The record that the text ends with, where there is one.
   * @throws Error where a quote is open, with its line
   */
  end(): CsvRecord[] {
    if (this.#place === 'quoted') throw new OpenQuoteError(this.#quoteLine)
    const line = this.#recordLine
    if (this.#place === 'damaged')
      return [{ fields: this.#fields, line, damage: 'a closing quote with more behind it' }]
    if (this.#place === 'start' && this.#fields.length === 0) return []
    this.#endField()
    return [{ fields: this.#fields, line }]
  }

  #endField(): void {
    this.#fields.push(this.#field)
    this.#field = ''
  }
}

/** A quote that nothing closes: all that follows is in its field, so no later record is known. */
export class OpenQuoteError extends Error {
  readonly line: number

  constructor(line: number) {
    super('a quote that nothing closes')
    this.line = line
  }
}

function countLines(text: string): number {
  let lines = 0
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) lines++
  return lines
}
