// Reading NF4 storage (Nf4 in ops.h): the scale of a block, its table of sixteen weights, and runs of elements.
#pragma once

#include "kernels.h"

namespace lowrank::cpu::LOWRANK_ISA {

inline constexpr int kCodes = 16;

LOWRANK_INLINE int log2Of(int32_t powerOfTwo) {
  return __builtin_ctz(static_cast<uint32_t>(powerOfTwo));
}

// The scale of a block. Product and sum are rounded apart, as they were when the absmax was quantised.
LOWRANK_INLINE float scaleOf(const Nf4& weight, int64_t block) {
  if (!present(weight.nestedAbsmax)) return static_cast<const float*>(weight.absmax.data)[block];
  const uint8_t code = static_cast<const uint8_t*>(weight.absmax.data)[block];
  const float product = static_cast<const float*>(weight.nestedCode.data)[code] *
                        static_cast<const float*>(weight.nestedAbsmax.data)[block >> log2Of(weight.nestedBlockSize)];
  return product + *static_cast<const float*>(weight.offset.data);
}

// table[q] = code[q] * scale, rounded to T.
template <class T>
LOWRANK_INLINE void makeTable(const Nf4& weight, float scale, T table[kCodes]) {
  const float* code = static_cast<const float*>(weight.code.data);
  for (int q = 0; q < kCodes; q += kLanes) store(table + q, load(code + q) * scale);
}

// Elements [first, first + count) in storage order, wherever blocks begin.
template <class T>
static void dequantizeRun(const Nf4& weight, int64_t first, int64_t count, T* to) {
  const uint8_t* packed = static_cast<const uint8_t*>(weight.packed.data);
  const int shift = log2Of(weight.blockSize);
  const int64_t end = first + count;
  T table[kCodes];
  while (first < end) {
    makeTable(weight, scaleOf(weight, first >> shift), table);
    const int64_t stop = minOf(end, ((first >> shift) + 1) << shift);
    for (; first < stop; ++first) *to++ = table[first % 2 == 0 ? packed[first / 2] >> 4 : packed[first / 2] & 15];
  }
}

}  // namespace lowrank::cpu::LOWRANK_ISA
