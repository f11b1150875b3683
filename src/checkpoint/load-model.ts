/** @file loadModel: config, weights and device put together, checked before anything large is allocated. */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Parameter } from '../autograd/parameter.js'
import { expectKnownOptions, listNames } from '../errors.js'
import type { Architecture } from '../models/architecture.js'
import type { RawConfig } from '../models/config.js'
import { CausalLM } from '../models/model.js'
import { findArchitecture } from '../models/registry.js'
import { loadAddon } from '../tensor/addon.js'
import { Device } from '../tensor/device.js'
import { type ComputeDType, type DType, dtypeBytes } from '../tensor/dtype.js'
import { openCheckpoint } from './checkpoint.js'
import { resolveModel } from './hub-cache.js'
import { FLOATS, type TensorEntry } from './safetensors.js'
import { parseJsonObject } from './strict-json.js'

export interface LoadModelOptions {
  /** 'cpu' (default) opens a device of its own; pass a `Device` to share one. */
  device?: 'cpu' | Device
  /** What the model computes in; default bfloat16 where the processor has bfloat16 products, else float32. */
  dtype?: ComputeDType
  /** Commit, branch or tag, for Hub ids. */
  revision?: string
}

const OPTIONS: readonly (keyof LoadModelOptions)[] = ['device', 'dtype', 'revision']
const MIB = 1024 * 1024

/**
 * Loads a causal language model.
 * @param idOrPath a directory in Hugging Face's layout (config.json and safetensors), or a Hub id that lies in the Hub cache.
 * @throws on an unknown model type or config field, on missing, superfluous or misshapen tensors, and when the weights do not fit the
 *   memory budget; all before weights are read.
 */
export async function loadModel(idOrPath: string, options: LoadModelOptions = {}): Promise<CausalLM> {
  expectKnownOptions('loadModel', options, OPTIONS)
  const { device: where = 'cpu', dtype = defaultDType(), revision } = options
  if (dtype !== 'float32' && dtype !== 'bfloat16')
    throw new Error(`[loadModel] expected 'float32' or 'bfloat16' for dtype, got '${dtype}'`)
  const directory = await resolveModel(idOrPath, { revision })
  const config = await readConfigFile(directory)
  const architecture = findArchitecture(config, join(directory, 'config.json'))
  const checkpoint = await openCheckpoint(directory)
  const device = where instanceof Device ? where : Device.open(where)
  let model: CausalLM | undefined
  try {
    model = new CausalLM(architecture, config, device, dtype, idOrPath)
    const plan = matchTensors(model, checkpoint.tensors, directory)
    checkBudget(device, model, idOrPath)
    for (const [parameter, entry] of plan) {
      device.loadFile(parameter.value, entry.path, entry.fileOffset, FLOATS[entry.dtype] as DType)
    }
    await device.sync()
    return model
  } catch (error) {
    model?.dispose()
    if (device !== where) device.close()
    throw error
  }
}

/** bfloat16 where the processor multiplies it, else float32. */
export function defaultDType(): ComputeDType {
  return loadAddon().info().isa === 'avx512bf16' ? 'bfloat16' : 'float32'
}

/** config.json of a model directory. */
export async function readConfigFile(directory: string): Promise<RawConfig> {
  const path = join(directory, 'config.json')
  let bytes: Uint8Array
  try {
    bytes = await readFile(path)
  } catch (cause) {
    throw new Error(
      `[loadModel] expected ${path}, which says what the model is, but it cannot be read: ${(cause as Error).message}`,
      { cause },
    )
  }
  return parseJsonObject('config', path, bytes)
}

/** Pairs every parameter with its tensor in the file. @throws naming what is missing, superfluous or misshapen. */
function matchTensors(
  model: CausalLM,
  tensors: ReadonlyMap<string, TensorEntry>,
  directory: string,
): Map<Parameter, TensorEntry> {
  const { architecture } = model
  const plan = new Map<Parameter, TensorEntry>()
  const used = new Set<string>()
  const missing: string[] = []
  for (const [name, parameter] of model.parameters()) {
    const entry = findEntry(name, architecture, tensors)
    if (!entry) {
      missing.push(name)
      continue
    }
    used.add(entry.name)
    // Before the shape: quantized tensors are packed into others.
    if (!FLOATS[entry.dtype])
      throw new Error(
        `[loadModel] expected F32, F16 or BF16 for ${name}, got ${entry.dtype} in ${entry.path}; quantized checkpoints are not supported yet`,
      )
    if (entry.shape.length !== parameter.shape.length || entry.shape.some((size, i) => size !== parameter.shape[i])) {
      throw new Error(
        `[loadModel] expected shape [${parameter.shape.join(', ')}] for ${name}, as config.json says, got [${entry.shape.join(', ')}] in ${entry.path}; ` +
          'config.json and weights are not of one model',
      )
    }
    plan.set(parameter, entry)
  }
  if (missing.length > 0) {
    throw new Error(
      `[loadModel] expected ${model.parameters().size} tensors in ${directory}, but ${missing.length} are missing: ${listNames(missing)}; download the model again`,
    )
  }
  const tiedHead = `${model.head.path}.weight`
  const superfluous = [...tensors.keys()].filter(
    (name) => !used.has(name) && !architecture.ignoredTensors.test(name) && name !== tiedHead,
  )
  if (superfluous.length > 0) {
    throw new Error(
      `[loadModel] ${directory} holds ${superfluous.length} tensors that a ${architecture.modelType} model of this config.json does not have: ${listNames(superfluous)}; ` +
        'the model would compute something else without them',
    )
  }
  return plan
}

function findEntry(
  name: string,
  { basePrefix }: Architecture,
  tensors: ReadonlyMap<string, TensorEntry>,
): TensorEntry | undefined {
  const exact = tensors.get(name)
  if (exact || !name.startsWith(basePrefix)) return exact
  return tensors.get(name.slice(basePrefix.length))
}

function checkBudget(device: Device, model: CausalLM, name: string): void {
  let bytes = 0
  for (const parameter of model.parameters().values()) bytes += parameter.size * dtypeBytes(model.dtype)
  const { budget, live } = device.memory()
  if (bytes + live <= budget) return
  const remedy = model.dtype === 'float32' ? "load it with dtype: 'bfloat16' (half the memory), or " : ''
  throw new Error(
    `[loadModel] the weights of ${name} take ${Math.ceil(bytes / MIB)} MiB in ${model.dtype}, but the memory budget is ${Math.floor(budget / MIB)} MiB, ` +
      `${Math.ceil(live / MIB)} MiB of it in use; ${remedy}free memory, use a smaller model, or raise LOWRANK_MEMORY_BUDGET (bytes)`,
  )
}
