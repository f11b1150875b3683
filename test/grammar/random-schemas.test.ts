/** @file Schemas over all keywords: what is drawn meets them, and what meets them can be written. */

import { fileURLToPath } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, it } from 'vitest'
import { compileJsonSchema } from '../../src/grammar/json-schema.js'
import { createTokenVocabulary } from '../../src/grammar/vocabulary.js'
import { loadTokenizer } from '../../src/tokenizer/tokenizer.js'
import { followed, type RealVocabulary, randomNumbers, randomText, realVocabulary } from '../support/grammar.js'
import { cases, isLong } from '../support/long.js'
import { schemaCase } from '../support/schema-cases.js'

const SMALL = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))
const ajv = new Ajv2020({ strict: false, validateFormats: false })

async function check(from: RealVocabulary, seeds: readonly number[], draws: number): Promise<void> {
  const { tokenizer, vocabulary } = from
  for (const seed of seeds) {
    const { schema, value } = schemaCase(seed)
    const said = JSON.stringify(schema)
    const isValid = ajv.compile(schema)
    const grammar = await compileJsonSchema(schema, vocabulary)
    const random = randomNumbers(seed)
    for (let draw = 0; draw < draws; draw++) {
      const text = randomText(grammar.start(), vocabulary, random, 60)
      expect(text, said).toBeDefined()
      expect(isValid(JSON.parse(text!)), `${text} under ${said}`).toBe(true)
    }
    for (let count = 0; count < 3; count++) {
      const wanted = value()
      if (!isValid(wanted)) continue
      const text = JSON.stringify(wanted)
      const ids = tokenizer.encode(text, { addSpecialTokens: false })
      expect(followed(grammar.start(), ids, vocabulary), `${text} under ${said}`).toBe(ids.length + 1)
    }
  }
}

const seedsFrom = (first: number, count: number): number[] => Array.from({ length: count }, (_, at) => first + at)

describe('schemas at random', () => {
  it('they hold for a small vocabulary', async () => {
    const tokenizer = await loadTokenizer(SMALL)
    await check(
      { tokenizer, vocabulary: await createTokenVocabulary(tokenizer) },
      seedsFrom(1, cases(30, 2000)),
      cases(1, 3),
    )
  })

  it.each(isLong ? ['gpt2', 'llama2', 'llama3', 'qwen3'] : ['gpt2', 'llama2'])(
    'they hold for the vocabulary of %s',
    async (name) => {
      await check(await realVocabulary(name), seedsFrom(11, cases(2, 200)), 1)
    },
  )
})
