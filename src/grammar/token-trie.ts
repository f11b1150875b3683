/** @file The tokens of a vocabulary as a tree of bytes, laid out so that a walk goes forward through arrays. */

import type { Steps } from '../turns.js'

/**
 * Node 0 is the root. Nodes stand in the order of a walk that visits a node, then its children: those below node `n`
 * are `n + 1` to `end[n] - 1`.
 */
export interface TokenTrie {
  /** The byte that leads to a node. */
  readonly byte: Uint8Array
  /** Bytes from the root to a node. */
  readonly depth: Uint16Array
  /** The first node that is not below a node. */
  readonly end: Int32Array
  /** Ids that end at node `n` are `ids[first[n]]` to `ids[first[n + 1] - 1]`. */
  readonly first: Int32Array
  readonly ids: Int32Array
  readonly longest: number
}

/** Longer tokens are never allowed: the depth of a node is kept in 16 bits. */
const LONGEST_TOKEN = 4096

const STEP = 4096

/** @param tokens ids with their bytes, one character from U+0000 to U+00FF for each */
export function* buildTrie(tokens: Iterable<readonly [id: number, bytes: string]>): Steps<TokenTrie> {
  // Sorting all at once would take longer than a turn; tokens with the same first two bytes are few.
  const groups = new Map<string, [string, number][]>()
  let count = 0
  let longest = 0
  let size = 1
  for (const [id, bytes] of tokens) {
    if (bytes === '' || bytes.length > LONGEST_TOKEN) continue
    const key = bytes.slice(0, 2)
    const group = groups.get(key)
    if (group === undefined) groups.set(key, [[bytes, id]])
    else group.push([bytes, id])
    longest = Math.max(longest, bytes.length)
    size += bytes.length
    if (++count % STEP === 0) yield
  }
  const byte = new Uint8Array(size)
  const depth = new Uint16Array(size)
  const end = new Int32Array(size)
  const first = new Int32Array(size + 1)
  const ids = new Int32Array(count)
  const path = [0]
  let nodes = 1
  let placed = 0
  let last = ''
  for (const key of [...groups.keys()].sort()) {
    for (const [bytes, id] of groups.get(key)!.sort(byBytes)) {
      let shared = 0
      while (shared < last.length && shared < bytes.length && last[shared] === bytes[shared]) shared++
      while (path.length > shared + 1) end[path.pop()!] = nodes
      for (let at = shared; at < bytes.length; at++) {
        byte[nodes] = bytes.charCodeAt(at)
        depth[nodes] = at + 1
        first[nodes] = placed
        path.push(nodes++)
      }
      ids[placed++] = id
      last = bytes
    }
    yield
  }
  for (const node of path) end[node] = nodes
  first[nodes] = placed
  return {
    byte: byte.slice(0, nodes),
    depth: depth.slice(0, nodes),
    end: end.slice(0, nodes),
    first: first.slice(0, nodes + 1),
    ids,
    longest,
  }
}

function byBytes([a, idA]: readonly [string, number], [b, idB]: readonly [string, number]): number {
  return a < b ? -1 : a > b ? 1 : idA - idB
}

/** Sets the bit of an id. */
export function setBit(words: Uint32Array, id: number): void {
  words[id >>> 5]! |= 1 << (id & 31)
}
