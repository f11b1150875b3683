/** @file What a model is loaded in to merge an adapter into it. */

import { storedNf4Names } from '../checkpoint/bnb-4bit.js'
import type { FileDType } from '../checkpoint/save-model.js'
import { openCheckpoint } from '../checkpoint/weights-on-disk.js'
import { isGgufPath } from '../gguf/reader.js'
import type { Quantization } from '../nn/module.js'
import type { ComputeDType } from '../tensor/dtype.js'

/**
 * A dtype that holds every weight of the file exactly; of NF4 what adapters are trained in, unless the sum is to keep
 * float32.
 * @param path the directory of the model, or its GGUF file
 * @param dtype of the files that are written
 */
export async function mergeDType(
  path: string,
  dtype: FileDType | undefined,
  quantization: Quantization | undefined,
): Promise<ComputeDType> {
  if (dtype === 'float32') return 'float32'
  if (isGgufPath(path)) return quantization ? 'bfloat16' : 'float32'
  const { tensors } = await openCheckpoint(path)
  if (quantization || storedNf4Names(tensors).size > 0) return 'bfloat16'
  return [...tensors.values()].every((entry) => entry.dtype === 'BF16') ? 'bfloat16' : 'float32'
}
