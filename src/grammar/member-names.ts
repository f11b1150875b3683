/**
 * @file The names of an object's members, as a tree: from each place in their order, the names that may come next. A
 * state for each letter of each name at each place would be too many, so states are made when they are asked for.
 */

import type { Steps } from '../turns.js'
import type { Program, State } from './program.js'

/** A member whose name may come. */
export interface Member {
  /** What is written: the name in quotes and a colon. */
  readonly text: string
  /** The state behind it. */
  readonly target: State
  readonly isRequired: boolean
}

interface Node {
  readonly index: number
  readonly byte: number
  /** The members whose text goes through here, in their order. */
  readonly members: number[]
  child?: Node
  sibling?: Node
  target?: State
}

const STEP = 64

/** Members in the order in which they come. */
export class MemberNames {
  readonly #root: Node
  /** The id of the state at the root before the first member. */
  readonly #first: number
  /** For each member: the first one from there that may not be left out. */
  readonly #last: Int32Array

  private constructor(root: Node, first: number, last: Int32Array) {
    this.#root = root
    this.#first = first
    this.#last = last
  }

  static *read(program: Program, members: readonly Member[]): Steps<MemberNames> {
    const encoder = new TextEncoder()
    const root: Node = { index: 0, byte: 0, members: [] }
    let nodes = 1
    for (const [member, { text, target }] of members.entries()) {
      if (member % STEP === 0) yield
      let node = root
      node.members.push(member)
      for (const byte of encoder.encode(text)) {
        let child = childOf(node, byte)
        if (child === undefined) {
          child = { index: nodes++, byte, members: [], ...(node.child && { sibling: node.child }) }
          node.child = child
        }
        child.members.push(member)
        node = child
      }
      node.target = target
    }
    const last = new Int32Array(members.length)
    for (let member = members.length - 1, required = member; member >= 0; member--) {
      if (members[member]!.isRequired) required = member
      last[member] = required
    }
    return new MemberNames(root, program.reserve(nodes, members.length), last)
  }

  /** The state before a name of member `from` or of one behind it, up to the first that may not be left out. */
  from(from: number): State {
    return this.#state(this.#root, from)
  }

  #state(node: Node, from: number): State {
    return {
      id: this.#first + node.index * this.#last.length + from,
      also: [],
      branch: (byte) => {
        const child = childOf(node, byte)
        if (child === undefined || !this.#comes(child.members, from)) return undefined
        return child.target ?? this.#state(child, from)
      },
    }
  }

  /** Whether one of these members may come next. */
  #comes(members: readonly number[], from: number): boolean {
    let low = 0
    let high = members.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (members[middle]! < from) low = middle + 1
      else high = middle
    }
    return low < members.length && members[low]! <= this.#last[from]!
  }
}

function childOf(node: Node, byte: number): Node | undefined {
  let child = node.child
  while (child !== undefined && child.byte !== byte) child = child.sibling
  return child
}
