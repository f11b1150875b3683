/**
 * @file JavaScript's matcher on texts of megabytes: it looks at a window at a time, so that no call takes long or runs
 * out of the engine's stack, which a run of 10 million letters does. Runs that are longer than a window are matched
 * here, in steps.
 */

import type { Steps } from '../../../turns.js'
import type { CodeSet } from '../unicode.js'
import type { Found, Scanner } from './program.js'
import type { Node } from './syntax.js'

const WINDOW = 1 << 16
/** More than what a match can look at beyond its end, runs apart. */
const MARGIN = 1024
const STEP = 8192

/** Texts above this length are looked at in windows. */
export const LONG_TEXT = 2 * WINDOW

/**
 * @param runs The sets whose runs may be gone through to their end by a branch that fails then.
 */
export function windowScanner(text: string, expression: RegExp, node: Node, runs: readonly CodeSet[]): Scanner {
  let start = 0
  let end = 0
  let window = ''
  // Up to here what is found does not depend on what stands behind the window.
  let safe = 0
  const move = (to: number): void => {
    start = to
    end = Math.min(text.length, to + WINDOW)
    if (end < text.length && isHigh(text, end - 1)) end--
    window = text.slice(start, end)
    safe = end - MARGIN
    // A character that may be left out stands before the run.
    for (const set of runs) safe = Math.min(safe, runStart(text, set, start, end) - 2)
    if (isInside(text, safe)) safe--
  }
  const search = (from: number): Found | undefined => {
    expression.lastIndex = from - start
    const match = expression.exec(window)
    return match === null ? undefined : { start: start + match.index, end: start + match.index + match[0].length }
  }
  const isCertain = (found: Found): boolean => end === text.length || (found.start < safe && found.end <= end - MARGIN)
  const near = (from: number): Found | undefined => {
    if (from < start || from >= end || (from >= safe && end < text.length)) move(from)
    const found = search(from)
    return found !== undefined && isCertain(found) ? found : undefined
  }
  return {
    near,
    *far(from) {
      for (let at = from; at <= text.length; ) {
        move(at)
        const found = search(at)
        if (end === text.length || (found !== undefined && isCertain(found))) return found
        // Nothing begins before `safe` but what was found there; from there on a run leaves the window.
        if ((found === undefined || found.start >= safe) && safe > at) {
          at = safe
          yield
          continue
        }
        const begins = found !== undefined && found.start < safe ? found.start : at
        const ends = yield* matchAt(text, [node], 0, begins)
        if (ends >= 0) return { start: begins, end: ends }
        at = begins + widthAt(text, begins)
        yield
      }
      return undefined
    },
  }
}

function isHigh(text: string, at: number): boolean {
  return (text.charCodeAt(at) & 0xfc00) === 0xd800
}

function isInside(text: string, at: number): boolean {
  return (text.charCodeAt(at) & 0xfc00) === 0xdc00 && isHigh(text, at - 1)
}

function widthAt(text: string, at: number): number {
  return text.codePointAt(at)! > 0xffff ? 2 : 1
}

/** Where the run of a set that reaches to `end` begins. */
function runStart(text: string, set: CodeSet, start: number, end: number): number {
  let at = end
  while (at > start) {
    const before = isInside(text, at - 1) ? at - 2 : at - 1
    if (!set.has(text.codePointAt(before)!)) break
    at = before
  }
  return at
}

/** The end of the first match at a place, or -1. Knows the nodes that `native.ts` lets through. */
function* matchAt(text: string, nodes: readonly Node[], index: number, at: number): Steps<number> {
  const node = nodes[index]
  if (node === undefined) return at
  switch (node.type) {
    case 'set': {
      if (at >= text.length || !node.set.has(text.codePointAt(at)!)) return -1
      return yield* matchAt(text, nodes, index + 1, at + widthAt(text, at))
    }
    case 'sequence':
      return yield* matchAt(text, [...node.nodes, ...nodes.slice(index + 1)], 0, at)
    case 'choice': {
      for (const branch of node.nodes) {
        const end = yield* matchAt(text, [branch, ...nodes.slice(index + 1)], 0, at)
        if (end >= 0) return end
      }
      return -1
    }
    case 'look': {
      const isThere = (yield* matchAt(text, [node.node], 0, at)) >= 0
      return isThere === node.negated ? -1 : yield* matchAt(text, nodes, index + 1, at)
    }
    case 'repeat':
      return yield* matchRepeat(text, node, nodes, index, at)
    case 'atomic':
    case 'place':
      return -1
    default:
      return node satisfies never
  }
}

function* matchRepeat(
  text: string,
  node: Node & { type: 'repeat' },
  nodes: readonly Node[],
  index: number,
  at: number,
): Steps<number> {
  const { min, max, lazy, node: inner } = node
  if (inner.type !== 'set') {
    // Such a part stands once or not at all.
    const rest = nodes.slice(index + 1)
    const ways = [...(max > 0 ? [[inner, ...rest]] : []), ...(min === 0 ? [rest] : [])]
    for (const way of lazy ? ways.reverse() : ways) {
      const end = yield* matchAt(text, way, 0, at)
      if (end >= 0) return end
    }
    return -1
  }
  const { set } = inner
  let work = 0
  let count = 0
  let end = at
  const takes = (): boolean => end < text.length && count < max && set.has(text.codePointAt(end)!)
  const take = (): void => {
    end += widthAt(text, end)
    count++
  }
  while (count < (lazy ? min : max) && takes()) {
    take()
    if (++work % STEP === 0) yield
  }
  while (count >= min) {
    const found = yield* matchAt(text, nodes, index + 1, end)
    if (found >= 0) return found
    if (++work % STEP === 0) yield
    if (lazy) {
      if (!takes()) return -1
      take()
    } else {
      if (count === min) return -1
      end -= isInside(text, end - 1) ? 2 : 1
      count--
    }
  }
  return -1
}
