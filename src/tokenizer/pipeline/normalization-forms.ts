/**
 * @file NFC, NFD, NFKC and NFKD with the changes that each makes, as the Rust library's crate computes them: characters that are newer than its
 * tables are left as they are.
 */

import type { Changes } from './aligned-text.js'
import { canonical, codesOf, combiningClass, compatible } from './unicode.js'

export type Form = 'NFC' | 'NFD' | 'NFKC' | 'NFKD'

/** The characters of a form, with what each does to the old ones. */
export function formChanges(text: string, form: Form): Changes {
  const decomposed = decompose(codesOf(text), form === 'NFD' || form === 'NFC' ? 'NFD' : 'NFKD')
  return form === 'NFD' || form === 'NFKD' ? decomposed : compose(decomposed)
}

/** Whether the text has nothing that any form changes. */
export function isAscii(text: string): boolean {
  for (let at = 0; at < text.length; at++) if (text.charCodeAt(at) > 0x7f) return false
  return true
}

const decompositions = { NFD: new Map<number, readonly number[]>(), NFKD: new Map<number, readonly number[]>() }

function decompositionOf(code: number, form: 'NFD' | 'NFKD'): readonly number[] | undefined {
  const known = decompositions[form].get(code)
  if (known !== undefined) return known
  const set = form === 'NFD' ? canonical() : compatible()
  if (!set.has(code)) return undefined
  // What a character decomposes to never changes once it is assigned.
  const codes = codesOf(String.fromCodePoint(code).normalize(form))
  decompositions[form].set(code, codes)
  return codes
}

function decompose(text: readonly number[], form: 'NFD' | 'NFKD'): Changes {
  const classOf = combiningClass()
  const codes: number[] = []
  const changes: number[] = []
  let sorted = 0
  const push = (code: number, change: number): void => {
    const order = code < 0x300 ? 0 : classOf(code)
    if (order === 0) {
      sorted = codes.push(code)
      changes.push(change)
      return
    }
    // Marks are sorted by their class; those of one class keep their order.
    let at = codes.length
    while (at > sorted && classOf(codes[at - 1]!) > order) at--
    codes.splice(at, 0, code)
    changes.splice(at, 0, change)
  }
  for (const code of text) {
    const parts = code < 0xa0 ? undefined : decompositionOf(code, form)
    if (parts === undefined) push(code, 0)
    else for (let index = 0; index < parts.length; index++) push(parts[index]!, index === 0 ? 0 : 1)
  }
  return { codes, changes }
}

const compositions = new Map<number, number>()

/** The character that two make, or -1. */
function composed(first: number, second: number): number {
  if (second < 0x300) return -1
  const key = first * 0x200000 + second
  const known = compositions.get(key)
  if (known !== undefined) return known
  const [code, ...rest] = codesOf(String.fromCodePoint(first, second).normalize('NFC'))
  const isHangul = code !== undefined && code >= 0xac00 && code <= 0xd7a3
  const made = rest.length === 0 && code !== undefined && (isHangul || canonical().has(code)) ? code : -1
  if (compositions.size > 100_000) compositions.clear()
  compositions.set(key, made)
  return made
}

function compose({ codes, changes }: Changes): Changes {
  const classOf = combiningClass()
  const out: number[] = []
  const outChanges: number[] = []
  let starter = -1
  let lastClass = -1
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at]!
    const change = changes[at]!
    const order = code < 0x300 ? 0 : classOf(code)
    if (starter >= 0 && (lastClass < 0 || lastClass < order)) {
      const made = composed(out[starter]!, code)
      if (made >= 0) {
        out[starter] = made
        outChanges[starter]! += change - 1
        continue
      }
    }
    out.push(code)
    outChanges.push(change)
    if (order === 0) {
      starter = out.length - 1
      lastClass = -1
    } else if (starter >= 0) {
      lastClass = order
    }
  }
  return { codes: out, changes: outChanges }
}
