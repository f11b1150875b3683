/** @file What can be assigned to: names, tuples of them, and attributes of namespaces. */

import { fail } from './errors.js'
import type { Expression } from './nodes.js'

/** Names that are values. */
export const CONSTANTS: ReadonlyMap<string, boolean | null> = new Map([
  ['true', true],
  ['True', true],
  ['false', false],
  ['False', false],
  ['none', null],
  ['None', null],
])

/** Makes a parsed expression a target. @throws for what cannot be one */
export function assignTo(node: Expression, context: 'store' | 'param'): void {
  setContext(node, context)
  checkTarget(node)
}

function setContext(node: Expression, context: 'store' | 'param'): void {
  if (node.kind === 'name') node.context = context
  else if (node.kind === 'tuple' || node.kind === 'list') for (const item of node.items) setContext(item, context)
}

function checkTarget(node: Expression): void {
  if (node.kind === 'namespace-target') return
  if (node.kind === 'tuple') for (const item of node.items) checkTarget(item)
  else if (node.kind !== 'name' || CONSTANTS.has(node.name)) {
    fail('TemplateSyntaxError', `can't assign to '${node.kind}'`, node.line)
  }
}
