/** @file The page of options says what the tables say, and the tables are the one place where a default stands. */

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { OptionEntry, OptionTable } from '../../src/options/table.js'
import { TABLES } from '../support/option-tables.js'

const root = new URL('../../', import.meta.url)
const { SECTIONS, optionsPage } = (await import(new URL('scripts/options-page.mjs', root).href)) as {
  SECTIONS: readonly { readonly table: string }[]
  optionsPage(load: (file: string) => Promise<unknown>): Promise<string>
}

const SOURCE = fileURLToPath(new URL('src/', root))
const sources = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .filter((file) => file.endsWith('.ts'))
  .map((file) => ({ file, text: readFileSync(SOURCE + file, 'utf8') }))

/** Tables that are part of others. */
const PARTS = [
  'ANSWERING',
  'ASKING',
  'COMMON_TASK',
  'COMPARE_OPTIONS',
  'DEPLOYMENT',
  'DURING_RUN_OPTIONS',
  'DATA_OPTIONS',
  'ENDPOINT_OPTIONS',
  'HOSTED_CONNECTION',
  'HUB_OPTIONS',
  'INFERENCE_REQUEST',
  'LORA_OPTIONS',
  'MERGED_MODEL_OPTIONS',
  'MODEL_OPTIONS',
  'NAMED_MODEL',
  'OWN_TRAINING_OPTIONS',
  'PADDED_BATCH',
  'PLAN_TRAINING_OPTIONS',
  'PROBE_OPTIONS',
  'ROUGE_WORD_OPTIONS',
  'ROW_SELECTION',
  'SAMPLING_OPTIONS',
  'SAMPLING_PARAMETERS',
  'SPLIT_BY',
  'TRAINING_OPTIONS',
  'WAITING',
  'WAREHOUSE_OPTIONS',
  'TRAIN_LORA_OPTIONS',
  'TRANSFORM_OPTIONS',
]

/** Every default that a table has, by the name of its option. */
function defaults(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  const add = (table: OptionTable): void => {
    for (const [name, entry] of Object.entries<OptionEntry>(table)) {
      if (entry.default !== undefined) {
        const values = found.get(name) ?? new Set()
        found.set(name, values.add(JSON.stringify(entry.default)))
      }
      if (entry.table) add(entry.table)
    }
  }
  for (const { table } of SECTIONS) add(TABLES[table] as OptionTable)
  return found
}

describe('docs/options.md', () => {
  it('is what scripts/options-page.mjs makes of the tables', async () => {
    expect(readFileSync(new URL('docs/options.md', root), 'utf8')).toBe(await optionsPage(async () => TABLES))
  })

  it('has every table of options of the library', () => {
    const tables = sources
      .filter(({ file }) => !file.startsWith('cli/'))
      .flatMap(({ text }) => [...text.matchAll(/const (\w+) = \{(?:(?!\n\}).)*\n\} as const satisfies OptionTable</gs)])
      .map(([, name]) => name)
    expect(tables.length).toBeGreaterThan(20)
    expect([...SECTIONS.map(({ table }) => table), ...PARTS].sort()).toEqual(
      expect.arrayContaining(tables.filter((name, index) => tables.indexOf(name) === index).sort()),
    )
  })
})

describe('a default', () => {
  it('stands in its table alone: no function completes an option by the same value', () => {
    const byName = defaults()
    // What stands for no value, as -1 does for maxSteps, is none.
    byName.get('maxSteps')?.delete('-1')
    const names = [...byName.keys()].join('|')
    const literal = String.raw`(-?\d[\w.]*|'[^']*'|true\b|false\b)`
    const completing = new RegExp(`(?<![\\w$])(?:(?<!\\.)(?:${names})\\s*=|(?:${names})\\s*\\?\\?)\\s*${literal}`, 'g')
    // The services of the loopback workspace have defaults of their own.
    const own = sources.filter(({ file }) => !file.startsWith('testing/'))
    const again = own.flatMap(({ file, text }) =>
      [...text.matchAll(completing)].flatMap(([all, value = '']) => {
        const [name = ''] = all.match(/^\w+/) ?? []
        const json = value.startsWith("'") ? JSON.stringify(value.slice(1, -1)) : value
        return byName.get(name)?.has(json) ? [`${file}: ${all}`] : []
      }),
    )
    expect(byName.size).toBeGreaterThan(60)
    // The scale that a loss of its own has: what the op computes without one.
    expect(again).toEqual(['ops/linear-cross-entropy.ts: lossScale = 1'])
  })
})
