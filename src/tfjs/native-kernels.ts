/**
 * @file The ops on lowrank's engine: values go to it, its kernels run, and JavaScript waits for the result, as ops of
 * TensorFlow.js return at once. Every tensor of the engine is freed before that.
 */

import { dequantizeNf4, nf4Constant } from '../ops/nf4.js'
import { sumOrderNumber } from '../ops/sum-order.js'
import type { Device, OpArguments } from '../tensor/device.js'
import { scope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'
import type { Kernels, LinearWeight } from './kernels.js'
import { codesOf } from './nf4-values.js'
import type { Tf, TfTensor } from './tf.js'

/** @param open gives the device on which dense weights are computed with. */
export function nativeKernels<T extends TfTensor>(tf: Tf<T>, open: () => Device): Kernels<T> {
  const valuesOf = (x: T): Float32Array => x.dataSync() as Float32Array
  const upload = (device: Device, x: T, shape: readonly number[] = x.shape): Tensor =>
    Tensor.from(device, valuesOf(x), shape)
  const download = (y: Tensor): T => tf.tensor(y.readSync(), [...y.shape], 'float32')
  const deviceOf = (weight: LinearWeight<T>): Device => weight.nf4?.packed.device ?? open()
  const outputs = (weight: LinearWeight<T>): number => (weight.nf4 ?? weight.dense).shape[0] as number
  const weightOf = (device: Device, weight: LinearWeight<T>): OpArguments =>
    weight.nf4 ? { nf4: [nf4Constant(weight.nf4)] } : { weight: upload(device, weight.dense), nf4: [] }
  const noDropout = { p: 0, seed: 0, microStep: 0, dropoutStream: 0 }

  return {
    isTwiceDifferentiable: false,
    dequantize(weight, scales) {
      return disposing(() => {
        if (!scales) return download(dequantizeNf4(weight, 'float32'))
        const { packed, code, shape, blockSize, nestedBlockSize } = weight
        const absmax = upload(packed.device, scales)
        return download(dequantizeNf4({ packed, absmax, code, shape, blockSize, nestedBlockSize }, 'float32'))
      })
    },
    scalesGradient(weight, dy) {
      const codes = codesOf(weight)
      const values = valuesOf(dy)
      const sums = new Float32Array(weight.absmax.size)
      for (let block = 0; block < sums.length; block++) {
        const end = Math.min(codes.length, (block + 1) * weight.blockSize)
        let sum = 0
        for (let i = block * weight.blockSize; i < end; i++) sum += (codes[i] as number) * (values[i] as number)
        sums[block] = sum
      }
      return tf.tensor(sums, [sums.length], 'float32')
    },
    linear(x, weight, bias, lora) {
      const device = deviceOf(weight)
      return disposing(() => {
        const rows = x.shape[0] as number
        const y = Tensor.empty(device, [rows, outputs(weight)], 'float32')
        const s = lora && Tensor.empty(device, [rows, lora.a.shape[0] as number], 'float32')
        const pair = lora && {
          a: upload(device, lora.a),
          b: upload(device, lora.b),
          scale: lora.scale,
          dropout: noDropout,
          rows: undefined,
          s,
        }
        const part = { ...weightOf(device, weight), bias: bias && upload(device, bias), inOut: false }
        device.enqueue('linear', {
          x: upload(device, x),
          y,
          parts: [{ ...part, pairs: pair ? [pair] : [] }],
          sumOrder: sumOrderNumber(),
        })
        return { y: download(y), s: s && download(s) }
      })
    },
    linearGradient({ x, dy, weight, lora, wantsWeight, wantsBias }) {
      const device = deviceOf(weight)
      return disposing(() => {
        const zeros = (shape: readonly number[]): Tensor => Tensor.full(device, shape, 'float32', 0)
        const dx = Tensor.empty(device, x.shape, 'float32')
        const da = lora && zeros(lora.a.shape)
        const db = lora && zeros(lora.b.shape)
        const dWeight = wantsWeight && weight.dense ? zeros(weight.dense.shape) : undefined
        const dBias = wantsBias ? zeros([outputs(weight)]) : undefined
        const pair = lora && {
          a: upload(device, lora.a),
          b: upload(device, lora.b),
          scale: lora.scale,
          dropout: noDropout,
          s: upload(device, lora.s),
          da,
          db,
        }
        device.enqueue('linearBackward', {
          dy: upload(device, dy),
          x: upload(device, x),
          dx,
          parts: [{ ...weightOf(device, weight), dWeight, dBias, inOut: false, pairs: pair ? [pair] : [] }],
        })
        const read = (gradient: Tensor | undefined): T | undefined => gradient && download(gradient)
        return { dx: download(dx), da: read(da), db: read(db), dWeight: read(dWeight), dBias: read(dBias) }
      })
    },
    dispose() {},
  }
}

/** Runs `fn` and frees all tensors of the engine that it makes; what it returns has none. */
function disposing<R>(fn: () => R): R {
  let result: R | undefined
  scope(() => {
    result = fn()
  })
  return result as R
}
