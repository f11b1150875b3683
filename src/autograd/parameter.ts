/** @file Parameters: named weights, their float32 masters and gradients. */

import { LowrankError } from '../lowrank-error.js'
import type { Device } from '../tensor/device.js'
import { type ComputeDType, type DType, dtypeBytes } from '../tensor/dtype.js'
import type { Nf4Weight } from '../tensor/nf4.js'
import { unregisterFromScope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'

/**
 * A weight of a model or an adapter.
 *
 * 1. A frozen parameter is one tensor in the compute dtype. It never gets a gradient buffer.
 * 2. A trainable one has a float32 master; the optimizer updates it and writes the compute-dtype copy that forward
 *    reads (the same tensor in float32).
 * 3. Gradients are float32 and accumulate until `zeroGrad()`.
 * 4. A quantised one has NF4 storage in place of its value, and stays frozen for ever.
 * 5. An offloaded one is in the machine's memory, where a GPU reads it over the bus, and stays frozen too.
 * 6. While a substitute stands, forward reads what it makes, anew each time; what the parameter holds is not touched.
 */
export class Parameter {
  readonly name: string
  readonly shape: readonly number[]
  readonly device: Device
  readonly dtype: ComputeDType
  readonly isOffloaded: boolean
  /** What its memory counts as in the error of a full budget. */
  holder = 'weights'
  #value: Tensor | undefined
  #master: Tensor | undefined
  #grad: Tensor | undefined
  #nf4: Nf4Weight | undefined
  #substitute: (() => Tensor) | undefined
  #requiresGrad = false

  constructor(name: string, shape: readonly number[], device: Device, dtype: ComputeDType, isOffloaded = false) {
    this.name = name
    this.shape = shape
    this.device = device
    this.dtype = dtype
    this.isOffloaded = isOffloaded
  }

  /** Number of elements. */
  get size(): number {
    return this.shape.reduce((product, dimension) => product * dimension, 1)
  }

  get requiresGrad(): boolean {
    return this.#requiresGrad
  }

  /** The NF4 storage of a quantised parameter. */
  get nf4(): Nf4Weight | undefined {
    return this.#substitute ? undefined : this.#nf4
  }

  /**
   * Makes forward read what `make` gives, in the compute dtype, until it is called with undefined. The tensors belong
   * to the scope that asks for them, so that a model can be computed with other weights without holding these all at
   * once. Without gradients only.
   */
  substitute(make: (() => Tensor) | undefined): void {
    this.#substitute = make
  }

  /**
   * Puts NF4 storage in the place of the dense value, which is freed. The parameter owns its tensors from then on.
   * @throws when the parameter is trainable, or of another shape.
   */
  quantize(nf4: Nf4Weight): void {
    if (this.#requiresGrad) {
      throw new LowrankError(
        'INVALID_CALL',
        `[parameter] expected a frozen parameter to quantize, but ${this.name} is trainable; freeze() it`,
      )
    }
    if (nf4.shape.length !== this.shape.length || nf4.shape.some((size, i) => size !== this.shape[i])) {
      throw new LowrankError(
        'INVALID_CALL',
        `[parameter] expected shape [${this.shape}] for ${this.name}, got NF4 of [${nf4.shape}]`,
      )
    }
    this.dispose()
    for (const tensor of tensorsOf(nf4)) this.#hold(tensor)
    this.#nf4 = nf4
  }

  /**
   * What forward reads, in the compute dtype. Allocated at first use, to be filled by whoever loads the model.
   * @throws when the parameter is quantised.
   */
  get value(): Tensor {
    if (this.#substitute) return this.#substitute()
    if (this.#nf4) {
      throw new LowrankError(
        'INVALID_CALL',
        `[parameter] expected a dense parameter, but ${this.name} is NF4; read nf4, or dequantizeNf4() makes it dense`,
      )
    }
    if (!this.#value) {
      this.#value = this.#hold(Tensor.empty(this.device, this.shape, this.dtype, this.isOffloaded))
      if (this.#requiresGrad && this.dtype === 'float32') this.#master = this.#value
    }
    return this.#value
  }

  /** The float32 values that training changes. @throws when the parameter is frozen. */
  get master(): Tensor {
    if (!this.#master)
      throw new LowrankError('INVALID_CALL', `[parameter] expected a trainable parameter, but ${this.name} is frozen`)
    return this.#master
  }

  /** The gradient that backward() accumulated. @throws when there is none yet. */
  get grad(): Tensor {
    if (!this.#grad) {
      throw new LowrankError(
        'INVALID_CALL',
        this.#requiresGrad
          ? `[parameter] expected a gradient for ${this.name}, but backward() has not reached it yet`
          : `[parameter] expected a trainable parameter, but ${this.name} is frozen and has no gradient`,
      )
    }
    return this.#grad
  }

  get hasGrad(): boolean {
    return this.#grad !== undefined
  }

  /** The buffer that backward rules add to, zero at first. */
  gradBuffer(): Tensor {
    this.#grad ??= this.#hold(Tensor.full(this.device, this.shape, 'float32', 0), 'gradients')
    return this.#grad
  }

  /** Frees the gradient: its memory serves the next forward pass, and backward() starts anew. */
  zeroGrad(): void {
    this.#grad?.dispose()
    this.#grad = undefined
  }

  /**
   * Makes the parameter trainable: its master starts from the present values.
   * @throws when the parameter is quantised or offloaded.
   */
  unfreeze(): void {
    if (this.#requiresGrad) return
    if (this.isOffloaded) {
      throw new LowrankError(
        'INVALID_CALL',
        `[parameter] expected a parameter on ${this.device.type} to train, but ${this.name} is in the machine's memory; load the model without offloadEmbedding`,
      )
    }
    if (this.#nf4) {
      throw new LowrankError(
        'INVALID_CALL',
        `[parameter] expected a dense parameter to train, but ${this.name} is NF4; train an adapter on it, or load the model without quantization`,
      )
    }
    this.#requiresGrad = true
    if (this.dtype === 'float32') {
      this.#master = this.value
    } else {
      this.#master = this.#hold(Tensor.empty(this.device, this.shape, 'float32'))
      // Without values yet, set() will fill both.
      if (this.#value) this.device.enqueue('copy', { x: this.#value, y: this.#master })
    }
  }

  /** Makes the parameter frozen and frees what training needed. */
  freeze(): void {
    this.#requiresGrad = false
    this.zeroGrad()
    if (this.#master !== this.#value) this.#master?.dispose()
    this.#master = undefined
  }

  /** Sets the values from host data of any float dtype, rounding to the compute dtype. */
  set(values: Float32Array | Uint8Array, sourceDType: DType = 'float32'): void {
    const count = values.byteLength / dtypeBytes(sourceDType)
    if (count !== this.size) {
      throw new LowrankError(
        'INVALID_CALL',
        `[parameter] expected ${this.size} values for ${this.name} [${this.shape}], got ${count}`,
      )
    }
    if (this.size === 0) return
    for (const target of this.#targets()) {
      this.device.upload(target, values, sourceDType)
      target.bumpVersion()
    }
  }

  /** Sets every element to `value`. */
  fill(value: number): void {
    for (const target of this.#targets()) {
      this.device.enqueue('fill', { y: target, value })
      target.bumpVersion()
    }
  }

  /** The values: the master's where there is one. */
  read(): Promise<Float32Array> {
    return (this.#master ?? this.value).read()
  }

  #hold(tensor: Tensor, what = this.holder): Tensor {
    this.device.label(tensor, what)
    return unregisterFromScope(tensor)
  }

  /** The tensors that hold the values. */
  #targets(): Tensor[] {
    return this.#master && this.#master !== this.#value ? [this.#master, this.value] : [this.value]
  }

  /** Frees all memory. */
  dispose(): void {
    this.freeze()
    this.#value?.dispose()
    this.#value = undefined
    if (this.#nf4) for (const tensor of tensorsOf(this.#nf4)) tensor.dispose()
    this.#nf4 = undefined
  }
}

function tensorsOf({ packed, absmax, code, nestedAbsmax, nestedCode, offset }: Nf4Weight): Tensor[] {
  return [packed, absmax, code, nestedAbsmax, nestedCode, offset].filter((tensor) => tensor !== undefined)
}
