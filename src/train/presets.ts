/**
 * @file Named recipes for `trainLora`: option values that count where the user gives none. Knows names of options, not
 * what they do.
 */

import { describeValue, nearestName } from '../errors.js'
import { OptionError } from '../lowrank-error.js'

/** Option values by name. */
export type PresetOptions = Readonly<Record<string, unknown>>

/** A recipe, and what is different here from where it comes from. */
export interface Preset {
  /** What it is for, in a line. */
  readonly description: string
  /** What of the recipe is done in another way here, and how. */
  readonly differences: readonly string[]
  readonly options: PresetOptions & { readonly lora?: PresetOptions; readonly training?: PresetOptions }
}

const ATTENTION = ['q_proj', 'k_proj', 'v_proj', 'o_proj']
const ALL_PROJECTIONS = [...ATTENTION, 'gate_proj', 'up_proj', 'down_proj']
const NF4_COMPUTES_IN_BF16 = 'products on the 4-bit weights are computed in bfloat16, not in float16'

/** The recipes by name. */
export const PRESETS = {
  'qlora-all-linear': {
    description: 'QLoRA on all seven projections of a Llama-like model: r 16, alpha 32, dropout 0.05, seed 3407',
    differences: [NF4_COMPUTES_IN_BF16],
    options: {
      quantization: 'nf4',
      lora: { r: 16, loraAlpha: 32, loraDropout: 0.05, targetModules: ALL_PROJECTIONS },
      training: { seed: 3407 },
    },
  },
  'qlora-all-linear-small': {
    description: 'qlora-all-linear for small models and little memory: r 8, alpha 16',
    differences: [NF4_COMPUTES_IN_BF16],
    options: {
      quantization: 'nf4',
      lora: { r: 8, loraAlpha: 16, loraDropout: 0.05, targetModules: ALL_PROJECTIONS },
      training: { seed: 3407 },
    },
  },
  'qlora-attention': {
    description:
      'QLoRA on the attention of a 7B model (Mistral, Llama): r 16, 4 x 4 rows, 2e-4, fp16, three epochs, a save after each',
    differences: ['paged 8-bit AdamW: AdamW with float32 moments, which do not move to other memory'],
    options: {
      quantization: 'nf4',
      dtype: 'float16',
      lora: { r: 16, loraAlpha: 32, loraDropout: 0.05, targetModules: ATTENTION },
      training: {
        numTrainEpochs: 3,
        perDeviceTrainBatchSize: 4,
        gradientAccumulationSteps: 4,
        learningRate: 2e-4,
        lrSchedulerType: 'cosine',
        warmupRatio: 0,
        loggingSteps: 10,
        saveStrategy: 'epoch',
      },
    },
  },
  'gpt2-full': {
    description:
      "every weight of GPT-2 with the defaults of transformers' Trainer: 2e-5, batch 2, three epochs, weight decay 0.01",
    differences: [
      'evaluation after each epoch: when evalDataset or evalSplit gives rows to evaluate on',
      "rows padded to 1,024 tokens: not padded, which changes no loss; padding: 'max_length' pads them",
    ],
    options: {
      method: 'full',
      training: {
        numTrainEpochs: 3,
        perDeviceTrainBatchSize: 2,
        perDeviceEvalBatchSize: 2,
        gradientAccumulationSteps: 1,
        learningRate: 2e-5,
        lrSchedulerType: 'linear',
        warmupRatio: 0,
        weightDecay: 0.01,
        maxLength: 1024,
        saveStrategy: 'epoch',
      },
    },
  },
} as const satisfies Record<string, Preset>

export type PresetName = keyof typeof PRESETS

/** The recipe of that name. @throws naming the nearest where there is none */
export function findPreset(name: unknown): Preset {
  if (typeof name === 'string' && Object.hasOwn(PRESETS, name)) return PRESETS[name as PresetName]
  const names = Object.keys(PRESETS)
  const nearest = typeof name === 'string' ? nearestName(name, names) : undefined
  const hint = nearest === undefined ? '' : ` did you mean "${nearest}"?`
  throw new OptionError(`[train] unknown preset ${describeValue(name)};${hint} there are: ${names.join(', ')}`)
}

/**
 * The values of a recipe that what is given leaves open. An option that takes the place of another does so here too.
 * @param given options at the top, of `training` and of `lora`, in camelCase.
 * @param defaultMethod what trains where neither says it.
 */
export function withPreset(
  { options, ...preset }: Preset,
  given: { top: PresetOptions; training: PresetOptions; lora: PresetOptions },
  defaultMethod: string,
): { top: PresetOptions; training: PresetOptions; lora: PresetOptions } {
  const { lora, training, ...top } = options
  const method = given.top.method ?? top.method ?? defaultMethod
  const meant = lora ? 'lora' : 'full'
  if (method !== meant) {
    throw new OptionError(
      `[train] expected method '${meant}' with this preset (${preset.description}), got '${method}'; leave one out`,
    )
  }
  const recipe: Record<string, unknown> = { ...training }
  if (given.training.warmupSteps !== undefined) delete recipe.warmupRatio
  const general: Record<string, unknown> = { ...top }
  if (given.training.bf16 !== undefined || given.training.fp16 !== undefined) delete general.dtype
  return {
    top: { ...general, ...given.top },
    training: { ...recipe, ...given.training },
    lora: { ...lora, ...given.lora },
  }
}
