/**
 * @file The ops as operations of TensorFlow.js, for backends that have tensors on a GPU. TensorFlow.js has no tensors
 * of bytes: a weight takes 2 bytes an element there, in place of half a byte.
 */

import type { Nf4Weight } from '../tensor/nf4.js'
import type { Kernels, LinearWeight } from './kernels.js'
import { scalesOf } from './nf4-values.js'
import type { Tf, TfTensor } from './tf.js'

/** A weight as TensorFlow.js has it. */
interface UploadedWeight<T> {
  /** int32 [blocks * blockSize / 2]: one byte, two elements, each; zeros fill the last block. */
  readonly packed: T
  /** [16]. */
  readonly code: T
  /** [blocks]. */
  readonly scales: T
}

export function tfjsKernels<T extends TfTensor>(tf: Tf<T>): Kernels<T> {
  const uploaded = new Map<Nf4Weight, UploadedWeight<T>>()
  const upload = (weight: Nf4Weight): UploadedWeight<T> => {
    const known = uploaded.get(weight)
    if (known) return known
    const scales = scalesOf(weight)
    const bytes = new Int32Array((scales.length * weight.blockSize) / 2)
    bytes.set(weight.packed.readSync())
    const made = {
      packed: tf.keep(tf.tensor(bytes, [bytes.length], 'int32')),
      code: tf.keep(tf.tensor(weight.code.readSync(), [16], 'float32')),
      scales: tf.keep(tf.tensor(scales, [scales.length], 'float32')),
    }
    uploaded.set(weight, made)
    return made
  }
  /** The code of every element, [blocks, blockSize]. */
  const codes = ({ blockSize }: Nf4Weight, { packed, code }: UploadedWeight<T>): T => {
    const sixteen = tf.scalar(16, 'int32')
    const high = tf.floorDiv(packed, sixteen)
    const low = tf.sub(packed, tf.mul(high, sixteen))
    return tf.reshape(tf.gather(code, tf.reshape(tf.stack([high, low], 1), [-1])), [-1, blockSize])
  }
  const dequantize = (weight: Nf4Weight, scales?: T): T =>
    tf.tidy(() => {
      const known = upload(weight)
      const blocks = tf.mul(codes(weight, known), tf.reshape(scales ?? known.scales, [-1, 1]))
      const [rows, cols] = weight.shape
      return tf.reshape(tf.slice(tf.reshape(blocks, [-1]), 0, rows * cols), [rows, cols])
    })
  const denseOf = ({ dense, nf4 }: LinearWeight<T>): T => (nf4 ? dequantize(nf4) : dense)

  return {
    isTwiceDifferentiable: true,
    dequantize,
    scalesGradient(weight, dy) {
      return tf.tidy(() => {
        const known = upload(weight)
        const [rows, cols] = weight.shape
        const missing = weight.absmax.size * weight.blockSize - rows * cols
        const padded = tf.pad(tf.reshape(dy, [rows * cols]), [[0, missing]])
        return tf.sum(tf.mul(codes(weight, known), tf.reshape(padded, [-1, weight.blockSize])), 1)
      })
    },
    linear(x, weight, bias, lora) {
      const s = lora && tf.mul(tf.matMul(x, lora.a, false, true), tf.scalar(lora.scale, 'float32'))
      let y = tf.matMul(x, denseOf(weight), false, true)
      if (lora && s) y = tf.add(y, tf.matMul(s, lora.b, false, true))
      return { y: bias ? tf.add(y, bias) : y, s }
    },
    linearGradient({ x, dy, weight, lora, wantsWeight, wantsBias }) {
      const dx = tf.matMul(dy, denseOf(weight), false, false)
      const ds = lora && tf.mul(tf.matMul(dy, lora.b, false, false), tf.scalar(lora.scale, 'float32'))
      return {
        dx: lora && ds ? tf.add(dx, tf.matMul(ds, lora.a, false, false)) : dx,
        da: ds && tf.matMul(ds, x, true, false),
        db: lora && tf.matMul(dy, lora.s, true, false),
        dWeight: wantsWeight ? tf.matMul(dy, x, true, false) : undefined,
        dBias: wantsBias ? tf.sum(dy, 0) : undefined,
      }
    },
    dispose() {
      for (const tensors of uploaded.values()) for (const tensor of Object.values(tensors)) tensor.dispose()
      uploaded.clear()
    },
  }
}
