/**
 * @file Expressions that JavaScript's own matcher may run: those of which it is known that they find their matches in
 * linear time. The sets of characters are written out, since those of Node are not those of the Rust library.
 */

import type { CodeSet } from '../unicode.js'
import { automaton } from './automaton.js'
import { windowScanner } from './long-text.js'
import type { Finder } from './program.js'
import { lengthOf, type Node } from './syntax.js'

/** What a part that is tried before a run may take: enough for every published expression. */
const SHORT = 16

/** Undefined where the expression could take long or says what JavaScript's cannot. */
export function nativeFinder(node: Node): Finder | undefined {
  if (!isLinear(node)) return undefined
  const source = sourceOf(node)
  if (source === undefined) return undefined
  const expression = new RegExp(source, 'gu')
  const branches = node.type === 'choice' ? node.nodes : [node]
  const runs = branches.flatMap((branch) => (failsEarly(branch) ? [] : itemsOf(branch).find(isRun)!.node.set))
  return {
    scan: (text) => windowScanner(text, expression, node, runs),
    find(text, from) {
      expression.lastIndex = from
      const match = expression.exec(text)
      return match === null ? undefined : { start: match.index, end: match.index + match[0].length }
    },
    endAt: automaton(node),
  }
}

/** Every branch fails after a few characters, or has the run that it failed on taken by a branch behind it. */
function isLinear(node: Node): boolean {
  const branches = node.type === 'choice' ? node.nodes : [node]
  return branches.every(
    (branch, index) => failsEarly(branch) || branches.slice(index + 1).some((later) => takesRun(later, branch)),
  )
}

function itemsOf(node: Node): readonly Node[] {
  return node.type === 'sequence' ? node.nodes : [node]
}

function isRun(node: Node): node is Node & { type: 'repeat'; node: Node & { type: 'set' } } {
  return (
    node.type === 'repeat' &&
    node.node.type === 'set' &&
    node.max === Number.POSITIVE_INFINITY &&
    !node.lazy &&
    node.min <= 1
  )
}

function isShort(node: Node): boolean {
  if (node.type === 'set') return true
  if (node.type === 'repeat') return node.node.type === 'set' ? node.max <= SHORT : node.max <= 1 && isShort(node.node)
  if (node.type === 'look') return !node.behind && node.node.type === 'set'
  // Words, of which one is tried after the other.
  if (node.type === 'choice') return node.nodes.length <= 64 && node.nodes.every(isWord)
  if (node.type === 'sequence') return isWord(node)
  return false
}

function isWord(node: Node): boolean {
  return itemsOf(node).every((item) => item.type === 'set') && lengthOf(node).max <= SHORT
}

function failsEarly(branch: Node): boolean {
  const items = itemsOf(branch)
  const firstRun = items.findIndex(isRun)
  if (firstRun < 0) return items.length <= SHORT && items.every(isShort)
  if (!items.slice(0, firstRun).every(isShort) || firstRun > SHORT) return false
  return items.slice(firstRun + 1).every((item) => isRun(item) && item.min === 0)
}

/**
 * `later` takes all of the run on which `branch` can fail: \s+ behind \s+(?!\S), and capitals that no small letter
 * follows.
 */
function takesRun(later: Node, branch: Node): boolean {
  const items = itemsOf(branch)
  const at = items.findIndex(isRun)
  if (at < 0) return false
  const run = items[at]!
  const others = itemsOf(later)
  const same = others[at]
  if (at > 1 || !isRun(run) || same === undefined || !isRun(same) || !sameSet(same.node.set, run.node.set)) return false
  const [end, ...rest] = items.slice(at + 1)
  if (end === undefined || !(isRun(end) || (end.type === 'look' && !end.behind && end.node.type === 'set')))
    return false
  // What comes behind cannot fail, neither here nor there, and both begin with the same character that may be left out.
  if (
    ![...rest, ...others.slice(at + 1)].every(
      (item) => item.type === 'repeat' && item.min === 0 && (isRun(item) || isShort(item)),
    )
  )
    return false
  return at === 0 || sameOptional(items[0]!, others[0]!)
}

function sameOptional(left: Node, right: Node): boolean {
  const isOptional = (node: Node): node is Node & { type: 'repeat'; node: Node & { type: 'set' } } =>
    node.type === 'repeat' && node.node.type === 'set' && node.min === 0 && node.max === 1
  return isOptional(left) && isOptional(right) && sameSet(left.node.set, right.node.set)
}

function sameSet(left: CodeSet, right: CodeSet): boolean {
  return left.ranges.length === right.ranges.length && left.ranges.every((code, at) => code === right.ranges[at])
}

/** The same for JavaScript. */
function sourceOf(node: Node): string | undefined {
  switch (node.type) {
    case 'set':
      return classOf(node.set)
    case 'sequence':
    case 'choice': {
      const parts = node.nodes.map(sourceOf)
      if (parts.includes(undefined)) return undefined
      return node.type === 'sequence' ? parts.join('') : `(?:${parts.join('|')})`
    }
    case 'repeat': {
      const part = sourceOf(node.node)
      if (part === undefined) return undefined
      const max = node.max === Number.POSITIVE_INFINITY ? '' : String(node.max)
      return `(?:${part}){${node.min},${max}}${node.lazy ? '?' : ''}`
    }
    case 'look': {
      const part = sourceOf(node.node)
      return part === undefined || node.behind ? undefined : `(?${node.negated ? '!' : '='}${part})`
    }
    case 'atomic':
    case 'place':
      return undefined
    default:
      return node satisfies never
  }
}

function classOf(set: CodeSet): string {
  const written = (code: number): string => `\\u{${code.toString(16)}}`
  const parts: string[] = []
  for (let at = 0; at < set.ranges.length; at += 2) {
    const [first, last] = [set.ranges[at]!, set.ranges[at + 1]!]
    parts.push(first === last ? written(first) : `${written(first)}-${written(last)}`)
  }
  return `[${parts.join('')}]`
}
