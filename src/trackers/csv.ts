/**
 * @file The CSV tracker: a row for every log event, every evaluation and the end of a run.
 *
 * 1. The first columns are `event`, `step` and `epoch`; the others are figures by transformers' names. A figure that
 *    comes later gets a column at the end: the file is replaced by one with the longer header, and rows that lack it
 *    have an empty cell.
 * 2. NaN, Infinity and -Infinity are written so.
 * 3. A run that goes on keeps the rows up to its checkpoint, and writes those behind it again.
 */

import { readFileSync } from 'node:fs'
import type { EndEvent, FailEvent, StartEvent } from '../train/events.js'
import type { LoggedEvent } from '../train/run-log.js'
import { AppendFile } from './append-file.js'
import { endFigures, type Figures, figuresOf } from './figures.js'
import type { TrackerFile } from './file-tracker.js'
import { putAside, replaceFile } from './replace-file.js'
import { continuedRows, textIfThere, type WrittenRow } from './rows.js'

const WHERE = 'csv'
const FIRST_COLUMNS = ['event', 'step', 'epoch']

/** Cells by column. */
type Row = Readonly<Record<string, string>>

/** Begins the file of a run, or goes on with it. @throws where what is there cannot be moved or replaced */
export function openCsv(path: string, start: StartEvent, logged: readonly LoggedEvent[]): TrackerFile {
  const written = start.step === 0 ? undefined : readCsv(path)
  if (written === undefined) putAside(path)
  const rows = continuedRows(start, written?.rows ?? [], logged, rowOf)
  const columns = [...new Set([...FIRST_COLUMNS, ...(written?.columns ?? []), ...rows.flatMap(Object.keys)])]
  const lines = rows.map((row) => lineOf(columns, row))
  replaceFile(WHERE, path, [lineOf(columns, header(columns)), ...lines].join(''))
  return new CsvFile(path, columns)
}

class CsvFile implements TrackerFile {
  readonly #file: AppendFile
  readonly #columns: string[]
  readonly #known: Set<string>
  /** Rows that wait for a file with the columns that they need. */
  #waiting: Row[] = []

  constructor(path: string, columns: readonly string[]) {
    this.#file = new AppendFile(path, WHERE)
    this.#columns = [...columns]
    this.#known = new Set(columns)
  }

  record(event: LoggedEvent): void {
    this.#add(rowOf(event))
    this.#file.writeSoon()
  }

  flush(): void {
    if (this.#waiting.length > 0) this.#widen()
    this.#file.write()
  }

  end(event: EndEvent | FailEvent): void {
    const figures = event.type === 'end' ? endFigures(event) : {}
    if (event.type === 'end' && Object.keys(figures).length > 0) this.#add(cells('end', event, figures))
    this.flush()
    this.#file.close()
  }

  #add(row: Row): void {
    let isWider = this.#waiting.length > 0
    for (const name in row) isWider ||= !this.#known.has(name)
    if (isWider) {
      this.#waiting.push(row)
      this.#widen()
    } else this.#file.add(Buffer.from(lineOf(this.#columns, row)))
  }

  /** Replaces the file by one that has the columns of the rows that wait. */
  #widen(): void {
    // All that goes before them must be there.
    this.#file.write()
    const columns = [...new Set([...this.#columns, ...this.#waiting.flatMap(Object.keys)])]
    const added = columns.length - this.#columns.length
    const [, ...lines] = readFileSync(this.#file.path, 'utf8').split('\n').slice(0, -1)
    const longer = lines.map((line) => `${line}${','.repeat(added)}\n`)
    const rows = this.#waiting.map((row) => lineOf(columns, row))
    this.#file.letGo()
    replaceFile(WHERE, this.#file.path, [lineOf(columns, header(columns)), ...longer, ...rows].join(''))
    this.#waiting = []
    this.#columns.push(...columns.slice(this.#columns.length))
    for (const name of columns) this.#known.add(name)
  }
}

function rowOf(event: LoggedEvent): Row {
  return cells(event.type, event, figuresOf(event))
}

function cells(event: string, { step, epoch }: { step: number; epoch: number }, figures: Figures): Row {
  const row: Record<string, string> = { event, step: String(step), epoch: String(epoch) }
  for (const name in figures) row[columnOf(name)] = String(figures[name])
  return row
}

/** A name without what would break a line. */
function columnOf(name: string): string {
  return /[\r\n]/.test(name) ? name.replace(/[\r\n]+/g, ' ') : name
}

function header(columns: readonly string[]): Row {
  return Object.fromEntries(columns.map((name) => [name, quoted(name)]))
}

function lineOf(columns: readonly string[], row: Row): string {
  let line = row[columns[0] as string] ?? ''
  for (let index = 1; index < columns.length; index++) line += `,${row[columns[index] as string] ?? ''}`
  return `${line}\n`
}

function quoted(name: string): string {
  return /[",]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name
}

interface Csv {
  readonly columns: readonly string[]
  readonly rows: readonly WrittenRow<Row>[]
}

/** A file as this tracker writes it; undefined where there is none, or another one. The last line may be torn. */
function readCsv(path: string): Csv | undefined {
  const text = textIfThere(path)
  if (text === undefined) return undefined
  const [first = '', ...lines] = text.split('\n').slice(0, -1)
  const columns = cellsOf(first)
  if (FIRST_COLUMNS.some((name, index) => columns[index] !== name)) return undefined
  const rows = lines.flatMap((line): WrittenRow<Row>[] => {
    const values = line.split(',')
    const row = Object.fromEntries(columns.flatMap((name, index) => (values[index] ? [[name, values[index]]] : [])))
    const { event = '', step = '' } = row
    return values.length === columns.length ? [{ event, step: Number(step), row }] : []
  })
  return { columns, rows }
}

/** The cells of a header, whose names may be quoted. */
function cellsOf(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quotedName, name]) => quotedName?.replaceAll('""', '"') ?? name ?? '',
  )
}
