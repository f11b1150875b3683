/** @file The statement `for`: the place where a rendering pauses, since nothing else of a template takes long. */

import { compileTarget } from './compile-assign.js'
import { findBlocks } from './compile-block.js'
import { compileExpression, needsText } from './compile-expression.js'
import { compilePausing } from './compile-pausing.js'
import { fail } from './errors.js'
import {
  Activation,
  BREAK,
  type CompileBody,
  compileEnter,
  compileLeave,
  type Ending,
  type Execute,
  innerFrame,
  NORMAL,
  type StatementFrame,
  writer,
} from './frames.js'
import { Loop, type Recurse } from './loop.js'
import { childrenOf, type Expression, type ForStatement, partsOf, type Statement } from './nodes.js'
import { after, Pause, type Pausing, stepsOf } from './pause.js'
import { Output, type Runtime } from './runtime.js'
import { FunctionScope, findUndeclared, isStatement, visitFor } from './symbols.js'
import { GAP, Generator_, isTrue, iterate, MISSING, type Value } from './values.js'

/** One run of a loop, as far as it has come. */
interface LoopRun {
  readonly loop: Loop | undefined
  readonly iterator: Iterator<Value> | undefined
  /** The present item: what it is where its place is asked for, and where its text begins. */
  watched: Value | undefined
  start: number
  /** Whether an item ended without `break` or `continue`. */
  completed: boolean
  broken: boolean
}

/** Why a loop stands still: its body does, or it has taken long enough. */
type Halt = Pause<Ending> | 'due'

/** jinja2 refuses any assignment to `loop` within a loop. */
function checkLoopTargets(node: Expression | Statement): void {
  if (node.kind === 'name' && node.context === 'store' && node.name === 'loop') {
    fail('TemplateSyntaxError', "Can't assign to special loop variable in for-loop target", node.line)
  }
  for (const part of isStatement(node) ? partsOf(node) : childrenOf(node)) checkLoopTargets(part)
}

/** A block may read `loop`, which is not looked for there. */
function hasScopedBlock({ body, otherwise }: ForStatement): boolean {
  return [...findBlocks(body), ...findBlocks(otherwise)].some(({ scoped }) => scoped)
}

export function compileFor(node: ForStatement, frame: StatementFrame, compileBody: CompileBody): Execute {
  const scope = node.recursive ? new FunctionScope(frame.symbols.scope) : frame.symbols.scope
  const loopFrame = { ...innerFrame(frame, scope), inLoop: true }
  const elseFrame = innerFrame(frame, scope)
  // Python's rule: in the `else` of a loop, `break` belongs to the loop around it.
  elseFrame.inLoop = !node.recursive && frame.inLoop
  const extended = node.recursive || findUndeclared(node.body, ['loop']).has('loop') || hasScopedBlock(node)
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
  const items = compilePausing(node.items, frame)
  const { line } = node

  const endItem = (rt: Runtime, out: Output, run: LoopRun, ending: Ending): void => {
    const { watched, start } = run
    if (watched !== undefined) rt.itemSpans.push({ item: watched, start, end: out.length })
    if (ending === NORMAL) run.completed = true
    else if (ending === BREAK) run.broken = true
  }

  /** Goes through items to the end, or until something stands still. */
  const goThrough = (rt: Runtime, activation: Activation, out: Output, run: LoopRun): Halt | undefined => {
    const { loop, iterator } = run
    while (!run.broken) {
      let item: Value | undefined
      if (loop !== undefined) item = loop.next()
      else {
        const next = (iterator as Iterator<Value>).next()
        item = next.done === true ? undefined : next.value
      }
      if (item === undefined) return undefined
      if (item === GAP) return 'due'
      rt.step()
      rt.line = line
      assign(rt, activation, item)
      if (loop !== undefined) setLoop?.(activation, loop.object)
      enter(rt, activation)
      run.watched = out === rt.root && rt.watched.has(item) ? item : undefined
      run.start = out.length
      const ending = body(rt, activation, out)
      if (typeof ending !== 'number') return ending
      endItem(rt, out, run, ending)
      if (rt.isDue) return 'due'
    }
    return undefined
  }

  const endElse = (ending: Ending, _: Runtime, activation: Activation): Ending => {
    if (ending === NORMAL) leaveElse(activation)
    return ending
  }

  const finish = (rt: Runtime, activation: Activation, out: Output, { completed }: LoopRun): Pausing<Ending> => {
    if (!node.recursive || hasElse) leave(activation)
    if (!hasElse || completed) return NORMAL
    enterElse(rt, activation)
    return after(otherwise(rt, activation, out), endElse, rt, activation, out)
  }

  function* goOn(rt: Runtime, activation: Activation, out: Output, run: LoopRun, first: Halt) {
    for (let halt: Halt | undefined = first; halt !== undefined; halt = goThrough(rt, activation, out, run)) {
      if (halt === 'due') yield* rt.pause()
      else endItem(rt, out, run, yield* halt.rest)
    }
    return yield* stepsOf(finish(rt, activation, out, run))
  }

  const runLoop = (
    source: Value,
    rt: Runtime,
    activation: Activation,
    out: Output,
    recurse?: Recurse,
    depth = 0,
  ): Pausing<Ending> => {
    const list = filtered === undefined ? source : filtered(rt, activation, source)
    setLoop?.(activation, MISSING)
    const loop = extended ? new Loop(list, recurse, depth) : undefined
    const iterator = loop === undefined ? iterate(list) : undefined
    const run: LoopRun = { loop, iterator, watched: undefined, start: 0, completed: false, broken: false }
    const halt = goThrough(rt, activation, out, run)
    if (halt !== undefined) return new Pause(goOn(rt, activation, out, run, halt))
    return finish(rt, activation, out, run)
  }

  if (!node.recursive) {
    return (rt, activation, out) => after(items(rt, activation), runLoop, rt, activation, out)
  }
  const leaveLevel = (_: Ending, rt: Runtime, __: Activation, inner: Output): Value => {
    rt.leave()
    return inner.text()
  }
  const runLevels = (source: Value, rt: Runtime, activation: Activation, out: Output): Pausing<Ending> => {
    const recurse = (runtime: Runtime, list: Value, depth: number): Pausing<Value> => {
      runtime.enter()
      const inner = new Output()
      const own = new Activation(scope.size, activation, activation.context)
      return after(runLoop(list, runtime, own, inner, recurse, depth), leaveLevel, runtime, own, inner)
    }
    return after(recurse(rt, source, 0), writeLevels, rt, activation, out)
  }
  return (rt, activation, out) => after(items(rt, activation), runLevels, rt, activation, out)
}

function writeLevels(text: Value, rt: Runtime, _: Activation, out: Output): Ending {
  out.write(rt, needsText(rt, text))
  return NORMAL
}

/** The items of a loop with `if`, tested one by one as the loop asks for them; a gap where that takes long. */
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
      const own = new Activation(inner.size, parent, parent.context)
      enter(rt, own)
      const iterator = iterate(source)
      for (let next = iterator.next(); next.done !== true; next = iterator.next()) {
        rt.step()
        assign(rt, own, next.value)
        if (isTrue(test(rt, own))) yield next.value
        else if (rt.isDue) yield GAP
      }
    }
    return new Generator_('generator', chosen())
  }
}
