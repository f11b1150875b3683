/**
 * @file Whether a value meets a schema, and whether two schemas share none: what enumerations and oneOf ask. Here a
 * schema without a type means what the standard says: keywords of one type say nothing about values of the others.
 */

import { runAtOnce } from '../turns.js'
import { isObject } from '../values.js'
import { FORMATS } from './formats.js'
import { parsePattern } from './pattern-syntax.js'
import {
  countOf,
  type LocatedSchema,
  numberOf,
  type PlainSchema,
  propertiesOf,
  requiredOf,
  type SchemaReader,
  TYPES,
  type TypeName,
  typesOf,
  wrongSchema,
} from './schema-keywords.js'
import { automatonOf, type TextAutomaton, takes } from './text-automaton.js'

/** Checks values against the schemas of a reader. */
export class SchemaValues {
  readonly #reader: SchemaReader
  readonly #patterns = new Map<string, TextAutomaton>()
  readonly #lists = new WeakMap<object, ReadonlySet<string>>()

  constructor(reader: SchemaReader) {
    this.#reader = reader
  }

  /** Whether a value meets all schemas of a way. */
  meets(value: unknown, way: readonly PlainSchema[]): boolean {
    return way.every((schema) => this.#meetsPlain(value, schema))
  }

  /** Whether no value that a grammar makes of one way meets another, and the other way round. */
  areDisjoint(first: readonly PlainSchema[], second: readonly PlainSchema[]): boolean {
    const [a, b] = [typesOf(first), typesOf(second)]
    const share = (one: ReadonlySet<TypeName>, other: ReadonlySet<TypeName>) => [...one].some((type) => other.has(type))
    if (!share(a, explicitTypes(second)) && !share(b, explicitTypes(first))) return true
    const listed = listedValues(first) ?? listedValues(second)
    if (listed !== undefined) return !listed.some((value) => this.meets(value, first) && this.meets(value, second))
    const areObjects = a.size === 1 && b.size === 1 && a.has('object') && b.has('object')
    return areObjects && this.#differInProperty(first, second)
  }

  /** Whether a property that both must have tells them apart. */
  #differInProperty(first: readonly PlainSchema[], second: readonly PlainSchema[]): boolean {
    const others = new Set(second.flatMap(requiredOf))
    const shared = first.flatMap(requiredOf).filter((name) => others.has(name))
    return shared.some((name) => {
      const [a, b] = [this.#property(first, name), this.#property(second, name)]
      if (a.length === 0 || b.length === 0) return false
      const ways = this.#reader.waysOf(b)
      return this.#reader.waysOf(a).every((way) => ways.every((other) => this.#differInValue(way, other)))
    })
  }

  #differInValue(first: readonly PlainSchema[], second: readonly PlainSchema[]): boolean {
    const [a, b] = [explicitTypes(first), explicitTypes(second)]
    if (![...a].some((type) => b.has(type))) return true
    const listed = listedValues(first) ?? listedValues(second)
    return listed !== undefined && !listed.some((value) => this.meets(value, first) && this.meets(value, second))
  }

  #property(way: readonly PlainSchema[], name: string): LocatedSchema[] {
    return way.flatMap((plain) => {
      const schema = propertiesOf(plain).get(name)
      return schema === undefined ? [] : [this.#reader.located(schema, `${plain.path}/properties/${name}`)]
    })
  }

  #meetsSchema(value: unknown, schema: unknown, path: string): boolean {
    return this.#reader.waysOf([this.#reader.located(schema, path)]).some((way) => this.meets(value, way))
  }

  #meetsPlain(value: unknown, plain: PlainSchema): boolean {
    const listed = this.#listed(plain)
    if (listed !== undefined && !listed.has(canonical(value))) return false
    if (!isOfType(value, explicitTypes([plain]))) return false
    if (typeof value === 'string') return this.#meetsText(value, plain)
    if (typeof value === 'number') return meetsNumber(value, plain)
    if (Array.isArray(value)) return this.#meetsList(value, plain)
    return !isObject(value) || this.#meetsObject(value, plain)
  }

  /** The values of enum and const, each as its text; made once, as there may be many. */
  #listed(plain: PlainSchema): ReadonlySet<string> | undefined {
    if (plain.schema.enum === undefined && plain.schema.const === undefined) return undefined
    let listed = this.#lists.get(plain.schema)
    if (listed === undefined) {
      listed = new Set(listedValues([plain])!.map(canonical))
      this.#lists.set(plain.schema, listed)
    }
    return listed
  }

  #meetsText(value: string, plain: PlainSchema): boolean {
    const length = Array.from(value).length
    if (length < (countOf(plain, 'minLength') ?? 0)) return false
    if (length > (countOf(plain, 'maxLength') ?? Number.POSITIVE_INFINITY)) return false
    return patternsOf(plain).every(({ source, isWhole }) => {
      const key = `${isWhole} ${source}`
      let automaton = this.#patterns.get(key)
      if (automaton === undefined) {
        automaton = runAtOnce(automatonOf(parsePattern(source, plain.path), isWhole, plain.path))
        this.#patterns.set(key, automaton)
      }
      return takes(automaton, value)
    })
  }

  #meetsList(value: readonly unknown[], plain: PlainSchema): boolean {
    if (value.length < (countOf(plain, 'minItems') ?? 0)) return false
    if (value.length > (countOf(plain, 'maxItems') ?? Number.POSITIVE_INFINITY)) return false
    const { prefixItems, items = true } = plain.schema
    const prefix = Array.isArray(prefixItems) ? prefixItems : []
    return value.every((item, at) =>
      this.#meetsSchema(item, at < prefix.length ? prefix[at] : items, `${plain.path}/items`),
    )
  }

  #meetsObject(value: Readonly<Record<string, unknown>>, plain: PlainSchema): boolean {
    if (!requiredOf(plain).every((name) => Object.hasOwn(value, name))) return false
    const properties = propertiesOf(plain)
    const { additionalProperties = true } = plain.schema
    return Object.entries(value).every(([name, item]) =>
      this.#meetsSchema(
        item,
        properties.has(name) ? properties.get(name) : additionalProperties,
        `${plain.path}/properties`,
      ),
    )
  }
}

/** A pattern, and whether it has to match the whole text. */
export interface TextPattern {
  readonly source: string
  readonly isWhole: boolean
}

/** What `pattern` and `format` ask of a text. */
export function patternsOf({ schema, path }: PlainSchema): readonly TextPattern[] {
  const found: TextPattern[] = []
  const { pattern, format } = schema
  if (pattern !== undefined) {
    if (typeof pattern !== 'string') throw wrongSchema('a regular expression', 'pattern', path, pattern)
    found.push({ source: pattern, isWhole: false })
  }
  if (format !== undefined) {
    const source = typeof format === 'string' && Object.hasOwn(FORMATS, format) ? FORMATS[format] : undefined
    if (source === undefined)
      throw wrongSchema(
        Object.keys(FORMATS).join(', '),
        'format',
        path,
        format,
        'others are not supported: use pattern',
      )
    found.push({ source, isWhole: true })
  }
  return found
}

/** The values that enum and const of some schemas leave; undefined where there are neither. */
export function listedValues(schemas: readonly PlainSchema[]): readonly unknown[] | undefined {
  let values: readonly unknown[] | undefined
  for (const { schema, path } of schemas) {
    const lists: (readonly unknown[])[] = []
    if (schema.enum !== undefined) {
      if (!Array.isArray(schema.enum)) throw wrongSchema('a list of values', 'enum', path, schema.enum)
      lists.push(schema.enum)
    }
    if (schema.const !== undefined) lists.push([schema.const])
    for (const list of lists) {
      if (values === undefined) {
        values = list
        continue
      }
      const own = new Set(list.map(canonical))
      values = values.filter((value) => own.has(canonical(value)))
    }
  }
  return values
}

function explicitTypes(schemas: readonly PlainSchema[]): ReadonlySet<TypeName> {
  const own = schemas.filter(({ schema }) => schema.type !== undefined)
  return own.length === 0 ? new Set(TYPES) : typesOf(own)
}

/** Whether a value has one of some types. */
export function isOfType(value: unknown, types: ReadonlySet<TypeName>): boolean {
  if (value === null) return types.has('null')
  if (typeof value === 'number') return types.has(Number.isInteger(value) ? 'integer' : 'number')
  if (Array.isArray(value)) return types.has('array')
  return types.has(typeof value as TypeName)
}

function meetsNumber(value: number, plain: PlainSchema): boolean {
  const of = (name: string) => numberOf(plain, name)
  const divisor = of('multipleOf')
  return (
    value >= (of('minimum') ?? value) &&
    value <= (of('maximum') ?? value) &&
    value > (of('exclusiveMinimum') ?? Number.NEGATIVE_INFINITY) &&
    value < (of('exclusiveMaximum') ?? Number.POSITIVE_INFINITY) &&
    (divisor === undefined || Number.isInteger(value / divisor))
  )
}

/** The same text for equal values, in whatever order their properties stand. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    isObject(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  )
}
