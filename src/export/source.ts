/** @file The model and adapter that are exported, loaded. */

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LoraAdapter } from '../adapters/lora-adapter.js'
import { mergeDType } from '../adapters/merge-dtype.js'
import { readPeftConfig } from '../adapters/peft-config.js'
import { resolveAdapter } from '../adapters/resolve-adapter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { beginLoading } from '../checkpoint/load-model.js'
import { resolveModel } from '../checkpoint/resolve-model.js'
import type { FileDType } from '../checkpoint/save-model.js'
import type { SavedTokenizer } from '../checkpoint/save-tokenizer.js'
import { OptionError } from '../lowrank-error.js'
import type { Quantization } from '../nn/module.js'
import type { Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { loadTokenizer, type Tokenizer } from '../tokenizer/tokenizer.js'
import { withChatTemplate } from '../tokenizer/with-template.js'
import { adapterKind } from './adapter-kinds.js'
import type { ExportEvent } from './events.js'
import type { AdapterKind } from './format-names.js'
import { ggufBaseModel, readGgufAdapter } from './gguf-adapter-files.js'
import { mlxBaseModel, readMlxFiles } from './mlx-files.js'
import { writePeftFiles } from './peft-files.js'
import { hasTokenizer } from './tokenizer-place.js'

/** Which model, and how it is held. */
interface SourceOptions {
  readonly model: string | undefined
  readonly revision: string | undefined
  readonly quantization: Quantization | undefined
  readonly computeDtype: ComputeDType | undefined
  /** Dtype that a model is written in; undefined where none is written, or it is not decided yet. */
  readonly written: FileDType | undefined
  readonly signal: AbortSignal | undefined
  readonly onEvent: ((event: ExportEvent) => void) | undefined
}

/** The model, fetched where it is not here. */
async function loadBase(options: SourceOptions, device: Device): Promise<CausalLM> {
  const { model, revision, quantization, computeDtype, written, signal, onEvent } = options
  if (model === undefined)
    throw new OptionError(
      '[export] expected a directory, a GGUF file or a Hub id for model, got none, and no adapter that names it',
    )
  const hub = { ...(revision !== undefined && { revision }), ...(signal && { signal }) }
  const location = await resolveModel(model, { ...hub, ...(onEvent && { onEvent }) })
  // Weights that are rounded as they load would be written rounded.
  const exact = await mergeDType(location.path, written, quantization)
  if (written && computeDtype && computeDtype !== exact && computeDtype !== 'float32')
    throw new OptionError(
      `[export] expected 'float32'${exact === 'float32' ? '' : ` or '${exact}'`} for computeDtype, to hold the weights of ${model} exactly, got '${computeDtype}'; leave it out`,
    )
  const loaded = await beginLoading(location, {
    device,
    dtype: computeDtype ?? exact,
    ...(quantization && { quantization }),
  })
  await device.sync()
  return loaded
}

/** How an adapter of any kind names its model. */
interface NamedBase {
  readonly baseModel: string | undefined
  readonly revision: string | undefined
}

/** The model with its adapter, which names the model where none is given. */
export async function loadSource(
  options: SourceOptions & { readonly adapter: string | undefined },
  device: Device,
): Promise<{ model: CausalLM; adapter: LoraAdapter | undefined }> {
  if (options.adapter === undefined) return { model: await loadBase(options, device), adapter: undefined }
  const place = await resolveAdapter(options.adapter, { ...(options.signal && { signal: options.signal }) })
  const kind = await adapterKind(place)
  const named = await baseOf(place, kind)
  const isNamed = options.model === undefined || options.model === named.baseModel
  const model = await loadBase(
    {
      ...options,
      model: options.model ?? named.baseModel,
      revision: options.revision ?? (isNamed ? named.revision : undefined),
    },
    device,
  )
  return {
    model,
    adapter: kind === 'peft' ? await LoraAdapter.load(model, place) : await loadOther(model, place, kind),
  }
}

async function baseOf(place: string, kind: AdapterKind): Promise<NamedBase> {
  switch (kind) {
    case 'peft':
      return await readPeftConfig(place)
    case 'mlx':
      return { baseModel: await mlxBaseModel(place), revision: undefined }
    case 'gguf':
      return { baseModel: ggufBaseModel(place), revision: undefined }
    default:
      return kind satisfies never
  }
}

/** An adapter in files of another program, by way of PEFT's. */
async function loadOther(model: CausalLM, place: string, kind: 'mlx' | 'gguf'): Promise<LoraAdapter> {
  const { updates, baseModel } = kind === 'mlx' ? await readMlxFiles(place, model) : await readGgufAdapter(place, model)
  const scratch = await mkdtemp(join(tmpdir(), 'lowrank-export-'))
  try {
    await writePeftFiles(scratch, model, updates, { baseModel })
    return await LoraAdapter.load(model, scratch)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
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
