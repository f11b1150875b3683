/** @file Schemas that are made to be hard: they compile in short turns or are refused, and masks stay quick. */

import { beforeAll, describe, expect, it } from 'vitest'
import { compileJsonSchema } from '../../src/grammar/json-schema.js'
import { allowedIds, followed, type RealVocabulary, randomNumbers, realVocabulary } from '../support/grammar.js'
import { processorTime } from '../support/processor-time.js'

let gpt2: RealVocabulary

beforeAll(async () => {
  gpt2 = await realVocabulary('gpt2')
})

function nested(depth: number): object {
  let schema: object = { type: 'integer' }
  for (let level = 0; level < depth; level++) schema = { type: 'object', properties: { a: schema }, required: ['a'] }
  return schema
}

const many = (count: number): string[] => Array.from({ length: count }, (_, at) => `name_${at}`)

describe('a schema that is large', () => {
  it.each<[string, unknown]>([
    ['of 400 levels', nested(400)],
    [
      'of 1000 properties that may be left out',
      { properties: Object.fromEntries(many(1000).map((name) => [name, {}])) },
    ],
    ['of 20000 values', { enum: many(20_000) }],
    ['of counted arrays in each other', counted(6)],
    ['of a reference that doubles at each level', doubling()],
  ])('one %s compiles in turns of the event loop and allows something', async (_, schema) => {
    const grammar = await compileJsonSchema(schema, gpt2.vocabulary)
    expect(allowedIds(grammar.start(), gpt2.vocabulary).length).toBeGreaterThan(0)
  })

  it.each<[string, unknown, string]>([
    ['too many values', { enum: many(200_000) }, 'at most 1000000 characters for the values of enum'],
    [
      'too many items',
      { type: 'array', maxItems: 1e9 },
      'expected at most 10000 for minItems and maxItems at #, got 1000000000',
    ],
    ['too long strings', { type: 'string', minLength: 1e9 }, 'expected at most 1000000 for minLength and maxLength'],
    [
      'too many ways',
      { allOf: Array(9).fill({ anyOf: [{ minimum: 1 }, { maximum: 2 }] }) },
      'expected at most 256 ways to meet them',
    ],
    [
      'too many schemas in each other',
      chain(200),
      'expected at most 100 schemas in each other for allOf, anyOf and $ref',
    ],
    [
      'a pattern with a length that multiply',
      { pattern: '^(a|b)*a(a|b){9}$', minLength: 900, maxLength: 1000 },
      'at most 5000 states',
    ],
    [
      'a value without an end',
      { $ref: '#/$defs/a', $defs: { a: { type: 'array', minItems: 1, items: { $ref: '#/$defs/a' } } } },
      'a schema that some value meets',
    ],
  ])('one with %s is refused', async (_, schema, message) => {
    await expect(compileJsonSchema(schema, gpt2.vocabulary)).rejects.toThrow(message)
  })

  it('compiling ends when it is aborted', async () => {
    const controller = new AbortController()
    const compiled = compileJsonSchema(nested(5000), gpt2.vocabulary, { signal: controller.signal })
    controller.abort(new Error('enough'))
    await expect(compiled).rejects.toThrow('enough')
    await expect(compileJsonSchema({}, gpt2.vocabulary, { signal: controller.signal })).rejects.toThrow('enough')
  })

  it('values that nest without end keep to what their grammar keeps', async () => {
    const grammar = await compileJsonSchema({}, gpt2.vocabulary)
    const ids = gpt2.tokenizer.encode('[['.repeat(400) + ']]'.repeat(400))
    for (let run = 0; run < 2; run++) expect(followed(grammar.start(), ids, gpt2.vocabulary)).toBe(ids.length + 1)
  })
})

function counted(levels: number): object {
  let schema: object = { type: 'null' }
  for (let level = 0; level < levels; level++) schema = { type: 'array', items: schema, minItems: 90, maxItems: 100 }
  return schema
}

function doubling(): object {
  const way = (): object => ({
    type: 'object',
    properties: { a: { $ref: '#/$defs/node' } },
    additionalProperties: false,
  })
  return { $ref: '#/$defs/node', $defs: { node: { anyOf: [way(), way(), { type: 'null' }] } } }
}

function chain(length: number): object {
  const names = many(length)
  const $defs = Object.fromEntries(
    names.map((name, at) => [name, at + 1 < length ? { $ref: `#/$defs/${names[at + 1]}` } : {}]),
  )
  return { $ref: '#/$defs/name_0', $defs }
}

describe('masks', () => {
  it('ways that look alike are followed together, however deep they are', async () => {
    const grammar = await compileJsonSchema(doubling(), gpt2.vocabulary)
    const ids = gpt2.tokenizer.encode(`${'{"a":'.repeat(60)}null${'}'.repeat(60)}`)
    expect(followed(grammar.start(), ids, gpt2.vocabulary)).toBe(ids.length + 1)
  })

  it('a mask takes a small part of a millisecond once its strings have been seen', async () => {
    const properties = Object.fromEntries(many(6).map((name) => [name, { type: 'string', maxLength: 60 }]))
    const schema = { type: 'object', properties, required: many(6), additionalProperties: false }
    const value = (seed: number): string => {
      const random = randomNumbers(seed)
      const words = ['alpha', 'beta', 'gamma', 'delta']
      const text = () =>
        Array.from({ length: 7 }, () => words[Math.floor(random() * 4)]!)
          .join(' ')
          .slice(0, 40)
      return JSON.stringify(Object.fromEntries(many(6).map((name) => [name, text()])))
    }
    const run = async (seed: number): Promise<number[]> => {
      const mask = (await compileJsonSchema(schema, gpt2.vocabulary)).start()
      const words = new Uint32Array((gpt2.vocabulary.size + 31) >>> 5)
      return gpt2.tokenizer.encode(value(seed)).map((id) => {
        const time = processorTime()
        mask.allowed(words)
        const spent = time()
        mask.accept(id)
        return spent
      })
    }
    await run(1)
    const times = (await run(2)).sort((a, b) => a - b)
    // Measured medians are some 0.05 ms; a mask of 50,000 ids that is made anew takes some 3 ms.
    expect(times[times.length >> 1]).toBeLessThan(1)
  })
})
