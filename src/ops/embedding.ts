/** @file embedding: rows of a table by id. */

import type { Parameter } from '../autograd/parameter.js'
import { needsRecording, record, Saved } from '../autograd/tape.js'
import { Tensor } from '../tensor/tensor.js'
import { expectDType, expectShape } from './check.js'

/**
 * `y[i] = weight[ids[i]]`.
 * @param ids int32 [N]; an id outside the table is a fault at the next read or sync.
 * @param weight [V, D].
 * @returns [N, D] in the weight's compute dtype.
 */
export function embedding(ids: Tensor, weight: Parameter): Tensor {
  expectShape('embedding', 'ids', ids, [undefined], 'N')
  expectDType('embedding', 'ids', ids, 'int32')
  const { device } = ids
  const y = Tensor.activation(device, [ids.size, weight.shape[1] as number], weight.dtype)
  device.enqueue('embedding', { ids, weight: weight.value, y })
  if (needsRecording([], weight.requiresGrad)) {
    const saved = new Saved(ids, 'embedding')
    record('embedding', [], [y], [saved], ([dy]) => {
      if (dy) device.enqueue('embeddingBackward', { ids: saved.get(), dy, dWeight: weight.gradBuffer() })
      return []
    })
  }
  return y
}
