/**
 * @file Columns and Jinja templates over the columns of a row, as lm-evaluation-harness has them in `doc_to_text`: what
 * a row is asked, and what is right.
 */

import { valueAt } from '../data/columns.js'
import { describeOrigin, type RowOrigin, rowError } from '../data/row-origin.js'
import { describeValue, listNames } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { Conversion } from '../tokenizer/jinja/from-js.js'
import { GLOBALS } from '../tokenizer/jinja/globals.js'
import { Pause } from '../tokenizer/jinja/pause.js'
import { type CompiledTemplate, compileTemplate } from '../tokenizer/jinja/template.js'
import type { Value } from '../tokenizer/jinja/values.js'
import { runAtOnce } from '../turns.js'
import { isObject, toError } from '../values.js'

/** The columns of a row by name. */
export type RowColumns = ReadonlyMap<string, unknown>

/** What a column or a template is in a row. A column may hold anything, a template gives text. */
export type RowTemplate = (columns: RowColumns, origin: RowOrigin) => unknown

/** Templates look at no time. */
const NO_TIME = new Date(0)

/** The columns of a row as its source has it. */
export function columnsOf(value: unknown): RowColumns {
  if (value instanceof Map) return value as RowColumns
  return new Map(isObject(value) ? Object.entries(value) : [])
}

/**
 * A column, by its name or by a path with dots, or a Jinja template, which has `{{` or `{%` in it.
 * @param option that it is the value of
 * @throws OptionError where the template is none
 */
export function readRowTemplate(where: string, option: string, source: string): RowTemplate {
  if (!/\{[{%]/.test(source)) return (columns, origin) => columnOf(where, option, source, columns, origin)
  let compiled: CompiledTemplate
  try {
    compiled = compileTemplate(source)
  } catch (error) {
    throw new OptionError(
      `[${where}] expected a column or a Jinja template for ${option}, got ${toError(error).message}`,
      {
        cause: error,
      },
    )
  }
  const names = variablesOf(compiled)
  return (columns, origin) => {
    const unknown = names.find((name) => !columns.has(name))
    if (unknown !== undefined) throw missing(where, option, unknown, columns, origin)
    try {
      return render(compiled, columns)
    } catch (error) {
      throw rowError(origin, `[${where}] ${option} fails in ${describeOrigin(origin)}: ${toError(error).message}`, {
        cause: error,
      })
    }
  }
}

function columnOf(where: string, option: string, name: string, columns: RowColumns, origin: RowOrigin): unknown {
  const value = valueAt(columns, name)
  if (value === undefined) throw missing(where, option, name, columns, origin)
  return value
}

function missing(where: string, option: string, name: string, columns: RowColumns, origin: RowOrigin): Error {
  return rowError(
    origin,
    `[${where}] expected the column ${describeValue(name)}, which ${option} names, in ${describeOrigin(origin)}, got ` +
      `${listNames([...columns.keys()]) || 'no columns'}; correct ${option}`,
  )
}

function render(compiled: CompiledTemplate, columns: RowColumns): string {
  const conversion = new Conversion()
  const variables = new Map<string, Value>()
  for (const [name, value] of columns) variables.set(name, conversion.value(value, name))
  runAtOnce(conversion.fill())
  const run = compiled.run(variables, NO_TIME)
  const runtime = run instanceof Pause ? runAtOnce(run.rest) : run
  return runtime.root.text()
}

/** The names that a template reads and neither sets itself nor knows. */
function variablesOf({ statements }: CompiledTemplate): readonly string[] {
  const read = new Set<string>()
  const set = new Set<string>(['loop', 'self', 'caller', 'varargs', 'kwargs'])
  const walk = (node: unknown): void => {
    if (Array.isArray(node)) node.forEach(walk)
    if (!isObject(node) || Array.isArray(node)) return
    const { kind, name, context } = node
    if (kind === 'name' && typeof name === 'string') (context === 'load' ? read : set).add(name)
    if (kind === 'macro' && typeof name === 'string') set.add(name)
    if (Array.isArray(node.parameters))
      for (const parameter of node.parameters) set.add((parameter as { name: string }).name)
    Object.values(node).forEach(walk)
  }
  walk(statements)
  return [...read].filter((name) => !set.has(name) && !GLOBALS.has(name))
}
