/**
 * @file Conditions on the columns of a row, as rule and mapping files have them: read, applied, and as SQL. Nothing of
 * a file is run as code.
 */

import type { YamlNode } from '../data/yaml-node.js'
import { type Columns, numberOfValue, presentValue, textOfValue } from './input.js'
import { sqlColumn, sqlIsMissing, sqlLiteral, sqlNumber, sqlText } from './sql.js'

const COMPARISONS = ['lessThan', 'atMost', 'moreThan', 'atLeast'] as const
type Comparison = (typeof COMPARISONS)[number]
const OPERATORS = ['is', 'isNot', 'in', 'notIn', 'missing', ...COMPARISONS] as const
const FIELDS = ['and', 'or', 'not', 'column', ...OPERATORS] as const

/** A value that a column is compared with: a number also equals the text that says it. */
type Operand = string | number

/** What must hold for a row. */
export type Condition =
  | { readonly kind: 'and' | 'or'; readonly parts: readonly Condition[] }
  | { readonly kind: 'not'; readonly part: Condition }
  | { readonly kind: 'missing'; readonly column: string }
  | { readonly kind: 'in'; readonly column: string; readonly values: readonly Operand[] }
  | { readonly kind: Comparison; readonly column: string; readonly bound: number }

/** Reads `{ column: dti, moreThan: 35 }`, or several within `and`, `or` and `not`. */
export function readCondition(node: YamlNode): Condition {
  const fields = node.fields(FIELDS)
  const given = FIELDS.filter((name) => fields[name].value !== undefined)
  const [first] = given
  if (first === 'and' || first === 'or') {
    if (given.length > 1) node.fail(`${first} alone`, `put the rest into its list`)
    const parts = fields[first].items().map(readCondition)
    if (parts.length === 0) fields[first].fail('a list of conditions')
    return { kind: first, parts }
  }
  if (first === 'not') {
    if (given.length > 1) node.fail('not alone', 'put it into a list of and')
    return { kind: 'not', part: readCondition(fields.not) }
  }
  if (first !== 'column') node.fail('a condition such as { column: dti, moreThan: 35 }')
  const column = fields.column.name()
  const parts = OPERATORS.filter((name) => fields[name].value !== undefined).map((name) =>
    readOperator(name, column, fields[name]),
  )
  if (parts.length === 0) node.fail(`one of ${OPERATORS.join(', ')} beside column`)
  return parts.length === 1 ? (parts[0] as Condition) : { kind: 'and', parts }
}

function readOperator(name: (typeof OPERATORS)[number], column: string, node: YamlNode): Condition {
  switch (name) {
    case 'missing': {
      const missing: Condition = { kind: 'missing', column }
      return node.boolean(true) ? missing : { kind: 'not', part: missing }
    }
    case 'is':
      return { kind: 'in', column, values: [readOperand(node)] }
    case 'in':
      return { kind: 'in', column, values: readOperands(node) }
    case 'isNot':
      return present(column, { kind: 'in', column, values: [readOperand(node)] })
    case 'notIn':
      return present(column, { kind: 'in', column, values: readOperands(node) })
    case 'lessThan':
    case 'atMost':
    case 'moreThan':
    case 'atLeast':
      return { kind: name, column, bound: node.number() }
    default:
      return name satisfies never
  }
}

/** A missing value differs from nothing: nobody knows it. */
function present(column: string, excluded: Condition): Condition {
  const parts: Condition[] = [{ kind: 'missing', column }, excluded]
  return { kind: 'not', part: { kind: 'or', parts } }
}

function readOperand(node: YamlNode): Operand {
  return typeof node.value === 'number' ? node.number() : node.text()
}

function readOperands(node: YamlNode): readonly Operand[] {
  const values = node.items().map(readOperand)
  return values.length > 0 ? values : node.fail('a list of values')
}

/**
 * Whether a condition holds. A comparison with a value that is missing or no number does not hold.
 * @param onNoNumber Told the column whose value is there and should be a number, but is none.
 */
export function holds(condition: Condition, columns: Columns, onNoNumber: (column: string) => void): boolean {
  switch (condition.kind) {
    case 'and':
      return condition.parts.every((part) => holds(part, columns, onNoNumber))
    case 'or':
      return condition.parts.some((part) => holds(part, columns, onNoNumber))
    case 'not':
      return !holds(condition.part, columns, onNoNumber)
    case 'missing':
      return presentValue(columns, condition.column) === undefined
    case 'in': {
      const value = presentValue(columns, condition.column)
      if (value === undefined) return false
      return condition.values.some((wanted) =>
        typeof wanted === 'number' ? numberOfValue(value) === wanted : textOfValue(value) === wanted,
      )
    }
    case 'lessThan':
    case 'atMost':
    case 'moreThan':
    case 'atLeast': {
      const value = presentValue(columns, condition.column)
      if (value === undefined) return false
      const number = numberOfValue(value)
      if (number === undefined) onNoNumber(condition.column)
      return number !== undefined && compare(condition.kind, number, condition.bound)
    }
    default:
      return condition satisfies never
  }
}

function compare(comparison: Comparison, value: number, bound: number): boolean {
  switch (comparison) {
    case 'lessThan':
      return value < bound
    case 'atMost':
      return value <= bound
    case 'moreThan':
      return value > bound
    case 'atLeast':
      return value >= bound
    default:
      return comparison satisfies never
  }
}

const SQL_COMPARISONS: Readonly<Record<Comparison, string>> = {
  lessThan: '<',
  atMost: '<=',
  moreThan: '>',
  atLeast: '>=',
}

/** The condition as SQL that is true or false and never NULL. */
export function conditionSql(condition: Condition): string {
  switch (condition.kind) {
    case 'and':
    case 'or':
      return `(${condition.parts.map(conditionSql).join(condition.kind === 'and' ? ' AND ' : ' OR ')})`
    case 'not':
      return `(NOT ${conditionSql(condition.part)})`
    case 'missing':
      return sqlIsMissing(sqlColumn(condition.column))
    case 'in': {
      const column = sqlColumn(condition.column)
      const parts = condition.values.map((wanted) =>
        typeof wanted === 'number'
          ? `COALESCE(${sqlNumber(column)} = ${wanted}, FALSE)`
          : `(NOT ${sqlIsMissing(column)} AND ${sqlText(column)} = ${sqlLiteral(wanted)})`,
      )
      return `(${parts.join(' OR ')})`
    }
    case 'lessThan':
    case 'atMost':
    case 'moreThan':
    case 'atLeast':
      return `COALESCE(${sqlNumber(sqlColumn(condition.column))} ${SQL_COMPARISONS[condition.kind]} ${condition.bound}, FALSE)`
    default:
      return condition satisfies never
  }
}
