/**
 * @file CSV and TSV: a line with the names of the columns, then a row per record. Values are texts as they stand in the
 * file; a cell that a spreadsheet would take for a formula is text too.
 */

import { listNames } from '../../errors.js'
import type { DataError } from '../../lowrank-error.js'
import type { Turns } from '../../turns.js'
import type { OnBadRow } from '../bad-rows.js'
import { describeOrigin, type RowOrigin, rowError } from '../row-origin.js'
import { type CsvRecord, CsvSplitter, OpenQuoteError } from './csv-records.js'
import type { DataFile } from './data-file.js'
import type { FileFormat } from './file-format.js'
import { isTable } from './foreign-files.js'
import { LineBatch } from './row-batches.js'
import type { RowBatch } from './row-source.js'
import { expectRecordSize, TextDecoding } from './text-pieces.js'

export const CSV: FileFormat = {
  name: 'CSV',
  endings: ['.csv', '.tsv'],
  recognizes: isTable,
  read: readTable,
}

/** What may stand between two fields; where a header has none, it has one column. */
const DELIMITERS = [',', ';', '\t']
/** An object would order these keys by number, or take one for its prototype. */
const UNUSUAL_NAME = /^(?:__proto__|\d+)$/

async function* readTable(file: DataFile, turns: Turns, onBadRow: OnBadRow): AsyncGenerator<RowBatch> {
  const { path } = file
  const splitter = new CsvSplitter(delimiterOf(file.name, await file.start()))
  const decoding = new TextDecoding(path)
  let table: Table | undefined
  const rowsOf = (records: readonly CsvRecord[], isWhole: boolean): RowBatch => {
    const batch = new LineBatch(path)
    for (const record of records) {
      if (table === undefined) table = new Table(path, record)
      else {
        const row = table.row(record, isWhole, onBadRow)
        if (row !== undefined) batch.add(row, record.line)
      }
    }
    return batch
  }
  for await (const piece of file.pieces()) {
    const text = decoding.decode(piece, splitter.line)
    yield rowsOf(splitter.split(text), !text.includes('\0'))
    expectRecordSize(path, splitter.open.line, splitter.open.length)
    if (turns.isOver) await turns.next()
  }
  decoding.end(splitter.line)
  try {
    yield rowsOf(splitter.end(), false)
  } catch (error) {
    if (!(error instanceof OpenQuoteError)) throw error
    throw damaged(
      { file: path, line: error.line },
      'a quote that nothing closes; close it, or write two quotes for one',
    )
  }
}

/** The columns of a table. */
class Table {
  readonly #path: string
  readonly #names: readonly string[]
  readonly #isUnusual: boolean

  /** @throws where the header has a fault, or a name twice */
  constructor(path: string, { fields, line, damage }: CsvRecord) {
    const origin = { file: path, line }
    if (damage !== undefined) throw damaged(origin, damage)
    const twice = fields.find((name, index) => fields.indexOf(name) !== index)
    if (twice !== undefined) {
      throw rowError(
        origin,
        `[data] expected each column once, got ${JSON.stringify(twice)} twice in ${describeOrigin(origin)}; rename one of them`,
      )
    }
    if (fields.some((name) => /[\r\0]/.test(name))) {
      throw damaged(origin, 'carriage returns alone or null characters in the names of columns; convert its line ends')
    }
    this.#path = path
    this.#names = fields
    this.#isUnusual = fields.some((name) => UNUSUAL_NAME.test(name))
  }

  /** The row of a record; undefined where it has a fault and `onBadRow` lets it pass. */
  row({ fields, line, damage }: CsvRecord, isWhole: boolean, onBadRow: OnBadRow): object | undefined {
    const names = this.#names
    const origin = { file: this.#path, line }
    let fault = damage
    if (fault === undefined && fields.length !== names.length) {
      fault = `${fields.length} columns where its header has ${names.length} (${listNames(names)}); put a value with a delimiter into quotes`
    }
    if (fault === undefined && !isWhole && fields.some((field) => field.includes('\0'))) {
      fault = 'null characters; the file was damaged, or is text in UTF-16: get it anew'
    }
    if (fault !== undefined) {
      onBadRow(damaged(origin, fault))
      return undefined
    }
    if (this.#isUnusual) return new Map(names.map((name, index) => [name, fields[index]]))
    const value: Record<string, string> = {}
    for (let index = 0; index < names.length; index++) value[names[index] as string] = fields[index] as string
    return value
  }
}

/** A table in a file named .tsv has tabs; else what the first line has most of counts. */
function delimiterOf(name: string, start: Uint8Array): string {
  if (/\.(?:tsv|tab)$/i.test(name)) return '\t'
  const header = /^[\r\n]*((?:"[^"]*"|[^"\r\n])*)/.exec(Buffer.from(start).toString('latin1'))?.[1] ?? ''
  const bare = header.replace(/"[^"]*"/g, '')
  const counts = DELIMITERS.map((delimiter) => bare.split(delimiter).length)
  return DELIMITERS[counts.indexOf(Math.max(...counts))] as string
}

function damaged(origin: RowOrigin, what: string): DataError {
  return rowError(origin, `[data] expected a row of CSV in ${describeOrigin(origin)}, got ${what}`)
}
