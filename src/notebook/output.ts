/** @file What a cell of a notebook shows: HTML or SVG, and text for where neither can be seen. */

import { inspect } from 'node:util'
import { html, type Markup } from '../report/markup.js'

/** What Deno's kernel asks the value of a cell for. */
const JUPYTER_DISPLAY = Symbol.for('Jupyter.display')

/** Forms of one output by media type, as Jupyter has them. */
export type OutputData = Readonly<Record<string, string>>

/**
 * An output of a notebook. Deno's kernel shows it where it is the value of a cell; `display` shows it in any kernel. In
 * a terminal it is its text.
 */
export class NotebookOutput {
  readonly data: OutputData

  constructor(data: OutputData) {
    this.data = data
    Object.defineProperties(this, {
      [JUPYTER_DISPLAY]: { value: () => data },
      [inspect.custom]: { value: () => this.toString() },
    })
  }

  toString(): string {
    return this.data['text/plain'] ?? ''
  }
}

/** HTML beside its text. */
export function htmlOutput({ markup }: Markup, text: string): NotebookOutput {
  return new NotebookOutput({ 'text/html': markup, 'text/plain': text })
}

/** A table with a row for each object; columns are all keys, in the order in which they come. */
export function showTable(rows: readonly Readonly<Record<string, unknown>>[]): NotebookOutput {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))]
  const cells = rows.map((row) => columns.map((column) => cellOf(row[column])))
  const isNumber = columns.map((column) =>
    rows.every((row) => row[column] === undefined || typeof row[column] === 'number'),
  )
  const align = (at: number): string => (isNumber[at] ? 'text-align:right' : 'text-align:left')
  const markup = html`<table><thead><tr>${columns.map((column, at) => html`<th style="${align(at)}">${column}</th>`)}</tr></thead><tbody>${cells.map(
    (row) => html`<tr>${row.map((cell, at) => html`<td style="${align(at)};white-space:pre-wrap">${cell}</td>`)}</tr>`,
  )}</tbody></table>`
  // A row is one line where it is text.
  const written = cells.map((row) => row.map((cell) => cell.replaceAll('\n', '\\n')))
  const widths = columns.map((column, at) =>
    Math.max(column.length, ...written.map((row) => (row[at] as string).length)),
  )
  const line = (row: readonly string[]): string =>
    row
      .map((cell, at) => (isNumber[at] ? cell.padStart(widths[at] as number) : cell.padEnd(widths[at] as number)))
      .join('  ')
      .trimEnd()
  return htmlOutput(markup, [columns, ...written].map(line).join('\n'))
}

/** Numbers with four digits; texts as they are; other values as JSON. */
function cellOf(value: unknown): string {
  if (value === undefined || value === null) return ''
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)))
  return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
}
