/**
 * @file From tensors in files to parameters: which tensor fills which parameter and how, and the filling. Knows no
 * directory or config.
 */

import { basename } from 'node:path'
import type { Architecture } from '../architecture/architecture.js'
import type { Parameter } from '../autograd/parameter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { describeValue, listNames } from '../errors.js'
import { isGgufPath } from '../gguf/reader.js'
import { ModelError } from '../lowrank-error.js'
import { quantizeNf4 } from '../ops/nf4.js'
import { type ComputeDType, type DType, dtypeBytes, isComputeDType } from '../tensor/dtype.js'
import { Tensor } from '../tensor/tensor.js'
import { fillFrom, floatDType, type WeightTensor } from '../weights/weight-tensor.js'
import { loadStoredNf4, nf4Bytes, readStoredNf4, type StoredNf4, storedNf4Names, storedNf4Parts } from './bnb-4bit.js'

type Entries = ReadonlyMap<string, WeightTensor>

/**
 * How a parameter is filled: as it is, quantised on the way (transposed first, for GPT-2's Conv1D), or from NF4 in the
 * file.
 */
export type WeightSource =
  | { readonly kind: 'dense'; readonly entry: WeightTensor }
  | { readonly kind: 'quantize'; readonly entry: WeightTensor; readonly transpose: boolean }
  | { readonly kind: 'nf4'; readonly stored: StoredNf4 }

/** The name that a weight has in the file: checkpoints of the bare model leave the prefix out. */
export function nameInFile(name: string, { basePrefix }: Architecture, names: { has(name: string): boolean }): string {
  const short = name.startsWith(basePrefix) ? name.slice(basePrefix.length) : name
  return !names.has(name) && names.has(short) ? short : name
}

/** Tells which weights the checkpoint holds in NF4; undefined when it holds none. */
export function storedQuantization(
  tensors: Entries,
  architecture: Architecture,
): ((weight: string) => boolean) | undefined {
  const names = storedNf4Names(tensors)
  return names.size === 0 ? undefined : (weight) => names.has(nameInFile(weight, architecture, names))
}

/**
 * Pairs every parameter with what fills it.
 * @param path the directory or GGUF file that the tensors are of
 * @throws naming what is missing, superfluous, misshapen or damaged.
 */
export async function matchTensors(
  model: CausalLM,
  tensors: Entries,
  path: string,
): Promise<Map<Parameter, WeightSource>> {
  const { architecture } = model
  const stored = storedNf4Names(tensors)
  const quantized = model.quantizedWeights()
  const sources = new Map<Parameter, WeightSource>()
  const used = new Set<string>()
  const missing: string[] = []
  const tiedHead = model.hasOwnHead ? undefined : `${model.head.path}.weight`
  for (const [name, parameter] of model.parameters()) {
    let file = nameInFile(name, architecture, tensors)
    if (tiedHead !== undefined && parameter === model.head.weight) {
      // The two are one weight, under either name.
      if (!tensors.has(file) && tensors.has(tiedHead)) file = tiedHead
    }
    const entry = tensors.get(file)
    if (!entry) {
      missing.push(name)
      continue
    }
    used.add(file)
    const linear = quantized.get(parameter)
    if (linear && stored.has(file)) {
      for (const part of storedNf4Parts(file)) used.add(part)
      sources.set(parameter, { kind: 'nf4', stored: await readStoredNf4(file, tensors, parameter.shape) })
      continue
    }
    if (stored.has(file)) {
      throw new ModelError(
        `[loadModel] expected F32, F16 or BF16 for ${name}, which is no projection of the decoder, got NF4 in ${entry.path}; ` +
          'use the 16-bit version of the model',
      )
    }
    const transpose = linear?.kind === 'conv1d'
    checkDense(name, entry, transpose ? [...parameter.shape].reverse() : parameter.shape, isGgufPath(path))
    sources.set(parameter, linear ? { kind: 'quantize', entry, transpose } : { kind: 'dense', entry })
  }
  if (missing.length > 0) {
    throw new ModelError(
      `[loadModel] expected ${model.parameters().size} tensors in ${path}, as ${isGgufPath(path) ? 'its metadata says' : 'config.json says'}, but ${missing.length} are missing in ${filesOf(tensors)}: ` +
        `${listNames(missing)}; ${missingRemedy(missing, tensors)}`,
    )
  }
  const superfluous = [...tensors.keys()].filter(
    (name) => !used.has(name) && !architecture.ignoredTensors.test(name) && name !== tiedHead,
  )
  if (superfluous.length > 0) {
    throw new ModelError(
      `[loadModel] ${path} holds ${superfluous.length} tensors that a ${architecture.modelType} model of ${isGgufPath(path) ? 'its metadata' : 'this config.json'} does not have: ${listNames(superfluous)}; ` +
        `the model would compute something else without them; ${superfluousRemedy(superfluous)}`,
    )
  }
  return sources
}

/** What to do where tensors are missing: those of a wrapped model are there under longer names. */
function missingRemedy([first = '']: readonly string[], tensors: Entries): string {
  const wrapped = [...tensors.keys()].find((name) => name.endsWith(`.${first}`))
  if (wrapped === undefined) return 'download the model again'
  const prefix = wrapped.slice(0, -first.length)
  return `${describeValue(prefix)} stands before the names in the file, as where a wrapped model was saved: save the model inside of it with save_pretrained()`
}

function superfluousRemedy(names: readonly string[]): string {
  const has = (pattern: RegExp): boolean => names.some((name) => pattern.test(name))
  if (has(/\.lora_[A-Za-z]+(\.|$)/))
    return 'they are of an adapter: merge it into its model with merge_and_unload() of PEFT before saving'
  if (has(/(scale|scale_inv|absmax|quant_state|qweight|qzeros|scales|g_idx|SCB)$/)) {
    return 'they are of a quantised checkpoint, of which only NF4 of bitsandbytes is supported: use the 16-bit version of the model'
  }
  return 'get the config.json that belongs to these files, or report the model'
}

/** Names of the files that tensors lie in. */
function filesOf(tensors: Entries): string {
  const names = new Set([...tensors.values()].map(({ path }) => basename(path)))
  return listNames([...names]) || 'files without tensors'
}

function checkDense(name: string, entry: WeightTensor, shape: readonly number[], isGguf: boolean): void {
  // Before the shape: quantized tensors are packed into others.
  if (!floatDType(entry)) {
    const remedy =
      entry.dtype === 'F64'
        ? 'save the model in float32, which is the widest that it is computed in'
        : 'of quantized checkpoints only NF4 of bitsandbytes is supported: use the 16-bit version of the model'
    throw new ModelError(
      `[loadModel] expected F32, F16 or BF16 for ${name}, got ${entry.dtype} in ${entry.path}; ${remedy}`,
    )
  }
  if (entry.shape.length !== shape.length || entry.shape.some((size, i) => size !== shape[i])) {
    const config = isGguf ? 'the metadata' : 'config.json'
    throw new ModelError(
      `[loadModel] expected shape [${shape.join(', ')}] for ${name}, as ${config} says, got [${entry.shape.join(', ')}] in ${entry.path}; ` +
        `${config} and weights are not of one model`,
    )
  }
}

/** Bytes that the weights will take, and those that loading takes beside them for a moment. */
export function bytesOf(sources: ReadonlyMap<Parameter, WeightSource>): { weights: number; temporary: number } {
  let weights = 0
  let temporary = 0
  for (const [parameter, source] of sources) {
    switch (source.kind) {
      case 'dense':
        if (!parameter.isOffloaded) weights += parameter.size * dtypeBytes(parameter.dtype)
        break
      case 'nf4':
        weights += nf4Bytes(parameter.size, source.stored)
        break
      case 'quantize':
        weights += nf4Bytes(parameter.size)
        temporary = Math.max(temporary, parameter.size * dtypeBytes(temporaryDType(source.entry, parameter.dtype)))
        break
      default:
        source satisfies never
    }
  }
  return { weights, temporary }
}

/**
 * What most of the elements are in files; those that are packed in blocks or as NF4 have no float type of their own and
 * count as bfloat16.
 */
export function prevalentDType(tensors: Entries): ComputeDType | undefined {
  const elements = { float32: 0, float16: 0, bfloat16: 0 }
  for (const tensor of tensors.values()) {
    const own = tensor.blocks ? 'bfloat16' : (floatDType(tensor) ?? 'bfloat16')
    if (isComputeDType(own)) elements[own] += tensor.shape.reduce((product, size) => product * size, 1)
  }
  const [[dtype, most]] = Object.entries(elements).sort(([, a], [, b]) => b - a) as [[ComputeDType, number]]
  return most > 0 ? dtype : undefined
}

/** Fills a parameter; what the engine can read itself happens when the queue gets there. */
export async function loadWeight(parameter: Parameter, source: WeightSource): Promise<void> {
  const { device, shape, dtype } = parameter
  switch (source.kind) {
    case 'dense':
      await fillFrom(parameter.value, source.entry)
      return
    case 'nf4':
      parameter.quantize(loadStoredNf4(device, source.stored))
      return
    case 'quantize': {
      // [O, K], freed as soon as it is quantised.
      const x = Tensor.empty(device, shape, temporaryDType(source.entry, dtype))
      try {
        await fillFrom(x, source.entry, source.transpose)
        parameter.quantize(quantizeNf4(x))
      } finally {
        x.dispose()
      }
      return
    }
    default:
      source satisfies never
  }
}

/**
 * What is quantised is rounded to the compute dtype first, as in transformers; where that changes no value, the file's
 * narrower dtype will do.
 */
function temporaryDType(entry: WeightTensor, dtype: ComputeDType): DType {
  const own = floatDType(entry) as DType
  return dtypeBytes(own) < dtypeBytes(dtype) ? own : dtype
}
