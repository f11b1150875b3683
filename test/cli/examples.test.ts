/** @file The configuration files under examples/ say what the code says. */

import { readdirSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { readConfig } from '../../src/cli/config.js'
import { TRAINING_DEFAULTS } from '../../src/train/options.js'
import { parseTrainOptions } from '../../src/train/parse-options.js'

const examples = fileURLToPath(new URL('../../examples/', import.meta.url))
const configs = readdirSync(examples, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.yaml'))

describe('examples', () => {
  it.each(configs)('%s is a configuration that lowrank train accepts', async (path) => {
    const parsed = parseTrainOptions((await readConfig(examples + path)).options)
    expect(parsed.outputDir).toMatch(/^out\//)
  })

  it('options.yaml shows every option of training and lora with its default', async () => {
    const config = (await readConfig(`${examples}options.yaml`)).options as Record<'training' | 'lora', object>
    const { training, lora } = config
    const defaults = parseTrainOptions({ model: 'm', dataset: 'd' })
    // Given or not, warm-up steps take the place of the ratio, and a chat template that of the tokenizer's.
    const withoutDefault = ['warmupSteps', 'chatTemplate']
    const expected = Object.keys(defaults.training).filter((name) => !withoutDefault.includes(name))
    expect(Object.keys(training).sort()).toEqual(expected.sort())
    expect(lora).toEqual(defaults.lora)
    // What 'auto' stands for depends on the other options, so those are compared as written.
    for (const [name, value] of Object.entries(training)) {
      const written = { ...defaults.training, ...TRAINING_DEFAULTS }
      expect({ [name]: value }).toEqual({ [name]: written[name as keyof typeof written] })
    }
  })
})
