/** @file The JSON Schema of configuration files accepts what the options accept, and nothing else. */

import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { LORA_OPTIONS } from '../../src/adapters/lora-config.js'
import { TRAIN_OPTIONS } from '../../src/integrations/options.js'
import { snakeCase } from '../../src/options/spelling.js'
import type { OptionTable } from '../../src/options/table.js'
import { configSchema } from '../../src/train/config-schema.js'
import { TRAINING_OPTIONS } from '../../src/train/training-options.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const examples = join(root, 'examples')
const files = readdirSync(examples, { recursive: true, encoding: 'utf8' }).filter(
  // Tasks are for lowrank eval.
  (path) => path.endsWith('.yaml') && !path.startsWith('recipes') && !path.endsWith('tasks.yaml'),
)

const accepts = new Ajv2020({ strict: false }).compile(configSchema(TRAIN_OPTIONS))

/** Values that some option takes and others do not. */
const VALUES: readonly unknown[] = [
  ...[null, true, false, 0, 1, 2, 3, -1, 0.5, 1.5, 1e-4, 1e9, 70000, '', 'x', '5', 'auto', 'full', 'cpu', 'cuda:1'],
  ...['tpu', 'bfloat16', 'steps', 'epoch', 'no', 'cosine', 'constant', 'max_length', 'bfd', 'warn', 'lora_only', 'nf4'],
  ...[[], ['q_proj'], [1], [-1], {}, { a: 1 }, { a: 'b' }, { a: 0 }, { a: '' }],
]

/** Names, values and the file that has the one as the other, of every option that a file can hold. */
function* settings(): Generator<[table: OptionTable, name: string, file: (name: string, value: unknown) => object]> {
  const sections = [
    [TRAIN_OPTIONS, (name: string, value: unknown) => ({ [name]: value })],
    [TRAINING_OPTIONS, (name: string, value: unknown) => ({ training: { [name]: value } })],
    [LORA_OPTIONS, (name: string, value: unknown) => ({ lora: { [name]: value } })],
  ] as const
  for (const [table, file] of sections) {
    for (const [name, { rule }] of Object.entries<OptionTable[string]>(table))
      if (rule.schema) yield [table, name, file]
  }
}

describe('the schema of configuration files', () => {
  test('accepts a value of an option exactly where its rule does, by every name of it', () => {
    const different: string[] = []
    let compared = 0
    for (const [table, name, file] of settings()) {
      const { rule, aliases = [] } = table[name] as OptionTable[string]
      // Presets are looked up where they are applied, rows are read later, and files of tasks before.
      const isOpen = ['preset', 'dataset', 'evalDataset', 'evalTasks'].includes(name)
      for (const value of VALUES) {
        for (const spelled of [name, snakeCase(name), ...aliases]) {
          compared++
          if (!isOpen && accepts(file(spelled, value)) !== rule.accepts(value))
            different.push(`${spelled}: ${JSON.stringify(value)}`)
        }
      }
    }
    expect(different).toEqual([])
    expect(compared).toBeGreaterThan(3000)
  })

  test('accepts every default', () => {
    for (const [table, name, file] of settings()) {
      const value = table[name]?.default
      if (value !== undefined) expect(accepts(file(name, value)), name).toBe(true)
    }
  })

  test.each(files)('accepts examples/%s', (path) => {
    accepts(parse(readFileSync(join(examples, path), 'utf8')))
    expect(accepts.errors ?? []).toEqual([])
  })

  test('knows options of transformers that change nothing, with these values alone', () => {
    expect(accepts({ training: { optim: 'adamw_torch', report_to: 'none', bf16: true } })).toBe(true)
    expect(accepts({ training: { optim: 'sgd' } })).toBe(false)
    expect(accepts({ training: { learnRate: 1 } })).toBe(false)
    expect(accepts({ learningRate: 1 })).toBe(false)
  })

  test('is in the package, as files of lowrank init and of runs say', () => {
    expect(JSON.parse(readFileSync(join(root, 'dist/train.schema.json'), 'utf8'))).toEqual(
      JSON.parse(JSON.stringify(configSchema(TRAIN_OPTIONS))),
    )
  })
})
