/**
 * @file Adapters as llama.cpp has them: one GGUF file with `<name>.lora_a` [r, in] and `<name>.lora_b` [out, r] for
 * each matrix, and one alpha, which counts as alpha / r of each pair.
 */

import type { LoraAdapter } from '../adapters/lora-adapter.js'
import type { CausalLM } from '../causal-lm/causal-lm.js'
import { describeValue, expectPath, listNames } from '../errors.js'
import type { GgufArchitecture } from '../gguf/config.js'
import { ggufName, hasInterleavedRows, huggingFaceName } from '../gguf/names.js'
import { type GgufFile, isGgufPath, readGguf } from '../gguf/reader.js'
import { float32, type GgufTensor, string, type TypedKeys, uint32, writeGguf } from '../gguf/writer.js'
import { ModelError, OptionError } from '../lowrank-error.js'
import { openRegularFile } from '../regular-file.js'
import { halfToFloat } from '../weights/half.js'
import { readExactly, type WeightTensor } from '../weights/weight-tensor.js'
import { deinterleave, interleave } from './gguf-layout.js'
import { ggufArchitecture } from './gguf-model-keys.js'
import { type LoraUpdate, loraUpdates } from './lora-updates.js'
import { bytesOf } from './peft-files.js'
import { baseNameOf } from './peft-source.js'

const ALPHA = 'adapter.lora.alpha'
const BASE = 'general.base_model.0.name'

/**
 * Writes an adapter for llama.cpp, in float32. Pairs whose scale is not alpha / r of the first have the rest in B, as
 * where alphaPattern or rankPattern with useRslora give them one of their own.
 * @param path of the file; it appears with all its content or not at all
 * @throws on trained copies of weights and biases, and on embeddings and a tied head, which llama.cpp has no pairs for
 */
export async function writeGgufAdapter(adapter: LoraAdapter, path: string): Promise<void> {
  expectPath('gguf', 'path', path)
  if (!isGgufPath(path)) throw new OptionError(`[gguf] expected a path that ends in .gguf, got ${path}`)
  const { model } = adapter
  const architecture = ggufArchitecture(model)
  const updates = await loraUpdates(adapter, 'gguf-adapter')
  const [first] = updates as [LoraUpdate]
  const alpha = Math.fround(first.scale * first.r)
  const { baseModel } = baseNameOf(adapter)
  const keys: TypedKeys = {
    'general.architecture': string(architecture),
    'general.type': string('adapter'),
    'adapter.type': string('lora'),
    'general.name': string(adapter.name),
    ...(baseModel === null ? {} : { 'general.base_model.count': uint32(1), [BASE]: string(baseModel) }),
    [ALPHA]: float32(alpha),
  }
  await writeGguf(
    path,
    keys,
    updates.flatMap((update) => pairOf(model, update, architecture, alpha)),
  )
}

function pairOf(model: CausalLM, update: LoraUpdate, architecture: GgufArchitecture, alpha: number): GgufTensor[] {
  const { path, r, inFeatures, outFeatures, scale, a } = update
  const name = ggufName(`${path}.weight`, architecture)
  const isTied = path === model.head.path && !model.hasOwnHead
  if (name === undefined || isTied || model.modules.embeddings.has(path)) {
    throw new ModelError(
      `[gguf] expected an adapter of matrices that llama.cpp has pairs for, got an update of ${path}` +
        `${isTied ? ', whose weight is that of the embedding' : ''}; export the merged model with format gguf`,
    )
  }
  const factor = (scale * r) / alpha
  const scaled = Math.abs(factor - 1) < 2 ** -23 ? update.b : update.b.map((value) => value * factor)
  const b = hasInterleavedRows(`${path}.weight`, architecture)
    ? interleave(scaled, outFeatures, model.config.headDim)
    : scaled
  return [
    { name: `${name}.lora_a`, format: 'F32', shape: [r, inFeatures], bytes: async () => bytesOf(a) },
    { name: `${name}.lora_b`, format: 'F32', shape: [outFeatures, r], bytes: async () => bytesOf(b) },
  ]
}

/** An adapter of llama.cpp as it was read. */
export interface GgufAdapter {
  readonly updates: LoraUpdate[]
  /** What it names as its model; null where it names none. */
  readonly baseModel: string | null
}

/** What an adapter of llama.cpp names as its model; undefined where it names none. */
export function ggufBaseModel(path: string): string | undefined {
  const { metadata } = readGguf(path)
  return metadata.has(BASE) ? metadata.text(BASE) : undefined
}

/** Reads an adapter of llama.cpp. @throws on what is no LoRA adapter, or is of another model */
export async function readGgufAdapter(path: string, model: CausalLM): Promise<GgufAdapter> {
  const file = readGguf(path)
  const { metadata, tensors } = file
  const type = metadata.text('general.type', 'model')
  if (type !== 'adapter') throw metadata.error('general.type', '"adapter"', type)
  const kind = metadata.text('adapter.type')
  if (kind !== 'lora') throw metadata.error('adapter.type', '"lora"', kind)
  const architecture = ggufArchitecture(model)
  const given = metadata.text('general.architecture')
  if (given !== architecture)
    throw metadata.error('general.architecture', `"${architecture}", which ${model.nameOrPath} is`, given)
  const others = [...tensors.keys()].filter((name) => !/\.lora_[ab]$/.test(name))
  if (others.length > 0)
    throw new ModelError(`[gguf] ${path}: expected tensors named lora_a and lora_b, got ${listNames(others)}`)
  const stems = new Set([...tensors.keys()].map((name) => name.slice(0, -'.lora_a'.length)))
  if (stems.size === 0) throw new ModelError(`[gguf] ${path}: expected pairs of an adapter, got none`)
  const updates: LoraUpdate[] = []
  for (const stem of stems) updates.push(await updateOf(file, stem, model, architecture))
  return { updates, baseModel: metadata.has(BASE) ? metadata.text(BASE) : null }
}

async function updateOf(
  { path, metadata, tensors }: GgufFile,
  stem: string,
  model: CausalLM,
  architecture: GgufArchitecture,
): Promise<LoraUpdate> {
  const name = huggingFaceName(stem, architecture)?.replace(/\.weight$/, '')
  const linear = name === undefined ? undefined : model.modules.linears.get(name)
  if (!linear)
    throw new ModelError(
      `[gguf] ${path}: expected pairs for matrices of ${model.nameOrPath}, got one for ${describeValue(stem)}; is the adapter of this model?`,
    )
  const { inFeatures, outFeatures } = linear
  const [a, b] = [tensors.get(`${stem}.lora_a`), tensors.get(`${stem}.lora_b`)]
  const r = a?.shape[0] ?? 0
  const isPair = a && b && hasShape(a, [r, inFeatures]) && hasShape(b, [outFeatures, r])
  if (!isPair)
    throw new ModelError(
      `[gguf] ${path}: expected shapes [r, ${inFeatures}] and [${outFeatures}, r] for lora_a and lora_b of ${stem}, ` +
        `got [${a?.shape.join(', ') ?? 'none'}] and [${b?.shape.join(', ') ?? 'none'}]; is the adapter of this model?`,
    )
  // To llama.cpp no alpha is a scale of 1.
  const alpha = metadata.number(ALPHA, 0)
  const values = await readValues(b)
  return {
    ...{ path: linear.path, r, inFeatures, outFeatures },
    scale: alpha === 0 ? 1 : alpha / r,
    a: await readValues(a),
    b: hasInterleavedRows(`${linear.path}.weight`, architecture)
      ? deinterleave(values, outFeatures, model.config.headDim)
      : values,
  }
}

function hasShape({ shape }: WeightTensor, wanted: readonly number[]): boolean {
  return shape.length === wanted.length && shape.every((size, i) => size === wanted[i])
}

async function readValues(tensor: WeightTensor): Promise<Float32Array> {
  const { path, dtype, shape, byteLength, blocks } = tensor
  const count = shape.reduce((product, size) => product * size, 1)
  const handle = await openRegularFile('gguf', path)
  const bytes = await readExactly(handle, tensor, 0, byteLength).finally(() => handle.close())
  const values = new Float32Array(count)
  if (blocks) blocks.unpack(bytes, count / blocks.size, values)
  else if (dtype === 'F32') values.set(new Float32Array(bytes.buffer))
  else if (dtype === 'F16') for (let i = 0; i < count; i++) values[i] = halfToFloat(bytes, 2 * i)
  else {
    // BF16 is the upper half of float32.
    const words = new Uint16Array(values.buffer)
    new Uint16Array(bytes.buffer).forEach((word, i) => {
      words[2 * i + 1] = word
    })
  }
  return values
}
