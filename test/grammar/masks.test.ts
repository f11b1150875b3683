/** @file Masks are exactly the ids that may be accepted, however they were made and whatever was kept. */

import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import type { CompiledGrammar } from '../../src/grammar/grammar-mask.js'
import { compileJsonSchema } from '../../src/grammar/json-schema.js'
import { createTokenVocabulary } from '../../src/grammar/vocabulary.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { allowedIds, followed, type RealVocabulary, randomNumbers } from '../support/grammar.js'
import { cases } from '../support/long.js'
import { schemaCase } from '../support/schema-cases.js'

const SMALL = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))
let small: RealVocabulary

beforeAll(async () => {
  const tokenizer = await loadTokenizer(SMALL)
  small = { tokenizer, vocabulary: await createTokenVocabulary(tokenizer) }
})

/** The ids that a new answer accepts behind these ids: one after the other, byte by byte. */
function accepted(grammar: CompiledGrammar, before: readonly number[]): number[] {
  return Array.from({ length: small.vocabulary.size }, (_, id) => id).filter((id) => {
    const mask = grammar.start()
    for (const one of before) mask.accept(one)
    try {
      mask.accept(id)
      return true
    } catch {
      return false
    }
  })
}

describe('a mask', () => {
  it('it allows the ids that are accepted one by one, and no other', async () => {
    for (let seed = 1; seed <= cases(3, 300); seed++) {
      const { schema } = schemaCase(seed)
      const grammar = await compileJsonSchema(schema, small.vocabulary)
      const random = randomNumbers(seed)
      const mask = grammar.start()
      const ids: number[] = []
      for (let count = 0; count < 2; count++) {
        const allowed = allowedIds(mask, small.vocabulary)
        expect(allowed, JSON.stringify(schema)).toEqual(accepted(grammar, ids))
        const id = allowed[Math.floor(random() * allowed.length)]!
        if (small.vocabulary.eosTokenIds.includes(id)) break
        mask.accept(id)
        ids.push(id)
      }
    }
  })

  it.each([
    [0, 3],
    [2, 2],
    [5, 9],
    [0, 40],
    [3, Number.POSITIVE_INFINITY],
  ])('strings of %d to %d characters take what a pattern of that length takes', async (minLength, maxLength) => {
    const bounded = maxLength === Number.POSITIVE_INFINITY ? { minLength } : { minLength, maxLength }
    const grammars = await Promise.all(
      [
        { type: 'string', ...bounded },
        { type: 'string', pattern: '^[^\\u0000-\\u001f"\\\\]*$', ...bounded },
      ].map(async (schema) => await compileJsonSchema(schema, small.vocabulary)),
    )
    const isPlain = (id: number) => small.vocabulary.bytesOf(id)?.includes(0x5c) !== true
    const masks = grammars.map((grammar) => grammar.start())
    for (const id of small.tokenizer.encode('"\u65e5 a', { addSpecialTokens: false })) {
      const [own, other] = masks.map((mask) => allowedIds(mask, small.vocabulary))
      expect(own!.filter(isPlain)).toEqual(other!.filter(isPlain))
      if (!own!.includes(id)) break
      for (const mask of masks) mask.accept(id)
    }
  })

  it('it is the same prepared or not', async () => {
    const properties = Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`name ${at}`, {}]))
    const schema = { type: 'object', properties }
    const [ready, late] = await Promise.all([schema, schema].map((one) => compileJsonSchema(one, small.vocabulary)))
    const [first, second] = [ready!.start(), late!.start()]
    for (const id of small.tokenizer.encode('{"name 7":[1],"name 30":{"a":""}}', { addSpecialTokens: false })) {
      const made = first.prepare?.()
      if (made) await made
      expect(first.prepare?.()).toBeUndefined()
      expect(allowedIds(first, small.vocabulary)).toEqual(allowedIds(second, small.vocabulary))
      first.accept(id)
      second.accept(id)
    }
  })

  it('an answer goes on where what its grammar keeps is begun anew', async () => {
    const grammar = await compileJsonSchema({}, small.vocabulary)
    const depth = 2500
    const text = `${'[{"a":'.repeat(depth)}null${'}]'.repeat(depth)}`
    const ids = small.tokenizer.encode(text, { addSpecialTokens: false })
    const mask = grammar.start()
    const other = grammar.start()
    for (const id of ids) mask.accept(id)
    expect(allowedIds(mask, small.vocabulary)).toContain(small.vocabulary.eosTokenIds[0])
    expect(followed(other, small.tokenizer.encode('[1]', { addSpecialTokens: false }), small.vocabulary)).toBe(
      small.tokenizer.encode('[1]', { addSpecialTokens: false }).length + 1,
    )
  })
})
