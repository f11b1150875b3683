/** @file What commands write of things in a workspace: tables and fields for people, JSON for programs. */

import { boolean } from '../../options/rules.js'
import { paintFor } from '../../progress/terminal.js'
import { harmless, textWidth } from '../../progress/text-width.js'

/** The flag of a command that lists. */
export const JSON_LINES = {
  rule: boolean,
  help: 'write each as a line of JSON to stdout',
  flag: { name: '--json', group: 'Output' },
} as const

const GAP = '  '

/** Rows below their heads, each column as wide as its widest cell. */
export function writeTable(heads: readonly string[], rows: readonly (readonly string[])[]): void {
  const paint = paintFor(process.stdout)
  const cells = [heads, ...rows].map((row) => row.map(harmless))
  const widths = heads.map((_, column) => Math.max(...cells.map((row) => textWidth(row[column] ?? ''))))
  for (const [index, row] of cells.entries()) {
    const line = row
      .map((cell, column) => cell + ' '.repeat((widths[column] ?? 0) - textWidth(cell)))
      .join(GAP)
      .trimEnd()
    process.stdout.write(`${index === 0 ? paint('bold', line) : line}\n`)
  }
}

/** Names and values, a line for each; what is undefined or empty is left out. */
export function writeFields(fields: Readonly<Record<string, string | undefined>>): void {
  const shown = Object.entries(fields).filter(([, value]) => value !== undefined && value !== '')
  const width = Math.max(0, ...shown.map(([name]) => name.length)) + GAP.length
  for (const [name, value = ''] of shown) process.stdout.write(`${name.padEnd(width)}${harmless(value)}\n`)
}

export function writeJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`)
}
