/** @file loadModel: config, weights and device put together, checked before anything large is allocated. */

import { join } from 'node:path'
import type { RawConfig } from '../architecture/config.js'
import type { Parameter } from '../autograd/parameter.js'
import { CausalLM } from '../causal-lm/causal-lm.js'
import { describeValue } from '../errors.js'
import { openGguf } from '../gguf/open.js'
import { isGgufPath } from '../gguf/reader.js'
import { HUB_OPTIONS } from '../hub/settings.js'
import { ModelError, OptionError, OutOfMemoryError } from '../lowrank-error.js'
import { findArchitecture } from '../models/registry.js'
import { MODEL_OPTIONS, OPEN_DEVICE } from '../nn/model-options.js'
import type { Quantization } from '../nn/module.js'
import { callback } from '../options/rules.js'
import { SIGNAL } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { isMissing } from '../regular-file.js'
import { loadAddon } from '../tensor/addon.js'
import { Device, type DeviceName } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { readJsonObject } from '../weights/strict-json.js'
import { withoutQuantizationConfig } from './bnb-4bit.js'
import { readGenerationConfig } from './generation-config.js'
import {
  bytesOf,
  loadWeight,
  matchTensors,
  prevalentDType,
  storedQuantization,
  type WeightSource,
} from './load-weights.js'
import { type ModelLocation, type ResolveModelOptions, resolveModel } from './resolve-model.js'
import { withHeadAsStored } from './tied-head.js'
import { openCheckpoint } from './weights-on-disk.js'

/** For a Hub id also the options of the Hub: `revision`, `token`, `cacheDir`, `localFilesOnly`, `signal`, `onEvent`. */
export interface LoadModelOptions extends Omit<ResolveModelOptions, 'part'> {
  /**
   * A name opens a device of its own; pass a `Device` to share one.
   * @default 'cpu'
   */
  device?: DeviceName | Device
  /**
   * What the model computes in. float16 ends at 65504.
   * @default 'bfloat16' on a GPU, where the processor has bfloat16 products, and where weights are in NF4, else
   * 'float32'
   */
  dtype?: ComputeDType
  /**
   * 'nf4' (QLoRA): the projections of the decoder are quantised while they load, double quantised in blocks of 64 and
   * 256, as bitsandbytes does. Embeddings, norms, biases and the head stay in `dtype`. Checkpoints that hold NF4
   * weights load as they are, with this option or without.
   * @default what the checkpoint has
   */
  quantization?: Quantization
  /**
   * On a GPU: embeddings stay in the machine's memory, pinned, and each forward pass reads the rows of its tokens over
   * the bus; 1.0 GiB less of the GPU's memory for Llama-3-8B. Not for models whose head shares them, nor where they
   * are trained. On the CPU it changes nothing.
   * @default false
   */
  offloadEmbedding?: boolean
}

/** The options of `loadModel`. */
export const LOAD_MODEL_OPTIONS = {
  ...MODEL_OPTIONS,
  device: OPEN_DEVICE,
  ...HUB_OPTIONS,
  signal: SIGNAL,
  onEvent: { rule: callback, otherwise: 'none', help: 'is told how far a download from the Hub is' },
} as const satisfies OptionTable<LoadModelOptions>

const MIB = 1024 * 1024

/**
 * Loads a causal language model.
 * @param idOrPath a directory in Hugging Face's layout (config.json and safetensors), a GGUF file, whose weights are
 * dequantised, or a Hub id,
 *   'org/name' or 'org/name@revision', whose files are fetched into the Hub cache where it lacks them.
 * @throws ModelError on an unknown model type or config field, and on missing, superfluous or misshapen tensors.
 * @throws OutOfMemoryError if the weights do not fit the memory budget; both before weights are read.
 * @throws HubError if the Hub does not give the model.
 */
export async function loadModel(idOrPath: string, options: LoadModelOptions = {}): Promise<CausalLM> {
  // Inside of the library places are given as well.
  if (typeof idOrPath !== 'string')
    throw new OptionError(`[model] expected a directory or a Hub id for model, got ${describeValue(idOrPath)}`)
  const model = await beginLoading(idOrPath, options)
  try {
    await model.device.sync()
    return model
  } catch (error) {
    model.dispose()
    throw error
  }
}

/**
 * `loadModel` without waiting for the weights: they are read in the background, before whatever is queued next. Those
 * of a GGUF file that are packed in blocks are there already.
 * @throws what `loadModel` throws, but for files that cannot be read: the next `sync()` or `read()` rejects with those.
 */
export async function beginLoading(from: string | ModelLocation, options: LoadModelOptions = {}): Promise<CausalLM> {
  const resolved = readOptions('loadModel', options, LOAD_MODEL_OPTIONS)
  const { device: where, dtype: givenDType, quantization, offloadEmbedding, ...hub } = resolved
  hub.signal?.throwIfAborted()
  const { path, nameOrPath, origin } = typeof from === 'object' ? from : await resolveModel(from, hub)
  const gguf = isGgufPath(path) ? await openGguf(path) : undefined
  const configPath = gguf ? path : join(path, 'config.json')
  const named = gguf?.config ?? withoutQuantizationConfig(await readConfigFile(path), configPath)
  const architecture = findArchitecture(named, configPath)
  const tensors = gguf?.tensors ?? (await openCheckpoint(path)).tensors
  const { config, warnings } = gguf ? { config: named, warnings: [] } : await withHeadAsStored(named, tensors, path)
  const generationDefaults = gguf
    ? { doSample: false, sampling: {}, eosTokenIds: gguf.endingTokenIds }
    : await readGenerationConfig(path)
  // What the file holds in NF4 was chosen by who made it: nothing else of it is quantised.
  const isQuantized = storedQuantization(tensors, architecture) ?? (quantization && (() => true))
  const device = where instanceof Device ? where : Device.open(where)
  let model: CausalLM | undefined
  try {
    const dtype = givenDType ?? defaultDType(device, isQuantized && 'nf4')
    model = new CausalLM(architecture, config, device, dtype, nameOrPath, { isQuantized, offloadEmbedding })
    model.ownsDevice = device !== where
    model.origin = origin
    model.path = path
    model.warnings = warnings
    model.generationDefaults = generationDefaults
    model.storedDType = prevalentDType(tensors)
    const sources = await matchTensors(model, tensors, path)
    checkBudget(device, model, sources)
    for (const [parameter, source] of sources) {
      hub.signal?.throwIfAborted()
      await loadWeight(parameter, source)
    }
    return model
  } catch (error) {
    model?.dispose()
    if (device !== where) device.close()
    throw error
  }
}

/**
 * bfloat16 where the device multiplies it, as every GPU that serves does, and where weights are quantised, which is
 * about memory; else float32.
 */
export function defaultDType({ isGpu }: Pick<Device, 'isGpu'>, quantization: Quantization | undefined): ComputeDType {
  return isGpu || quantization || ['avx512bf16', 'amx'].includes(loadAddon().info().detectedIsa)
    ? 'bfloat16'
    : 'float32'
}

/** The config of a model that `resolveModel` found, as `loadModel` would have it; weights need not be there. */
export async function readModelConfig(path: string): Promise<RawConfig> {
  if (isGgufPath(path)) return (await openGguf(path)).config
  const config = await readConfigFile(path)
  const checkpoint = await openCheckpoint(path).catch(() => undefined)
  if (!checkpoint) return config
  const known = withoutQuantizationConfig(config, join(path, 'config.json'))
  const { warnings } = await withHeadAsStored(known, checkpoint.tensors, path)
  return warnings.length > 0 ? { ...config, tie_word_embeddings: false } : config
}

async function readConfigFile(directory: string): Promise<RawConfig> {
  const path = join(directory, 'config.json')
  try {
    return await readJsonObject('config', path)
  } catch (error) {
    // A directory without weights is something else, which is said better.
    if (!isMissing(error)) throw error
    await openCheckpoint(directory)
    throw new ModelError(
      `[loadModel] expected ${path}, which says what the model is, but there is no such file; get it too`,
      {
        cause: error,
      },
    )
  }
}

function checkBudget(device: Device, model: CausalLM, sources: ReadonlyMap<Parameter, WeightSource>): void {
  const { weights, temporary } = bytesOf(sources)
  const bytes = weights + temporary
  const { budget, live } = device.memory()
  const { own, others, otherBytes } = device.holders()
  if (bytes + live + otherBytes <= budget) return
  const { dtype, quantization, nameOrPath } = model
  const remedies = [
    ...(dtype === 'float32' && !quantization ? ["load it with dtype: 'bfloat16' (half the memory)"] : []),
    ...(quantization ? [] : ["quantization: 'nf4' (about a quarter of bfloat16)"]),
    ...(device.isGpu && model.hasOwnHead && !model.offloadEmbedding ? ['offloadEmbedding: true'] : []),
    otherBytes > 0 ? 'dispose() of models that are not needed' : 'free memory',
    'use a smaller model',
    'or raise LOWRANK_MEMORY_BUDGET (bytes)',
  ]
  const holders = [own, others && `other devices of this process: ${others}`].filter((text) => text !== '').join('; ')
  throw new OutOfMemoryError(
    `[loadModel] the weights of ${nameOrPath} take ${Math.ceil(bytes / MIB)} MiB in ${quantization ?? dtype}, but the memory budget is ${Math.floor(budget / MIB)} MiB, ` +
      `${Math.ceil((live + otherBytes) / MIB)} MiB of it in use${holders === '' ? '' : ` (${holders})`}; ${remedies.join(', ')}`,
    { needed: bytes + live + otherBytes, budget },
  )
}
