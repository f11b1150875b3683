/** @file From tables of loans and payments to rows that a model learns: rules, one schema of three sources, splits. */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, it } from 'vitest'
import { prepareDataset } from '../../src/data/dataset.js'
import { loadTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { applyRules } from '../../src/transform/rules.js'
import { unifySources } from '../../src/transform/unify.js'
import { lowrank } from '../cli/run-cli.js'
import { temporaryDirectory } from '../support/tiny-model.js'

const RECIPES = fileURLToPath(new URL('../../examples/recipes/', import.meta.url))
const GOLDEN = fileURLToPath(new URL('../transform/golden/', import.meta.url))
const directory = temporaryDirectory()
const at = (name: string): string => join(directory, name)
type Row = Readonly<Record<string, unknown>>

let tokenizer: Tokenizer
beforeAll(async () => {
  tokenizer = await loadTokenizer(fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url)))
})

const rowsOf = async (path: string): Promise<Row[]> =>
  (await readFile(path, 'utf8'))
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as Row)

async function reportOf(...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await lowrank(['data', ...args, '--json'])
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  return JSON.parse(stdout) as Record<string, unknown>
}

it.each([
  ['lending-club', 'synthetic-loans'],
  ['ieee-fraud', 'synthetic-payments'],
])(
  'the rules %s make the golden instructions of a table, the same bytes twice, and their answers are what is learnt',
  async (recipe, name) => {
    const [first, second] = [at(`${recipe}-first.jsonl`), at(`${recipe}-second.jsonl`)]
    const [table, rules] = [`${RECIPES}${name}.jsonl`, `${RECIPES}${recipe}.yaml`]
    const report = await reportOf('rules', table, '--rules', rules, '--output', first)
    const left = Object.values(report.skipped as Record<string, number>).reduce((sum, count) => sum + count, 0)
    expect(report.read).toBe((report.written as number) + left)
    await applyRules({ dataset: table, rules, output: second })
    expect(await readFile(first, 'utf8')).toBe(await readFile(`${GOLDEN}${recipe}.jsonl`, 'utf8'))
    expect(await readFile(second, 'utf8')).toBe(await readFile(first, 'utf8'))

    const rows = await rowsOf(first)
    for (const { context, response } of rows) {
      expect(context).toMatch(/^Financial Event Details:\n- \w+: /)
      expect(Object.keys(JSON.parse(response as string) as object)).toEqual([
        'risk_level',
        'justification',
        'mitigation_strategies',
      ])
    }
    const { examples } = await prepareDataset(first, tokenizer, { maxLength: 4096 })
    expect(examples).toHaveLength(rows.length)
    for (const [index, { inputIds, labels }] of examples.slice(0, 5).entries()) {
      const learnt = [...inputIds].filter((_, place) => labels[place] !== -100)
      expect(learnt.pop()).toBe(tokenizer.eosTokenId)
      expect(tokenizer.decode(learnt).trim()).toBe(rows[index]?.response)
    }
  },
)

it('three sources of three schemas become one data set whose rows say where they are from, a tenth of each held out with seed 42', async () => {
  const report = await reportOf(
    'unify',
    `${RECIPES}unify.yaml`,
    '--output',
    at('unified'),
    ...['--split', 'train=0.9', '--split', 'validation=0.1', '--seed', '42'],
  )
  const sources = report.sources as Record<string, { read: number; written: number; skipped: Record<string, number> }>
  expect(Object.keys(sources)).toEqual(['loans', 'payments', 'notes'])
  for (const { read, written, skipped } of Object.values(sources))
    expect(read).toBe(written + Object.values(skipped).reduce((sum, count) => sum + count, 0))

  const [train, validation] = await Promise.all(
    ['train', 'validation'].map((name) => rowsOf(at(join('unified', `${name}.jsonl`)))),
  )
  const rows = [...(train as Row[]), ...(validation as Row[])]
  expect(rows).toHaveLength(Object.values(sources).reduce((sum, { written }) => sum + written, 0))
  const places = new Set(rows.map(({ source, source_row }) => `${source} ${source_row}`))
  expect(places.size).toBe(rows.length)
  const loans = await rowsOf(`${RECIPES}synthetic-loans.jsonl`)
  for (const { source, source_row, context } of rows.filter(({ source: name }) => name === 'loans')) {
    const loan = loans.find(({ id }) => String(id) === source_row)
    expect(context, `${source} ${source_row}`).toContain(`Loan of ${loan?.loan_amnt} at ${loan?.int_rate}`)
  }
  for (const [name, { written }] of Object.entries(sources)) {
    const heldOut = (validation as Row[]).filter(({ source }) => source === name).length
    expect(heldOut, name).toBe(written - Math.round(0.9 * written))
  }

  const splits = { train: 0.9, validation: 0.1 }
  await unifySources({ mapping: `${RECIPES}unify.yaml`, output: at('again'), splits, seed: 42 })
  for (const name of ['train.jsonl', 'validation.jsonl'])
    expect(await readFile(at(join('again', name)), 'utf8')).toBe(await readFile(at(join('unified', name)), 'utf8'))
})
