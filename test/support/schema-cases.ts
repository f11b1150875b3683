/**
 * @file Schemas made at random over the keywords that grammars support, each with a way to make values that meet it.
 * Members of values stand in the order of the schema, as answers write them.
 */

import { randomNumbers } from './grammar.js'

/** A schema, and values that meet it. */
export interface SchemaCase {
  readonly schema: Record<string, unknown> | boolean
  value(): unknown
}

type Random = () => number

const STRINGS: readonly [pattern: string, texts: readonly string[]][] = [
  ['^[a-z]{2,5}$', ['ab', 'zzzzz']],
  ['^(?:[A-Z]\\w*|\\d+)$', ['Abc_1', '007']],
  ['[0-9]', ['a1b', '9', '\u00e9\n5"']],
  ['^\\S{1,3}@\\w{1,3}\\.(com|org)$', ['a@b.com', '\u00fc@x.org']],
  ['^[^"\\\\]*$', ['', 'a b', '\u{1f600}\t']],
  ['^(a|b)*c?$', ['', 'abbac']],
  ['^(?:colou?r|gr[ae]y) ?"x"$', ['grey"x"', 'color "x"']],
  ['^\\p{Lu}\\p{L}+$', ['\u00c9t\u00e9', 'Word']],
]
const FORMATS: readonly [string, readonly string[]][] = [
  ['date', ['2024-02-29', '1999-12-31']],
  ['date-time', ['2024-02-29T23:59:59Z', '2001-01-01T00:00:00.123+02:00']],
  ['uuid', ['123e4567-e89b-12d3-a456-426614174000']],
  ['ipv4', ['192.168.0.1', '255.255.255.255']],
]
const TEXTS = [
  '',
  'a',
  'hello world',
  '"quoted"',
  'back\\slash',
  'l1\nl2\t',
  'Zo\u00eb',
  '\u65e5\u672c',
  '\u{1f680}x',
  '\u0000',
]

function pick<T>(random: Random, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)]!
}

function whole(random: Random, low: number, high: number): number {
  return low + Math.floor(random() * (high - low + 1))
}

/** Makes a case with nothing inside. */
const LEAVES: readonly ((random: Random) => SchemaCase)[] = [
  () => ({ schema: { type: 'null' }, value: () => null }),
  (random) => ({ schema: { type: 'boolean' }, value: () => random() < 0.5 }),
  (random) => ({ schema: { type: 'integer' }, value: () => whole(random, -1e6, 1e6) }),
  (random) => ({ schema: { type: 'number' }, value: () => (random() - 0.5) * 10 ** whole(random, -12, 25) }),
  (random) => {
    const low = whole(random, -300, 200)
    const high = low + whole(random, 0, 500)
    return { schema: { type: 'integer', minimum: low, maximum: high }, value: () => whole(random, low, high) }
  },
  (random) => {
    const low = whole(random, -50, 50)
    return { schema: { type: 'integer', exclusiveMinimum: low }, value: () => whole(random, low + 1, low + 10_000) }
  },
  (random) => {
    const divisor = pick(random, [2, 3, 7, 25])
    const schema = { type: 'integer', multipleOf: divisor, minimum: -100, maximum: 1000 }
    return { schema, value: () => divisor * whole(random, Math.ceil(-100 / divisor), Math.floor(1000 / divisor)) }
  },
  (random) => {
    const low = whole(random, -40, 40) / 8
    const high = low + whole(random, 1, 400) / 8
    const value = () => low + ((high - low) * whole(random, 1, 255)) / 256
    return random() < 0.5
      ? { schema: { type: 'number', minimum: low, maximum: high }, value }
      : { schema: { type: 'number', exclusiveMinimum: low, exclusiveMaximum: high }, value }
  },
  (random) => ({ schema: { type: 'string' }, value: () => pick(random, TEXTS) }),
  (random) => {
    const min = whole(random, 0, 3)
    const max = min + whole(random, 0, 6)
    const value = () =>
      Array.from({ length: whole(random, min, max) }, () => pick(random, ['a', '"', '\u00e9', '\u{1f680}'])).join('')
    return { schema: { type: 'string', minLength: min, maxLength: max }, value }
  },
  (random) => {
    const [pattern, texts] = pick(random, STRINGS)
    return { schema: { type: 'string', pattern }, value: () => pick(random, texts) }
  },
  (random) => {
    const [pattern, texts] = pick(random, STRINGS)
    return {
      schema: { type: 'string', pattern, maxLength: 9 },
      value: () =>
        pick(
          random,
          texts.filter((text) => Array.from(text).length <= 9),
        ) ?? texts[0],
    }
  },
  (random) => {
    const [format, texts] = pick(random, FORMATS)
    return { schema: { type: 'string', format }, value: () => pick(random, texts) }
  },
  (random) => {
    const values = [pick(random, TEXTS), whole(random, 0, 9), null, [1, { a: 'b' }], 0.5].slice(0, whole(random, 1, 5))
    return { schema: { enum: values }, value: () => pick(random, values) }
  },
  (random) => {
    const value = pick<unknown>(random, ['x', 3, true, { a: [] }])
    return { schema: { const: value, description: 'always the same' }, value: () => value }
  },
  (random) => ({
    schema: { type: ['string', 'null', 'integer'], maxLength: 4, minimum: 0, maximum: 20 },
    value: () => pick(random, ['abc', null, 7]),
  }),
]

/** A schema with up to `depth` others in each other. */
function anyCase(random: Random, depth: number): SchemaCase {
  if (depth === 0 || random() < 0.3) return pick(random, LEAVES)(random)
  return pick(random, BRANCHES)(random, depth - 1)
}

function members(random: Random, depth: number, names: readonly string[]): Map<string, SchemaCase> {
  return new Map(names.map((name) => [name, anyCase(random, depth)]))
}

function objectOf(cases: ReadonlyMap<string, SchemaCase>, required: readonly string[], random: Random): SchemaCase {
  return {
    schema: {
      type: 'object',
      properties: Object.fromEntries([...cases].map(([name, one]) => [name, one.schema])),
      required,
      additionalProperties: false,
    },
    value: () =>
      Object.fromEntries(
        [...cases].flatMap(([name, one]) => (required.includes(name) || random() < 0.5 ? [[name, one.value()]] : [])),
      ),
  }
}

const NAMES = ['id', 'first name', 'q"uote', 'na\u00efve', 'x', 'xy']

const BRANCHES: readonly ((random: Random, depth: number) => SchemaCase)[] = [
  (random, depth) => {
    const names = NAMES.filter(() => random() < 0.6)
    return objectOf(
      members(random, depth, names),
      names.filter(() => random() < 0.5),
      random,
    )
  },
  (random, depth) => {
    const own = objectOf(members(random, depth, ['id', 'x']), ['x'], random)
    const others = anyCase(random, depth)
    const value = () => ({ ...(own.value() as object), xyz: others.value(), 'i"d': others.value() })
    return { schema: { ...(own.schema as object), additionalProperties: others.schema }, value }
  },
  (random, depth) => {
    const others = anyCase(random, depth)
    const schema = { type: 'object', required: ['k'], additionalProperties: others.schema }
    return { schema, value: () => ({ k: others.value() }) }
  },
  (random, depth) => {
    const item = anyCase(random, depth)
    const min = whole(random, 0, 2)
    const max = min + whole(random, 0, 3)
    const value = () => Array.from({ length: whole(random, min, max) }, () => item.value())
    return { schema: { type: 'array', items: item.schema, minItems: min, maxItems: max }, value }
  },
  (random, depth) => {
    const prefix = [anyCase(random, depth), anyCase(random, depth)]
    const schema = { type: 'array', prefixItems: prefix.map((one) => one.schema), items: false, minItems: 1 }
    return { schema, value: () => prefix.slice(0, whole(random, 1, 2)).map((one) => one.value()) }
  },
  (random, depth) => {
    const ways = [anyCase(random, depth), anyCase(random, depth), anyCase(random, depth)]
    return { schema: { anyOf: ways.map((way) => way.schema) }, value: () => pick(random, ways).value() }
  },
  (random, depth) => {
    const ways = ['circle', 'line'].map((kind) => {
      const cases = new Map<string, SchemaCase>([['kind', { schema: { const: kind }, value: () => kind }]])
      for (const [name, one] of members(random, depth, ['a', 'b'])) cases.set(name, one)
      return objectOf(cases, ['kind', 'a'], random)
    })
    return { schema: { oneOf: ways.map((way) => way.schema) }, value: () => pick(random, ways).value() }
  },
  (random, depth) => {
    const [first, second] = [anyCase(random, depth), anyCase(random, depth)]
    const schema = {
      allOf: [
        { type: 'object', properties: { a: first.schema }, required: ['a'] },
        { type: 'object', properties: { b: second.schema, a: true }, required: ['b'] },
      ],
      additionalProperties: true,
    }
    return { schema, value: () => ({ a: first.value(), b: second.value() }) }
  },
]

/** A case for a seed. One in ten holds itself. */
export function schemaCase(seed: number): SchemaCase {
  const random = randomNumbers(seed)
  const inner = anyCase(random, 3)
  if (seed % 10 !== 0) return inner
  const node = {
    type: 'object',
    properties: { value: inner.schema, next: { anyOf: [{ $ref: '#/$defs/node' }, { type: 'null' }] } },
    required: ['value', 'next'],
    additionalProperties: false,
  }
  const value = (depth: number): unknown => ({ value: inner.value(), next: depth === 0 ? null : value(depth - 1) })
  return { schema: { $ref: '#/$defs/node', $defs: { node } }, value: () => value(whole(random, 0, 3)) }
}
