/** @file Tokens as a tree of their letters: all that begin at a place of a text are found in one pass. */

import type { Steps } from '../../../turns.js'

const STEP = 2048

/** Nodes by UTF-16 unit; the id of the token that ends there, or -1. */
export interface Trie {
  readonly children: readonly (ReadonlyMap<number, number> | undefined)[]
  readonly ends: readonly number[]
}

/** The tree of all tokens; the empty one ends nowhere. */
export function* buildTrie(ids: ReadonlyMap<string, number>): Steps<Trie> {
  const children: (Map<number, number> | undefined)[] = [undefined]
  const ends: number[] = [-1]
  let count = 0
  for (const [token, id] of ids) {
    let node = 0
    for (let at = 0; at < token.length; at++) {
      const unit = token.charCodeAt(at)
      let map = children[node]
      if (map === undefined) {
        map = new Map()
        children[node] = map
      }
      let child = map.get(unit)
      if (child === undefined) {
        child = children.push(undefined) - 1
        ends.push(-1)
        map.set(unit, child)
      }
      node = child
      if (++count % STEP === 0) yield
    }
    if (token !== '') ends[node] = id
  }
  return { children, ends }
}
