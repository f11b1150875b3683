// NF4 operands of gemm: dequantised while a panel of B is packed, forward (transposed, rows along k) and for dX
// (straight) from the same storage. The words are those that packDense makes of the dequantised matrix.
//
// The fast way, for rows of whole runs that no block divides (nf4.h): the sixteen weights of a block, rounded to the
// dtype that B is read as, lie in one or two registers, and codes are looked up there. With AVX-512 that is a load that
// broadcasts them, a shift by lanes, and vpermps, which reads the low four bits of a lane: as much as widening
// bfloat16; with bfloat16 dot products vpermw looks 32 up at once. The words' order, where it is not theirs in the row,
// is put right by the transposition, for nothing. Anything else goes through a small dense buffer.
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

// Transposed: a run of each of kLanes rows of W at a time, kLanes elements of it per transposition.
template <class T>
static void packNf4Transposed(const Nf4& weight, int64_t first, int64_t k, int64_t column, int64_t columns, float* to,
                              int64_t vectors) {
  const Nf4Reader from = readerOf(weight);
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
      float* out = to + run * kNf4Run * vectors * kLanes + j * kLanes;
      for (int64_t block = 0; block < kNf4Run / kLanes; ++block) {
        Vec words[kLanes];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) words[i] = lookUpAnyOrder(codes[i] + block * kLanes / 2, tables[i]);
        transpose(words);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) store(out + (block * kLanes + columnOf(i)) * vectors * kLanes, words[i]);
      }
    }
  }
}

// Straight: a row of W is a step of k, and its kPanel columns lie in one run.
template <class T>
static void packNf4Straight(const Nf4& weight, int64_t first, int64_t k, int64_t column, float* to) {
  const Nf4Reader from = readerOf(weight);
  for (int64_t step = 0; step < k; ++step, to += kPanel) {
    const int64_t element = (first + step) * weight.cols + column;
    const Nf4Table table = makeTable<T>(from, scaleOf(from, element >> from.shift));
#pragma GCC unroll 4
    for (int j = 0; j < kTileVectors; ++j) {
      store(to + j * kLanes, lookUpRow(from.packed + element / 2 + j * kLanes / 2, table));
    }
  }
}

#endif

#if defined(__AVX512BF16__)

inline constexpr int64_t kNf4PackRuns = 32;  // of a row, at most: what gemm packs at a time

// The same for pairs of bfloat16.
static void packNf4TransposedPairs(const Nf4& weight, int64_t first, int64_t k, int64_t column, int64_t columns,
                                   float* to, int64_t vectors) {
  const Nf4Reader from = readerOf(weight);
  const Vec code = load(from.code);
  const int64_t runs = k / kNf4Run;
  float scales[kPanel * kNf4PackRuns + kLanes];
  readRowScales(from, weight, column, columns, first, runs, scales);
  for (int64_t j = 0; j < vectors; ++j) {
    const int64_t rows = minOf(kLanes, columns - j * kLanes);
    for (int64_t run = 0; run < runs; ++run) {
      __m512i tables[kLanes];
      const uint8_t* codes[kLanes];
      for (int i = 0; i < kLanes; ++i) {
        const int64_t row = j * kLanes + minOf(i, rows - 1);
        tables[i] = pairTable(code, scales[row * runs + run]);
        codes[i] = from.packed + ((column + row) * weight.cols + first) / 2 + run * kNf4Run / 2;
        __builtin_prefetch(codes[i] + kLanes * weight.cols / 2, 0, 2);
      }
      float* out = to + run * kNf4Run / 2 * vectors * kLanes + j * kLanes;
      for (int64_t block = 0; block < 2; ++block, out += kLanes * vectors * kLanes) {
        Vec words[kLanes];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) words[i] = _mm512_castsi512_ps(lookUpPairs(codes[i] + block * 16, tables[i]));
        transpose(words);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) store(out + i * vectors * kLanes, words[i]);
      }
    }
  }
}

static void packNf4StraightPairs(const Nf4& weight, int64_t first, int64_t k, int64_t column, float* to) {
  static_assert(kPanel == 32);
  const Nf4Reader from = readerOf(weight);
  const Vec code = load(from.code);
  const auto row = [&](int64_t step) {
    const int64_t element = (first + step) * weight.cols + column;
    return lookUpPairs(from.packed + element / 2, pairTable(code, scaleOf(from, element >> from.shift)));
  };
  // Words 0, 32, 1, 33, ... of two rows: pairs of one column.
  const __m512i lane = reinterpret_cast<__m512i>(laneIndex());
  const __m512i low = _mm512_or_si512(lane, _mm512_slli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(32)), 16));
  const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
  for (int64_t step = 0; step < k; step += 2, to += kPanel) {
    const __m512i values = row(step), next = step + 1 < k ? row(step + 1) : _mm512_setzero_si512();
    _mm512_storeu_si512(to, _mm512_permutex2var_epi16(values, low, next));
    _mm512_storeu_si512(to + kLanes, _mm512_permutex2var_epi16(values, high, next));
  }
}

#endif

template <bool kDot, class T>
LOWRANK_INLINE void packNf4(const GemmOperand& b, int64_t first, int64_t k, int64_t column, int64_t columns, float* to,
                            int64_t vectors) {
#if defined(__AVX512BF16__)
  if (kDot && looksUp(*b.nf4)) {
    if (!b.transposed) return packNf4StraightPairs(*b.nf4, first, k, column, to);
    return packNf4TransposedPairs(*b.nf4, first, k, column, columns, to, vectors);
  }
#endif
#if defined(__AVX2__)
  if (!kDot && looksUp(*b.nf4)) {
    if (!b.transposed) return packNf4Straight<T>(*b.nf4, first, k, column, to);
    return packNf4Transposed<T>(*b.nf4, first, k, column, columns, to, vectors);
  }
#endif
  packNf4Runs<kDot, T>(b, first, k, column, columns, to, vectors);
}

// A panel of B: columns [column, column + columns) and k elements from `first` on.
template <bool kDot>
LOWRANK_INLINE void packPanel(const GemmOperand& b, int64_t first, int64_t k, int64_t column, int64_t columns,
                              float* to, int64_t vectors) {
  if (b.nf4 == nullptr) return packDense<kDot>(b, first, k, column, columns, to, vectors);
  if constexpr (kDot) {
    packNf4<kDot, BFloat16>(b, first, k, column, columns, to, vectors);
  } else {
    withStorage(b.dtype, [&]<class T>(T) { packNf4<kDot, T>(b, first, k, column, columns, to, vectors); });
  }
}

}  // namespace lowrank::cpu::LOWRANK_ISA
