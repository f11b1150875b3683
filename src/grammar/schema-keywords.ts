/**
 * @file Reading a JSON schema (draft 2020-12): which keywords there are, where references lead, and which sets of plain
 * schemas a value may meet. What is not supported is refused with its name and place.
 */

import { describeValue, nearestName } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { isObject } from '../values.js'

/** A schema with the place where it stands, as a pointer from the root. */
export interface LocatedSchema {
  readonly schema: Readonly<Record<string, unknown>> | boolean
  readonly path: string
}

/** A schema of which only the keywords count that name no other schema for the same value. */
export interface PlainSchema {
  readonly schema: Readonly<Record<string, unknown>>
  readonly path: string
}

export const TYPES = ['null', 'boolean', 'integer', 'number', 'string', 'array', 'object'] as const
export type TypeName = (typeof TYPES)[number]

/** Keywords of one type, by which a schema without a type is known. */
const KEYWORDS_OF_TYPES: Readonly<Record<string, TypeName>> = {
  properties: 'object',
  required: 'object',
  additionalProperties: 'object',
  items: 'array',
  prefixItems: 'array',
  minItems: 'array',
  maxItems: 'array',
  minLength: 'string',
  maxLength: 'string',
  pattern: 'string',
  format: 'string',
  minimum: 'number',
  maximum: 'number',
  exclusiveMinimum: 'number',
  exclusiveMaximum: 'number',
  multipleOf: 'number',
}
const FOR_ANY_TYPE = ['type', 'enum', 'const', '$ref', 'allOf', 'anyOf', 'oneOf']
const ANNOTATIONS = [
  'title',
  'description',
  'default',
  'examples',
  'deprecated',
  'readOnly',
  'writeOnly',
  '$comment',
  '$schema',
  '$defs',
  'definitions',
]
const KNOWN = [...Object.keys(KEYWORDS_OF_TYPES), ...FOR_ANY_TYPE]

const MOST_WAYS = 256
const DEEPEST = 100
const MOST_SCHEMAS = 20_000

/** A wrong or unsupported part of a schema. */
export function wrongSchema(expected: string, name: string, path: string, got: unknown, remedy = ''): Error {
  return new OptionError(
    `[json schema] expected ${expected} for ${name} at ${path}, got ${describeValue(got)}${remedy && `; ${remedy}`}`,
  )
}

/** A schema with everything that its references lead to. */
export class SchemaReader {
  readonly root: LocatedSchema
  readonly #checked = new WeakSet<object>()
  readonly #targets = new Map<string, LocatedSchema>()
  #count = 0

  /** @throws OptionError unless it is an object or a boolean */
  constructor(schema: unknown) {
    this.root = this.located(schema, '#')
  }

  /** A part of a schema that is a schema itself. */
  located(schema: unknown, path: string): LocatedSchema {
    if (typeof schema === 'boolean') return { schema, path }
    if (!isObject(schema)) throw wrongSchema('an object, true or false', 'a schema', path, schema)
    if (!this.#checked.has(schema)) {
      if (++this.#count > MOST_SCHEMAS)
        throw wrongSchema(`at most ${MOST_SCHEMAS} schemas`, 'a schema', path, `more`, 'make it smaller')
      checkKeywords(schema, path)
      this.#checked.add(schema)
    }
    return { schema, path }
  }

  /**
   * The ways to meet all of some schemas: each is a list of plain schemas that a value has to meet together.
   * @throws OptionError for what is not supported or leads to itself
   */
  waysOf(schemas: readonly LocatedSchema[]): readonly (readonly PlainSchema[])[] {
    return schemas.reduce<readonly (readonly PlainSchema[])[]>(
      (ways, schema) => both(ways, this.#ways(schema, new Set()), schema.path),
      [[]],
    )
  }

  #ways({ schema, path }: LocatedSchema, above: ReadonlySet<object>): readonly (readonly PlainSchema[])[] {
    if (schema === true) return [[]]
    if (schema === false) return []
    if (above.has(schema)) {
      throw new OptionError(
        `[json schema] expected a $ref that leads to another schema at ${path}, got one that leads to itself; put a property ` +
          'or an item between them',
      )
    }
    if (above.size > DEEPEST)
      throw wrongSchema(`at most ${DEEPEST} schemas in each other`, 'allOf, anyOf and $ref', path, 'more', 'join them')
    const inside = new Set(above).add(schema)
    let ways: readonly (readonly PlainSchema[])[] = [[{ schema, path }]]
    if (schema.$ref !== undefined) ways = both(ways, this.#ways(this.#target(schema.$ref, path), inside), path)
    for (const part of this.parts(schema, path, 'allOf')) ways = both(ways, this.#ways(part, inside), path)
    const any = this.parts(schema, path, 'anyOf')
    if (any.length > 0)
      ways = both(
        ways,
        any.flatMap((part) => this.#ways(part, inside)),
        path,
      )
    const one = this.parts(schema, path, 'oneOf')
    if (one.length > 0)
      ways = both(
        ways,
        one.flatMap((part) => this.#ways(part, inside)),
        path,
      )
    return ways
  }

  /** The schemas of a list. */
  parts(schema: PlainSchema['schema'], path: string, name: string): readonly LocatedSchema[] {
    const list = schema[name]
    if (list === undefined) return []
    if (!Array.isArray(list) || list.length === 0) throw wrongSchema('a list of schemas', name, path, list)
    return list.map((part, at) => this.located(part, `${path}/${name}/${at}`))
  }

  #target(reference: unknown, path: string): LocatedSchema {
    if (typeof reference !== 'string' || !/^#(?:\/|$)/.test(reference)) {
      throw wrongSchema(
        'a pointer within the schema, as in #/$defs/name,',
        '$ref',
        path,
        reference,
        'put the schema into $defs',
      )
    }
    const known = this.#targets.get(reference)
    if (known !== undefined) return known
    let value: unknown = this.root.schema
    for (const part of reference.split('/').slice(1)) {
      const name = decode(part).replaceAll('~1', '/').replaceAll('~0', '~')
      const isThere = (isObject(value) || Array.isArray(value)) && Object.hasOwn(value, name)
      value = isThere ? (value as Record<string, unknown>)[name] : undefined
    }
    if (value === undefined) throw wrongSchema('a pointer to a schema', '$ref', path, reference, 'it leads nowhere')
    const target = this.located(value, reference)
    this.#targets.set(reference, target)
    return target
  }
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    // A lone % stands for itself: the pointer then leads nowhere, and the error names it.
    return part
  }
}

/** Every way of one list together with every way of the other. */
function both(
  first: readonly (readonly PlainSchema[])[],
  second: readonly (readonly PlainSchema[])[],
  path: string,
): readonly (readonly PlainSchema[])[] {
  if (first.length * second.length > MOST_WAYS) {
    throw wrongSchema(
      `at most ${MOST_WAYS} ways to meet them`,
      'anyOf, oneOf and allOf',
      path,
      'more',
      'join some of them',
    )
  }
  return first.flatMap((a) =>
    second.map((b) => [...a, ...b.filter(({ schema }) => a.every((own) => own.schema !== schema))]),
  )
}

function checkKeywords(schema: Readonly<Record<string, unknown>>, path: string): void {
  for (const name of Object.keys(schema)) {
    if (KNOWN.includes(name) || ANNOTATIONS.includes(name) || (name === '$id' && path === '#')) continue
    const nearest = nearestName(name, KNOWN)
    const hint = nearest === undefined ? 'remove it, and check values afterwards' : `did you mean "${nearest}"?`
    throw new OptionError(
      `[json schema] expected keywords that are supported at ${path}, got ${describeValue(name)}; ${hint}`,
    )
  }
}

/** The types that all of some schemas allow. Where none says so, other keywords tell the type that is meant. */
export function typesOf(schemas: readonly PlainSchema[]): ReadonlySet<TypeName> {
  let types: ReadonlySet<TypeName> | undefined
  const meant = new Set<TypeName>()
  let isListed = false
  for (const { schema, path } of schemas) {
    isListed ||= schema.enum !== undefined || schema.const !== undefined
    for (const [name, type] of Object.entries(KEYWORDS_OF_TYPES)) if (schema[name] !== undefined) meant.add(type)
    if (schema.type === undefined) continue
    const names = Array.isArray(schema.type) ? schema.type : [schema.type]
    if (names.length === 0 || !names.every((name) => TYPES.includes(name)))
      throw wrongSchema(`${TYPES.join(', ')} or a list of these`, 'type', path, schema.type)
    const own = withIntegers(names)
    types = types === undefined ? own : new Set([...types].filter((type) => own.has(type)))
  }
  if (types !== undefined) return types
  return isListed || meant.size === 0 ? new Set(TYPES) : withIntegers([...meant])
}

/** Whole numbers are numbers. */
function withIntegers(names: readonly TypeName[]): ReadonlySet<TypeName> {
  return new Set(names.flatMap((name): TypeName[] => (name === 'number' ? ['integer', 'number'] : [name])))
}

/** A keyword that counts something; undefined where it is not there. */
export function countOf({ schema, path }: PlainSchema, name: string): number | undefined {
  const value = schema[name]
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value
  throw wrongSchema('a whole number from 0', name, path, value)
}

/** A keyword that is a finite number; undefined where it is not there. */
export function numberOf({ schema, path }: PlainSchema, name: string): number | undefined {
  const value = schema[name]
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw wrongSchema('a number', name, path, value)
}

/** Names that an object must have. */
export function requiredOf({ schema, path }: PlainSchema): readonly string[] {
  const names = schema.required
  if (names === undefined) return []
  if (Array.isArray(names) && names.every((name) => typeof name === 'string')) return names
  throw wrongSchema('a list of names', 'required', path, names)
}

/** Schemas by the names of properties, in the order of the schema. */
export function propertiesOf({ schema, path }: PlainSchema): ReadonlyMap<string, unknown> {
  const properties = schema.properties
  if (properties === undefined) return new Map()
  if (!isObject(properties)) throw wrongSchema('an object of schemas', 'properties', path, properties)
  return new Map(Object.entries(properties))
}
