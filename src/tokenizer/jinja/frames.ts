/** @file Variables at run time: where a block keeps them, and how it reads and writes those of the blocks around it. */

import { LowrankError } from '../../lowrank-error.js'
import type { ConstantFolder } from './fold.js'
import type { Statement } from './nodes.js'
import type { Pausing } from './pause.js'
import type { Output, Runtime } from './runtime.js'
import { Symbols, type Variable } from './symbols.js'
import { MISSING, type Value } from './values.js'

/** Where names are looked up that the template's function does not know: what the template set, what it was given. */
export class Context {
  readonly vars: Map<string, Value>
  readonly #rt: Runtime

  constructor(rt: Runtime, vars: ReadonlyMap<string, Value> = new Map()) {
    this.#rt = rt
    this.vars = new Map(vars)
  }

  resolve(name: string): Value {
    return this.vars.get(name) ?? this.#rt.resolve(name)
  }

  /** One of its own for a block that sees the variables around it. */
  derived(locals: Iterable<[string, Value]>): Context {
    const context = new Context(this.#rt, this.vars)
    for (const [name, value] of locals) if (value !== MISSING) context.vars.set(name, value)
    this.#rt.items(context.vars.size)
    return context
  }
}

/** Variables of one call of a function of the template. */
export class Activation {
  readonly slots: Value[]
  readonly parent: Activation | undefined
  readonly context: Context

  constructor(size: number, parent: Activation | undefined, context: Context) {
    this.slots = new Array(size).fill(MISSING)
    this.parent = parent
    this.context = context
  }
}

export type Evaluate = (rt: Runtime, activation: Activation) => Value

/** Where an expression stands. */
export interface Frame {
  symbols: Symbols
  /** Within `if`, where an unknown filter is an error only once it is called. */
  soft: boolean
  /** Parameters of a macro that have no value yet while their defaults are computed. */
  undeclared?: Set<string>
  folder: ConstantFolder
}

/** The activation that holds a variable, seen from a function `depth` levels below. */
function holder(activation: Activation, up: number): Activation {
  let at = activation
  for (let level = 0; level < up; level++) at = at.parent as Activation
  return at
}

/** How to read a variable from a function. */
export function reader(frame: Frame, variable: Variable): Evaluate {
  const slot = variable.scope.slot(variable.ident)
  const up = frame.symbols.scope.depth - variable.scope.depth
  if (up === 0) return (_, activation) => activation.slots[slot] as Value
  return (_, activation) => holder(activation, up).slots[slot] as Value
}

/** How to write a variable. */
export function writer(frame: Frame, variable: Variable): (activation: Activation, value: Value) => void {
  const slot = variable.scope.slot(variable.ident)
  const up = frame.symbols.scope.depth - variable.scope.depth
  if (up > 0) throw new LowrankError('INTERNAL', 'expected to write a variable of the own function')
  return (activation, value) => {
    activation.slots[slot] = value
  }
}

/** How a statement ended: normally, or with a `break` or `continue` for the loop around it. */
export const NORMAL = 0
export const BREAK = 1
export const CONTINUE = 2
export type Ending = typeof NORMAL | typeof BREAK | typeof CONTINUE

export type Execute = (rt: Runtime, activation: Activation, out: Output) => Pausing<Ending>

/** Where a statement stands. */
export interface StatementFrame extends Frame {
  /** Whether `break` and `continue` have a loop to belong to. */
  inLoop: boolean
  /** Whether what is set here is seen by blocks: in the template itself, within no other statement but `if`. */
  exports: boolean
  blocks: Blocks
}

/** Renders a block of the template. */
export type RunBlock = (rt: Runtime, context: Context, out: Output) => Pausing<Ending>

/** The blocks of a template by their names, complete when it runs. */
export type Blocks = ReadonlyMap<string, RunBlock>

/** Compiles the statements of a block. */
export type CompileBody = (statements: readonly Statement[], frame: StatementFrame) => Execute

/** The frame of a block with variables of its own. */
export function innerFrame(frame: StatementFrame, scope = frame.symbols.scope): StatementFrame {
  const symbols = new Symbols(scope, frame.symbols)
  return { ...frame, symbols, soft: false, exports: false }
}

/** What a block does first: it copies what it may change, and looks up what comes from outside of the template. */
export function compileEnter(frame: Frame): (rt: Runtime, activation: Activation) => void {
  const steps: ((rt: Runtime, activation: Activation) => void)[] = []
  for (const [ident, load] of frame.symbols.loads) {
    if (load.kind === 'parameter') continue
    const write = writer(frame, { ident, scope: frame.symbols.scope })
    if (load.kind === 'resolve') {
      const { name } = load
      steps.push((_, activation) => write(activation, activation.context.resolve(name)))
    } else if (load.kind === 'alias') {
      const read = reader(frame, load.of)
      steps.push((rt, activation) => write(activation, read(rt, activation)))
    } else steps.push((_, activation) => write(activation, MISSING))
  }
  return (rt, activation) => {
    for (const step of steps) step(rt, activation)
  }
}

/** What a block does last: it forgets its variables, which macros made in it may still read. */
export function compileLeave(frame: Frame): (activation: Activation) => void {
  const { scope, loads } = frame.symbols
  const slots = Array.from(loads.keys(), (ident) => scope.slot(ident))
  return (activation) => {
    for (const slot of slots) activation.slots[slot] = MISSING
  }
}
