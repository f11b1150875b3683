/**
 * @file The part of TensorFlow.js that is used, in types of our own: the package is the user's, whether
 * `@tensorflow/tfjs`, `@tensorflow/tfjs-core`, `@tensorflow/tfjs-node` or `@tensorflow/tfjs-node-gpu`.
 */

/** A tensor of TensorFlow.js. */
export interface TfTensor {
  readonly shape: number[]
  readonly dtype: string
  readonly isDisposed: boolean
  /** The values, while JavaScript waits for them. */
  dataSync(): ArrayLike<number> | ArrayLike<string>
  dispose(): void
}

/** Keeps tensors of a forward pass for the backward pass. */
export type TfSave<T extends TfTensor> = (tensors: T[]) => void

/** What a function with a gradient of its own gives. */
export interface TfDifferentiable<T extends TfTensor> {
  value: T
  gradFunc: (dy: T, saved: T[]) => T[]
}

/** What is used of the module that `import * as tf` gives; `T` is its `tf.Tensor`. */
export interface Tf<T extends TfTensor> {
  tensor(values: Float32Array | Int32Array, shape: number[], dtype: 'float32' | 'int32'): T
  customGrad(fn: (...inputs: (T | TfSave<T>)[]) => TfDifferentiable<T>): (...inputs: T[]) => T
  tidy(fn: () => T): T
  keep(tensor: T): T
  getBackend(): string
  backend(): object
  engine(): { state: { gradientDepth: number } }
  add(a: T, b: T): T
  floorDiv(a: T, b: T): T
  gather(x: T, indices: T): T
  matMul(a: T, b: T, transposeA: boolean, transposeB: boolean): T
  mul(a: T, b: T): T
  pad(x: T, paddings: [number, number][]): T
  reshape(x: T, shape: number[]): T
  scalar(value: number, dtype: 'float32' | 'int32'): T
  slice(x: T, begin: number, size: number): T
  stack(tensors: T[], axis: number): T
  sub(a: T, b: T): T
  sum(x: T, axis: number): T
}
