/** @file The configuration files under examples/ say what the code says. */

import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { LORA_OPTIONS } from '../../src/adapters/lora-config.js'
import { readConfig } from '../../src/cli/config.js'
import { TRAIN_OPTIONS } from '../../src/integrations/options.js'
import { REGISTER_OPTIONS } from '../../src/integrations/register-as.js'
import { resolveAllOptions } from '../../src/integrations/resolve-options.js'
import { MLFLOW_OPTIONS } from '../../src/mlflow/options.js'
import { defaultsOf, namesOf, type OptionTable } from '../../src/options/table.js'
import { CSV_OPTIONS, JSONL_OPTIONS, TENSORBOARD_OPTIONS } from '../../src/trackers/options.js'
import { everyOption } from '../../src/train/options-file.js'
import { TRAINING_OPTIONS } from '../../src/train/training-options.js'

const examples = fileURLToPath(new URL('../../examples/', import.meta.url))
// Files under recipes/ say what a transformation of data does, and tasks are for lowrank eval.
const configs = readdirSync(examples, { recursive: true, encoding: 'utf8' }).filter(
  (path) => path.endsWith('.yaml') && !path.startsWith('recipes') && !path.endsWith('tasks.yaml'),
)

describe('examples', () => {
  it.each(configs)('%s is a configuration that lowrank train accepts', async (path) => {
    const parsed = resolveAllOptions((await readConfig(examples + path)).options)
    expect(parsed.outputDir).toMatch(/^out\//)
  })

  it('options.yaml is what lowrank init --all writes', () => {
    expect(readFileSync(`${examples}options.yaml`, 'utf8')).toBe(everyOption(TRAIN_OPTIONS))
  })

  it('options.yaml shows every option at its default, or an example of it that is accepted', () => {
    const lines = everyOption(TRAIN_OPTIONS).split('\n')
    const shown = parse(lines.join('\n')) as Record<string, Record<string, unknown>>
    expect(shown.lora).toEqual(defaultsOf(LORA_OPTIONS))
    const { warmupSteps: _, chatTemplate: __, ...defaults } = defaultsOf(TRAINING_OPTIONS)
    expect(shown.training).toEqual(defaults)
    const isSection = (line = ''): boolean => /^# \w+: #/.test(line)
    const commented = lines.flatMap((line, index) => (/^ *# \w+: /.test(line) && !isSection(line) ? [index] : []))
    const names = [...lines.join('\n').matchAll(/^ *(?:# )?(\w+): /gm)].map(([, name]) => name)
    const inFiles = (table: OptionTable): string[] => namesOf(table).filter((name) => table[name]?.rule.schema)
    const trackers = [MLFLOW_OPTIONS, TENSORBOARD_OPTIONS, CSV_OPTIONS, JSONL_OPTIONS]
    const all = [TRAIN_OPTIONS, TRAINING_OPTIONS, LORA_OPTIONS, ...trackers, REGISTER_OPTIONS].flatMap(inFiles)
    const sections = ['lora', 'training', 'mlflow', 'tensorboard', 'csv', 'jsonl', 'register']
    expect(names.filter((name) => !sections.includes(name as string)).sort()).toEqual(all.sort())
    for (const index of commented) {
      // An option that takes the place of another stands alone.
      const others = lines.filter((line) => !/warmupSteps/.test(lines[index] as string) || !/warmupRatio:/.test(line))
      // A section whose lines are all examples is one itself.
      const section = lines.slice(0, index).findLast((line) => /^\S/.test(line) && !/^# [A-Z]/.test(line))
      const isInside = lines[index]!.startsWith(' ')
      const isShown = (line: string): boolean =>
        line === lines[index] || (isInside && line === section && isSection(line))
      const text = others.map((line) => (isShown(line) ? line.replace('# ', '') : line)).join('\n')
      // Some options need something to evaluate on, and some the option that they refine.
      const more = /# (?:metricForBestModel|earlyStopping|greaterIsBetter)/.test(lines[index] as string)
      const options = parse(text) as { training: object }
      if (more) Object.assign(options.training, { evalSplit: 0.1, saveStrategy: 'steps', loadBestModelAtEnd: true })
      expect(() => resolveAllOptions(options), lines[index]).not.toThrow()
    }
  })
})
