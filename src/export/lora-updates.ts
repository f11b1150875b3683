/**
 * @file The low-rank updates of an adapter apart from any format: what PEFT, MLX and GGUF adapters share. Reads
 * and writes no file.
 */

import type { LoraAdapter } from '../adapters/lora-adapter.js'
import { peftTensorName } from '../adapters/peft-names.js'
import { patternValues } from '../adapters/target-modules.js'
import type { Parameter } from '../autograd/parameter.js'
import { listNames } from '../errors.js'
import { ModelError } from '../lowrank-error.js'

/** `scale * B A` beside one projection. */
export interface LoraUpdate {
  /** The module, in Hugging Face's terms: `model.layers.0.self_attn.q_proj`. */
  readonly path: string
  readonly r: number
  readonly inFeatures: number
  readonly outFeatures: number
  readonly scale: number
  /** [r, in]. */
  readonly a: Float32Array
  /** [out, r]. */
  readonly b: Float32Array
}

/** Updates that all have one rank and one scale, as formats with a single setting for both hold them. */
export interface UniformUpdates {
  readonly r: number
  readonly scale: number
  readonly updates: readonly LoraUpdate[]
}

/**
 * The updates of an adapter, in the order of its modules.
 * @param format that they are written in, for error messages
 * @throws where the adapter changes more than projections
 */
export async function loraUpdates(adapter: LoraAdapter, format: string): Promise<LoraUpdate[]> {
  const { config, targetPaths } = adapter
  const parameters = adapter.parameters()
  const paths = new Set(targetPaths)
  const isFactor = (name: string): boolean => /\.lora_[AB]\.weight$/.test(name)
  const others = [...parameters.keys()].filter((name) => !isFactor(name))
  if (others.length > 0) {
    const option = config.bias === 'none' ? 'modulesToSave' : `bias '${config.bias}'`
    throw new ModelError(
      `[export] expected an adapter of LoRA pairs alone for format '${format}', got one that also holds ${listNames(others)} (${option}); ` +
        'export the merged model, or train without it',
    )
  }
  const alphas = patternValues('alphaPattern', config.alphaPattern, [...paths], false)
  const updates: LoraUpdate[] = []
  for (const path of targetPaths) {
    const a = parameters.get(peftTensorName(path, 'lora_A')) as Parameter
    const b = parameters.get(peftTensorName(path, 'lora_B')) as Parameter
    const [r, inFeatures] = a.shape as [number, number]
    const [outFeatures] = b.shape as [number, number]
    const scale = (alphas.get(path) ?? config.loraAlpha) / (config.useRslora ? Math.sqrt(r) : r)
    updates.push({ path, r, inFeatures, outFeatures, scale, a: await a.read(), b: await b.read() })
  }
  return updates
}

/**
 * The same updates with one rank, the largest, and one scale, that of the first. Ranks are filled up with zeros, which
 * changes nothing; other scales are folded into B, each element rounded once in float32.
 * @param r a rank that is at least the largest; default the largest
 */
export function uniformUpdates(updates: readonly LoraUpdate[], r?: number): UniformUpdates {
  const largest = Math.max(1, ...updates.map((update) => update.r), r ?? 0)
  const scale = updates[0]?.scale ?? 1
  return { r: largest, scale, updates: updates.map((update) => withRankAndScale(update, largest, scale)) }
}

function withRankAndScale(update: LoraUpdate, r: number, scale: number): LoraUpdate {
  if (update.r === r && update.scale === scale) return update
  const { inFeatures, outFeatures } = update
  const a = new Float32Array(r * inFeatures)
  a.set(update.a)
  const factor = update.scale / scale
  const b = new Float32Array(outFeatures * r)
  for (let row = 0; row < outFeatures; row++) {
    for (let k = 0; k < update.r; k++) b[row * r + k] = (update.b[row * update.r + k] as number) * factor
  }
  return { ...update, r, scale, a, b }
}
