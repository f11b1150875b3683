// NF4 operands of gemm: dequantised while a panel of B is packed, forward (transposed, rows along k) and for dX (straight) from the
// same storage. The words are those that packPanel makes of the dequantised matrix.
#pragma once

#include "gemm_pack.h"
#include "nf4.h"

namespace lowrank::cpu::LOWRANK_ISA {

inline constexpr int64_t kNf4Depth = 64;  // elements of k that are dequantised at a time

// Any shape, any blocks: runs of rows are dequantised into a small buffer, which is packed as a dense operand is.
template <bool kDot, class T>
static void packNf4Runs(const GemmOperand& b, int64_t first, int64_t k, int64_t column, int64_t columns, float* to,
                        int64_t vectors) {
  T values[kNf4Depth * kPanel];
  for (int64_t done = 0; done < k; done += kNf4Depth) {
    const int64_t depth = minOf(kNf4Depth, k - done);
    float* words = to + done / kWordDepth<kDot> * vectors * kLanes;
    if (b.transposed) {
      for (int64_t j = 0; j < columns; ++j) {
        dequantizeRun(*b.nf4, (column + j) * b.nf4->cols + first + done, depth, values + j * kNf4Depth);
      }
      packTransposed<kDot>(values, kNf4Depth, columns, depth, words, vectors);
    } else {
      for (int64_t i = 0; i < depth; ++i) {
        dequantizeRun(*b.nf4, (first + done + i) * b.nf4->cols + column, columns, values + i * kPanel);
      }
      packStraight<kDot>(values, kPanel, columns, depth, words, vectors);
    }
  }
}

// A panel of B: columns [column, column + columns) and k elements from `first` on.
template <bool kDot>
LOWRANK_INLINE void packPanel(const GemmOperand& b, int64_t first, int64_t k, int64_t column, int64_t columns,
                              float* to, int64_t vectors) {
  if (b.nf4 == nullptr) return packDense<kDot>(b, first, k, column, columns, to, vectors);
  if (b.dtype == DType::kBFloat16) return packNf4Runs<kDot, BFloat16>(b, first, k, column, columns, to, vectors);
  if constexpr (!kDot) packNf4Runs<false, float>(b, first, k, column, columns, to, vectors);
}

}  // namespace lowrank::cpu::LOWRANK_ISA
