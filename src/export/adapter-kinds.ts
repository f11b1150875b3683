/** @file The kinds of files that adapters come in. Loads nothing of the engine. */

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isGgufPath } from '../gguf/reader.js'

/** PEFT's two files, one GGUF file of llama.cpp, or mlx-lm's two files. */
export const ADAPTER_KINDS = ['peft', 'gguf', 'mlx'] as const
export type AdapterKind = (typeof ADAPTER_KINDS)[number]

/** mlx-lm's file of weights. */
export const MLX_WEIGHTS_FILE = 'adapters.safetensors'

/** The kind of an adapter by the names of its files; what has neither of the others' is taken for PEFT's. */
export async function adapterKind(place: string): Promise<AdapterKind> {
  if (isGgufPath(place)) return 'gguf'
  const isMlx = await stat(join(place, MLX_WEIGHTS_FILE)).then(
    (found) => found.isFile(),
    () => false,
  )
  return isMlx ? 'mlx' : 'peft'
}
