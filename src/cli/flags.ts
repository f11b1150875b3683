/** @file Flags that several commands share. What an option is stands in its table. Loads nothing of the engine. */

import { HUB_OPTIONS } from '../hub/settings.js'
import { MODEL_OPTIONS } from '../nn/model-options.js'
import type { Quantization } from '../nn/module.js'
import { boolean, text } from '../options/rules.js'
import type { DeviceName } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import type { FlagTable } from './command.js'
import { UsageError } from './usage-error.js'

/** Which model of the Hub or the disk. */
export interface ModelFlags {
  readonly model?: string
  readonly revision?: string
}

const OF_ADAPTER = 'the one that the adapter names'

export const MODEL_FLAGS = {
  model: {
    rule: text,
    help: 'directory, .gguf file, Hub id or uc:// address of the model; what the cache lacks is fetched',
    otherwise: OF_ADAPTER,
    flag: { name: '--model', argument: 'dir', group: 'Model' },
  },
  revision: { ...HUB_OPTIONS.revision, otherwise: OF_ADAPTER },
} as const satisfies FlagTable<ModelFlags>

/** How a model is held that answers. */
export interface HoldingFlags {
  readonly quantization?: Quantization
  readonly dtype?: ComputeDType
  readonly device?: DeviceName
}

export const HOLDING_FLAGS = {
  quantization: { ...MODEL_OPTIONS.quantization, help: "nf4: hold the model's weights in 4 bits" },
  dtype: MODEL_OPTIONS.dtype,
  device: MODEL_OPTIONS.device,
} as const satisfies FlagTable<HoldingFlags>

export const ADAPTER = {
  rule: text,
  help: 'directory, Hub id or uc:// address of a LoRA adapter',
  flag: { name: '--adapter', argument: 'dir' },
} as const

/** The flag of a command that writes its whole result at once. */
export const JSON_OBJECT = {
  rule: boolean,
  help: 'write one JSON object to stdout',
  flag: { name: '--json', group: 'Output' },
} as const

/** @throws UsageError where neither a model is given, nor an adapter that may name one */
export function expectModel(command: string, model: string | undefined, adapters: readonly string[]): void {
  if (model !== undefined || adapters.length > 0) return
  throw new UsageError(`[${command}] expected --model DIR, or --adapter DIR, which names it; got neither`)
}
