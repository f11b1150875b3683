/** @file The rows that test/golden/data holds in every columnar format, and the rows of a source as it gives them. */

import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { type DataSource, openSource } from '../../src/data/sources/open-source.js'
import { PythonFloat } from '../../src/lossless-json.js'
import { readContext } from './read-rows.js'

/** Path of a file of test/golden/data. */
export function goldenData(name: string): string {
  return fileURLToPath(new URL(`../golden/data/${name}`, import.meta.url))
}

/** What all of its files hold. */
export async function goldenRows(): Promise<unknown[]> {
  return JSON.parse(await readFile(goldenData('rows.json'), 'utf8'), (_, value: unknown) => {
    const [entry] = typeof value === 'object' && value !== null ? Object.entries(value) : []
    if (entry?.[0] === '$integer') return BigInt(entry[1] as string)
    if (entry?.[0] === '$float') return new PythonFloat(entry[1] as number)
    if (entry?.[0] === '$bytes') return Uint8Array.from(entry[1] as number[])
    return value
  }) as unknown[]
}

/** The rows of a source as it gives them; bytes by their values alone, whatever memory they are in. */
export async function valuesOf(source: DataSource, context = readContext()): Promise<unknown[]> {
  const values: unknown[] = []
  for await (const { value } of openSource(source).rows(context)) values.push(withPlainBytes(value))
  return values
}

function withPlainBytes(value: unknown): unknown {
  if (value instanceof Uint8Array) return Uint8Array.from(value)
  if (Array.isArray(value)) return value.map(withPlainBytes)
  if (Object.prototype.toString.call(value) !== '[object Object]' || value instanceof PythonFloat) return value
  return Object.fromEntries(Object.entries(value as object).map(([name, entry]) => [name, withPlainBytes(entry)]))
}
