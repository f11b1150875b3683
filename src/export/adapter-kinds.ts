/** @file Which kind of files an adapter has. */

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isGgufPath } from '../gguf/reader.js'
import type { AdapterKind } from './format-names.js'

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
