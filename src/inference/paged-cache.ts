/** @file Keys and values in pages, on the device. Which page is whose is the pool's to know. */

import type { KeyValueCache } from '../architecture/architecture.js'
import type { ModelConfig } from '../architecture/config.js'
import { LowrankError } from '../lowrank-error.js'
import { scatterRows_ } from '../ops/rows.js'
import type { Device } from '../tensor/device.js'
import { type ComputeDType, dtypeBytes } from '../tensor/dtype.js'
import { unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'

/** Bytes of the keys and values of a page in all layers. */
export function pageBytes(config: ModelConfig, dtype: ComputeDType, pageSize: number): number {
  const { numHiddenLayers, numKeyValueHeads, headDim } = config
  return 2 * numHiddenLayers * numKeyValueHeads * headDim * pageSize * dtypeBytes(dtype)
}

/** Per layer two buffers [pages * pageSize, Hkv * headDim]; `attention` finds the pages of a sequence by a table. */
export class PagedCache implements KeyValueCache {
  readonly #layers: readonly { readonly k: Tensor; readonly v: Tensor }[]

  constructor(device: Device, dtype: ComputeDType, config: ModelConfig, pages: number, pageSize: number) {
    const { numHiddenLayers, numKeyValueHeads, headDim } = config
    const buffer = (): Tensor => {
      const tensor = Tensor.empty(device, [pages * pageSize, numKeyValueHeads * headDim], dtype)
      device.label(tensor, 'key/value cache')
      // The memory of pages that are not used yet is not touched.
      const first = tensor.slice(0, 1)
      device.enqueue('fill', { y: first, value: 0 })
      first.dispose()
      return unregisterFromScope(tensor)
    }
    this.#layers = Array.from({ length: numHiddenLayers }, () => ({ k: buffer(), v: buffer() }))
  }

  append(layer: number, k: Tensor, v: Tensor, rows: Tensor | undefined): { k: Tensor; v: Tensor } {
    const buffers = this.#layers[layer]
    if (!buffers || !rows)
      throw new LowrankError(
        'INVALID_CALL',
        `[inference] expected a layer below ${this.#layers.length} and rows, got ${layer}`,
      )
    scatterRows_(buffers.k, rows, k)
    scatterRows_(buffers.v, rows, v)
    return buffers
  }

  dispose(): void {
    for (const { k, v } of this.#layers) {
      k.dispose()
      v.dispose()
    }
  }
}
