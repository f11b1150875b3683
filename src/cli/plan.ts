/**
 * @file `lowrank plan`: the memory that training or answering would take, before anything is loaded. What it does is in
 * plan-report.ts.
 */

import { PLAN_GENERATION_OPTIONS } from '../generation/plan-options.js'
import { TRAIN_OPTIONS } from '../integrations/options.js'
import { boolean } from '../options/rules.js'
import type { Command, Given } from './command.js'
import { JSON_OBJECT } from './flags.js'
import { bytesOfMemory, MEMORY } from './memory-flag.js'
import type { RunOptions } from './run-options.js'
import { flagFor, SET_FLAGS, type SetFlags } from './train-flags.js'
import { checkAll, UsageError } from './usage-error.js'

interface PlanFlags extends SetFlags {
  readonly memory?: string
  readonly generate?: boolean
  readonly promptTokens?: number
  readonly maxNewTokens?: number
  readonly json?: boolean
}

/** What is planned, and in how much memory it is to fit. */
export interface Plan extends Omit<PlanFlags, 'memory'> {
  readonly run: RunOptions
  /** Bytes. */
  readonly memory: number | undefined
  /** Prompts that are answered together; undefined: one. */
  readonly batchSize: number | undefined
}

/** Options that say which model answers and how it is held. */
const OF_ANSWERS = ['model', 'revision', 'preset', 'quantization', 'dtype', 'device']

const { promptTokens, maxNewTokens } = PLAN_GENERATION_OPTIONS

export const command: Command<PlanFlags, Plan> = {
  summary: 'say how much memory a run takes, and what would make it fit',
  details: 'It reads the configuration of a model, or a .gguf file, and no weights and no rows.',
  arguments: [{ name: 'config', help: 'YAML file as for train' }],
  settings: TRAIN_OPTIONS,
  flags: {
    ...SET_FLAGS,
    memory: { ...MEMORY, flag: { ...MEMORY.flag, group: 'The plan' } },
    generate: {
      rule: boolean,
      help: 'plan answers in place of training: weights, keys and values; --batch-size prompts at a time',
      flag: { name: '--generate' },
    },
    promptTokens: {
      rule: promptTokens.rule,
      otherwise: String(promptTokens.default),
      help: `with --generate: ${promptTokens.help}`,
      flag: { name: '--prompt-tokens', argument: 'count' },
    },
    maxNewTokens: {
      rule: maxNewTokens.rule,
      otherwise: String(maxNewTokens.default),
      help: `with --generate: ${maxNewTokens.help}`,
      flag: { name: '--max-new-tokens', argument: 'count' },
    },
    json: JSON_OBJECT,
  },
  examples: [
    { text: 'Plan the run of a file', line: 'plan run.yaml' },
    {
      text: 'See whether QLoRA fits into 24 GB',
      line: 'plan --model Qwen/Qwen3-8B --quantization nf4 --memory 24GB',
    },
    {
      text: 'Plan four answers at a time',
      line: 'plan --generate --model model.gguf --batch-size 4',
    },
  ],
  instead: flagFor,
  async check(given) {
    const { flags, settings } = given
    const [run] = await checkAll('plan', [
      async () => (await import('./run-options.js')).readRunOptions(given, { withoutRows: true }),
      () => (flags.generate ? refuseTrainingFlags(given) : refuseAnswerFlags(flags)),
    ])
    const hasBatchSize = settings.some(({ flag }) => flag === '--batch-size')
    return {
      ...flags,
      run,
      memory: bytesOfMemory(flags.memory),
      batchSize: hasBatchSize ? run.options.training.perDeviceTrainBatchSize : undefined,
    }
  },
  async run(checked) {
    const { plan } = await import('./plan-report.js')
    await plan(checked)
  },
}

/** @throws UsageError naming what was typed and belongs to training alone */
function refuseTrainingFlags({ flags: { set }, settings }: Given<PlanFlags>): void {
  const typed = [
    ...settings
      .filter(({ flag, path: [name = ''] }) => flag !== '--batch-size' && !OF_ANSWERS.includes(name))
      .map(({ flag }) => flag),
    ...set.filter((setting) => /^(?:training|lora)\b/.test(setting)).map((setting) => `--set ${setting.split('=')[0]}`),
  ]
  if (typed.length === 0) return
  const lengths = typed.includes('--max-length') ? '; --prompt-tokens and --max-new-tokens give the lengths' : ''
  throw new UsageError(`[plan] expected no flags of training with --generate, got ${typed.join(', ')}${lengths}`)
}

/** @throws UsageError naming what was typed and belongs to answers alone */
function refuseAnswerFlags({ promptTokens, maxNewTokens }: PlanFlags): void {
  const typed = Object.entries({ '--prompt-tokens': promptTokens, '--max-new-tokens': maxNewTokens })
    .filter(([, value]) => value !== undefined)
    .map(([flag]) => flag)
  if (typed.length === 0) return
  throw new UsageError(`[plan] expected ${typed.join(' and ')} with --generate, got it without`)
}
