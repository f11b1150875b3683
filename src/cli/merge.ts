/** @file `lowrank merge`: a model and its adapter become one model. What it does is in merge-model.ts. */

import { MERGE_OPTIONS } from '../adapters/merge-options.js'
import type { FileDType } from '../checkpoint/save-model.js'
import { MAX_SHARD_SIZE } from '../checkpoint/shard-size.js'
import type { Quantization } from '../nn/module.js'
import { listOf, text, textOf } from '../options/rules.js'
import type { DeviceName } from '../tensor/device.js'
import type { Command } from './command.js'
import { ADAPTER, HOLDING_FLAGS, JSON_OBJECT, MODEL_FLAGS, type ModelFlags } from './flags.js'
import { checkAll, UsageError } from './usage-error.js'

interface MergeFlags extends ModelFlags {
  readonly adapter?: string
  readonly output?: string
  readonly dtype?: FileDType
  readonly quantization?: Quantization
  readonly device?: DeviceName
  readonly maxShardSize: string
  readonly prompt: readonly string[]
  readonly json?: boolean
}

/** What is merged, and how. */
export interface Merge extends MergeFlags {
  readonly adapter: string
  readonly output: string
}

export const command: Command<MergeFlags, Merge> = {
  summary: 'fold an adapter into its model and write the result as a model of its own',
  flags: {
    adapter: { ...ADAPTER, flag: { ...ADAPTER.flag, group: 'What goes where' } },
    output: {
      rule: text,
      help: 'new or empty directory for the merged model',
      flag: { name: '--output', argument: 'dir' },
    },
    ...MODEL_FLAGS,
    quantization: {
      ...HOLDING_FLAGS.quantization,
      help: 'nf4: merge onto the weights that QLoRA trained on, decoded, not the original ones',
    },
    device: HOLDING_FLAGS.device,
    dtype: {
      rule: MERGE_OPTIONS.dtype.rule,
      otherwise: 'that of the base, bfloat16 where it has 32 bits',
      help: 'of the weights that are written: bfloat16, float16 or float32',
      flag: { name: '--dtype', argument: 'type', group: 'The merged model' },
    },
    maxShardSize: {
      ...MAX_SHARD_SIZE,
      // A bare number may be meant in any unit.
      rule: {
        ...textOf('a size with its unit, as 5GB,'),
        accepts: (size) => typeof size === 'string' && MAX_SHARD_SIZE.rule.accepts(size),
      },
    },
    prompt: {
      rule: listOf(text, 'strings that are not empty'),
      default: [],
      otherwise: 'a draw of ids',
      help: 'a prompt on which the logits of both models are compared',
      flag: { name: '--prompt', argument: 'text', isRepeatable: true },
    },
    json: JSON_OBJECT,
  },
  examples: [
    { text: 'Merge onto the model that the adapter names', line: 'merge --adapter out/mine/adapter --output merged' },
    {
      text: 'Merge what QLoRA trained, onto the same 4-bit weights',
      line: 'merge --adapter out/mine/adapter --output merged --quantization nf4',
    },
  ],
  async check({ flags }) {
    const { adapter = '', output = '' } = flags
    await checkAll('merge', [() => expectGiven('--adapter DIR', adapter), () => expectGiven('--output DIR', output)])
    return { ...flags, adapter, output }
  },
  async run(checked) {
    const { merge } = await import('./merge-model.js')
    await merge(checked)
  },
}

function expectGiven(flag: string, value: string): void {
  if (value.trim() === '') throw new UsageError(`[merge] expected ${flag}, got none`)
}
