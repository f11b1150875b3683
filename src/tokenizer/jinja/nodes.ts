/** @file The syntax tree of a template. Names and shapes follow jinja2's, so that its rules can be read beside them. */

import type { Value } from './values.js'

export type Expression =
  | { kind: 'name'; name: string; line: number; context: 'load' | 'store' | 'param' }
  | { kind: 'const'; value: Value; line: number }
  | { kind: 'tuple' | 'list'; items: Expression[]; line: number }
  | { kind: 'dict'; items: { key: Expression; value: Expression }[]; line: number }
  | { kind: 'condition'; test: Expression; whenTrue: Expression; otherwise: Expression | undefined; line: number }
  | { kind: 'and' | 'or'; left: Expression; right: Expression; line: number }
  | { kind: 'unary'; operator: '-' | '+' | 'not'; operand: Expression; line: number }
  | { kind: 'binary'; operator: string; left: Expression; right: Expression; line: number }
  | { kind: 'concat'; items: Expression[]; line: number }
  | { kind: 'compare'; first: Expression; links: { operator: string; operand: Expression }[]; line: number }
  | { kind: 'attribute'; object: Expression; name: string; line: number }
  | { kind: 'item'; object: Expression; key: Expression; line: number }
  | SliceExpression
  | FilterExpression
  | CallExpression
  | { kind: 'namespace-target'; name: string; attribute: string; line: number }

export interface SliceExpression {
  kind: 'slice'
  start: Expression | undefined
  stop: Expression | undefined
  step: Expression | undefined
  line: number
}

export interface CallSignature {
  args: Expression[]
  kwargs: { name: string; value: Expression }[]
  /** `*args` and `**kwargs`. */
  rest: Expression | undefined
  restNamed: Expression | undefined
}

export interface FilterExpression extends CallSignature {
  kind: 'filter' | 'test'
  name: string
  /** Absent where a filter block's own text is filtered. */
  value: Expression | undefined
  line: number
}

export interface CallExpression extends CallSignature {
  kind: 'call'
  callee: Expression
  line: number
}

export interface MacroParts {
  parameters: { name: string; line: number }[]
  defaults: Expression[]
  body: Statement[]
  line: number
}

export interface ForStatement {
  kind: 'for'
  target: Expression
  items: Expression
  body: Statement[]
  otherwise: Statement[]
  test: Expression | undefined
  recursive: boolean
  line: number
}

export interface IfStatement {
  kind: 'if'
  branches: { test: Expression; body: Statement[]; line: number }[]
  otherwise: Statement[]
  line: number
}

/** A named part of a template, which `self.name()` writes again. */
export interface TemplateBlock {
  name: string
  /** Whether it sees the variables of where it stands. */
  scoped: boolean
  required: boolean
  body: Statement[]
  line: number
}

export type OutputPart = string | Expression

export type Statement =
  | { kind: 'output'; parts: OutputPart[]; line: number }
  | ForStatement
  | IfStatement
  | ({ kind: 'macro'; name: string } & MacroParts)
  | ({ kind: 'call-block'; call: CallExpression } & MacroParts)
  // What transformers' own extension makes of `{% generation %}`.
  | ({ kind: 'generation' } & MacroParts)
  | { kind: 'filter-block'; filter: FilterExpression; body: Statement[]; line: number }
  | ({ kind: 'block' } & TemplateBlock)
  | { kind: 'with'; targets: Expression[]; values: Expression[]; body: Statement[]; line: number }
  | { kind: 'assign'; target: Expression; value: Expression; line: number }
  | { kind: 'assign-block'; target: Expression; filter: FilterExpression | undefined; body: Statement[]; line: number }
  | { kind: 'break' | 'continue'; line: number }

/** Expressions directly within an expression. */
export function* childrenOf(node: Expression): Generator<Expression> {
  switch (node.kind) {
    case 'name':
    case 'const':
    case 'namespace-target':
      return
    case 'tuple':
    case 'list':
    case 'concat':
      yield* node.items
      return
    case 'dict':
      for (const { key, value } of node.items) {
        yield key
        yield value
      }
      return
    case 'condition':
      yield node.test
      yield node.whenTrue
      if (node.otherwise !== undefined) yield node.otherwise
      return
    case 'and':
    case 'or':
    case 'binary':
      yield node.left
      yield node.right
      return
    case 'unary':
      yield node.operand
      return
    case 'compare':
      yield node.first
      for (const { operand } of node.links) yield operand
      return
    case 'attribute':
      yield node.object
      return
    case 'item':
      yield node.object
      yield node.key
      return
    case 'slice':
      for (const part of [node.start, node.stop, node.step]) if (part !== undefined) yield part
      return
    case 'filter':
    case 'test':
      if (node.value !== undefined) yield node.value
      yield* signatureParts(node)
      return
    case 'call':
      yield node.callee
      yield* signatureParts(node)
      return
  }
  node satisfies never
}

function* signatureParts(signature: CallSignature): Generator<Expression> {
  yield* signature.args
  for (const { value } of signature.kwargs) yield value
  if (signature.rest !== undefined) yield signature.rest
  if (signature.restNamed !== undefined) yield signature.restNamed
}

/** What stands directly within a statement, in the order of jinja2's own walk. */
export function* partsOf(node: Statement): Generator<Expression | Statement> {
  switch (node.kind) {
    case 'output':
      for (const part of node.parts) if (typeof part !== 'string') yield part
      return
    case 'for':
      yield node.target
      yield node.items
      yield* node.body
      yield* node.otherwise
      if (node.test !== undefined) yield node.test
      return
    case 'if':
      for (const { test, body } of node.branches) {
        yield test
        yield* body
      }
      yield* node.otherwise
      return
    case 'macro':
      yield* node.defaults
      yield* node.body
      return
    case 'call-block':
      yield node.call
      yield* node.defaults
      yield* node.body
      return
    case 'generation':
    case 'block':
      yield* node.body
      return
    case 'filter-block':
      yield* node.body
      yield node.filter
      return
    case 'with':
      yield* node.targets
      yield* node.values
      yield* node.body
      return
    case 'assign':
      yield node.target
      yield node.value
      return
    case 'assign-block':
      yield node.target
      if (node.filter !== undefined) yield node.filter
      yield* node.body
      return
    case 'break':
    case 'continue':
      return
  }
  node satisfies never
}
