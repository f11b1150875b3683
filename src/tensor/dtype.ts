/** @file Element types: their names, sizes and numbers on the wire to the native engine. */

/** Element types of tensors. Activations are float32, bfloat16 or float16; ids are int32. */
export type DType = 'float32' | 'bfloat16' | 'float16' | 'int32' | 'uint8'

/** The dtypes that models compute in. */
export const COMPUTE_DTYPES = ['float32', 'bfloat16', 'float16'] as const
export type ComputeDType = (typeof COMPUTE_DTYPES)[number]

export function isComputeDType(value: unknown): value is ComputeDType {
  return (COMPUTE_DTYPES as readonly unknown[]).includes(value)
}

const WIRE: Record<DType, number> = { float32: 0, bfloat16: 1, float16: 2, int32: 3, uint8: 4 }
const BYTES: Record<DType, number> = { float32: 4, bfloat16: 2, float16: 2, int32: 4, uint8: 1 }

/** The number of `dtype` in native code (native/core/tensor.h). */
export function dtypeCode(dtype: DType): number {
  return WIRE[dtype]
}

/** Bytes per element. */
export function dtypeBytes(dtype: DType): number {
  return BYTES[dtype]
}
