/** @file Answers under a JSON schema: drawn at random they meet it, and what meets it can be written. */

import { Ajv2020 } from 'ajv/dist/2020.js'
import { beforeAll, describe, expect, it } from 'vitest'
import { compileJsonSchema } from '../../src/grammar/json-schema.js'
import {
  allowedIds,
  followed,
  type RealVocabulary,
  randomNumbers,
  randomText,
  realVocabulary,
} from '../support/grammar.js'

let gpt2: RealVocabulary

beforeAll(async () => {
  gpt2 = await realVocabulary('gpt2')
})

const ajv = new Ajv2020({ strict: false })

async function drawn(schema: unknown, count: number): Promise<string[]> {
  const grammar = await compileJsonSchema(schema, gpt2.vocabulary)
  const random = randomNumbers(7)
  return Array.from({ length: count }, () => randomText(grammar.start(), gpt2.vocabulary, random, 60)!)
}

/** Whether every token of a text may come, and the end behind it. */
async function canWrite(schema: unknown, text: string): Promise<boolean> {
  const grammar = await compileJsonSchema(schema, gpt2.vocabulary)
  const ids = gpt2.tokenizer.encode(text)
  return followed(grammar.start(), ids, gpt2.vocabulary) === ids.length + 1
}

describe('an answer under a JSON schema', () => {
  const schema = {
    type: 'object',
    properties: {
      name: { type: 'string', minLength: 1, maxLength: 12 },
      age: { type: 'integer', minimum: 0, maximum: 130 },
      score: { anyOf: [{ type: 'null' }, { type: 'number', exclusiveMinimum: 0, maximum: 2.5 }] },
      tags: { type: 'array', items: { type: 'string', pattern: '^[a-z]+$' }, maxItems: 3 },
    },
    required: ['name', 'tags'],
    additionalProperties: false,
  }

  it('an answer meets its schema, whatever is drawn', async () => {
    const check = ajv.compile(schema)
    for (const text of await drawn(schema, 12)) expect(check(JSON.parse(text)), text).toBe(true)
  })

  it('every value that meets the schema can be written, compact or with single spaces', async () => {
    expect(await canWrite(schema, '{"name":"Zo\u00eb \ud83d\ude80","age":7,"score":0.25,"tags":["a","bc"]}')).toBe(true)
    expect(await canWrite(schema, '{"name": "A", "score": null, "tags": []}')).toBe(true)
    expect(await canWrite(schema, '{"name":  "A","tags":[]}')).toBe(false)
    expect(await canWrite(schema, '{"tags":[]}')).toBe(false)
    expect(await canWrite(schema, '{"name":"","tags":[]}')).toBe(false)
    expect(await canWrite(schema, '{"name":"A","age":131,"tags":[]}')).toBe(false)
    expect(await canWrite(schema, '{"name":"A","tags":["a","b","c","d"]}')).toBe(false)
  })

  it('the end is allowed only behind a complete value', async () => {
    const grammar = await compileJsonSchema({ type: 'integer' }, gpt2.vocabulary)
    const mask = grammar.start()
    const eos = gpt2.vocabulary.eosTokenIds[0]!
    expect(allowedIds(mask, gpt2.vocabulary)).not.toContain(eos)
    expect(() => mask.accept(eos)).toThrow('[grammar] expected an id that the mask allows, got 50256')
    mask.accept(gpt2.tokenizer.encode('12')[0]!)
    expect(allowedIds(mask, gpt2.vocabulary)).toContain(eos)
    mask.accept(eos)
    expect(allowedIds(mask, gpt2.vocabulary)).toEqual([eos])
  })

  it('a schema may hold itself', async () => {
    const tree = {
      $ref: '#/$defs/node',
      $defs: {
        node: {
          type: 'object',
          properties: { value: { type: 'integer' }, children: { type: 'array', items: { $ref: '#/$defs/node' } } },
          required: ['value'],
          additionalProperties: false,
        },
      },
    }
    expect(await canWrite(tree, '{"value":1,"children":[{"value":2,"children":[]},{"value":3}]}')).toBe(true)
    expect(await canWrite(tree, '{"value":1,"children":[{"children":[]}]}')).toBe(false)
    const check = ajv.compile(tree)
    for (const text of await drawn(tree, 4)) expect(check(JSON.parse(text)), text).toBe(true)
  })
})

describe('a schema that is not supported', () => {
  it.each<[unknown, string]>([
    [{ type: 'object', patternProperties: {} }, 'expected keywords that are supported at #, got "patternProperties"'],
    [{ properties: { a: { not: {} } } }, 'expected keywords that are supported at #/properties/a, got "not"'],
    [{ type: 'strng' }, 'or a list of these for type at #, got "strng"'],
    [
      { type: 'string', pattern: '(?=a)' },
      'expected no look-ahead, which is not supported, for pattern at #, got "(?=a)"',
    ],
    [{ type: 'number', multipleOf: 0.1 }, 'expected a whole number above 0 for multipleOf at #, got 0.1'],
    [{ type: 'string', format: 'email' }, 'for format at #, got "email"; others are not supported: use pattern'],
    [{ oneOf: [{ type: 'number' }, { type: 'integer' }] }, 'for oneOf at #, got "numbers 0 and 1"; use anyOf'],
    [{ $ref: 'https://example.com/a' }, 'for $ref at #, got "https://example.com/a"; put the schema into $defs'],
    [{ $ref: '#' }, 'expected a $ref that leads to another schema at #, got one that leads to itself'],
    [{ type: 'integer', minimum: 3, maximum: 2 }, 'expected a schema that some value meets, got one that none does'],
    [7, 'expected an object, true or false for a schema at #, got 7'],
  ])('the schema %j is refused by name', async (schema, message) => {
    await expect(compileJsonSchema(schema, gpt2.vocabulary)).rejects.toThrow(message)
  })
})
