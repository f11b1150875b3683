/**
 * @file NFC, NFD, NFKC and NFKD with the changes that each makes, as the Rust library's crate computes them: characters
 * that are newer than its tables are left as they are.
 */

import type { Steps } from '../../turns.js'
import { NumberList } from './number-list.js'
import { type Output, UNITS_PER_STEP } from './text-output.js'
import { canonical, codesOf, combiningClass, compatible } from './unicode.js'

export type Form = 'NFC' | 'NFD' | 'NFKC' | 'NFKD'

/** Puts the characters of a form. */
export function* putForm(text: string, form: Form, output: Output): Steps<void> {
  const decomposition = form === 'NFD' || form === 'NFC' ? 'NFD' : 'NFKD'
  const composer = form === 'NFD' || form === 'NFKD' ? undefined : new Composer(output)
  const marks = new Marks(composer ?? output)
  const classOf = combiningClass()
  const put = (code: number, change: number): void => {
    const order = code < 0x300 ? 0 : classOf(code)
    if (order > 0) marks.add(order, code, change)
    else {
      marks.flush()
      ;(composer ?? output).put(code, change)
    }
  }
  for (let at = 0; at < text.length; ) {
    const stop = Math.min(text.length, at + UNITS_PER_STEP)
    while (at < stop) {
      const code = text.codePointAt(at)!
      at += code > 0xffff ? 2 : 1
      const parts = code < 0xa0 ? undefined : decompositionOf(code, decomposition)
      if (marks.isLong && classOf(parts?.[0] ?? code) === 0) {
        yield* marks.flushInSteps()
        if (composer !== undefined) yield* composer.flushInSteps()
      }
      if (parts === undefined) put(code, 0)
      else for (let index = 0; index < parts.length; index++) put(parts[index]!, index === 0 ? 0 : 1)
    }
    if (at < text.length) yield
  }
  yield* marks.flushInSteps()
  if (composer !== undefined) yield* composer.flushInSteps()
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

/** Runs of marks above this are sorted by counting, and put in steps. */
const LONG_RUN = 32

interface Kind {
  readonly codes: NumberList
  readonly changes: NumberList
}

/** Marks behind one starter, which are sorted by their class; those of one class keep their order. */
class Marks {
  readonly #output: Pick<Output, 'put'>
  readonly #orders: number[] = []
  readonly #codes: number[] = []
  readonly #changes: number[] = []
  readonly #byOrder = new Map<number, Kind>()

  constructor(output: Pick<Output, 'put'>) {
    this.#output = output
  }

  get isLong(): boolean {
    return this.#byOrder.size > 0
  }

  add(order: number, code: number, change: number): void {
    if (this.isLong) {
      this.#addTo(order, code, change)
      return
    }
    const orders = this.#orders
    let at = orders.length
    while (at > 0 && orders[at - 1]! > order) at--
    orders.splice(at, 0, order)
    this.#codes.splice(at, 0, code)
    this.#changes.splice(at, 0, change)
    if (orders.length < LONG_RUN) return
    for (let index = 0; index < orders.length; index++) {
      this.#addTo(orders[index]!, this.#codes[index]!, this.#changes[index]!)
    }
    this.#clear()
  }

  #addTo(order: number, code: number, change: number): void {
    let kind = this.#byOrder.get(order)
    if (kind === undefined) {
      kind = { codes: new NumberList(), changes: new NumberList() }
      this.#byOrder.set(order, kind)
    }
    kind.codes.push(code)
    kind.changes.push(change)
  }

  #clear(): void {
    this.#orders.length = 0
    this.#codes.length = 0
    this.#changes.length = 0
  }

  /** Puts a run that is not long. */
  flush(): void {
    if (this.#orders.length === 0) return
    for (let at = 0; at < this.#codes.length; at++) this.#output.put(this.#codes[at]!, this.#changes[at]!)
    this.#clear()
  }

  *flushInSteps(): Steps<void> {
    this.flush()
    for (const order of [...this.#byOrder.keys()].sort((a, b) => a - b)) {
      const { codes, changes } = this.#byOrder.get(order)!
      for (let at = 0; at < codes.length; at++) {
        this.#output.put(codes.get(at), changes.get(at))
        if (at % UNITS_PER_STEP === UNITS_PER_STEP - 1) yield
      }
    }
    this.#byOrder.clear()
  }
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

/** Joins marks with the starter before them, which is put when no more can join it. */
class Composer {
  readonly #output: Pick<Output, 'put'>
  #starter = -1
  #change = 0
  #lastClass = -1
  /** Marks behind the starter that did not join it; a change of one is 0 or 1. */
  readonly #codes = new NumberList()
  readonly #changes = new NumberList()

  constructor(output: Pick<Output, 'put'>) {
    this.#output = output
  }

  put(code: number, change: number): void {
    const order = code < 0x300 ? 0 : combiningClass()(code)
    if (this.#starter >= 0 && (this.#lastClass < 0 || this.#lastClass < order)) {
      const made = composed(this.#starter, code)
      if (made >= 0) {
        this.#starter = made
        this.#change += change - 1
        return
      }
    }
    if (order === 0) {
      this.#flush()
      this.#starter = code
      this.#change = change
    } else if (this.#starter >= 0) {
      this.#codes.push(code)
      this.#changes.push(change)
      this.#lastClass = order
    } else {
      this.#output.put(code, change)
    }
  }

  #flush(): void {
    if (this.#starter >= 0) this.#output.put(this.#starter, this.#change)
    for (let at = 0; at < this.#codes.length; at++) this.#output.put(this.#codes.get(at), this.#changes.get(at))
    this.#forget()
  }

  #forget(): void {
    this.#starter = -1
    if (this.#lastClass < 0) return
    this.#lastClass = -1
    this.#codes.clear()
    this.#changes.clear()
  }

  /** Puts what is left; a starter has to follow, or nothing. */
  *flushInSteps(): Steps<void> {
    if (this.#starter >= 0) this.#output.put(this.#starter, this.#change)
    for (let at = 0; at < this.#codes.length; at++) {
      this.#output.put(this.#codes.get(at), this.#changes.get(at))
      if (at % UNITS_PER_STEP === UNITS_PER_STEP - 1) yield
    }
    this.#forget()
  }
}
