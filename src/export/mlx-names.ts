/**
 * @file Names of modules and tensors in mlx-lm, from those of Hugging Face and back. mlx-lm's models are named as
 * Hugging Face's, but GPT-2, whose decoder it calls `model`.
 */

import type { CausalLM } from '../causal-lm/causal-lm.js'

const GPT2_PREFIX = 'transformer.'
const MLX_PREFIX = 'model.'

function isGpt2({ config }: CausalLM): boolean {
  return config.modelType === 'gpt2'
}

/** The path of a module in mlx-lm. */
export function mlxPath(model: CausalLM, path: string): string {
  return isGpt2(model) && path.startsWith(GPT2_PREFIX) ? MLX_PREFIX + path.slice(GPT2_PREFIX.length) : path
}

/** The path of a module in Hugging Face, from that in mlx-lm. */
export function pathOfMlx(model: CausalLM, path: string): string {
  return isGpt2(model) && path.startsWith(MLX_PREFIX) ? GPT2_PREFIX + path.slice(MLX_PREFIX.length) : path
}

/**
 * The name of a tensor in the files of a model. GPT-2's are those that OpenAI published, `h.0...`, which mlx-lm turns
 * round as it loads them.
 */
export function mlxTensorName(model: CausalLM, name: string): string {
  return isGpt2(model) && name.startsWith(GPT2_PREFIX) ? name.slice(GPT2_PREFIX.length) : name
}

/** The number of the layer that a module is in, and its path within; undefined outside of layers. */
export function layerOf(path: string): { readonly layer: number; readonly name: string } | undefined {
  const [, number, name] = /^(?:model\.layers|model\.h|transformer\.h)\.(\d+)\.(.+)$/.exec(path) ?? []
  return number === undefined ? undefined : { layer: Number(number), name: name as string }
}
