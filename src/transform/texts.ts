/** @file The text of a row that duplicates are found by: normalised, in words, and as hashed runs of words. */

import { mix, wordHashes } from '../data/word-hashes.js'
import { PythonFloat } from '../lossless-json.js'
import { isObject } from '../values.js'
import { type Columns, presentValue } from './input.js'

/** Stands between the values of a row: no text of people has it. */
const VALUE_SEPARATOR = '\u001f'

/**
 * The texts of a row in their order, also those within lists and objects.
 * @param names Columns that count; undefined: all.
 */
export function textOfRow(columns: Columns, names: readonly string[] | undefined): string {
  const texts: string[] = []
  const values = names === undefined ? columns.values() : names.map((name) => presentValue(columns, name))
  for (const value of values) {
    if (value === undefined || value === null) texts.push('')
    else collect(value, texts)
  }
  return texts.join(VALUE_SEPARATOR)
}

/** The texts that `textOfRow` joined. */
export function valuesOf(text: string): readonly string[] {
  return text.split(VALUE_SEPARATOR)
}

function collect(value: unknown, texts: string[]): void {
  if (typeof value === 'string') texts.push(value)
  else if (Array.isArray(value)) for (const item of value) collect(item, texts)
  else if (value instanceof Map) for (const item of value.values()) collect(item, texts)
  else if (isObject(value) && !isText(value)) for (const item of Object.values(value)) collect(item, texts)
  else if (value !== null && value !== undefined) texts.push(String(value))
}

/** Whether an object is one value, whose text says all of it. */
function isText(value: object): boolean {
  return value instanceof PythonFloat || value instanceof Date || ArrayBuffer.isView(value)
}

/** White space as one blank, none at the ends of a value; in small letters where case does not count. */
export function normalizedText(text: string, ignoreCase: boolean): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it is what stands between values.
  const spaced = text.replace(/[ \t\r\n]+/g, ' ').replace(/(?<=^|\u001f) | (?=$|\u001f)/g, '')
  return ignoreCase ? spaced.toLowerCase() : spaced
}

/**
 * The set of runs of `size` words, hashed to 32 bits and sorted. A shorter text is one run; a text without words has
 * none.
 */
export function shinglesOf(text: string, size: number): Uint32Array {
  const words = wordHashes(text)
  if (words.length === 0) return new Uint32Array(0)
  const count = Math.max(1, words.length - size + 1)
  const hashes = new Uint32Array(count)
  for (let start = 0; start < count; start++) {
    let hash = 0
    const end = Math.min(start + size, words.length)
    for (let at = start; at < end; at++) hash = mix(Math.imul(hash, 0x1000193) ^ (words[at] as number))
    hashes[start] = hash
  }
  hashes.sort()
  let kept = 1
  for (let at = 1; at < count; at++) if (hashes[at] !== hashes[at - 1]) hashes[kept++] = hashes[at] as number
  return hashes.subarray(0, kept)
}

/** The share of runs that two sorted sets have in common, of all runs of both. */
export function jaccard(first: Uint32Array, second: Uint32Array): number {
  let common = 0
  for (let i = 0, j = 0; i < first.length && j < second.length; ) {
    const difference = (first[i] as number) - (second[j] as number)
    if (difference === 0) common++
    if (difference <= 0) i++
    if (difference >= 0) j++
  }
  const all = first.length + second.length - common
  return all === 0 ? 1 : common / all
}
