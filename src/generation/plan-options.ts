/** @file The options of planGeneration: types, defaults, and what each may be. Loads nothing of the engine. */

import type { RawConfig } from '../architecture/config.js'
import { GENERATE_OPTIONS } from '../decoding/sampling-options.js'
import { HUB_OPTIONS, type HubOptions } from '../hub/settings.js'
import { MODEL_OPTIONS } from '../nn/model-options.js'
import type { Quantization } from '../nn/module.js'
import { integer } from '../options/rules.js'
import { PLANNED_MODEL } from '../options/shared.js'
import type { OptionTable } from '../options/table.js'
import type { DeviceName } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'

export interface GenerationPlanOptions extends HubOptions {
  /** What config.json holds, or a directory, GGUF file or Hub id that says it; weights are not needed. */
  model: string | RawConfig
  /**
   * Whose memory counts; see `planTraining`.
   * @default 'cpu'
   */
  device?: DeviceName | undefined
  /**
   * What the model computes in.
   * @default as `loadModel` has it
   */
  dtype?: ComputeDType | undefined
  /**
   * 'nf4': the projections of the decoder are held in 4 bits; see `loadModel`.
   * @default what the checkpoint has
   */
  quantization?: Quantization | undefined
  /**
   * On a GPU: the embeddings stay in the machine's memory; see `loadModel`.
   * @default false
   */
  offloadEmbedding?: boolean | undefined
  /**
   * Sequences that are generated together.
   * @default 1
   */
  batchSize?: number | undefined
  /**
   * Tokens of each prompt.
   * @default 512
   */
  promptTokens?: number | undefined
  /**
   * Tokens of the longest answer.
   * @default 128
   */
  maxNewTokens?: number | undefined
}

/** The options of `planGeneration`. */
export const PLAN_GENERATION_OPTIONS = {
  model: PLANNED_MODEL,
  ...MODEL_OPTIONS,
  batchSize: { rule: integer({ min: 1 }), default: 1, help: 'sequences that are generated together' },
  promptTokens: { rule: integer({ min: 1 }), default: 512, help: 'tokens of each prompt' },
  maxNewTokens: {
    rule: integer({ min: 1 }),
    default: GENERATE_OPTIONS.maxNewTokens.default,
    help: GENERATE_OPTIONS.maxNewTokens.help,
  },
  ...HUB_OPTIONS,
} as const satisfies OptionTable<GenerationPlanOptions>
