/** @file `lowrank simulate`: the curves of a run without weights and rows. What it shows is in simulate-report.ts. */

import { TRAIN_OPTIONS } from '../integrations/options.js'
import { SIMULATION_OPTIONS, type SimulationOptions } from '../train/simulation-options.js'
import type { Command } from './command.js'
import { JSON_OBJECT } from './flags.js'
import { bytesOfMemory, MEMORY } from './memory-flag.js'
import type { RunOptions } from './run-options.js'
import { flagFor, SET_FLAGS, type SetFlags } from './train-flags.js'

interface SimulateFlags extends SetFlags, Omit<SimulationOptions, 'memory'> {
  readonly memory?: string
  readonly json?: boolean
}

/** A run that is simulated. */
export interface Simulated {
  readonly run: RunOptions
  readonly simulation: SimulationOptions
  readonly json: boolean | undefined
}

const GROUP = 'The simulation'
const { rows, tokensPerRow, initialLoss, finalLoss, noise } = SIMULATION_OPTIONS

export const command: Command<SimulateFlags, Simulated> = {
  summary: 'show the curves of a run without weights and rows; the loss is made up',
  details: `Steps, learning rates and tokens are those of such a run, and its memory is
planned. The loss is a formula: it forecasts nothing.`,
  arguments: [{ name: 'config', help: 'YAML file as for train' }],
  settings: TRAIN_OPTIONS,
  flags: {
    ...SET_FLAGS,
    rows: { ...rows, flag: { name: '--rows', argument: 'count', group: GROUP } },
    tokensPerRow: { ...tokensPerRow, flag: { name: '--tokens-per-row', argument: 'number' } },
    initialLoss: { ...initialLoss, flag: { name: '--initial-loss', argument: 'number' } },
    finalLoss: { ...finalLoss, flag: { name: '--final-loss', argument: 'number' } },
    noise: { ...noise, flag: { name: '--noise', argument: 'share' } },
    memory: MEMORY,
    json: JSON_OBJECT,
  },
  examples: [
    { text: 'See how long a run of 5,000 rows is, and its learning rate', line: 'simulate run.yaml --rows 5000' },
  ],
  instead: flagFor,
  async check(given) {
    const { rows, tokensPerRow, initialLoss, finalLoss, noise, memory, json } = given.flags
    const run = await (await import('./run-options.js')).readRunOptions(given, { withoutRows: true })
    const simulation = { rows, tokensPerRow, initialLoss, finalLoss, noise, memory: bytesOfMemory(memory) }
    return { run, simulation, json }
  },
  async run(checked) {
    const { simulate } = await import('./simulate-report.js')
    await simulate(checked)
  },
}
