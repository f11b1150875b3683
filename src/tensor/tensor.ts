/** @file Tensors: typed views of device memory. Holds no math; gradients hang on them but are made in autograd. */

import { LowrankError } from '../lowrank-error.js'
import type { Device, View } from './device.js'
import { type DType, dtypeBytes } from './dtype.js'
import { forget, registerInScope } from './scope.js'

/** Device memory that several tensors may view. `version` grows with every in-place change. */
interface Storage {
  readonly device: Device
  readonly slot: number
  version: number
  /** Tensors that view it, less those that were disposed. One that the collector found still counts. */
  handles: number
  /** Values of int32 tensors made from host data, valid for version 0. */
  host?: Int32Array
}

/** What the collector has to give back when it finds a handle that nobody disposed. */
interface Held {
  readonly device: Device
  readonly slot: number
  readonly bytes: number
  readonly saved: boolean
}

const finalizers = new FinalizationRegistry<Held>(({ device, slot, bytes, saved }) => {
  device.countMemory(-bytes, saved)
  device.stream.release(slot)
})

/** A place in the autograd graph; see src/autograd. */
export interface GraphEdge {
  readonly node: unknown
  readonly index: number
}

/**
 * A view of device memory: shape, dtype, and a stride from row to row; the last dimension is contiguous. Operations
 * return at once, the values arrive with `await read()`. Memory is freed by `dispose()`, by the end of a `scope()`, by
 * `using`, or when the handle is collected.
 */
export class Tensor implements View {
  readonly shape: readonly number[]
  readonly dtype: DType
  readonly byteOffset: number
  readonly rows: number
  readonly cols: number
  readonly rowStride: number
  /** True when a backward pass has to reach this tensor. */
  requiresGrad = false
  /** After `backward()`: the gradient of a leaf that requires one. */
  grad: Tensor | undefined
  /** Set by autograd on results of recorded operations. */
  edge: GraphEdge | undefined
  /**
   * Makes an equal tensor again, cheaply, so that backward passes need not keep this one (set by ops such as rmsNorm).
   */
  recompute: Recompute | undefined
  /** True when other holders see this gradient too: it must not be changed in place. */
  shared = false
  readonly #storage: Storage
  #disposed = false
  #held: Held | undefined

  private constructor(storage: Storage, dtype: DType, shape: readonly number[], byteOffset: number, rowStride: number) {
    this.#storage = storage
    storage.handles++
    this.dtype = dtype
    this.shape = shape
    this.byteOffset = byteOffset
    this.rowStride = rowStride
    this.cols = shape[shape.length - 1] ?? 1
    let rows = 1
    for (let i = 0; i < shape.length - 1; i++) rows *= shape[i] as number
    this.rows = rows
    registerInScope(this)
  }

  /**
   * A tensor whose values are whatever the first op writes.
   * @param onHost of a GPU: in the machine's memory, pinned, which kernels read over the bus; for large tensors of
   * which little is read.
   */
  static empty(device: Device, shape: readonly number[], dtype: DType, onHost = false): Tensor {
    let size = 1
    for (const dimension of shape) {
      if (!Number.isInteger(dimension) || dimension < 0) {
        throw new LowrankError('INVALID_CALL', `[tensor] expected whole numbers >= 0 for shape, got [${shape}]`)
      }
      size *= dimension
    }
    const slot = device.allocate(Math.max(size, 1) * dtypeBytes(dtype), onHost)
    return new Tensor({ device, slot, version: 0, handles: 0 }, dtype, [...shape], 0, shape[shape.length - 1] ?? 1)
  }

  /**
   * The same for what one kernel writes in rows and another reads: where rows would lie a multiple of 4 KB apart, and
   * so in one set of the first-level cache, they get a cache line between them.
   */
  static activation(device: Device, shape: readonly number[], dtype: DType): Tensor {
    const cols = shape[shape.length - 1] ?? 1
    const bytes = cols * dtypeBytes(dtype)
    if (bytes === 0 || bytes % 4096 !== 0) return Tensor.empty(device, shape, dtype)
    const padded = Tensor.empty(device, [...shape.slice(0, -1), cols + 64 / dtypeBytes(dtype)], dtype)
    const tensor = padded.columns(0, cols)
    padded.dispose()
    return tensor
  }

  /** A tensor filled with one value. */
  static full(device: Device, shape: readonly number[], dtype: DType, value: number): Tensor {
    const tensor = Tensor.empty(device, shape, dtype)
    device.enqueue('fill', { y: tensor, value })
    return tensor
  }

  /**
   * A tensor from host data. Float32Array becomes float32 (or `dtype`, rounded), Int32Array and whole number[] with
   * dtype 'int32' become int32.
   * @throws when the number of values does not fit the shape.
   */
  static from(
    device: Device,
    data: Float32Array | Int32Array | readonly number[],
    shape: readonly number[],
    dtype: DType = data instanceof Int32Array ? 'int32' : 'float32',
  ): Tensor {
    const size = shape.reduce((product, dimension) => product * dimension, 1)
    if (size !== data.length)
      throw new LowrankError(
        'INVALID_CALL',
        `[tensor] expected ${size} values for shape [${shape}], got ${data.length}`,
      )
    const integers = dtype === 'int32'
    const source = integers
      ? data instanceof Int32Array
        ? data
        : Int32Array.from(data)
      : data instanceof Float32Array
        ? data
        : Float32Array.from(data)
    const tensor = Tensor.empty(device, shape, dtype)
    if (size > 0) device.upload(tensor, source, integers ? 'int32' : 'float32')
    if (integers) tensor.#storage.host = source === data ? Int32Array.from(source) : (source as Int32Array)
    return tensor
  }

  get device(): Device {
    return this.#storage.device
  }

  get slot(): number {
    if (this.#disposed)
      throw new LowrankError(
        'INVALID_CALL',
        `[tensor] expected a live tensor, got one of shape [${this.shape}] that was disposed`,
      )
    return this.#storage.slot
  }

  /** Number of elements. */
  get size(): number {
    return this.rows * this.cols
  }

  /** Grows with every in-place change of the memory under this tensor. */
  get version(): number {
    return this.#storage.version
  }

  get isDisposed(): boolean {
    return this.#disposed
  }

  /**
   * The host values of an int32 tensor that was made from host data and not changed since; undefined for views with
   * gaps between rows.
   */
  get hostValues(): Int32Array | undefined {
    const { version, host } = this.#storage
    if (!host || version !== 0 || this.dtype !== 'int32' || (this.rows > 1 && this.rowStride !== this.cols))
      return undefined
    const start = this.byteOffset / dtypeBytes('int32')
    return host.subarray(start, start + this.size)
  }

  /** Called by in-place ops (their names end in `_`). */
  bumpVersion(): void {
    this.#storage.version++
    // The recipe makes what was there before.
    this.recompute?.dispose()
    this.recompute = undefined
  }

  /**
   * True when no other live tensor views this memory: it may be overwritten, and nobody sees it. Command lists, which
   * read slots, do not count.
   */
  get isOnlyHandle(): boolean {
    return this.#storage.handles === 1
  }

  /** True when both view the same memory. */
  sharesStorageWith(other: Tensor): boolean {
    return this.#storage === other.#storage
  }

  /** Another handle on the same memory with a lifetime of its own; not part of the graph. */
  alias(): Tensor {
    return this.#view(this.shape, this.byteOffset, this.rowStride)
  }

  /** The same values under another shape. Where the last dimension changes, rows must have no gaps. */
  reshape(shape: readonly number[]): Tensor {
    const size = shape.reduce((product, dimension) => product * dimension, 1)
    if (size === this.size && shape[shape.length - 1] === this.cols)
      return this.#view([...shape], this.byteOffset, this.rowStride)
    if (size !== this.size || (this.rows > 1 && this.rowStride !== this.cols)) {
      throw new LowrankError(
        'INVALID_CALL',
        `[reshape] expected a contiguous tensor of ${size} elements for shape [${shape}], got [${this.shape}]`,
      )
    }
    return this.#view([...shape], this.byteOffset, shape[shape.length - 1] ?? 1)
  }

  /** Columns [start, end) of the last dimension, as a view. */
  columns(start: number, end: number): Tensor {
    if (!isRange(start, end, this.cols)) {
      throw new LowrankError(
        'INVALID_CALL',
        `[columns] expected whole numbers 0 <= start <= end <= ${this.cols}, got ${start}, ${end}`,
      )
    }
    const shape = [...this.shape.slice(0, -1), end - start]
    return this.#view(shape, this.byteOffset + start * dtypeBytes(this.dtype), this.rowStride)
  }

  /**
   * The view of `cols` columns that starts where this one does; the inverse of `columns(0, n)`. At most the row stride.
   */
  widen(cols: number): Tensor {
    if (cols > this.rowStride)
      throw new LowrankError('INVALID_CALL', `[widen] expected at most ${this.rowStride} columns, got ${cols}`)
    return this.#view([...this.shape.slice(0, -1), cols], this.byteOffset, this.rowStride)
  }

  /** Rows [start, end) of a matrix, as a view. */
  slice(start: number, end: number): Tensor {
    if (this.shape.length !== 2 || !isRange(start, end, this.rows)) {
      throw new LowrankError(
        'INVALID_CALL',
        `[slice] expected a matrix and whole numbers 0 <= start <= end <= rows, got [${this.shape}], ${start}, ${end}`,
      )
    }
    const byteOffset = this.byteOffset + start * this.rowStride * dtypeBytes(this.dtype)
    return this.#view([end - start, this.cols], byteOffset, this.rowStride)
  }

  /** Replaces the values of an int32 tensor, in place: what queued ops before this read is not disturbed. */
  write_(values: Int32Array): void {
    if (this.dtype !== 'int32' || values.length !== this.size)
      throw new LowrankError(
        'INVALID_CALL',
        `[write_] expected an int32 tensor of ${values.length} values, got ${this.dtype} [${this.shape}]`,
      )
    this.device.upload(this, values, 'int32')
    this.bumpVersion()
  }

  /** The values, in row-major order, when all that was queued before has run. Floats of any width come as float32. */
  async read(): Promise<Float32Array> {
    const values = await this.device.read(this)
    return values instanceof Float32Array ? values : Float32Array.from(values)
  }

  /** The same as `read()`, while JavaScript waits: nothing else of the program runs meanwhile. */
  readSync(): Float32Array {
    const values = this.device.readSync(this)
    return values instanceof Float32Array ? values : Float32Array.from(values)
  }

  /** The values of an int32 tensor. */
  async readInt32(): Promise<Int32Array> {
    if (this.dtype !== 'int32')
      throw new LowrankError('INVALID_CALL', `[readInt32] expected an int32 tensor, got ${this.dtype}; use read()`)
    return (await this.device.read(this)) as Int32Array
  }

  /** Runs the backward pass from this tensor, a scalar. See src/autograd/tape.ts, which installs it. */
  backward(): void {
    if (!backwardOf)
      throw new LowrankError(
        'INVALID_CALL',
        '[backward] expected a tensor made by a recorded operation; this one has no graph',
      )
    backwardOf(this)
  }

  /** Frees the handle; the memory goes when no queued command, view or graph needs it any more. Safe to call twice. */
  dispose(): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#storage.handles--
    if (this.#held) {
      finalizers.unregister(this)
      this.device.countMemory(-this.#held.bytes, this.#held.saved)
    } else forget(this)
    this.#storage.device.stream.release(this.#storage.slot)
    this.recompute?.dispose()
    this.recompute = undefined
    this.edge = undefined
  }

  /** Watching by the collector costs more than making the tensor: those that a scope frees are spared it. */
  leftScopes(saved = false): void {
    if (this.#held || this.#disposed) return
    const { device, slot } = this.#storage
    this.#held = { device, slot, bytes: this.size * dtypeBytes(this.dtype), saved }
    device.countMemory(this.#held.bytes, saved)
    finalizers.register(this, this.#held, this)
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  #view(shape: readonly number[], byteOffset: number, rowStride: number): Tensor {
    this.#storage.device.stream.retain(this.slot)
    return new Tensor(this.#storage, this.dtype, shape, byteOffset, rowStride)
  }
}

/** A cheap way to make a tensor again; `retain` gives a copy with a lifetime of its own. */
export interface Recompute {
  run(): Tensor
  retain(): Recompute
  dispose(): void
}

let backwardOf: ((tensor: Tensor) => void) | undefined

/** Autograd installs the backward pass here: tensors know of it, not how it works. */
export function installBackward(backward: (tensor: Tensor) => void): void {
  backwardOf = backward
}

function isRange(start: number, end: number, limit: number): boolean {
  return Number.isInteger(start) && Number.isInteger(end) && start >= 0 && start <= end && end <= limit
}
