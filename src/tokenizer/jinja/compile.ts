/** @file Statements become closures that write to an output. */

import { callValue } from './access.js'
import { compileArguments, compileBlockFilter, compileExpression, needsText } from './compile-expression.js'
import { fail, typeError, valueError } from './errors.js'
import type { ConstantFolder } from './fold.js'
import {
  Activation,
  BREAK,
  CONTINUE,
  compileEnter,
  compileLeave,
  type Ending,
  type Evaluate,
  type Execute,
  type Frame,
  NORMAL,
  reader,
  type StatementFrame,
  writer,
} from './frames.js'
import { Loop } from './loop.js'
import { compileMacro } from './macro.js'
import type { Expression, ForStatement, IfStatement, Statement } from './nodes.js'
import { childrenOf, partsOf } from './nodes.js'
import { str } from './repr.js'
import { Output, type Runtime } from './runtime.js'
import {
  FunctionScope,
  findUndeclared,
  isStatement,
  Symbols,
  visitExpression,
  visitFor,
  visitStatements,
} from './symbols.js'
import { Generator_, isTrue, iterate, MISSING, NativeObject, type Value } from './values.js'

/** The body of a template as a function of runtime and output. */
export function compileTemplate(statements: readonly Statement[], folder: ConstantFolder): (rt: Runtime) => void {
  const scope = new FunctionScope()
  const frame: StatementFrame = { symbols: new Symbols(scope), soft: false, inLoop: false, folder }
  // The template's own blocks, of which there are none.
  const self = findUndeclared(statements, ['self']).has('self') ? frame.symbols.declareParameter('self') : undefined
  visitStatements(frame.symbols, statements)
  const enter = compileEnter(frame)
  const body = compileBody(statements, frame)
  const setSelf = self === undefined ? undefined : writer(frame, self)
  return (rt) => {
    const activation = new Activation(scope.size)
    setSelf?.(activation, new NativeObject('TemplateReference', { shown: () => '<TemplateReference None>' }))
    enter(rt, activation)
    body(rt, activation, rt.root)
  }
}

function compileBody(statements: readonly Statement[], frame: StatementFrame): Execute {
  const steps = statements.map((statement) => compileStatement(statement, frame))
  const [only] = steps
  if (steps.length === 1 && only !== undefined) return only
  return (rt, activation, out) => {
    for (const step of steps) {
      const ending = step(rt, activation, out)
      if (ending !== NORMAL) return ending
    }
    return NORMAL
  }
}

function innerFrame(frame: StatementFrame, scope = frame.symbols.scope): StatementFrame {
  const { inLoop, undeclared, folder } = frame
  return { symbols: new Symbols(scope, frame.symbols), soft: false, inLoop, undeclared, folder }
}

function compileStatement(node: Statement, frame: StatementFrame): Execute {
  switch (node.kind) {
    case 'output':
      return compileOutput(node, frame)
    case 'if':
      return compileIf(node, frame)
    case 'for':
      return compileFor(node, frame)
    case 'assign':
      return compileAssign(node, frame)
    case 'assign-block':
      return compileAssignBlock(node, frame)
    case 'filter-block': {
      const inner = innerFrame(frame)
      visitStatements(inner.symbols, node.body)
      visitExpression(inner.symbols, node.filter)
      const captured = compileCapture(node.body, inner)
      const text: { value: string } = { value: '' }
      const filter = compileBlockFilter(node.filter, inner, () => text.value)
      const leave = compileLeave(inner)
      const { line } = node
      return (rt, activation, out) => {
        const result = captured(rt, activation)
        if (typeof result === 'number') return result
        rt.line = line
        text.value = result
        out.write(rt, needsText(rt, filter(rt, activation)))
        leave(activation)
        return NORMAL
      }
    }
    case 'with':
      return compileWith(node, frame)
    case 'macro': {
      const macro = compileMacro(node, frame, compileBody)
      const write = writer(frame, frame.symbols.ref(node.name, node.line))
      const { name } = node
      return (_, activation) => {
        write(activation, macro(activation, name))
        return NORMAL
      }
    }
    case 'call-block': {
      const macro = compileMacro(node, frame, compileBody)
      const callee = compileExpression(node.call.callee, frame)
      const given = compileArguments(node.call, frame)
      const { line } = node
      return (rt, activation, out) => {
        rt.line = line
        const caller = macro(activation, undefined)
        const value = callee(rt, activation)
        const { args, kwargs } = given(rt, activation)
        if (kwargs.has('caller')) return typeError("got multiple values for keyword argument 'caller'")
        kwargs.set('caller', caller)
        out.write(rt, needsText(rt, callValue(rt, value, args, kwargs)))
        return NORMAL
      }
    }
    case 'generation': {
      const macro = compileMacro(node, frame, compileBody)
      return (rt, activation, out) => {
        const text = needsText(rt, callValue(rt, macro(activation, undefined), [], new Map()))
        const start = rt.root.length
        rt.generated.push({ start, end: start + text.length, text })
        out.write(rt, text)
        return NORMAL
      }
    }
    case 'break':
    case 'continue': {
      if (!frame.inLoop) fail('TemplateSyntaxError', `'${node.kind}' outside loop`, node.line)
      const ending = node.kind === 'break' ? BREAK : CONTINUE
      return () => ending
    }
  }
  return node satisfies never
}

function compileOutput(node: Statement & { kind: 'output' }, frame: StatementFrame): Execute {
  const { line } = node
  const parts = node.parts.map((part) => {
    return typeof part === 'string' ? part : (frame.folder.printed(part) ?? compileExpression(part, frame))
  })
  const lines = node.parts.map((part) => (typeof part === 'string' ? line : part.line))
  const [only] = parts
  if (parts.length === 1 && typeof only === 'string') {
    return (rt, _, out) => {
      out.write(rt, only)
      return NORMAL
    }
  }
  return (rt, activation, out) => {
    for (let index = 0; index < parts.length; index++) {
      const part = parts[index] as string | Evaluate
      if (typeof part === 'string') out.write(rt, part)
      else {
        rt.line = lines[index] as number
        out.write(rt, str(rt, part(rt, activation)))
      }
    }
    return NORMAL
  }
}

function compileIf(node: IfStatement, outer: StatementFrame): Execute {
  // One scope with the block around it, whose variables its branches share.
  const frame = { ...outer, soft: true }
  const branches = node.branches.map(({ test, body, line }) => ({
    line,
    test: compileExpression(test, frame),
    body: compileBody(body, frame),
  }))
  const otherwise = compileBody(node.otherwise, frame)
  return (rt, activation, out) => {
    for (const { test, body, line } of branches) {
      rt.line = line
      if (isTrue(test(rt, activation))) return body(rt, activation, out)
    }
    return otherwise(rt, activation, out)
  }
}

/** Runs statements into a text of their own; gives their ending where a `break` or `continue` leaves them. */
function compileCapture(statements: readonly Statement[], frame: StatementFrame) {
  const enter = compileEnter(frame)
  const body = compileBody(statements, frame)
  return (rt: Runtime, activation: Activation): string | Ending => {
    const out = new Output()
    enter(rt, activation)
    const ending = body(rt, activation, out)
    return ending === NORMAL ? out.text() : ending
  }
}

/** How a value is given to a target. */
function compileTarget(node: Expression, frame: Frame): (rt: Runtime, activation: Activation, value: Value) => void {
  if (node.kind === 'name') {
    const write = writer(frame, frame.symbols.ref(node.name, node.line))
    return (_, activation, value) => write(activation, value)
  }
  if (node.kind === 'namespace-target') {
    const read = reader(frame, frame.symbols.ref(node.name, node.line))
    const { attribute } = node
    return (rt, activation, value) => (read(rt, activation) as NativeObject).assign?.(attribute, value)
  }
  const targets = (node as Expression & { kind: 'tuple' }).items.map((item) => compileTarget(item, frame))
  return (rt, activation, value) => {
    const iterator = iterate(value)
    const values: Value[] = []
    for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
      values.push(next.value)
      if (values.length > targets.length) valueError(`too many values to unpack (expected ${targets.length})`)
    }
    if (values.length < targets.length) {
      valueError(`not enough values to unpack (expected ${targets.length}, got ${values.length})`)
    }
    targets.forEach((assign, index) => {
      assign(rt, activation, values[index] as Value)
    })
  }
}

function* namespaceTargets(node: Expression): Generator<Expression & { kind: 'namespace-target' }> {
  if (node.kind === 'namespace-target') yield node
  else for (const child of childrenOf(node)) yield* namespaceTargets(child)
}

function compileAssign(node: Statement & { kind: 'assign' }, frame: StatementFrame): Execute {
  const namespaces = [...namespaceTargets(node.target)].map(({ name, line }) =>
    reader(frame, frame.symbols.ref(name, line)),
  )
  const value = compileExpression(node.value, frame)
  const assign = compileTarget(node.target, frame)
  const { line } = node
  return (rt, activation) => {
    rt.line = line
    rt.step()
    for (const read of namespaces) checkNamespace(read(rt, activation))
    assign(rt, activation, value(rt, activation))
    return NORMAL
  }
}

function checkNamespace(value: Value): void {
  if (value instanceof NativeObject && value.assign !== undefined) return
  fail('TemplateRuntimeError', 'cannot assign attribute on non-namespace object')
}

function compileAssignBlock(node: Statement & { kind: 'assign-block' }, frame: StatementFrame): Execute {
  const inner = innerFrame(frame)
  visitStatements(inner.symbols, node.body)
  const captured = compileCapture(node.body, inner)
  const text: { value: string } = { value: '' }
  const filter = node.filter === undefined ? undefined : compileBlockFilter(node.filter, inner, () => text.value)
  // jinja2 checks nothing before it assigns to an attribute here: only a namespace takes it.
  const namespaces = [...namespaceTargets(node.target)].map(({ name, line }) =>
    reader(frame, frame.symbols.ref(name, line)),
  )
  const assign = compileTarget(node.target, frame)
  const leave = compileLeave(inner)
  const { line } = node
  return (rt, activation) => {
    const result = captured(rt, activation)
    if (typeof result === 'number') return result
    rt.line = line
    text.value = result
    const value = filter === undefined ? result : filter(rt, activation)
    for (const read of namespaces) checkNamespace(read(rt, activation))
    assign(rt, activation, value)
    leave(activation)
    return NORMAL
  }
}

function compileWith(node: Statement & { kind: 'with' }, frame: StatementFrame): Execute {
  const inner = innerFrame(frame)
  for (const target of node.targets) visitExpression(inner.symbols, target)
  visitStatements(inner.symbols, node.body)
  const enter = compileEnter(inner)
  const pairs = node.targets.map((target, index) => ({
    assign: compileTarget(target, inner),
    value: compileExpression(node.values[index] as Expression, frame),
  }))
  const body = compileBody(node.body, inner)
  const leave = compileLeave(inner)
  return (rt, activation, out) => {
    enter(rt, activation)
    for (const { assign, value } of pairs) assign(rt, activation, value(rt, activation))
    const ending = body(rt, activation, out)
    if (ending === NORMAL) leave(activation)
    return ending
  }
}

/** jinja2 refuses any assignment to `loop` within a loop. */
function checkLoopTargets(node: Expression | Statement): void {
  if (node.kind === 'name' && node.context === 'store' && node.name === 'loop') {
    fail('TemplateSyntaxError', "Can't assign to special loop variable in for-loop target", node.line)
  }
  for (const part of isStatement(node) ? partsOf(node) : childrenOf(node)) checkLoopTargets(part)
}

function compileFor(node: ForStatement, frame: StatementFrame): Execute {
  const scope = node.recursive ? new FunctionScope(frame.symbols.scope) : frame.symbols.scope
  const loopFrame = { ...innerFrame(frame, scope), inLoop: true }
  const elseFrame = innerFrame(frame, scope)
  // Python's rule: in the `else` of a loop, `break` belongs to the loop around it.
  elseFrame.inLoop = !node.recursive && frame.inLoop
  const extended = node.recursive || findUndeclared(node.body, ['loop']).has('loop')
  const loopVariable = extended ? loopFrame.symbols.declareParameter('loop') : undefined
  visitFor(loopFrame.symbols, node, 'body')
  if (node.otherwise.length > 0) visitFor(elseFrame.symbols, node, 'else')
  checkLoopTargets(node)
  const filtered = compileLoopFilter(node, frame, scope)
  const assign = compileTarget(node.target, loopFrame)
  const setLoop = loopVariable === undefined ? undefined : writer(loopFrame, loopVariable)
  const enter = compileEnter(loopFrame)
  const body = compileBody(node.body, loopFrame)
  const leave = compileLeave(loopFrame)
  const enterElse = compileEnter(elseFrame)
  const otherwise = compileBody(node.otherwise, elseFrame)
  const leaveElse = compileLeave(elseFrame)
  const hasElse = node.otherwise.length > 0
  const items = compileExpression(node.items, frame)
  const { line } = node

  const run = (
    rt: Runtime,
    activation: Activation,
    out: Output,
    source: Value,
    recurse?: (rt: Runtime, items: Value, depth: number) => Value,
    depth = 0,
  ): Ending => {
    const list = filtered === undefined ? source : filtered(rt, activation, source)
    setLoop?.(activation, MISSING)
    const loop = extended ? new Loop(list, recurse, depth) : undefined
    const iterator = loop === undefined ? iterate(list) : undefined
    let completed = false
    for (;;) {
      let item: Value | undefined
      if (loop !== undefined) item = loop.next()
      else {
        const next = (iterator as Iterator<Value>).next()
        item = next.done === true ? undefined : next.value
      }
      if (item === undefined) break
      rt.step()
      rt.line = line
      assign(rt, activation, item)
      if (loop !== undefined) setLoop?.(activation, loop.object)
      enter(rt, activation)
      const isWatched = out === rt.root && rt.watched.has(item)
      const start = out.length
      const ending = body(rt, activation, out)
      if (isWatched) rt.itemSpans.push({ item, start, end: out.length })
      if (ending === NORMAL) completed = true
      else if (ending === BREAK) break
    }
    if (!node.recursive || hasElse) leave(activation)
    if (hasElse && !completed) {
      enterElse(rt, activation)
      const ending = otherwise(rt, activation, out)
      if (ending !== NORMAL) return ending
      leaveElse(activation)
    }
    return NORMAL
  }

  if (!node.recursive) return (rt, activation, out) => run(rt, activation, out, items(rt, activation))
  return (rt, activation, out) => {
    const recurse = (runtime: Runtime, source: Value, depth: number): Value => {
      runtime.enter()
      const inner = new Output()
      run(runtime, new Activation(scope.size, activation), inner, source, recurse, depth)
      runtime.leave()
      return inner.text()
    }
    out.write(rt, needsText(rt, recurse(rt, items(rt, activation), 0)))
    return NORMAL
  }
}

/** The items of a loop with `if`, tested one by one as the loop asks for them. */
function compileLoopFilter(node: ForStatement, outer: StatementFrame, scope: FunctionScope) {
  if (node.test === undefined) return undefined
  const inner = new FunctionScope(outer.symbols.scope)
  const frame = innerFrame(outer, inner)
  visitFor(frame.symbols, node, 'test')
  const enter = compileEnter(frame)
  const assign = compileTarget(node.target, frame)
  const test = compileExpression(node.test, frame)
  // A recursive loop's function lies between the filter and the block around the loop.
  const up = scope === outer.symbols.scope ? 0 : 1
  return (rt: Runtime, activation: Activation, source: Value): Value => {
    const parent = up === 0 ? activation : (activation.parent as Activation)
    const chosen = function* (): Generator<Value> {
      const own = new Activation(inner.size, parent)
      enter(rt, own)
      const iterator = iterate(source)
      for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
        rt.step()
        assign(rt, own, next.value)
        if (isTrue(test(rt, own))) yield next.value
      }
    }
    return new Generator_('generator', chosen())
  }
}
