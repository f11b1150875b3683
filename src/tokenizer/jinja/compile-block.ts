/** @file The statement `block`, whose body is a function of its own, and `self`, which calls it. */

import { fail, typeError, unsupported } from './errors.js'
import {
  Activation,
  type Blocks,
  type CompileBody,
  type Context,
  compileEnter,
  type Ending,
  type Execute,
  type RunBlock,
  reader,
  type StatementFrame,
  writer,
} from './frames.js'
import type { Expression, Statement, TemplateBlock } from './nodes.js'
import { partsOf } from './nodes.js'
import { after } from './pause.js'
import { Output, type Runtime } from './runtime.js'
import { FunctionScope, findUndeclared, isStatement, Symbols, visitStatements } from './symbols.js'
import { NativeObject, Undefined, type Value } from './values.js'

/** All blocks within statements, in the order of the source. */
export function* findBlocks(statements: Iterable<Expression | Statement>): Generator<TemplateBlock> {
  for (const node of statements) {
    if (!isStatement(node)) continue
    if (node.kind === 'block') yield node
    yield* findBlocks(partsOf(node))
  }
}

/** The statements of the template, or of one of its blocks, as a function that sees nothing but its context. */
export function compileRoot(
  statements: readonly Statement[],
  { block, ...given }: Pick<StatementFrame, 'folder' | 'blocks' | 'exports'> & { block?: string },
  compileBody: CompileBody,
): RunBlock {
  const scope = new FunctionScope()
  const symbols = new Symbols(scope)
  const frame: StatementFrame = { ...given, symbols, soft: false, inLoop: false }
  const special = findUndeclared(statements, block === undefined ? ['self'] : ['self', 'super'])
  const setters: ((activation: Activation) => void)[] = []
  if (special.has('self')) {
    const write = writer(frame, symbols.declareParameter('self'))
    setters.push((activation) => write(activation, templateReference(frame.blocks, activation.context)))
  }
  if (special.has('super')) {
    const write = writer(frame, symbols.declareParameter('super'))
    setters.push((activation) => write(activation, noParent(block as string)))
  }
  visitStatements(symbols, statements)
  const enter = compileEnter(frame)
  const body = compileBody(statements, frame)
  return (rt, context, out) => {
    const activation = new Activation(scope.size, undefined, context)
    for (const set of setters) set(activation)
    enter(rt, activation)
    return body(rt, activation, out)
  }
}

export function compileBlock(node: TemplateBlock, frame: StatementFrame): Execute {
  const { name, line, scoped, required } = node
  const { blocks } = frame
  const locals = Array.from(scoped ? frame.symbols.allStores() : [], ([stored, variable]) => {
    return { stored, read: reader(frame, variable) }
  })
  return (rt, activation, out) => {
    rt.line = line
    rt.step()
    // Templates on their own have no others that would fill it.
    if (required) fail('TemplateRuntimeError', `Required block '${name}' not found`)
    const { context } = activation
    const own = scoped ? context.derived(locals.map(({ stored, read }) => [stored, read(rt, activation)])) : context
    return (blocks.get(name) as RunBlock)(rt, own, out)
  }
}

/** `self` */
function templateReference(blocks: Blocks, context: Context): NativeObject {
  return new NativeObject('TemplateReference', {
    shown: () => '<TemplateReference None>',
    iterate: () => unsupported('iterating over self'),
    item: (name) => {
      const run = typeof name === 'string' ? blocks.get(name) : undefined
      return run === undefined ? undefined : blockReference(name as string, run, context)
    },
  })
}

/** `self.name` */
function blockReference(name: string, run: RunBlock, context: Context): NativeObject {
  return new NativeObject('BlockReference', {
    attribute: (attribute) => {
      if (attribute === 'name') return name
      return attribute === 'super' ? noParent(name) : undefined
    },
    call: (rt, { args, kwargs }) => {
      if (args.length > 0 || kwargs.size > 0) return typeError('BlockReference.__call__() takes 1 positional argument')
      rt.enter()
      const own = new Output()
      return after(run(rt, context, own), leaveBlock, rt, own, undefined)
    },
    shown: () => unsupported('printing a block'),
  })
}

function leaveBlock(_: Ending, rt: Runtime, own: Output): Value {
  rt.leave()
  return own.text()
}

/** What `super` is where no template is extended. */
function noParent(name: string): Undefined {
  return new Undefined(`there is no parent block called '${name}'.`)
}
