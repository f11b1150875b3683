// Reading NF4 storage (Nf4 in ops.h) on the device.
#pragma once

#include "kernels.h"

namespace lowrank::LOWRANK_BACKEND {

inline constexpr int kNf4Codes = 16;

// The pointers of an Nf4, and where blocks begin.
struct Nf4Reader {
  const uint8_t* packed;
  const float* code;
  const float* absmax;  // nullptr when double quantised
  const uint8_t* absmaxCodes;
  const float* nestedAbsmax;
  const float* nestedCode;
  const float* offset;
  int64_t cols;
  int32_t shift;  // log2 of the block size
  int32_t nestedShift;
  // Eight elements from a multiple of eight on lie in one row, in one block and in four bytes that are aligned.
  bool vectors;
};

inline Nf4Reader readerOf(const Nf4& weight) {
  const bool nested = present(weight.nestedAbsmax);
  return Nf4Reader{static_cast<const uint8_t*>(weight.packed.data),
                   static_cast<const float*>(weight.code.data),
                   nested ? nullptr : static_cast<const float*>(weight.absmax.data),
                   static_cast<const uint8_t*>(weight.absmax.data),
                   static_cast<const float*>(weight.nestedAbsmax.data),
                   static_cast<const float*>(weight.nestedCode.data),
                   static_cast<const float*>(weight.offset.data),
                   weight.cols,
                   __builtin_ctz(static_cast<unsigned>(weight.blockSize)),
                   nested ? __builtin_ctz(static_cast<unsigned>(weight.nestedBlockSize)) : 0,
                   weight.cols % 8 == 0 && reinterpret_cast<uintptr_t>(weight.packed.data) % 4 == 0};
}

// The scale of a block. Product and sum are rounded apart, as they were when the scale was quantised.
__device__ __forceinline__ float scaleOf(const Nf4Reader& from, int64_t block) {
  if (from.absmax != nullptr) return from.absmax[block];
  const float product =
      multiply(from.nestedCode[from.absmaxCodes[block]], from.nestedAbsmax[block >> from.nestedShift]);
  return product + *from.offset;
}

// Element `element` in storage order, rounded to T. `code` is the table, in shared memory.
template <class T>
__device__ __forceinline__ T elementOf(const Nf4Reader& from, const float* code, int64_t element) {
  const uint32_t byte = from.packed[element / 2];
  const float value = code[element % 2 == 0 ? byte >> 4 : byte & 15];
  return fromFloat<T>(value * scaleOf(from, element >> from.shift));
}

// The eight elements from `element` on, a multiple of eight, where from.vectors.
template <class T>
__device__ __forceinline__ void eightOf(const Nf4Reader& from, const float* code, int64_t element, T (&values)[8]) {
  const uint32_t bytes = loadVector<uint32_t>(from.packed + element / 2);
  const float scale = scaleOf(from, element >> from.shift);
  LOWRANK_UNROLL for (int i = 0; i < 8; ++i) {
    const uint32_t index = bytes >> (8 * (i / 2) + (i % 2 == 0 ? 4 : 0)) & 15;
    values[i] = fromFloat<T>(code[index] * scale);
  }
}

// y = rows [firstRow, + y.rows) and columns [firstCol, + y.cols) of the weight, in y's dtype.
void dequantize(const Nf4& nf4, int64_t firstRow, int64_t firstCol, const Tensor& y, Queue& queue);

}  // namespace lowrank::LOWRANK_BACKEND
