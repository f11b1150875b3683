/**
 * @file createTfjsOps: NF4 and LoRA (Dettmers et al. 2023, arXiv:2305.14314; Hu et al. 2021, arXiv:2106.09685) as ops
 * of TensorFlow.js that are differentiable. Each op checks its shapes, and says what its gradient is; kernels compute.
 */

import { quantizeNf4 } from '../ops/nf4.js'
import { readOptions } from '../options/table.js'
import { Device } from '../tensor/device.js'
import type { Nf4Weight } from '../tensor/nf4.js'
import { scope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import { expectFloat32, expectRows, expectTensor, wrong } from './check.js'
import type { Kernels, LinearWeight, LoraFactors } from './kernels.js'
import { nativeKernels } from './native-kernels.js'
import { scalesOf } from './nf4-values.js'
import {
  isTfTensor,
  LORA_LINEAR_OPTIONS,
  type LoraLinearOptions,
  TFJS_OPTIONS,
  TFJS_QUANTIZE_OPTIONS,
  type TfjsOptions,
  type TfjsQuantizeOptions,
  TO_TENSOR_OPTIONS,
  type ToTensorOptions,
} from './options.js'
import type { Tf, TfSave, TfTensor } from './tf.js'
import { tfjsKernels } from './tfjs-kernels.js'

/** The ops of one TensorFlow.js. Tensors are float32. */
export interface TfjsOps<T extends TfTensor> {
  /** Who computes now: it follows the backend of TensorFlow.js where `kernels` is 'auto'. */
  readonly kernels: 'native' | 'tfjs'
  /**
   * A matrix in NF4, in the engine's memory until the ops are disposed.
   * @param x [O, K]
   */
  quantizeNf4(x: T, options?: TfjsQuantizeOptions): Nf4Weight
  /** The scales of a weight in float32, one for each block of elements: what `dequantizeNf4` takes to train them. */
  scalesNf4(weight: Nf4Weight): T
  /**
   * The dense matrix [O, K].
   * @param scales [blocks]: in place of those of the weight; they get gradients. The codes stay as they are.
   */
  dequantizeNf4(weight: Nf4Weight, scales?: T): T
  /**
   * y = x W^T: [..., K] -> [..., O]. The gradient is that of x.
   * @param weight as `quantizeNf4` makes it, or `weight.nf4` of a layer of lowrank's
   */
  matMulNf4(x: T, weight: Nf4Weight): T
  /**
   * y = x W^T + scale (x A^T) B^T + bias: [..., K] -> [..., O]. Gradients are those of x, a, b, the bias, and the
   * weight where it is dense and not `frozenWeight`.
   * @param weight [O, K], dense or in NF4
   * @param a [r, K]
   * @param b [O, r]
   */
  loraLinear(x: T, weight: T | Nf4Weight, a: T, b: T, options?: LoraLinearOptions<T>): T
  /** A tensor of lowrank as one of TensorFlow.js: floats become float32, whole numbers int32. The values are copied. */
  fromTensor(tensor: Tensor): T
  /** A tensor of TensorFlow.js as one of lowrank's, on the device of the ops; the values are copied. */
  toTensor(x: T, options?: ToTensorOptions): Tensor
  /** Frees what the ops hold: weights of `quantizeNf4`, and the device where it is their own. Safe to call twice. */
  dispose(): void
}

/**
 * Makes the ops for a TensorFlow.js, which the caller imports: `createTfjsOps(tf)`.
 * @throws OptionError on an unknown option, and when `tf` is no TensorFlow.js
 */
export function createTfjsOps<T extends TfTensor>(tf: Tf<T>, options: TfjsOptions = {}): TfjsOps<T> {
  const { kernels: wanted, device: given } = readOptions('createTfjsOps', options, TFJS_OPTIONS)
  if (typeof tf?.customGrad !== 'function' || typeof tf.engine !== 'function')
    throw wrong(
      "[createTfjsOps] expected the module of TensorFlow.js for tf, got another value; import * as tf from '@tensorflow/tfjs'",
    )
  let own: Device | undefined
  let isDisposed = false
  const expectUse = (): void => {
    if (isDisposed)
      throw wrong('[tfjs] expected ops that are in use, got disposed ones; make others with createTfjsOps')
  }
  const device = (): Device => {
    expectUse()
    if (given) return given
    own ??= Device.open('cpu')
    return own
  }
  const weights: Nf4Weight[] = []
  const sets = { native: nativeKernels(tf, device), tfjs: tfjsKernels(tf) }
  const choose = (): 'native' | 'tfjs' => (wanted === 'auto' ? (isOnGpu(tf) ? 'tfjs' : 'native') : wanted)
  const inUse = (): Kernels<T> => {
    expectUse()
    return sets[choose()]
  }

  return {
    get kernels() {
      return choose()
    },
    quantizeNf4(x, options = {}) {
      expectTensor('quantizeNf4', 'x', x, [undefined, undefined], 'O, K')
      const settings = readOptions('quantizeNf4', options, TFJS_QUANTIZE_OPTIONS)
      const weight = scope(() => quantizeNf4(Tensor.from(device(), x.dataSync() as Float32Array, x.shape), settings))
      weights.push(weight)
      return weight
    },
    scalesNf4(weight) {
      expectWeight('scalesNf4', weight)
      return tf.tensor(scalesOf(weight), [weight.absmax.size], 'float32')
    },
    dequantizeNf4(weight, scales) {
      expectWeight('dequantizeNf4', weight)
      if (scales) expectTensor('dequantizeNf4', 'scales', scales, [weight.absmax.size], 'blocks')
      const kernels = inUse()
      if (!scales) return kernels.dequantize(weight)
      const op = tf.customGrad((...[given]) => ({
        value: kernels.dequantize(weight, given as T),
        gradFunc: (dy) => [first('dequantizeNf4', kernels, () => kernels.scalesGradient(weight, dy))],
      }))
      return op(scales)
    },
    matMulNf4(x, weight) {
      expectWeight('matMulNf4', weight)
      const [outputs, inner] = weight.shape
      const rows = expectRows('matMulNf4', x, inner)
      const kernels = inUse()
      const op = tf.customGrad((...[input, save]) => {
        ;(save as TfSave<T>)([input as T])
        return {
          value: kernels.linear(input as T, { nf4: weight }).y,
          gradFunc: (dy, saved) => [
            first('matMulNf4', kernels, () => {
              const wanted = { x: saved[0] as T, dy, weight: { nf4: weight }, wantsWeight: false, wantsBias: false }
              return kernels.linearGradient(wanted).dx
            }),
          ],
        }
      })
      return inRows(tf, x, [rows, inner], outputs, op)
    },
    loraLinear(x, weight, a, b, options = {}) {
      const { scale = 1, bias, frozenWeight } = readOptions('loraLinear', options, LORA_LINEAR_OPTIONS)
      const dense = isTfTensor(weight) ? (weight as T) : undefined
      if (dense) expectTensor('loraLinear', 'weight', dense, [undefined, undefined], 'O, K')
      else expectWeight('loraLinear', weight as Nf4Weight)
      const [outputs, inner] = weight.shape as [number, number]
      const rows = expectRows('loraLinear', x, inner)
      expectTensor('loraLinear', 'a', a, [undefined, inner], 'r, K')
      expectTensor('loraLinear', 'b', b, [outputs, a.shape[0]], 'O, r')
      if (bias) expectTensor('loraLinear', 'bias', bias, [outputs], 'O')
      const kernels = inUse()
      const linearOf = (tensor: T | undefined): LinearWeight<T> =>
        tensor ? { dense: tensor } : { nf4: weight as Nf4Weight }
      const wantsWeight = dense !== undefined && !frozenWeight
      const op = tf.customGrad((...given) => {
        const save = given.pop() as TfSave<T>
        const inputs = given as T[]
        const [input, factorA, factorB] = inputs as [T, T, T]
        const biasInput = bias ? inputs[3] : undefined
        const weightInput = wantsWeight ? inputs[inputs.length - 1] : dense
        const lora: LoraFactors<T> = { a: factorA, b: factorB, scale }
        const { y, s } = kernels.linear(input, linearOf(weightInput), biasInput, lora)
        save([input, factorA, factorB, s as T, ...(weightInput ? [weightInput] : [])])
        return {
          value: y,
          gradFunc: (dy, saved) =>
            first('loraLinear', kernels, () => {
              const [x, a, b, s, weight] = saved as [T, T, T, T, T | undefined]
              const of = { x, dy, weight: linearOf(weight), lora: { a, b, scale, s }, wantsWeight, wantsBias: !!bias }
              const { dx, da, db, dBias, dWeight } = kernels.linearGradient(of)
              return [dx, da, db, dBias, dWeight].filter((gradient) => gradient !== undefined)
            }),
        }
      })
      const others = [a, b, ...(bias ? [bias as T] : []), ...(wantsWeight ? [dense as T] : [])]
      return inRows(tf, x, [rows, inner], outputs, (folded) => op(folded, ...others))
    },
    fromTensor(tensor) {
      if (!(tensor instanceof Tensor)) throw wrong('[fromTensor] expected a tensor of lowrank, got another value')
      const isWhole = tensor.dtype === 'int32' || tensor.dtype === 'uint8'
      const values = tensor.device.readSync(tensor)
      const converted = isWhole ? Int32Array.from(values) : (values as Float32Array)
      return tf.tensor(converted, [...tensor.shape], isWhole ? 'int32' : 'float32')
    },
    toTensor(x, options = {}) {
      const { dtype } = readOptions('toTensor', options, TO_TENSOR_OPTIONS)
      if (isTfTensor(x) && x.dtype === 'int32' && !x.isDisposed) {
        return Tensor.from(device(), Int32Array.from(x.dataSync() as ArrayLike<number>), x.shape)
      }
      expectFloat32('toTensor', 'x', x)
      return Tensor.from(device(), x.dataSync() as Float32Array, x.shape, dtype)
    },
    dispose() {
      if (isDisposed) return
      isDisposed = true
      sets.tfjs.dispose()
      for (const { packed, absmax, code, nestedAbsmax, nestedCode, offset } of weights)
        for (const tensor of [packed, absmax, code, nestedAbsmax, nestedCode, offset]) tensor?.dispose()
      own?.close()
    },
  }

  /** Gradients of the engine are values: a gradient of them would be wrong without a word. */
  function first<R>(op: string, { isTwiceDifferentiable }: Kernels<T>, gradient: () => R): R {
    if (!isTwiceDifferentiable && tf.engine().state.gradientDepth > 0)
      throw wrong(
        `[${op}] expected a first derivative, got a gradient of a gradient; createTfjsOps(tf, { kernels: 'tfjs' }) has those`,
      )
    return gradient()
  }
}

/** Runs an op on [N, K] -> [N, O] for an input of any rank. */
function inRows<T extends TfTensor>(tf: Tf<T>, x: T, folded: [number, number], outputs: number, op: (x: T) => T): T {
  if (x.shape.length === 2) return op(x)
  return tf.tidy(() => tf.reshape(op(tf.reshape(x, folded)), [...x.shape.slice(0, -1), outputs]))
}

function expectWeight(op: string, weight: Nf4Weight): void {
  if (!(weight?.packed instanceof Tensor))
    throw wrong(`[${op}] expected a weight in NF4, got another value; quantizeNf4 makes one of a matrix`)
}

/** Whether the backend has tensors in a GPU's memory. */
function isOnGpu<T extends TfTensor>(tf: Tf<T>): boolean {
  const name = tf.getBackend()
  if (name === 'cpu' || name === 'wasm') return false
  // tfjs-node and tfjs-node-gpu share a name.
  return name !== 'tensorflow' || (tf.backend() as { isUsingGpuDevice?: unknown }).isUsingGpuDevice === true
}
