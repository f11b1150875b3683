/**
 * @file SentencePiece's character maps (`precompiled_charsmap`): a double array that leads from the bytes of a character to its replacement.
 * As in the Rust library the shortest entry counts, and a group of less than 6 bytes that is seen as one character is looked up as one.
 */

import type { Changes } from './aligned-text.js'
import { utf8Length } from './bytes.js'
import type { Fields } from './fields.js'
import { clusterEnd } from './graphemes.js'
import { codesOf, textOf } from './unicode.js'

const SHORT_BYTES = 6

/** What the map changes in a text; undefined where nothing. @throws naming the map that is damaged */
export function readCharacterMap(fields: Fields): (text: string) => Changes | undefined {
  const name = 'precompiled_charsmap'
  const encoded = fields.text(name)
  const bytes = Buffer.from(encoded, 'base64')
  if (bytes.toString('base64') !== encoded) throw fields.error(name, 'text in base64')
  if (bytes.length < 4 || bytes.readUInt32LE(0) + 4 > bytes.length)
    throw fields.error(name, 'a map with as many bytes as it says')
  const size = Math.floor(bytes.readUInt32LE(0) / 4)
  const units = new Uint32Array(size)
  for (let at = 0; at < size; at++) units[at] = bytes.readUInt32LE(4 + 4 * at)
  const replacements = bytes.subarray(4 + 4 * size)
  if (size === 0 || !isUtf8(replacements)) throw fields.error(name, 'a map with replacements in UTF-8')
  const damaged = (): Error => fields.error(name, 'a map whose entries lie in it')
  const made = new Map<number, readonly number[]>()
  const replacementAt = (index: number): readonly number[] => {
    const known = made.get(index)
    if (known !== undefined) return known
    if (index > replacements.length) throw damaged()
    const zero = replacements.indexOf(0, index)
    const part = replacements.subarray(index, zero < 0 ? replacements.length : zero)
    if (!isUtf8(part)) throw damaged()
    const codes = codesOf(part.toString('utf8'))
    made.set(index, codes)
    return codes
  }
  const unitAt = (node: number): number => {
    if (node >= size) throw damaged()
    return units[node]!
  }
  const lookUp = (part: readonly number[]): readonly number[] | undefined => {
    let node = offset(unitAt(0))
    for (const byte of Buffer.from(textOf(part))) {
      if (byte === 0) return undefined
      node ^= byte
      const unit = unitAt(node)
      if ((unit & 0x800000ff) >>> 0 !== byte) return undefined
      node ^= offset(unit)
      if (((unit >>> 8) & 1) === 1) return replacementAt(unitAt(node) & 0x7fffffff)
    }
    return undefined
  }
  const singles = new Map<number, readonly number[] | undefined>()
  const lookUpOne = (code: number): readonly number[] | undefined => {
    if (!singles.has(code)) {
      if (singles.size > 100_000) singles.clear()
      singles.set(code, lookUp([code]))
    }
    return singles.get(code)
  }
  return (text) => changesBy(codesOf(text), lookUp, lookUpOne)
}

function changesBy(
  text: readonly number[],
  lookUp: (part: readonly number[]) => readonly number[] | undefined,
  lookUpOne: (code: number) => readonly number[] | undefined,
): Changes | undefined {
  const codes: number[] = []
  const changes: number[] = []
  let modified = false
  const replace = (count: number, by: readonly number[]): void => {
    modified = true
    for (const code of by) {
      codes.push(code)
      changes.push(0)
    }
    const more = by.length - count
    for (let left = 0; left < more; left++) changes[changes.length - 1 - left] = 1
    // Of removed characters the one before says how many there were.
    if (more < 0 && changes.length > 0) changes[changes.length - 1]! += more
  }
  for (let at = 0; at < text.length; ) {
    const end = clusterEnd(text, at)
    const cluster = end - at === 1 ? undefined : text.slice(at, end)
    const bytes = cluster?.reduce((sum, code) => sum + utf8Length(code), 0)
    const whole = cluster !== undefined && bytes! < SHORT_BYTES ? lookUp(cluster) : undefined
    if (whole !== undefined) {
      replace(end - at, whole)
      at = end
      continue
    }
    for (; at < end; at++) {
      const by = lookUpOne(text[at]!)
      if (by !== undefined) replace(1, by)
      else {
        codes.push(text[at]!)
        changes.push(0)
      }
    }
  }
  return modified ? { codes, changes } : undefined
}

function offset(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6)
}

function isUtf8(bytes: Uint8Array): boolean {
  try {
    new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
    return true
  } catch {
    return false
  }
}
