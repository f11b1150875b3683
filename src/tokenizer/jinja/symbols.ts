/**
 * @file Scopes of variables, by the rules of jinja2's compiler: which assignment a name means, what a block copies from
 * outside when it begins, and what it forgets when it ends.
 */

import { fail } from './errors.js'
import { childrenOf, type Expression, type ForStatement, type MacroParts, partsOf, type Statement } from './nodes.js'

/** What a variable holds when its block begins. */
export type Load =
  | { kind: 'parameter' }
  | { kind: 'resolve'; name: string }
  | { kind: 'alias'; of: Variable }
  | { kind: 'undefined' }

/** Variables of one function of the template: its body, a block, a macro, a recursive loop. */
export class FunctionScope {
  readonly parent: FunctionScope | undefined
  readonly depth: number
  readonly #slots = new Map<string, number>()

  constructor(parent?: FunctionScope) {
    this.parent = parent
    this.depth = parent === undefined ? 0 : parent.depth + 1
  }

  get size(): number {
    return this.#slots.size
  }

  slot(ident: string): number {
    const known = this.#slots.get(ident)
    if (known !== undefined) return known
    this.#slots.set(ident, this.#slots.size)
    return this.#slots.size - 1
  }
}

/** A place for a value: blocks on one level of a function share it by name, as in jinja2. */
export interface Variable {
  ident: string
  scope: FunctionScope
}

export class Symbols {
  readonly level: number
  readonly parent: Symbols | undefined
  readonly scope: FunctionScope
  refs = new Map<string, Variable>()
  loads = new Map<string, Load>()
  stores = new Set<string>()

  constructor(scope: FunctionScope, parent?: Symbols) {
    this.scope = scope
    this.parent = parent
    this.level = parent === undefined ? 0 : parent.level + 1
  }

  copy(): Symbols {
    const copy = new Symbols(this.scope, this.parent)
    copy.refs = new Map(this.refs)
    copy.loads = new Map(this.loads)
    copy.stores = new Set(this.stores)
    return copy
  }

  findRef(name: string): Variable | undefined {
    return this.refs.get(name) ?? this.parent?.findRef(name)
  }

  findLoad(ident: string): Load | undefined {
    return this.loads.get(ident) ?? this.parent?.findLoad(ident)
  }

  ref(name: string, line: number): Variable {
    return (
      this.findRef(name) ??
      fail('TemplateRuntimeError', `the name '${name}' is unknown in this place to jinja2 too`, line)
    )
  }

  #define(name: string, load: Load): Variable {
    const variable = { ident: `${this.level}:${name}`, scope: this.scope }
    this.refs.set(name, variable)
    this.loads.set(variable.ident, load)
    return variable
  }

  store(name: string): void {
    this.stores.add(name)
    if (this.refs.has(name)) return
    const outer = this.parent?.findRef(name)
    this.#define(name, outer === undefined ? { kind: 'undefined' } : { kind: 'alias', of: outer })
  }

  declareParameter(name: string): Variable {
    this.stores.add(name)
    return this.#define(name, { kind: 'parameter' })
  }

  load(name: string): void {
    if (this.findRef(name) === undefined) this.#define(name, { kind: 'resolve', name })
  }

  /** What is stored here and in the blocks around this one, each as it is seen from here. */
  allStores(): Map<string, Variable> {
    const all = this.parent?.allStores() ?? new Map<string, Variable>()
    for (const name of [...all.keys(), ...this.stores]) all.set(name, this.findRef(name) as Variable)
    return all
  }

  /** Joins what the branches of an `if` did. */
  updateFrom(branches: readonly Symbols[]): void {
    const stores = new Set<string>()
    for (const branch of branches) for (const name of branch.stores) if (!this.stores.has(name)) stores.add(name)
    for (const branch of branches) {
      for (const [name, variable] of branch.refs) this.refs.set(name, variable)
      for (const [ident, load] of branch.loads) this.loads.set(ident, load)
      for (const name of branch.stores) this.stores.add(name)
    }
    for (const name of stores) {
      const { ident } = this.findRef(name) as Variable
      const outer = this.parent?.findRef(name)
      this.loads.set(ident, outer === undefined ? { kind: 'resolve', name } : { kind: 'alias', of: outer })
    }
  }
}

/** Enters the names of an expression. */
export function visitExpression(symbols: Symbols, node: Expression, asParameter = false): void {
  if (node.kind === 'name') {
    if (asParameter || node.context === 'param') symbols.declareParameter(node.name)
    else if (node.context === 'store') symbols.store(node.name)
    else symbols.load(node.name)
  } else if (node.kind === 'namespace-target') symbols.load(node.name)
  else for (const child of childrenOf(node)) visitExpression(symbols, child, asParameter)
}

/** Enters the names of statements, as far as they belong to the block that these stand in. */
export function visitStatements(symbols: Symbols, statements: readonly Statement[]): void {
  for (const statement of statements) visitStatement(symbols, statement)
}

function visitStatement(symbols: Symbols, node: Statement): void {
  switch (node.kind) {
    case 'output':
      for (const part of node.parts) if (typeof part !== 'string') visitExpression(symbols, part)
      return
    case 'if':
      visitIf(symbols, node.branches, node.otherwise)
      return
    case 'macro':
      symbols.store(node.name)
      return
    case 'assign':
      visitExpression(symbols, node.value)
      visitExpression(symbols, node.target)
      return
    case 'for':
      visitExpression(symbols, node.items)
      return
    case 'call-block':
      visitExpression(symbols, node.call)
      return
    case 'filter-block':
      visitExpression(symbols, node.filter)
      return
    case 'with':
      for (const value of node.values) visitExpression(symbols, value)
      return
    case 'assign-block':
      visitExpression(symbols, node.target)
      return
    case 'generation':
    case 'block':
    case 'break':
    case 'continue':
      return
  }
  node satisfies never
}

function visitIf(
  symbols: Symbols,
  branches: readonly { test: Expression; body: Statement[] }[],
  otherwise: readonly Statement[],
): void {
  const [first, ...rest] = branches
  if (first === undefined) return
  visitExpression(symbols, first.test)
  const body = symbols.copy()
  visitStatements(body, first.body)
  const elifs = symbols.copy()
  for (const branch of rest) visitIf(elifs, [branch], [])
  const last = symbols.copy()
  visitStatements(last, otherwise)
  symbols.updateFrom([body, elifs, last])
}

export function visitFor(symbols: Symbols, node: ForStatement, part: 'body' | 'else' | 'test'): void {
  if (part !== 'else') visitExpression(symbols, node.target, true)
  if (part === 'test') {
    if (node.test !== undefined) visitExpression(symbols, node.test)
  } else visitStatements(symbols, part === 'body' ? node.body : node.otherwise)
}

export function visitMacro(symbols: Symbols, node: MacroParts): void {
  for (const { name } of node.parameters) symbols.declareParameter(name)
  for (const value of node.defaults) visitExpression(symbols, value)
  visitStatements(symbols, node.body)
}

/** Which of `names` are read before anything of that name is assigned, in the order of the source. */
export function findUndeclared(statements: readonly Statement[], names: readonly string[]): Set<string> {
  const open = new Set(names)
  const undeclared = new Set<string>()
  const visit = (node: Expression | Statement): void => {
    if (node.kind === 'name') {
      if (node.context === 'load' && open.has(node.name)) undeclared.add(node.name)
      else open.delete(node.name)
      return
    }
    if (node.kind === 'block') return
    if (node.kind === 'macro' || node.kind === 'call-block') {
      if (node.kind === 'call-block') visit(node.call)
      for (const { name } of node.parameters) open.delete(name)
      for (const value of node.defaults) visit(value)
      for (const inner of node.body) visit(inner)
      return
    }
    for (const part of isStatement(node) ? partsOf(node) : childrenOf(node)) visit(part)
  }
  for (const statement of statements) visit(statement)
  return undeclared
}

const STATEMENTS = new Set([
  'output',
  'for',
  'if',
  'macro',
  'call-block',
  'generation',
  'block',
  'filter-block',
  'with',
  'assign',
  'assign-block',
  'break',
  'continue',
])

export function isStatement(node: Expression | Statement): node is Statement {
  return STATEMENTS.has(node.kind)
}
