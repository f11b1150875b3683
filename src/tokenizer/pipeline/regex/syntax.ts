/**
 * @file What a regular expression of a tokenizer means: the tree that `parse.ts` reads and `program.ts` and `native.ts`
 * translate.
 */

import type { CodeSet } from '../unicode.js'

/** Where a position has to be. */
export type Place = 'lineStart' | 'lineEnd' | 'textStart' | 'textEnd' | 'lastLineEnd' | 'wordBoundary' | 'insideWord'

export type Node =
  | { readonly type: 'set'; readonly set: CodeSet }
  | { readonly type: 'sequence'; readonly nodes: readonly Node[] }
  | { readonly type: 'choice'; readonly nodes: readonly Node[] }
  | {
      readonly type: 'repeat'
      readonly node: Node
      readonly min: number
      /** Infinity where there is no limit. */
      readonly max: number
      readonly lazy: boolean
    }
  | { readonly type: 'atomic'; readonly node: Node }
  | { readonly type: 'look'; readonly node: Node; readonly behind: boolean; readonly negated: boolean }
  | { readonly type: 'place'; readonly place: Place }

export function sequence(nodes: readonly Node[]): Node {
  return nodes.length === 1 ? nodes[0]! : { type: 'sequence', nodes }
}

/** Fewest and most characters that a node matches. */
export function lengthOf(node: Node): { min: number; max: number } {
  switch (node.type) {
    case 'set':
      return { min: 1, max: 1 }
    case 'sequence': {
      const all = node.nodes.map(lengthOf)
      return { min: all.reduce((sum, one) => sum + one.min, 0), max: all.reduce((sum, one) => sum + one.max, 0) }
    }
    case 'choice': {
      const all = node.nodes.map(lengthOf)
      return { min: Math.min(...all.map((one) => one.min)), max: Math.max(...all.map((one) => one.max)) }
    }
    case 'repeat': {
      const { min, max } = lengthOf(node.node)
      return { min: min * node.min, max: max === 0 ? 0 : max * node.max }
    }
    case 'atomic':
      return lengthOf(node.node)
    case 'look':
    case 'place':
      return { min: 0, max: 0 }
    default:
      return node satisfies never
  }
}
