/** @file Statements become closures that write to an output. */

import { callPausing } from './access.js'
import { compileAssign, compileAssignBlock, compileCapture, compileGive } from './compile-assign.js'
import { compileBlock, compileRoot, findBlocks } from './compile-block.js'
import { compileArguments, compileBlockFilter, compileExpression, needsText } from './compile-expression.js'
import { compileFor } from './compile-for.js'
import { compilePausing, mayPause } from './compile-pausing.js'
import { fail, typeError } from './errors.js'
import type { ConstantFolder } from './fold.js'
import {
  type Activation,
  BREAK,
  CONTINUE,
  Context,
  compileEnter,
  compileLeave,
  type Ending,
  type Evaluate,
  type Execute,
  innerFrame,
  NORMAL,
  type RunBlock,
  type StatementFrame,
  writer,
} from './frames.js'
import { compileMacro } from './macro.js'
import type { Expression, IfStatement, OutputPart, Statement } from './nodes.js'
import { after, Pause, type Pausing, stepsOf } from './pause.js'
import { strPausing } from './repr.js'
import type { Output, Runtime } from './runtime.js'
import { visitExpression, visitStatements } from './symbols.js'
import { isTrue, type Value } from './values.js'

/** The body of a template as a function of runtime and output. */
export function compileTemplate(
  statements: readonly Statement[],
  folder: ConstantFolder,
): (rt: Runtime) => Pausing<Ending> {
  const blocks = new Map<string, RunBlock>()
  const found = [...findBlocks(statements)]
  const exports = found.length > 0
  const root = compileRoot(statements, { folder, blocks, exports }, compileBody)
  for (const block of found) {
    if (blocks.has(block.name)) fail('TemplateSyntaxError', `block '${block.name}' defined twice`, block.line)
    blocks.set(block.name, compileRoot(block.body, { folder, blocks, exports: false, block: block.name }, compileBody))
  }
  return (rt) => root(rt, new Context(rt), rt.root)
}

function compileBody(statements: readonly Statement[], frame: StatementFrame): Execute {
  return inOrder(statements.map((statement) => compileStatement(statement, frame)))
}

function inOrder(parts: readonly Execute[]): Execute {
  const [only] = parts
  if (parts.length === 1 && only !== undefined) return only
  const from = (rt: Runtime, activation: Activation, out: Output, first: number): Pausing<Ending> => {
    for (let index = first; index < parts.length; index++) {
      const ending = (parts[index] as Execute)(rt, activation, out)
      if (ending !== NORMAL) {
        return ending instanceof Pause ? new Pause(goOn(rt, activation, out, index, ending)) : ending
      }
    }
    return NORMAL
  }
  function* goOn(rt: Runtime, activation: Activation, out: Output, index: number, { rest }: Pause<Ending>) {
    const ending = yield* rest
    return ending === NORMAL ? yield* stepsOf(from(rt, activation, out, index + 1)) : ending
  }
  return (rt, activation, out) => from(rt, activation, out, 0)
}

function compileStatement(node: Statement, frame: StatementFrame): Execute {
  switch (node.kind) {
    case 'output':
      return compileOutput(node, frame)
    case 'if':
      return compileIf(node, frame)
    case 'for':
      return compileFor(node, frame, compileBody)
    case 'assign':
      return compileAssign(node, frame)
    case 'assign-block':
      return compileAssignBlock(node, frame, compileBody)
    case 'filter-block':
      return compileFilterBlock(node, frame)
    case 'with':
      return compileWith(node, frame)
    case 'block':
      return compileBlock(node, frame)
    case 'macro': {
      const macro = compileMacro(node, frame, compileBody)
      const write = writer(frame, frame.symbols.ref(node.name, node.line))
      const { name } = node
      return (_, activation) => {
        const made = macro(activation, name)
        write(activation, made)
        if (frame.exports) activation.context.vars.set(name, made)
        return NORMAL
      }
    }
    case 'call-block':
      return compileCallBlock(node, frame)
    case 'generation': {
      const macro = compileMacro(node, frame, compileBody)
      return (rt, activation, out) =>
        after(callPausing(rt, macro(activation, undefined), [], new Map()), writeGenerated, rt, activation, out)
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

function writeGenerated(value: Value, rt: Runtime, _: Activation, out: Output): Ending {
  const text = needsText(rt, value)
  const start = rt.root.length
  rt.generated.push({ start, end: start + text.length, text })
  out.write(rt, text)
  return NORMAL
}

function writeText(value: Value, rt: Runtime, _: Activation, out: Output): Ending {
  out.write(rt, needsText(rt, value))
  return NORMAL
}

function writeValue(value: Value, rt: Runtime, _: Activation, out: Output): Pausing<Ending> {
  return after(strPausing(rt, value), writeString, rt, out, undefined)
}

function writeString(text: string, rt: Runtime, out: Output): Ending {
  out.write(rt, text)
  return NORMAL
}

function compileFilterBlock(node: Statement & { kind: 'filter-block' }, frame: StatementFrame): Execute {
  const inner = innerFrame(frame)
  visitStatements(inner.symbols, node.body)
  visitExpression(inner.symbols, node.filter)
  const captured = compileCapture(node.body, inner, compileBody)
  const text: { value: string } = { value: '' }
  const filter = compileBlockFilter(node.filter, inner, () => text.value)
  const leave = compileLeave(inner)
  const { line } = node
  const write = (result: string | Ending, rt: Runtime, activation: Activation, out: Output): Ending => {
    if (typeof result === 'number') return result
    rt.line = line
    text.value = result
    out.write(rt, needsText(rt, filter(rt, activation)))
    leave(activation)
    return NORMAL
  }
  return (rt, activation, out) => after(captured(rt, activation), write, rt, activation, out)
}

function compileCallBlock(node: Statement & { kind: 'call-block' }, frame: StatementFrame): Execute {
  const macro = compileMacro(node, frame, compileBody)
  const callee = compileExpression(node.call.callee, frame)
  const given = compileArguments(node.call, (operand) => compileExpression(operand, frame))
  const { line } = node
  return (rt, activation, out) => {
    rt.line = line
    const caller = macro(activation, undefined)
    const value = callee(rt, activation)
    const { args, kwargs } = given(rt, activation)
    if (kwargs.has('caller')) return typeError("got multiple values for keyword argument 'caller'")
    kwargs.set('caller', caller)
    return after(callPausing(rt, value, args, kwargs), writeText, rt, activation, out)
  }
}

function compileOutput(node: Statement & { kind: 'output' }, frame: StatementFrame): Execute {
  const writes: Execute[] = []
  let simple: OutputPart[] = []
  const flush = (): void => {
    if (simple.length > 0) writes.push(compileSimpleOutput(simple, node.line, frame))
    simple = []
  }
  for (const part of node.parts) {
    if (typeof part === 'string' || !mayPause(part) || frame.folder.printed(part) !== undefined) {
      simple.push(part)
      continue
    }
    flush()
    const value = compilePausing(part, frame)
    const { line } = part
    writes.push((rt, activation, out) => {
      rt.line = line
      return after(value(rt, activation), writeValue, rt, activation, out)
    })
  }
  flush()
  return inOrder(writes)
}

/** Output of parts that do not pause. */
function compileSimpleOutput(nodes: readonly OutputPart[], line: number, frame: StatementFrame): Execute {
  const parts = nodes.map((part) => {
    return typeof part === 'string' ? part : (frame.folder.printed(part) ?? compileExpression(part, frame))
  })
  const lines = nodes.map((part) => (typeof part === 'string' ? line : part.line))
  const [only] = parts
  if (parts.length === 1 && typeof only === 'string') {
    return (rt, _, out) => {
      out.write(rt, only)
      return NORMAL
    }
  }
  const from = (rt: Runtime, activation: Activation, out: Output, first: number): Pausing<Ending> => {
    for (let index = first; index < parts.length; index++) {
      const part = parts[index] as string | Evaluate
      if (typeof part === 'string') out.write(rt, part)
      else {
        rt.line = lines[index] as number
        const text = strPausing(rt, part(rt, activation))
        if (text instanceof Pause) return new Pause(goOn(rt, activation, out, index, text))
        out.write(rt, text)
      }
    }
    return NORMAL
  }
  function* goOn(rt: Runtime, activation: Activation, out: Output, index: number, { rest }: Pause<string>) {
    out.write(rt, yield* rest)
    return yield* stepsOf(from(rt, activation, out, index + 1))
  }
  return (rt, activation, out) => from(rt, activation, out, 0)
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

function compileWith(node: Statement & { kind: 'with' }, frame: StatementFrame): Execute {
  const inner = innerFrame(frame)
  for (const target of node.targets) visitExpression(inner.symbols, target)
  visitStatements(inner.symbols, node.body)
  const enter = compileEnter(inner)
  const pairs = node.targets.map((target, index) => compileGive(node.values[index] as Expression, frame, target, inner))
  const body = inOrder([...pairs, compileBody(node.body, inner)])
  const leave = compileLeave(inner)
  const end = (ending: Ending, _: Runtime, activation: Activation): Ending => {
    if (ending === NORMAL) leave(activation)
    return ending
  }
  return (rt, activation, out) => {
    enter(rt, activation)
    return after(body(rt, activation, out), end, rt, activation, out)
  }
}
