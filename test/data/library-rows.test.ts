/**
 * @file Rows as TRL, OpenAI, mlx-lm, LLaMA-Factory, Axolotl, Vertex and Databricks document them: each becomes the
 * token ids and labels that Python computes (`test/golden/row_forms.py` says how).
 */

import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, it } from 'vitest'
import { type PrepareOptions, prepareDataset } from '../../src/data/dataset.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'

interface Case {
  library: string
  name: string
  row: object
  by: string
  options: PrepareOptions
  ids: number[]
  labels: number[]
}

const { template, cases } = JSON.parse(readFileSync(new URL('../golden/row-forms.json', import.meta.url), 'utf8')) as {
  template: string
  cases: Case[]
}

let tokenizer: Tokenizer
beforeAll(async () => {
  tokenizer = await loadTokenizer('models/lowrank-base-5m')
})

describe('a row of another library', () => {
  it.each(cases.map((each) => [`${each.library}, ${each.name} (by ${each.by})`, each] as const))(
    'becomes the ids and labels that Python computes: %s',
    async (_, { row, options, ids, labels }) => {
      // The template marks what is generated for Python; where it does not, the turns are found.
      for (const chatTemplate of [template, template.replaceAll(/\{%- (end)?generation %\}/g, '')]) {
        const { examples } = await prepareDataset([row], tokenizer, { ...options, chatTemplate })
        const [example] = examples
        const { inputIds = [], labels: found = [] } = example ?? {}
        expect([...inputIds]).toEqual(ids)
        expect([...found]).toEqual(labels)
        expect(example?.numSupervised).toBe(labels.slice(1).filter((label) => label !== -100).length)
      }
    },
  )

  it('there is at least one of each library', () => {
    const count = (name: string): number => cases.filter(({ library }) => library === name).length
    expect(
      ['TRL', 'OpenAI', 'mlx-lm', 'LLaMA-Factory', 'Axolotl', 'Vertex', 'Databricks'].map((name) => [
        name,
        count(name),
      ]),
    ).toEqual([
      ['TRL', 10],
      ['OpenAI', 2],
      ['mlx-lm', 3],
      ['LLaMA-Factory', 5],
      ['Axolotl', 16],
      ['Vertex', 1],
      ['Databricks', 1],
    ])
  })
})
