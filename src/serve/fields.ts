/**
 * @file Fields of a request by tables: each is done, is ignored because it means nothing here, or is refused by name.
 * The published description is made of the same tables.
 */

import { describeValue, nearestName } from '../errors.js'
import { mismatch, type Rule } from '../options/rules.js'
import { isObject } from '../values.js'
import { badRequest } from './api-error.js'

/** One field of a request's body. */
export interface Field {
  readonly rule: Rule
  /** One line: what it does. */
  readonly help: string
  readonly isRequired?: true
  /** Whether any value is taken and changes nothing: it is about the sender's books, not about the answer. */
  readonly isIgnored?: true
}

export type FieldTable = Readonly<Record<string, Field>>

/** A rule for a field that lowrank does not do: it takes the values that ask for nothing. */
export function onlyNeutral(values: readonly unknown[], instead: string): Rule {
  return {
    expected: values.length === 0 ? 'nothing' : values.map((value) => describeValue(value)).join(' or '),
    accepts: (value) => values.some((neutral) => JSON.stringify(neutral) === JSON.stringify(value)),
    schema: values.length === 0 ? { type: 'null' } : { enum: values },
    hint: () => `; ${instead}`,
  }
}

/** Any value at all. */
export const IGNORED = (help: string, schema: Rule['schema'] = {}): Field => ({
  rule: { expected: 'a value', accepts: () => true, schema },
  help,
  isIgnored: true,
})

/**
 * The fields of a body that are not null, checked one by one.
 * @param where names the route in messages
 * @throws ApiError for what is no object, a field that nobody knows, a wrong value, and one that is missing
 */
export function readFields(where: string, body: unknown, table: FieldTable): Record<string, unknown> {
  if (!isObject(body)) throw badRequest(`[${where}] expected a JSON object for the body, got ${describeValue(body)}`)
  const given: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(body)) {
    const field = Object.hasOwn(table, name) ? table[name] : undefined
    if (field === undefined) throw unknownField(where, name, Object.keys(table))
    if (value === null || field.isIgnored) continue
    expectField(where, name, value, field.rule)
    given[name] = value
  }
  for (const [name, { isRequired, rule }] of Object.entries(table)) {
    if (isRequired && given[name] === undefined)
      throw badRequest(
        `[${where}] expected ${rule.expected} for ${name}, got nothing`,
        name,
        'missing_required_parameter',
      )
  }
  return given
}

/** @throws ApiError where a value is not what its rule accepts. */
function expectField(where: string, name: string, value: unknown, rule: Rule): void {
  if (rule.accepts(value)) return
  const code = rule.accepts(Number(value)) && typeof value === 'string' ? 'invalid_type' : 'invalid_value'
  throw badRequest(`${mismatch(where, name, value, rule)}${rule.hint?.(value) ?? ''}`, name, code)
}

/** @param path where the field stands, as `tools[0].` */
export function unknownField(where: string, name: string, known: readonly string[], path = ''): Error {
  const nearest = nearestName(name, known)
  const hint = nearest === undefined ? 'remove it' : `did you mean ${JSON.stringify(nearest)}?`
  const shown = `${path}${name.length > 80 ? `${name.slice(0, 80)}...` : name}`
  return badRequest(
    `[${where}] expected a field that this route has, got ${describeValue(shown)}; ${hint}`,
    shown,
    'unknown_parameter',
  )
}
