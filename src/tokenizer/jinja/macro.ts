/** @file Macros: functions that a template defines, and the body of a call block as its `caller`. */

import { compileExpression } from './compile-expression.js'
import { fail, typeError } from './errors.js'
import { Activation, type CompileBody, compileEnter, type Ending, type StatementFrame, writer } from './frames.js'
import type { Expression, MacroParts } from './nodes.js'
import { after, Pause, type Pausing, stepsOf } from './pause.js'
import { reprText } from './repr.js'
import { Output, type Runtime } from './runtime.js'
import { FunctionScope, findUndeclared, Symbols, visitMacro } from './symbols.js'
import { type CallArguments, Callable, Dict, MISSING, Tuple, Undefined, type Value } from './values.js'

interface Signature {
  parameters: readonly string[]
  takesCaller: boolean
  takesNamed: boolean
  takesRest: boolean
}

/** Gives what makes the macro where its definition is run. */
export function compileMacro(
  node: MacroParts,
  outer: StatementFrame,
  compileBody: CompileBody,
): (activation: Activation, name: string | undefined) => Callable {
  const scope = new FunctionScope(outer.symbols.scope)
  const symbols = new Symbols(scope, outer.symbols)
  const frame: StatementFrame = { ...outer, symbols, soft: false, undeclared: undefined, inLoop: false, exports: false }
  visitMacro(symbols, node)
  const parameters = node.parameters.map(({ name }) => name)
  const undeclared = findUndeclared(node.body, ['caller', 'kwargs', 'varargs'])
  const explicit = parameters.indexOf('caller')
  if (undeclared.has('caller') && explicit >= 0 && explicit < parameters.length - node.defaults.length) {
    fail('TemplateSyntaxError', 'the special "caller" argument must be omitted or be given a default', node.line)
  }
  const signature: Signature = {
    parameters,
    takesCaller: undeclared.has('caller'),
    takesNamed: undeclared.has('kwargs') && !parameters.includes('kwargs'),
    takesRest: undeclared.has('varargs') && !parameters.includes('varargs'),
  }
  const names = [...parameters]
  if (signature.takesCaller && explicit < 0) names.push('caller')
  if (signature.takesNamed) names.push('kwargs')
  if (signature.takesRest) names.push('varargs')
  for (const name of names.slice(parameters.length)) symbols.declareParameter(name)
  visitMacro(symbols, node)

  const writers = names.map((name) => writer(frame, symbols.ref(name, node.line)))
  const enter = compileEnter(frame)
  const defaults = compileDefaults(node, frame)
  const body = compileBody(node.body, frame)
  const invoke = (rt: Runtime, parent: Activation, values: readonly Value[]): Pausing<string> => {
    rt.enter()
    const activation = new Activation(scope.size, parent, parent.context)
    writers.forEach((write, index) => {
      write(activation, values[index] as Value)
    })
    enter(rt, activation)
    for (const fill of defaults) fill(rt, activation)
    const out = new Output()
    // Macros that call each other take as long as loops.
    const ending = rt.isDue ? new Pause(paused(rt, activation, out)) : body(rt, activation, out)
    return after(ending, leaveMacro, rt, activation, out)
  }
  function* paused(rt: Runtime, activation: Activation, out: Output) {
    yield* rt.pause()
    return yield* stepsOf(body(rt, activation, out))
  }
  return (parent, name) => {
    const attributes = new Map<string, Value>([
      ['name', name ?? null],
      ['arguments', new Tuple(parameters)],
      ['catch_kwargs', signature.takesNamed],
      ['catch_varargs', signature.takesRest],
      ['caller', signature.takesCaller],
      ['explicit_caller', explicit >= 0],
    ])
    const shown = `<Macro ${name === undefined ? 'anonymous' : `'${name}'`}>`
    const call = (rt: Runtime, given: CallArguments): Pausing<Value> =>
      invoke(rt, parent, bindMacro(rt, shown, signature, given))
    return new Callable(name ?? 'caller', call, shown, attributes)
  }
}

function leaveMacro(_: Ending, rt: Runtime, __: Activation, out: Output): string {
  rt.leave()
  return out.text()
}

function compileDefaults(node: MacroParts, outer: StatementFrame): ((rt: Runtime, activation: Activation) => void)[] {
  // While a default is computed, parameters without a value yet are undefined.
  const undeclared = new Set<string>()
  for (const [ident, load] of outer.symbols.loads) if (load.kind === 'parameter') undeclared.add(ident)
  return node.parameters.map(({ name, line }, index) => {
    const { ident } = outer.symbols.ref(name, line)
    const slot = outer.symbols.scope.slot(ident)
    const expression = node.defaults[index - node.parameters.length + node.defaults.length] as Expression | undefined
    const frame = { ...outer, undeclared: new Set(undeclared) }
    const value =
      expression === undefined
        ? () => new Undefined(`parameter '${name}' was not provided`)
        : compileExpression(expression, frame)
    undeclared.delete(ident)
    return (rt, activation) => {
      if (activation.slots[slot] === MISSING) activation.slots[slot] = value(rt, activation)
    }
  })
}

/** The values of a macro's parameters, in the order that jinja2 passes them. */
function bindMacro(rt: Runtime, shown: string, signature: Signature, { args, kwargs }: CallArguments): Value[] {
  const { parameters } = signature
  const values = args.slice(0, parameters.length)
  const rest = new Map(kwargs)
  let foundCaller = values.length === parameters.length && parameters.includes('caller')
  for (const name of parameters.slice(values.length)) {
    const given = rest.get(name)
    values.push(given === undefined ? MISSING : given)
    rest.delete(name)
    if (name === 'caller') foundCaller = true
  }
  if (signature.takesCaller && !foundCaller) {
    values.push(rest.get('caller') ?? new Undefined('No caller defined'))
    rest.delete('caller')
  }
  if (signature.takesNamed) values.push(Dict.of(rest))
  else if (rest.size > 0) {
    const [name] = rest.keys()
    return typeError(`${shown} takes no keyword argument ${reprText(rt, name as string)}`)
  }
  if (signature.takesRest) values.push(new Tuple(args.slice(parameters.length)))
  else if (args.length > parameters.length) {
    return typeError(`${shown} takes not more than ${parameters.length} argument(s)`)
  }
  return values
}
