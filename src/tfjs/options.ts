/** @file The options of `lowrank/tfjs`: types and tables. */

import { boolean, float32, instance, integer, oneOf } from '../options/rules.js'
import type { OptionTable } from '../options/table.js'
import { Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { COMPUTE_DTYPES } from '../tensor/dtype.js'
import { NF4_BLOCK_SIZE } from '../tensor/nf4.js'
import type { TfTensor } from './tf.js'

/** Options of {@link createTfjsOps}. */
export interface TfjsOptions {
  /**
   * Who computes: the engine of lowrank ('native') or operations of TensorFlow.js ('tfjs'). 'auto' takes the engine
   * where tensors are in the memory of the machine, and TensorFlow.js where its backend has them on a GPU.
   * @default 'auto'
   */
  kernels?: 'auto' | 'native' | 'tfjs'
  /**
   * The device of tensors that `toTensor` and `quantizeNf4` make. It stays open when the ops are disposed.
   * @default a device of their own on the CPU
   */
  device?: Device
}

/** The options of `createTfjsOps`. */
export const TFJS_OPTIONS = {
  kernels: {
    rule: oneOf(['auto', 'native', 'tfjs']),
    default: 'auto',
    help: 'who computes: the engine, TensorFlow.js, or, by where its tensors are, one of them',
  },
  device: {
    rule: instance('a Device', (value) => value instanceof Device),
    otherwise: 'a device of their own on the CPU',
    help: 'the device of tensors that `toTensor` and `quantizeNf4` make',
  },
} as const satisfies OptionTable<TfjsOptions>

/** Options of `ops.quantizeNf4`. */
export interface TfjsQuantizeOptions {
  /**
   * Elements that share a scale: a power of two from 32 to 4096.
   * @default 64
   */
  blockSize?: number
  /**
   * Keeps the scales in 8 bits.
   * @default true
   */
  doubleQuantization?: boolean
}

/** The options of `ops.quantizeNf4`. */
export const TFJS_QUANTIZE_OPTIONS = {
  blockSize: {
    rule: integer({ min: 32, max: 4096 }),
    default: NF4_BLOCK_SIZE,
    help: 'elements that share a scale: a power of two',
  },
  doubleQuantization: { rule: boolean, otherwise: 'true', help: 'keep the scales in 8 bits' },
} as const satisfies OptionTable<TfjsQuantizeOptions>

/** Options of `ops.toTensor`. */
export interface ToTensorOptions {
  /**
   * What floats are rounded to.
   * @default 'float32'
   */
  dtype?: ComputeDType
}

/** The options of `ops.toTensor`. */
export const TO_TENSOR_OPTIONS = {
  dtype: { rule: oneOf(COMPUTE_DTYPES), default: 'float32', help: 'what floats are rounded to' },
} as const satisfies OptionTable<ToTensorOptions>

/** Options of `ops.loraLinear`. */
export interface LoraLinearOptions<T extends TfTensor = TfTensor> {
  /**
   * What the product of the factors is multiplied by: `loraAlpha / r`, with rank-stabilised LoRA `loraAlpha / sqrt(r)`.
   * @default 1
   */
  scale?: number
  /**
   * Added to every row, [O].
   * @default none
   */
  bias?: T
  /**
   * Give no gradient to a dense weight, which saves the time that it takes. One in NF4 never has one.
   * @default false
   */
  frozenWeight?: boolean
}

/** The options of `ops.loraLinear`. */
export const LORA_LINEAR_OPTIONS = {
  scale: { rule: float32({}), otherwise: '1', help: 'what the product of the factors is multiplied by' },
  bias: {
    rule: instance('a tensor of TensorFlow.js', isTfTensor),
    otherwise: 'none',
    help: 'added to every row, [O]',
  },
  frozenWeight: { rule: boolean, default: false, help: 'give no gradient to a dense weight' },
} as const satisfies OptionTable<LoraLinearOptions>

/** Whether a value has what is used of tensors. */
export function isTfTensor(value: unknown): value is TfTensor {
  const tensor = value as Partial<TfTensor> | null | undefined
  return typeof tensor?.dataSync === 'function' && Array.isArray(tensor.shape) && typeof tensor.dtype === 'string'
}
