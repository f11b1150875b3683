/**
 * @file Finding many texts in one: the leftmost, and of those that begin there the longest, as the Rust library's
 * automaton does. The time grows with the text even where the texts are long and nearly match everywhere.
 */

import type { Steps } from '../../turns.js'
import type { Pausable } from './aligned-text.js'
import { UNITS_PER_STEP } from './text-output.js'

export interface Found {
  readonly start: number
  readonly end: number
  readonly id: number
}

export interface TextFinder {
  /** Matches in order, without overlap. */
  find(text: string): Pausable<Found>
}

interface Trie {
  readonly children: (Map<number, number> | undefined)[]
  readonly ids: number[]
}

/** @param texts Not empty, each once. */
export function textFinder(texts: readonly (readonly [string, number])[]): TextFinder {
  const forward = trieOf(texts)
  const first = new Uint8Array(0x10000)
  for (const [text] of texts) first[text.charCodeAt(0)] = 1
  let backward: BackwardFinder | undefined
  const longestAt = (text: string, start: number, spend: () => boolean): Found | undefined => {
    let node = 0
    let found: Found | undefined
    for (let at = start; at < text.length; at++) {
      const child = forward.children[node]?.get(text.charCodeAt(at))
      if (child === undefined || !spend()) break
      node = child
      const id = forward.ids[node]!
      if (id >= 0) found = { start, end: at + 1, id }
    }
    return found
  }
  return {
    *find(text) {
      let left = 16 * text.length + 10_000
      const spend = (): boolean => --left > 0
      let pause = UNITS_PER_STEP
      for (let at = 0; at < text.length; ) {
        if (at > pause) {
          pause = at + UNITS_PER_STEP
          yield undefined
        }
        if (first[text.charCodeAt(at)] === 0) {
          at++
          continue
        }
        let found = longestAt(text, at, spend)
        if (left <= 0) {
          // Too many near misses: an automaton that reads from the end knows the longest match at every place after one
          // pass.
          backward ??= yield* backwardFinder(texts)
          const matchAt = yield* backward(text)
          for (let next = at; next < text.length; ) {
            found = matchAt(next)
            if (found === undefined) next++
            else {
              yield found
              next = found.end
            }
            if (next > pause) {
              pause = next + UNITS_PER_STEP
              yield undefined
            }
          }
          return
        }
        if (found === undefined) at++
        else {
          yield found
          at = found.end
        }
      }
    },
  }
}

/** Goes through a text once, and then knows the longest match at every place. */
type BackwardFinder = (text: string) => Steps<(at: number) => Found | undefined>

function trieOf(texts: readonly (readonly [string, number])[]): Trie {
  const trie: Trie = { children: [undefined], ids: [-1] }
  for (const [text, id] of texts) {
    let node = 0
    for (let at = 0; at < text.length; at++) {
      let map = trie.children[node]
      if (map === undefined) {
        map = new Map()
        trie.children[node] = map
      }
      let child = map.get(text.charCodeAt(at))
      if (child === undefined) {
        child = trie.children.push(undefined) - 1
        trie.ids.push(-1)
        map.set(text.charCodeAt(at), child)
      }
      node = child
    }
    trie.ids[node] = id
  }
  return trie
}

/**
 * Aho and Corasick's automaton of the texts read backwards: its longest match that ends where it is begins there when
 * read forwards.
 */
function* backwardFinder(texts: readonly (readonly [string, number])[]): Steps<BackwardFinder> {
  const reverse = (text: string): string => text.split('').reverse().join('')
  const { children, ids } = trieOf(texts.map(([text, id]) => [reverse(text), id]))
  const size = children.length
  const fail = new Int32Array(size)
  const depth = new Int32Array(size)
  // The longest text that is a suffix of each state.
  const longest = new Int32Array(size).fill(-1)
  const queue = [0]
  for (let next = 0; next < queue.length; next++) {
    const node = queue[next]!
    longest[node] = ids[node]! >= 0 ? node : longest[fail[node]!]!
    for (const [unit, child] of children[node] ?? []) {
      depth[child] = depth[node]! + 1
      let back = fail[node]!
      while (node !== 0 && back !== 0 && children[back]?.get(unit) === undefined) back = fail[back]!
      fail[child] = node === 0 ? 0 : (children[back]?.get(unit) ?? 0)
      queue.push(child)
    }
    if (next % UNITS_PER_STEP === UNITS_PER_STEP - 1) yield
  }
  return function* (text) {
    const states = new Int32Array(text.length)
    let node = 0
    for (let at = text.length - 1; at >= 0; at--) {
      const unit = text.charCodeAt(at)
      while (node !== 0 && children[node]?.get(unit) === undefined) node = fail[node]!
      node = children[node]?.get(unit) ?? 0
      states[at] = longest[node]!
      if (at % UNITS_PER_STEP === 0) yield
    }
    return (at) => {
      const state = states[at]!
      return state < 0 ? undefined : { start: at, end: at + depth[state]!, id: ids[state]! }
    }
  }
}
