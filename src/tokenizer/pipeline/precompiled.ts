/**
 * @file SentencePiece's character maps (`precompiled_charsmap`): a double array that leads from the bytes of a
 * character to its replacement. As in the Rust library the shortest entry counts, and a group of less than 6 bytes that
 * is seen as one character is looked up as one.
 */

import type { Steps } from '../../turns.js'
import { utf8Length } from './bytes.js'
import type { Fields } from './fields.js'
import { Cluster } from './graphemes.js'
import { type Changing, type Output, UNITS_PER_STEP } from './text-output.js'
import { codesOf, textOf } from './unicode.js'

const SHORT_BYTES = 6

/** What the map changes in a text. @throws naming the map that is damaged */
export function readCharacterMap(fields: Fields): Changing {
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
  return (text, output) => putReplaced(text, new Replacing(output), lookUp, lookUpOne)
}

/** Puts replacements. The last character waits, since what is removed behind it is its change. */
class Replacing {
  readonly #output: Output
  #last = -1
  #change = 0
  isChanged = false

  constructor(output: Output) {
    this.#output = output
  }

  put(code: number, change: number): void {
    this.flush()
    this.#last = code
    this.#change = change
  }

  replace(count: number, by: readonly number[]): void {
    this.isChanged = true
    const more = by.length - count
    for (let index = 0; index < by.length; index++) this.put(by[index]!, index < by.length - more ? 0 : 1)
    // Without a character before, the library counts nothing as removed.
    if (more < 0 && this.#last >= 0) this.#change += more
  }

  flush(): void {
    if (this.#last >= 0) this.#output.put(this.#last, this.#change)
  }
}

type LookUp = (part: readonly number[]) => readonly number[] | undefined

function* putReplaced(
  text: string,
  output: Replacing,
  lookUp: LookUp,
  lookUpOne: (code: number) => readonly number[] | undefined,
): Steps<boolean> {
  const cluster = new Cluster()
  const putOne = (code: number): void => {
    const by = lookUpOne(code)
    if (by === undefined) output.put(code, 0)
    else output.replace(1, by)
  }
  let next = UNITS_PER_STEP
  for (let at = 0; at < text.length; ) {
    if (at > next) {
      next = at + UNITS_PER_STEP
      yield
    }
    const first = text.charCodeAt(at)
    const second = text.charCodeAt(at + 1)
    if (first < 0x80 && !(second >= 0x80) && !(first === 13 && second === 10)) {
      putOne(first)
      at++
      continue
    }
    // A group that is looked up as a whole has less than 6 bytes: no more of it needs to be held.
    const codes: number[] = []
    let bytes = 0
    let isOpen = true
    while (isOpen && at < text.length && bytes < SHORT_BYTES) {
      const code = text.codePointAt(at)!
      isOpen = codes.length === 0 || cluster.joins(code)
      if (!isOpen) break
      if (codes.length === 0) cluster.begin(code)
      codes.push(code)
      bytes += utf8Length(code)
      at += code > 0xffff ? 2 : 1
    }
    const whole = codes.length > 1 && bytes < SHORT_BYTES ? lookUp(codes) : undefined
    if (whole !== undefined) output.replace(codes.length, whole)
    else for (const code of codes) putOne(code)
    while (isOpen && at < text.length && whole === undefined) {
      const code = text.codePointAt(at)!
      if (!cluster.joins(code)) break
      putOne(code)
      at += code > 0xffff ? 2 : 1
      if (at > next) {
        next = at + UNITS_PER_STEP
        yield
      }
    }
  }
  output.flush()
  return output.isChanged
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
