/**
 * @file A schema as rules: each is what a value may be at one place, as literals, strings, numbers, arrays or objects.
 * Rules know each other by reference, so that a schema may hold itself.
 */

import { createHash } from 'node:crypto'
import type { Steps } from '../turns.js'
import { literalTerminal, type Terminal } from './byte-automaton.js'
import { ANY_INTEGER, ANY_NUMBER, expectWhole, integersBetween, neighbour, numbersBetween } from './number-text.js'
import { parsePattern } from './pattern-syntax.js'
import {
  countOf,
  type LocatedSchema,
  numberOf,
  type PlainSchema,
  propertiesOf,
  requiredOf,
  SchemaReader,
  type TypeName,
  typesOf,
  wrongSchema,
} from './schema-keywords.js'
import { isOfType, listedValues, patternsOf, SchemaValues } from './schema-values.js'
import { bareTerminal, stringTerminal, textTerminal } from './string-terminal.js'
import { allBut, automatonOf, intersect, multiplesOf, type TextAutomaton, withLength } from './text-automaton.js'

/** A member of an object. */
export interface Slot {
  readonly name: string
  readonly rule: Rule
  readonly isRequired: boolean
}

/** Objects, their members in this order. */
export interface ObjectForm {
  readonly kind: 'object'
  readonly slots: readonly Slot[]
  /** Names and values of the members that come behind; undefined where there may be none. */
  readonly others: { readonly name: Terminal; readonly rule: Rule } | undefined
}

export interface ArrayForm {
  readonly kind: 'array'
  readonly prefix: readonly Rule[]
  /** What stands behind the prefix. */
  readonly items: Rule
  readonly min: number
  /** May be infinite. */
  readonly max: number
}

/** What a value may be. */
export interface Rule {
  readonly terminals: Terminal[]
  readonly forms: (ObjectForm | ArrayForm)[]
}

const MOST_RULES = 20_000
const MOST_ITEMS = 10_000
const MOST_CHARACTERS = 1_000_000
/** Characters of all values of enumerations. */
const MOST_LITERALS = 1_000_000

/** Any number and any whole number: made once, as nearly every schema has one. */
const SHARED_NUMBERS = new Map<string, Terminal>()

/** @throws OptionError for a schema that is wrong, not supported or too large */
export function* rulesOf(schema: unknown): Steps<Rule> {
  const compiler = new RuleCompiler(new SchemaReader(schema))
  return yield* compiler.run()
}

class RuleCompiler {
  readonly #reader: SchemaReader
  readonly #values: SchemaValues
  readonly #rules = new Map<string, Rule>()
  readonly #ids = new Map<unknown, number>()
  readonly #waiting: { readonly rule: Rule; readonly schemas: readonly LocatedSchema[] }[] = []
  readonly #checkedOneOf = new WeakSet<object>()
  readonly #terminals = new Map<string, Terminal | undefined>()
  #literals = 0

  constructor(reader: SchemaReader) {
    this.#reader = reader
    this.#values = new SchemaValues(reader)
  }

  *run(): Steps<Rule> {
    const root = this.#ruleFor([this.#reader.root])
    for (let next = this.#waiting.pop(); next !== undefined; next = this.#waiting.pop()) {
      yield* this.#fill(next.rule, next.schemas)
      yield
    }
    return root
  }

  /** The rule of values that meet all of some schemas. */
  #ruleFor(schemas: readonly LocatedSchema[]): Rule {
    const ids = schemas.map(({ schema }) => {
      if (!this.#ids.has(schema)) this.#ids.set(schema, this.#ids.size)
      return this.#ids.get(schema)!
    })
    const key = [...new Set(ids)].sort((a, b) => a - b).join(' ')
    const known = this.#rules.get(key)
    if (known !== undefined) return known
    const path = schemas[0]?.path ?? '#'
    if (this.#rules.size >= MOST_RULES)
      throw wrongSchema(`at most ${MOST_RULES} different places`, 'values', path, 'more', 'make the schema smaller')
    const rule: Rule = { terminals: [], forms: [] }
    this.#rules.set(key, rule)
    this.#waiting.push({ rule, schemas })
    return rule
  }

  *#fill(rule: Rule, schemas: readonly LocatedSchema[]): Steps<void> {
    const literals = new Set<string>()
    for (const way of this.#reader.waysOf(schemas)) {
      for (const plain of way) this.#checkOneOf(plain)
      checkAll(way)
      const types = typesOf(way)
      const listed = listedValues(way)
      if (listed !== undefined) {
        for (const [at, value] of listed.entries()) {
          if (at % 256 === 0) yield
          if (!isOfType(value, types) || !this.#values.meets(value, way)) continue
          const text = JSON.stringify(value)
          literals.add(text)
          this.#literals += text.length
          if (this.#literals > MOST_LITERALS)
            throw wrongSchema(`at most ${MOST_LITERALS} characters`, 'the values of enum', way[0]!.path, 'more')
        }
        continue
      }
      for (const type of types) yield* this.#add(rule, literals, type, way, types)
      yield
    }
    if (literals.size > 0) {
      const texts = [...literals].sort()
      rule.terminals.push(literalTerminal(`literals ${digest(texts.join('\n'))}`, texts))
    }
  }

  *#add(
    rule: Rule,
    literals: Set<string>,
    type: TypeName,
    way: readonly PlainSchema[],
    types: ReadonlySet<TypeName>,
  ): Steps<void> {
    switch (type) {
      case 'null':
        literals.add('null')
        return
      case 'boolean':
        literals.add('true').add('false')
        return
      case 'integer':
      case 'number': {
        // A number may be whole.
        if (type === 'integer' && types.has('number')) return
        const terminal = yield* this.#number(way, type === 'integer')
        if (terminal !== undefined) rule.terminals.push(terminal)
        return
      }
      case 'string': {
        const terminal = yield* this.#string(way)
        if (terminal !== undefined) rule.terminals.push(terminal)
        return
      }
      case 'array':
        rule.forms.push(this.#array(way))
        return
      case 'object':
        rule.forms.push(yield* this.#object(way))
        return
      default:
        return type satisfies never
    }
  }

  /** The schemas of oneOf have to exclude each other: then it means the same as anyOf. */
  #checkOneOf({ schema, path }: PlainSchema): void {
    if (schema.oneOf === undefined || this.#checkedOneOf.has(schema)) return
    this.#checkedOneOf.add(schema)
    const parts = this.#reader.parts(schema, path, 'oneOf').map((part) => this.#reader.waysOf([part]))
    parts.forEach((ways, at) => {
      for (const [other, others] of parts.entries()) {
        if (other >= at || ways.every((a) => others.every((b) => this.#values.areDisjoint(a, b)))) continue
        throw wrongSchema(
          'schemas that exclude each other by type, by enum and const, or by a required property with these',
          'oneOf',
          path,
          `numbers ${other} and ${at}`,
          'use anyOf',
        )
      }
    })
  }

  *#string(way: readonly PlainSchema[]): Steps<Terminal | undefined> {
    const path = way[0]?.path ?? '#'
    const min = Math.max(0, ...way.map((plain) => countOf(plain, 'minLength') ?? 0))
    const max = Math.min(...way.map((plain) => countOf(plain, 'maxLength') ?? Number.POSITIVE_INFINITY))
    if (min > MOST_CHARACTERS || (max > MOST_CHARACTERS && max !== Number.POSITIVE_INFINITY))
      throw wrongSchema(`at most ${MOST_CHARACTERS}`, 'minLength and maxLength', path, Math.max(min, max))
    if (min > max) return undefined
    const patterns = way.flatMap((plain) => patternsOf(plain).map((pattern) => ({ ...pattern, path: plain.path })))
    const key = `text ${digest(JSON.stringify([min, String(max), patterns.map(({ source, isWhole }) => [source, isWhole])]))}`
    if (this.#terminals.has(key)) return this.#terminals.get(key)
    let terminal: Terminal | undefined
    if (patterns.length === 0) terminal = stringTerminal(min, max)
    else {
      let automaton: TextAutomaton | undefined
      for (const pattern of patterns) {
        const own = yield* automatonOf(parsePattern(pattern.source, pattern.path), pattern.isWhole, pattern.path)
        automaton = automaton === undefined ? own : yield* intersect(automaton, own, pattern.path)
      }
      automaton = yield* withLength(automaton!, min, max, path)
      terminal = automaton.transitions.length === 0 ? undefined : yield* textTerminal(key, automaton)
    }
    this.#terminals.set(key, terminal)
    return terminal
  }

  *#number(way: readonly PlainSchema[], isWhole: boolean): Steps<Terminal | undefined> {
    const path = way[0]?.path ?? '#'
    let low = Number.NEGATIVE_INFINITY
    let high = Number.POSITIVE_INFINITY
    const divisors: number[] = []
    for (const plain of way) {
      const of = (name: string) => numberOf(plain, name)
      const [above, below, divisor] = [of('exclusiveMinimum'), of('exclusiveMaximum'), of('multipleOf')]
      low = Math.max(low, of('minimum') ?? low, above === undefined ? low : neighbour(above, true))
      high = Math.min(high, of('maximum') ?? high, below === undefined ? high : neighbour(below, false))
      if (divisor !== undefined) divisors.push(expectWhole(divisor, plain.path))
    }
    // Remainders are exact as long as a double holds every whole number.
    if (divisors.length > 0) {
      low = Math.max(low, Number.MIN_SAFE_INTEGER)
      high = Math.min(high, Number.MAX_SAFE_INTEGER)
    }
    const whole = isWhole || divisors.length > 0
    const key = `number ${whole} ${low} ${high} ${divisors.join(' ')}`
    if (this.#terminals.has(key)) return this.#terminals.get(key)
    const shared = SHARED_NUMBERS.get(key)
    if (shared !== undefined) return shared
    const isAny = low === Number.NEGATIVE_INFINITY && high === Number.POSITIVE_INFINITY
    const bounds = { low, high }
    const source = isAny ? (whole ? ANY_INTEGER : ANY_NUMBER) : whole ? integersBetween(bounds) : numbersBetween(bounds)
    let terminal: Terminal | undefined
    if (source !== undefined) {
      let automaton = yield* automatonOf(parsePattern(source, path), true, path)
      for (const divisor of divisors) automaton = yield* intersect(automaton, multiplesOf(divisor, path), path)
      if (automaton.transitions.length > 0) terminal = yield* bareTerminal(key, automaton)
    }
    if (isAny && divisors.length === 0 && terminal !== undefined) SHARED_NUMBERS.set(key, terminal)
    this.#terminals.set(key, terminal)
    return terminal
  }

  #array(way: readonly PlainSchema[]): ArrayForm {
    const min = Math.max(0, ...way.map((plain) => countOf(plain, 'minItems') ?? 0))
    const max = Math.min(...way.map((plain) => countOf(plain, 'maxItems') ?? Number.POSITIVE_INFINITY))
    const path = way[0]?.path ?? '#'
    if (min > MOST_ITEMS || (max > MOST_ITEMS && max !== Number.POSITIVE_INFINITY))
      throw wrongSchema(`at most ${MOST_ITEMS}`, 'minItems and maxItems', path, Math.max(min, max))
    const parts = way.map((plain) => {
      const items = plain.schema.items ?? true
      if (Array.isArray(items))
        throw wrongSchema('one schema', 'items', plain.path, items, 'lists are called prefixItems since draft 2020-12')
      return {
        prefix:
          plain.schema.prefixItems === undefined ? [] : this.#reader.parts(plain.schema, plain.path, 'prefixItems'),
        items: this.#reader.located(items, `${plain.path}/items`),
      }
    })
    const count = Math.max(0, ...parts.map(({ prefix }) => prefix.length))
    const prefix = Array.from({ length: count }, (_, at) =>
      this.#ruleFor(parts.map((part) => part.prefix[at] ?? part.items)),
    )
    return { kind: 'array', prefix, items: this.#ruleFor(parts.map(({ items }) => items)), min, max }
  }

  *#object(way: readonly PlainSchema[]): Steps<ObjectForm> {
    const required = new Set(way.flatMap(requiredOf))
    const names = new Set(way.flatMap((plain) => [...propertiesOf(plain).keys()]))
    for (const name of required) names.add(name)
    const parts = way.map((plain) => ({
      path: plain.path,
      properties: propertiesOf(plain),
      others: this.#reader.located(plain.schema.additionalProperties ?? true, `${plain.path}/additionalProperties`),
    }))
    const slots: Slot[] = []
    for (const name of names) {
      const schemas = parts.map(({ path, properties, others }) =>
        properties.has(name)
          ? this.#reader.located(properties.get(name), `${path}/properties/${pointer(name)}`)
          : others,
      )
      slots.push({ name, rule: this.#ruleFor(schemas), isRequired: required.has(name) })
      if (slots.length % 64 === 0) yield
    }
    if (parts.some(({ others }) => others.schema === false)) return { kind: 'object', slots, others: undefined }
    const rule = this.#ruleFor(parts.map(({ others }) => others))
    // No text that is generated has half a pair of surrogates.
    const known = [...names].filter((name) => !/\p{Surrogate}/u.test(name))
    return { kind: 'object', slots, others: { name: yield* this.#otherNames(known), rule } }
  }

  *#otherNames(known: readonly string[]): Steps<Terminal> {
    if (known.length === 0) return stringTerminal(0, Number.POSITIVE_INFINITY)
    const key = `names ${digest(JSON.stringify([...known].sort()))}`
    const terminal = this.#terminals.get(key) ?? (yield* textTerminal(key, yield* allBut(known)))
    this.#terminals.set(key, terminal)
    return terminal
  }
}

/** Checks keywords that no type of the way reads, so that a mistake never goes unseen. */
function checkAll(way: readonly PlainSchema[]): void {
  for (const plain of way) {
    for (const name of ['minLength', 'maxLength', 'minItems', 'maxItems']) countOf(plain, name)
    for (const name of ['minimum', 'maximum', 'exclusiveMinimum', 'exclusiveMaximum', 'multipleOf'])
      numberOf(plain, name)
    requiredOf(plain)
    propertiesOf(plain)
    patternsOf(plain)
  }
}

function pointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64')
}
