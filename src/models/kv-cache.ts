/** @file Keys and values of earlier tokens of one sequence, for generation. */

import { copy_ } from '../ops/cast.js'
import type { Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'

/** One pair of buffers [capacity, Hkv * headDim] per layer. */
export class KvCache {
  readonly #layers: { k: Tensor; v: Tensor }[]
  readonly capacity: number
  /** Tokens held. */
  length = 0

  constructor(device: Device, dtype: ComputeDType, layers: number, width: number, capacity: number) {
    this.capacity = capacity
    const buffer = (): Tensor => unregisterFromScope(Tensor.full(device, [capacity, width], dtype, 0))
    this.#layers = Array.from({ length: layers }, () => ({ k: buffer(), v: buffer() }))
  }

  /** Appends the new tokens' keys and values [n, Hkv * headDim] and returns all of the layer's, as views. */
  append(layer: number, k: Tensor, v: Tensor): { k: Tensor; v: Tensor } {
    const buffers = this.#layers[layer]
    if (!buffers) throw new Error(`[kvCache] expected a layer below ${this.#layers.length}, got ${layer}`)
    const end = this.length + k.rows
    if (end > this.capacity) throw new Error(`[kvCache] expected at most ${this.capacity} tokens, got ${end}`)
    copy_(buffers.k.slice(this.length, end), k)
    copy_(buffers.v.slice(this.length, end), v)
    return { k: buffers.k.slice(0, end), v: buffers.v.slice(0, end) }
  }

  dispose(): void {
    for (const { k, v } of this.#layers) {
      k.dispose()
      v.dispose()
    }
  }
}
