/** @file What differs between two texts, word by word, whatever their script. */

/** A stretch of a text: words that the other one has too, or not. */
export interface Stretch {
  readonly text: string
  readonly isCommon: boolean
}

/** Both texts in stretches. */
export interface WordDiff {
  readonly first: readonly Stretch[]
  readonly second: readonly Stretch[]
}

/** More edits than these are not searched for: then the texts have little in common. */
const MOST_EDITS = 400

/** By the rules of Unicode and the dictionaries of the runtime, so that scripts without blanks have words too. */
const SEGMENTER = new Intl.Segmenter('en', { granularity: 'word' })

/** The words of a text with what lies between them; nothing is lost. */
function wordsOf(text: string): string[] {
  return Array.from(SEGMENTER.segment(text), ({ segment }) => segment)
}

/** The shortest way from one text to the other in words, by the algorithm of Myers (1986). */
export function diffWords(first: string, second: string): WordDiff {
  const a = wordsOf(first)
  const b = wordsOf(second)
  let start = 0
  while (start < a.length && start < b.length && a[start] === b[start]) start++
  let endA = a.length
  let endB = b.length
  while (endA > start && endB > start && a[endA - 1] === b[endB - 1]) {
    endA--
    endB--
  }
  const middle = commonWords(a.slice(start, endA), b.slice(start, endB))
  const isCommonA = (at: number): boolean => at < start || at >= endA || middle.a.has(at - start)
  const isCommonB = (at: number): boolean => at < start || at >= endB || middle.b.has(at - start)
  return { first: stretches(a, isCommonA), second: stretches(b, isCommonB) }
}

/** Which words of either side belong together. */
function commonWords(a: readonly string[], b: readonly string[]): { a: Set<number>; b: Set<number> } {
  const found = { a: new Set<number>(), b: new Set<number>() }
  const trace = shortestEdits(a, b)
  if (trace === undefined) return found
  let x = a.length
  let y = b.length
  for (let edits = trace.length - 1; edits >= 0; edits--) {
    const reach = trace[edits] as Reach
    const k = x - y
    const from = isDown(reach, k, edits) ? k + 1 : k - 1
    const beforeX = edits === 0 ? 0 : reach.at(from)
    const beforeY = edits === 0 ? 0 : beforeX - from
    while (x > beforeX && y > beforeY && a[x - 1] === b[y - 1]) {
      x--
      y--
      found.a.add(x)
      found.b.add(y)
    }
    x = beforeX
    y = beforeY
  }
  return found
}

/** How far down each diagonal one comes: the number of words of the first text by diagonal, -1 outside. */
class Reach {
  readonly #offset: number
  readonly #values: Int32Array

  constructor(edits: number, values = new Int32Array(2 * edits + 3).fill(-1)) {
    this.#offset = edits + 1
    this.#values = values
  }

  at(k: number): number {
    return this.#values[k + this.#offset] ?? -1
  }

  set(k: number, x: number): void {
    this.#values[k + this.#offset] = x
  }

  /** The same with place for one more edit. */
  wider(edits: number): Reach {
    const values = new Int32Array(2 * edits + 3).fill(-1)
    values.set(this.#values, 1)
    return new Reach(edits, values)
  }
}

/** Whether the best way to a diagonal takes a word of the second text, rather than leaves one of the first out. */
function isDown(reach: Reach, k: number, edits: number): boolean {
  return k === -edits || (k !== edits && reach.at(k - 1) < reach.at(k + 1))
}

/** How far each diagonal was before each edit; undefined where too many edits are needed. */
function shortestEdits(a: readonly string[], b: readonly string[]): Reach[] | undefined {
  let before = new Reach(0)
  before.set(1, 0)
  const trace: Reach[] = []
  for (let edits = 0; edits <= Math.min(MOST_EDITS, a.length + b.length); edits++) {
    const reach = before.wider(edits + 1)
    trace.push(before)
    for (let k = -edits; k <= edits; k += 2) {
      let x = isDown(before, k, edits) ? before.at(k + 1) : before.at(k - 1) + 1
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x++
      reach.set(k, x)
      if (x >= a.length && x - k >= b.length) return trace
    }
    before = reach
  }
  return undefined
}

/** Words of one kind in a row as one stretch; blanks between two changed words belong to the change. */
function stretches(words: readonly string[], isCommon: (at: number) => boolean): Stretch[] {
  const parts: { text: string; isCommon: boolean }[] = []
  words.forEach((word, at) => {
    const isBetween = /^\s+$/.test(word) && at > 0 && at + 1 < words.length && !isCommon(at - 1) && !isCommon(at + 1)
    const common = isCommon(at) && !isBetween
    const last = parts.at(-1)
    if (last?.isCommon === common) last.text += word
    else parts.push({ text: word, isCommon: common })
  })
  return parts
}
