/** @file The public API of `lowrank/tfjs`; re-exports alone. */
/// <reference types="node" preserve="true" />

export { type ErrorCode, type ErrorDetails, LowrankError } from './lowrank-error.js'
export type { EmulatorOptions, Field, MemoryHolders, MemoryInfo, NativeStream, OpTimes } from './tensor/addon.js'
export {
  type CommandList,
  type ConstantArguments,
  Device,
  type DeviceName,
  type DeviceOptions,
  type OpArgument,
  type OpArguments,
  type View,
} from './tensor/device.js'
export type { ComputeDType, DType } from './tensor/dtype.js'
export type { Nf4Weight } from './tensor/nf4.js'
export { type GraphEdge, type Recompute, Tensor } from './tensor/tensor.js'
export type { LoraLinearOptions, TfjsOptions, TfjsQuantizeOptions, ToTensorOptions } from './tfjs/options.js'
export type { Tf, TfDifferentiable, TfSave, TfTensor } from './tfjs/tf.js'
export { createTfjsOps, type TfjsOps } from './tfjs/tfjs-ops.js'
