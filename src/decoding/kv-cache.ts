/** @file Keys and values of earlier tokens, for generation. */

import type { KeyValueCache } from '../architecture/architecture.js'
import { LowrankError } from '../lowrank-error.js'
import { copy_ } from '../ops/cast.js'
import { gatherRows, scatterRows_ } from '../ops/rows.js'
import type { Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { scope, unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'

/** What a cache is made for. */
export interface KvCacheShape {
  readonly layers: number
  /** Hkv * headDim. */
  readonly width: number
  readonly sequences: number
}

/** Per layer a pair of buffers [sequences * capacity, Hkv * headDim]: each sequence has room for `capacity` tokens. */
export class KvCache implements KeyValueCache {
  readonly capacity: number
  readonly #shape: KvCacheShape
  readonly #layers: { k: Tensor; v: Tensor }[]

  constructor(device: Device, dtype: ComputeDType, shape: KvCacheShape, capacity: number) {
    this.capacity = capacity
    this.#shape = shape
    const rows = shape.sequences * capacity
    const buffer = (): Tensor => {
      const tensor = Tensor.full(device, [rows, shape.width], dtype, 0)
      device.label(tensor, 'key/value cache')
      return unregisterFromScope(tensor)
    }
    this.#layers = Array.from({ length: shape.layers }, () => ({ k: buffer(), v: buffer() }))
  }

  /** Writes new tokens' keys and values [N, Hkv * headDim] to `rows`, int32 [N], and returns all of the layer's. */
  append(layer: number, k: Tensor, v: Tensor, rows: Tensor | undefined): { k: Tensor; v: Tensor } {
    const buffers = this.#layers[layer]
    if (!buffers || !rows)
      throw new LowrankError(
        'INVALID_CALL',
        `[kvCache] expected a layer below ${this.#layers.length} and rows, got ${layer}`,
      )
    scatterRows_(buffers.k, rows, k)
    scatterRows_(buffers.v, rows, v)
    return buffers
  }

  /** Takes over another cache's tokens, `lengths[s]` of sequence s. */
  copyFrom(other: KvCache, lengths: readonly number[]): void {
    this.#layers.forEach((to, layer) => {
      const from = other.#layers[layer] as { k: Tensor; v: Tensor }
      for (let s = 0; s < this.#shape.sequences; s++) {
        const length = lengths[s] as number
        for (const name of ['k', 'v'] as const) {
          const source = from[name].slice(s * other.capacity, s * other.capacity + length)
          copy_(to[name].slice(s * this.capacity, s * this.capacity + length), source)
        }
      }
    })
  }

  /**
   * Copies tokens of another cache, or of this one: those at its rows `from`, int32 [N], to the rows `to`, int32 [N].
   */
  copyRows(other: KvCache, from: Tensor, to: Tensor): void {
    this.#layers.forEach((layer, l) => {
      const source = other.#layers[l] as { k: Tensor; v: Tensor }
      for (const name of ['k', 'v'] as const) scope(() => scatterRows_(layer[name], to, gatherRows(source[name], from)))
    })
  }

  dispose(): void {
    for (const { k, v } of this.#layers) {
      k.dispose()
      v.dispose()
    }
  }
}
