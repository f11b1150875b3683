// NF4 operands of gemm: dequantised while a panel of B is packed, forward (transposed, rows along k) and for dX (straight) from the
// same storage. The words are those that packDense makes of the dequantised matrix.
//
// The fast way, for rows of whole runs that no block divides (nf4.h): the sixteen weights of a block, rounded to the dtype that B is
// read as, lie in one or two registers, and codes are looked up there. With AVX-512 that is a load that broadcasts them, a shift by
// lanes, and vpermps, which reads the low four bits of a lane: as much as widening bfloat16. The words' order, where it is not
// theirs in the row, is put right by the transposition, for nothing. Anything else goes through a small dense buffer.
#pragma once

#include "gemm_pack.h"
#include "nf4.h"

namespace lowrank::cpu::LOWRANK_ISA {

inline constexpr int64_t kNf4Depth = 64;  // elements of k that are dequantised at a time

// Any shape, any blocks: runs of rows are dequantised into a small buffer, which is packed as a dense operand is.
template <bool kDot, class T>
static void packNf4Runs(const GemmOperand& b, int64_t first, int64_t k, int64_t column, int64_t columns, float* to,
                        int64_t vectors) {
  const Nf4Reader from = readerOf(*b.nf4);
  T values[kNf4Depth * kPanel];
  for (int64_t done = 0; done < k; done += kNf4Depth) {
    const int64_t depth = minOf(kNf4Depth, k - done);
    float* words = to + done / kWordDepth<kDot> * vectors * kLanes;
    if (b.transposed) {
      for (int64_t j = 0; j < columns; ++j) {
        dequantizeRun(from, (column + j) * b.nf4->cols + first + done, depth, values + j * kNf4Depth);
      }
      packTransposed<kDot>(values, kNf4Depth, columns, depth, words, vectors);
    } else {
      for (int64_t i = 0; i < depth; ++i) {
        dequantizeRun(from, (first + done + i) * b.nf4->cols + column, columns, values + i * kPanel);
      }
      packStraight<kDot>(values, kPanel, columns, depth, words, vectors);
    }
  }
}

#if defined(__AVX2__)

// Words of `values` and the step after it: a pair with kDot.
LOWRANK_INLINE Vec pairUp(Vec values, Vec next) {
  return reinterpret_cast<Vec>((reinterpret_cast<UintVec>(values) >> 16) | reinterpret_cast<UintVec>(next));
}

// Lane l of words holds the word wordOf(l) of kLanes neighbours along k.
template <bool kDot>
LOWRANK_INLINE int wordOf(int lane) {
  return kDot ? 4 * (lane & 3) + (lane >> 2) : columnOf(lane);
}
template <bool kDot>
LOWRANK_INLINE Vec wordsOf(const uint8_t* codes, const Nf4Table& table) {
#if defined(__AVX512F__)
  if constexpr (kDot) {
    const IntVec bytes =
        reinterpret_cast<IntVec>(_mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes))));
    const IntVec shift = laneIndex() >> 2 << 3;
    return pairUp(lookUp(bytes, shift + 4, table), lookUp(bytes, shift, table));
  }
#endif
  return lookUpAnyOrder(codes, table);
}

// Transposed: a run of each of kLanes rows of W at a time, kLanes words of it per transposition.
template <bool kDot, class T>
static void packNf4Transposed(const Nf4& weight, int64_t first, int64_t k, int64_t column, int64_t columns, float* to,
                              int64_t vectors) {
  const Nf4Reader from = readerOf(weight);
  constexpr int64_t kSteps = kNf4Run / kWordDepth<kDot>, kBytes = kLanes * kWordDepth<kDot> / 2;
  for (int64_t j = 0; j < vectors; ++j) {
    const int64_t rows = minOf(kLanes, columns - j * kLanes);
    for (int64_t run = 0; run * kNf4Run < k; ++run) {
      Nf4Table tables[kLanes];
      const uint8_t* codes[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        // The rows that a last panel lacks repeat one: nobody stores their columns of the product.
        const int64_t row = column + j * kLanes + minOf(i, rows - 1);
        const int64_t element = row * weight.cols + first + run * kNf4Run;
        tables[i] = makeTable<T>(from, scaleOf(from, element >> from.shift));
        codes[i] = from.packed + element / 2;
      }
      float* out = to + run * kSteps * vectors * kLanes + j * kLanes;
      for (int64_t block = 0; block < kSteps / kLanes; ++block) {
        Vec words[kLanes];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) words[i] = wordsOf<kDot>(codes[i] + block * kBytes, tables[i]);
        transpose(words);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) store(out + (block * kLanes + wordOf<kDot>(i)) * vectors * kLanes, words[i]);
      }
    }
  }
}

// Straight: a row of W is a step of k, and its kPanel columns lie in one run.
template <bool kDot, class T>
static void packNf4Straight(const Nf4& weight, int64_t first, int64_t k, int64_t column, float* to) {
  const Nf4Reader from = readerOf(weight);
  const auto row = [&](int64_t step, Vec values[kTileVectors]) {
    const int64_t element = (first + step) * weight.cols + column;
    const Nf4Table table = makeTable<T>(from, scaleOf(from, element >> from.shift));
#pragma GCC unroll 4
    for (int j = 0; j < kTileVectors; ++j) {
      values[j] = lookUpRow(from.packed + element / 2 + j * kLanes / 2, table);
    }
  };
  for (int64_t step = 0; step < k; step += kWordDepth<kDot>, to += kPanel) {
    Vec values[kTileVectors], next[kTileVectors] = {};
    row(step, values);
    if (kDot && step + 1 < k) row(step + 1, next);
    for (int j = 0; j < kTileVectors; ++j) store(to + j * kLanes, kDot ? pairUp(values[j], next[j]) : values[j]);
  }
}

#endif

template <bool kDot, class T>
LOWRANK_INLINE void packNf4(const GemmOperand& b, int64_t first, int64_t k, int64_t column, int64_t columns, float* to,
                            int64_t vectors) {
#if defined(__AVX2__)
  if (looksUp(*b.nf4)) {
    if (!b.transposed) return packNf4Straight<kDot, T>(*b.nf4, first, k, column, to);
    return packNf4Transposed<kDot, T>(*b.nf4, first, k, column, columns, to, vectors);
  }
#endif
  packNf4Runs<kDot, T>(b, first, k, column, columns, to, vectors);
}

// A panel of B: columns [column, column + columns) and k elements from `first` on.
template <bool kDot>
LOWRANK_INLINE void packPanel(const GemmOperand& b, int64_t first, int64_t k, int64_t column, int64_t columns,
                              float* to, int64_t vectors) {
  if (b.nf4 == nullptr) return packDense<kDot>(b, first, k, column, columns, to, vectors);
  if (b.dtype == DType::kBFloat16) return packNf4<kDot, BFloat16>(b, first, k, column, columns, to, vectors);
  if constexpr (!kDot) packNf4<false, float>(b, first, k, column, columns, to, vectors);
}

}  // namespace lowrank::cpu::LOWRANK_ISA
