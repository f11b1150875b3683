/** @file The model and adapter that are exported, loaded. */

import { LoraAdapter } from '../adapters/lora-adapter.js'
import { readPeftConfig } from '../adapters/peft-config.js'
import { resolveAdapter } from '../adapters/resolve-adapter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { beginLoading } from '../checkpoint/load-model.js'
import { resolveModel } from '../checkpoint/resolve-model.js'
import type { SavedTokenizer } from '../checkpoint/save-tokenizer.js'
import { OptionError } from '../lowrank-error.js'
import type { Quantization } from '../nn/module.js'
import type { Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { loadTokenizer, type Tokenizer } from '../tokenizer/tokenizer.js'
import { withChatTemplate } from '../tokenizer/with-template.js'
import type { ExportEvent } from './events.js'
import { hasTokenizer } from './tokenizer-place.js'

/** Which model, and how it is held. */
export interface SourceOptions {
  readonly model: string | undefined
  readonly revision: string | undefined
  readonly quantization: Quantization | undefined
  readonly computeDtype: ComputeDType | undefined
  readonly signal: AbortSignal | undefined
  readonly onEvent: ((event: ExportEvent) => void) | undefined
}

/** The model, fetched where it is not here. */
export async function loadBase(options: SourceOptions, device: Device): Promise<CausalLM> {
  const { model, revision, quantization, computeDtype, signal, onEvent } = options
  if (model === undefined)
    throw new OptionError(
      '[export] expected a directory, a GGUF file or a Hub id for model, got none, and no adapter that names it',
    )
  const hub = { ...(revision !== undefined && { revision }), ...(signal && { signal }) }
  const location = await resolveModel(model, { ...hub, ...(onEvent && { onEvent }) })
  const loaded = await beginLoading(location, {
    device,
    ...(computeDtype && { dtype: computeDtype }),
    ...(quantization && { quantization }),
  })
  await device.sync()
  return loaded
}

/** The model with its adapter, which names the model where none is given. */
export async function loadSource(
  options: SourceOptions & { readonly adapter: string | undefined },
  device: Device,
): Promise<{ model: CausalLM; adapter: LoraAdapter | undefined }> {
  if (options.adapter === undefined) return { model: await loadBase(options, device), adapter: undefined }
  const directory = await resolveAdapter(options.adapter, { ...(options.signal && { signal: options.signal }) })
  const named = await readPeftConfig(directory)
  const isNamed = options.model === undefined || options.model === named.baseModel
  const model = await loadBase(
    {
      ...options,
      model: options.model ?? named.baseModel,
      revision: options.revision ?? (isNamed ? named.revision : undefined),
    },
    device,
  )
  return { model, adapter: await LoraAdapter.load(model, directory) }
}

/** The tokenizer that answers are asked for with: that beside the adapter, else that of the model. */
export async function loadTokens(
  model: CausalLM,
  adapter: LoraAdapter | undefined,
): Promise<{ saved: SavedTokenizer; tokenizer: Tokenizer | undefined }> {
  const tokenizerFrom = adapter?.tokenizer?.tokenizerFrom ?? model.path
  if (tokenizerFrom === undefined || !(await hasTokenizer(tokenizerFrom))) return { saved: {}, tokenizer: undefined }
  const chatTemplate = adapter?.tokenizer?.chatTemplate
  const tokenizer = withChatTemplate(await loadTokenizer(tokenizerFrom), chatTemplate)
  return { saved: { tokenizerFrom, chatTemplate }, tokenizer }
}
