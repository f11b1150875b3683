/** @file The variable `loop` of `for`. */

import { bind } from './arguments.js'
import { equal } from './compare.js'
import { typeError, unsupported } from './errors.js'
import type { Pausing } from './pause.js'
import type { Runtime } from './runtime.js'
import { codePointLength } from './text.js'
import {
  type CallArguments,
  Callable,
  GAP,
  iterate,
  lengthOf,
  NativeObject,
  Tuple,
  Undefined,
  type Value,
} from './values.js'

/** Renders a loop's body again for other items, one level deeper. */
export type Recurse = (rt: Runtime, items: Value, depth: number) => Pausing<Value>

/** Goes through the items of a loop and knows the place. */
export class Loop {
  readonly #items: Value
  readonly #depth: number
  readonly #recurse: Recurse | undefined
  #iterator: Iterator<Value>
  #index = -1
  #length: number | undefined
  #after: Value | undefined
  #current: Value | undefined
  #before: Value | undefined
  #changed: readonly Value[] | undefined
  readonly object: NativeObject

  constructor(items: Value, recurse?: Recurse, depth = 0) {
    this.#items = items
    this.#iterator = iterate(items)
    this.#recurse = recurse
    this.#depth = depth
    this.object = new NativeObject('LoopContext', {
      attribute: (name, rt) => this.#attribute(name, rt),
      call: (rt, given) => this.#call(rt, given),
      shown: (rt) => `<LoopContext ${this.#index + 1}/${this.#size(rt)}>`,
      length: () =>
        lengthOf(this.#items, codePointLength) ?? unsupported('the length of a loop over a generator in this place'),
      iterate: () => unsupported('iterating over loop'),
    })
  }

  /** The next item, `GAP` where it is not found yet, or undefined at the end. */
  next(): Value | undefined {
    let item: Value | undefined
    if (this.#after !== undefined) {
      item = this.#after
      this.#after = undefined
    } else {
      const next = this.#iterator.next()
      if (next.done === true) return undefined
      if (next.value === GAP) return GAP
      item = next.value
    }
    this.#index++
    this.#before = this.#current
    this.#current = item
    return item
  }

  #peek(): Value | undefined {
    if (this.#after === undefined) {
      let next = this.#iterator.next()
      while (next.value === GAP) next = this.#iterator.next()
      if (next.done !== true) this.#after = next.value
    }
    return this.#after
  }

  #next(): Value {
    const item = this.#peek()
    return item === undefined ? new Undefined('there is no next item') : item
  }

  #size(rt: Runtime): number {
    if (this.#length !== undefined) return this.#length
    let length = lengthOf(this.#items, codePointLength)
    if (length === undefined) {
      const rest: Value[] = []
      for (let next = this.#iterator.next(); next.done !== true; next = this.#iterator.next()) {
        if (next.value === GAP) continue
        rt.step()
        rest.push(next.value)
      }
      this.#iterator = rest[Symbol.iterator]()
      length = rest.length + this.#index + 1 + (this.#after === undefined ? 0 : 1)
    }
    this.#length = length
    return length
  }

  #attribute(name: string, rt: Runtime): Value | undefined {
    switch (name) {
      case 'index':
        return this.#index + 1
      case 'index0':
        return this.#index
      case 'first':
        return this.#index === 0
      case 'last':
        return this.#peek() === undefined
      case 'length':
        return this.#size(rt)
      case 'revindex':
        return this.#size(rt) - this.#index
      case 'revindex0':
        return this.#size(rt) - this.#index - 1
      case 'depth':
        return this.#depth + 1
      case 'depth0':
        return this.#depth
      case 'previtem':
        return this.#index === 0 ? new Undefined('there is no previous item') : (this.#before as Value)
      case 'nextitem':
        return this.#next()
      case 'cycle':
        return new Callable(name, (_, given) => this.#cycle(given))
      case 'changed':
        return new Callable(name, (runtime, given) => this.#hasChanged(runtime, given))
    }
    return undefined
  }

  #cycle({ args, kwargs }: CallArguments): Value {
    if (kwargs.size > 0) return typeError('LoopContext.cycle() got an unexpected keyword argument')
    if (args.length === 0) return typeError('no items for cycling given')
    return args[this.#index % args.length] as Value
  }

  #hasChanged(rt: Runtime, { args, kwargs }: CallArguments): boolean {
    if (kwargs.size > 0) return typeError('LoopContext.changed() got an unexpected keyword argument')
    const same = this.#changed !== undefined && equal(rt, new Tuple(this.#changed), new Tuple(args))
    if (!same) this.#changed = args
    return !same
  }

  #call(rt: Runtime, given: CallArguments): Pausing<Value> {
    const [items] = bind('loop', given, 'iterable')
    if (this.#recurse === undefined) {
      return typeError("The loop must have the 'recursive' marker to be called recursively.")
    }
    return this.#recurse(rt, items as Value, this.#depth + 1)
  }
}
