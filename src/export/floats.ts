/** @file The numbers of a small tensor of a file, in float32. */

import { shorten } from '../errors.js'
import { ModelError } from '../lowrank-error.js'
import { halfToFloat } from '../weights/half.js'
import { readTensorBytes, type TensorEntry } from '../weights/safetensors.js'

/** @throws on a type that is no float of 16 or 32 bits */
export async function readFloats(entry: TensorEntry): Promise<Float32Array> {
  const bytes = await readTensorBytes(entry)
  switch (entry.dtype) {
    case 'F32':
      return new Float32Array(Uint8Array.from(bytes).buffer)
    case 'F16':
      return Float32Array.from({ length: bytes.length / 2 }, (_, i) => halfToFloat(bytes, 2 * i))
    case 'BF16': {
      const words = new Uint32Array(bytes.length / 2)
      for (let i = 0; i < words.length; i++)
        words[i] = (((bytes[2 * i + 1] as number) << 24) | ((bytes[2 * i] as number) << 16)) >>> 0
      return new Float32Array(words.buffer)
    }
    default:
      throw new ModelError(
        `[adapter] expected F32, F16 or BF16 for ${shorten(entry.name)} in ${entry.path}, got ${entry.dtype}`,
      )
  }
}
