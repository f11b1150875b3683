/**
 * @file SQL statements as a template: values become named parameters and never text of the statement; names of tables
 * and columns, and the texts that DDL takes nowhere else, go in by helpers that quote them. Sends nothing.
 */

import { describeValue } from '../../errors.js'
import { OptionError } from '../../lowrank-error.js'

/** A parameter as the service takes it: its value as text, or null. */
export interface SqlParameter {
  readonly name: string
  /** Text of the value; null for NULL. */
  readonly value: string | null
  /** Type as SQL writes it: 'BIGINT', 'DECIMAL(10,2)', 'TIMESTAMP'. */
  readonly type: string
}

/** What may stand for a value: NULL, text, a truth value, a number, an integer beyond 2^53, a point in time. */
export type SqlValue = string | number | bigint | boolean | Date | null | TypedValue

/** A value that is sent with a type of its own. See {@link typed}. */
export interface TypedValue {
  readonly value: string | number | bigint | boolean | null
  readonly sqlType: string
}

/** Text and parameters of a statement, or of a part of one that a template takes. */
export interface SqlStatement {
  readonly text: string
  readonly parameters: readonly SqlParameter[]
}

/** Text that goes into a statement as it is. Only the helpers of this file make it. */
class QuotedSql {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

/** A name or a literal that {@link identifier} or {@link literal} has quoted. */
export type { QuotedSql }

const PARAMETER = 'p'
const OWN_PARAMETER = /(?<![:\w`.)\]]):p\d+\b/
/** What is quoted holds no parameters. `::` casts, and behind a name the colon leads into JSON. */
const QUOTED_OR_PARAMETER = /'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|`(?:[^`]|``)*`|(?<![:\w`.)\]]):([A-Za-z_]\w*)/gs
const LEAST_INT = -(2 ** 31)
const MOST_INT = 2 ** 31 - 1
const MOST_BIGINT = 2n ** 63n - 1n
const LEAST_BIGINT = -(2n ** 63n)
/** Digits of the widest DECIMAL. */
const MOST_DIGITS = 38

/**
 * A statement whose values are parameters of the types that Databricks gives them: text is STRING, a whole number INT
 * or BIGINT, another number DOUBLE, a `Date` TIMESTAMP, null NULL. Other statements may stand in it too, with their
 * parameters.
 *
 * ```ts
 * const statement = sql`select * from ${identifier('main.default.rows')} where day >= ${'2026-01-01'} limit ${100}`
 * ```
 *
 * @throws OptionError for values that no parameter can have, such as lists
 */
export function sql(
  strings: TemplateStringsArray,
  ...values: readonly (SqlValue | SqlStatement | QuotedSql)[]
): SqlStatement {
  const parameters: SqlParameter[] = []
  let text = ''
  for (const [index, part] of strings.entries()) {
    if (OWN_PARAMETER.test(part))
      throw new OptionError(
        `[sql] expected values in place of parameters that are called :${PARAMETER} and a number, got ${describeValue(part.trim())}; write \${value}`,
      )
    text += part
    if (index >= values.length) continue
    const value = values[index]
    if (value instanceof QuotedSql) text += value.text
    else if (isStatement(value)) {
      // Its parameters get the next names: every statement counts from one.
      const first = parameters.length
      const names = new Map(value.parameters.map(({ name }, at) => [name, `${PARAMETER}${first + at + 1}`]))
      text += value.text.replace(QUOTED_OR_PARAMETER, (whole, name: string | undefined) =>
        name !== undefined && names.has(name) ? `:${names.get(name)}` : whole,
      )
      for (const parameter of value.parameters)
        parameters.push({ ...parameter, name: names.get(parameter.name) as string })
    } else {
      const name = `${PARAMETER}${parameters.length + 1}`
      parameters.push(parameterOf(name, value as SqlValue))
      text += `:${name}`
    }
  }
  return { text, parameters }
}

/**
 * The name of a table or column, quoted: `main.default.rows` is a name of three parts, and so are three texts. A part
 * that has a dot in it is one of several texts.
 *
 * @throws OptionError for empty parts
 */
export function identifier(...parts: readonly [string, ...string[]]): QuotedSql {
  return new QuotedSql(quotedName(parts.length === 1 ? partsOf(parts[0]) : parts))
}

/**
 * Text as a literal, for the places of DDL that take no parameter, such as a comment, a property or a path.
 * @throws OptionError for what is no text
 */
export function literal(text: string): QuotedSql {
  return new QuotedSql(quotedText(text))
}

/** A value with a type that SQL writes: `typed('2026-01-31', 'DATE')`, `typed('12.30', 'DECIMAL(10,2)')`. */
export function typed(value: TypedValue['value'], sqlType: string): TypedValue {
  if (/^[A-Za-z_]+(?:\s*\(\s*\d+(?:\s*,\s*\d+)?\s*\))?$/.test(sqlType)) return { value, sqlType }
  throw new OptionError(
    `[sql] expected the type of a single value such as DATE or DECIMAL(10,2), got ${describeValue(sqlType)}`,
  )
}

/** A statement of a text without values, or one with parameters that have names of their own. */
export function statementOf(text: string, parameters: Readonly<Record<string, SqlValue>> = {}): SqlStatement {
  return {
    text,
    parameters: Object.entries(parameters).map(([name, value]) => {
      if (!/^[A-Za-z_]\w*$/.test(name))
        throw new OptionError(`[sql] expected a parameter's name of letters, digits and _, got ${describeValue(name)}`)
      return parameterOf(name, value)
    }),
  }
}

/** Whether a value is what the template makes. */
export function isStatement(value: unknown): value is SqlStatement {
  return typeof value === 'object' && value !== null && 'text' in value && 'parameters' in value
}

/** `` `main`.`default`.`rows` `` */
export function quotedName(parts: readonly string[]): string {
  return parts
    .map((part) => {
      if (typeof part === 'string' && part.trim() !== '' && !part.includes('\0'))
        return `\`${part.replaceAll('`', '``')}\``
      throw new OptionError(`[sql] expected a name, got ${describeValue(part)}`)
    })
    .join('.')
}

/** A literal of the text, in Databricks' spelling: within quotes the backslash escapes. */
function quotedText(text: string): string {
  if (typeof text !== 'string') throw new OptionError(`[sql] expected text for a literal, got ${describeValue(text)}`)
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('\n', '\\n').replaceAll('\r', '\\r')}'`
}

/** The parts of a dotted name; backticks hold one together. @throws OptionError where a part is empty */
export function partsOf(name: string): string[] {
  const found = /^(?:`(?:[^`]|``)+`|[^`.]+)(?:\.(?:`(?:[^`]|``)+`|[^`.]+))*$/.test(name)
  if (!found) throw new OptionError(`[sql] expected a name of parts with dots in between, got ${describeValue(name)}`)
  return (name.match(/`(?:[^`]|``)+`|[^`.]+/g) ?? []).map((part) =>
    part.startsWith('`') ? part.slice(1, -1).replaceAll('``', '`') : part,
  )
}

function parameterOf(name: string, value: SqlValue): SqlParameter {
  if (value === null) return { name, value: null, type: 'STRING' }
  switch (typeof value) {
    case 'string':
      return { name, value, type: 'STRING' }
    case 'boolean':
      return { name, value: String(value), type: 'BOOLEAN' }
    case 'number':
      return { name, ...numberOf(value) }
    case 'bigint':
      if (value >= LEAST_BIGINT && value <= MOST_BIGINT) return { name, value: String(value), type: 'BIGINT' }
      if (String(value).replace('-', '').length <= MOST_DIGITS)
        return { name, value: String(value), type: `DECIMAL(${MOST_DIGITS},0)` }
      break
    case 'object':
      if (value instanceof Date) {
        if (!Number.isNaN(value.getTime())) return { name, value: value.toISOString(), type: 'TIMESTAMP' }
      } else if ('sqlType' in value)
        return { name, value: value.value === null ? null : String(value.value), type: value.sqlType }
      break
    default:
  }
  const remedy = Array.isArray(value)
    ? 'give each item as a value of its own'
    : 'give it as text, or as JSON with from_json'
  throw new OptionError(
    `[sql] expected text, a number, true or false, a Date or null for a value, got ${describeValue(value)}; ${remedy}`,
  )
}

function numberOf(value: number): Pick<SqlParameter, 'value' | 'type'> {
  if (!Number.isFinite(value))
    return { value: Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity', type: 'DOUBLE' }
  if (!Number.isSafeInteger(value) || Object.is(value, -0)) return { value: String(value), type: 'DOUBLE' }
  return { value: String(value), type: value >= LEAST_INT && value <= MOST_INT ? 'INT' : 'BIGINT' }
}
