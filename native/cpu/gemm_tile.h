// The inner loop of gemm: a tile of up to kTileRows x kPanel accumulators that never leaves the registers.
//
// Operands are streams of 32-bit words: one float, or with kDot two bfloat16 that are neighbours along k.
//   A: word (row, step) lies at a + row * rowBytes + step * stepBytes, which fits rows as they are in memory and packed
//      tiles
//   B: a packed panel [steps][NV * kLanes]
//   C: float32 sums, or what a product makes of them (TileResult). The sums stay in the registers from one term to the
//      next.
//
// | level      | tile    | accumulators | loads per multiply-add |
// | generic    | 4 x 8   |  8 of 16     | 6 / 8                  |
// | avx2       | 6 x 16  | 12 of 16     | 8 / 12                 |
// | avx512     | 12 x 32 | 24 of 32     | 14 / 24                |
// | avx512bf16 | 12 x 32 | 24 of 32     | 14 / 24, two products each with kDot |
#pragma once

#include "gemm.h"

namespace lowrank::cpu::LOWRANK_ISA {

#if defined(__AVX512F__)
inline constexpr int kTileRows = 12;
#elif defined(__AVX2__)
inline constexpr int kTileRows = 6;
#else
inline constexpr int kTileRows = 4;
#endif
inline constexpr int kTileVectors = 2;
inline constexpr int kPanel = kTileVectors * kLanes;
static_assert(kTileRows <= kLanes, "a packed step of a transposed A is one vector");
// A result of one vector's width has taller tiles: as many accumulators, so that a load of B serves more rows.
inline constexpr int kTallRows = 2 * kTileRows;

template <bool kDot>
LOWRANK_INLINE Vec multiplyAdd(const char* word, Vec b, Vec sum) {
#if defined(__AVX512BF16__)
  if constexpr (kDot) {
    int pair;
    __builtin_memcpy(&pair, word, sizeof pair);
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair)), reinterpret_cast<__m512bh>(b));
  }
#endif
  float value;
  __builtin_memcpy(&value, word, sizeof value);
  return fma(splat(value), b, sum);
}

// What one term gives a tile.
struct TileRun {
  const char* a;
  int64_t rowBytes;
  int64_t stepBytes;
  const float* b;
  int64_t steps;
};

// What becomes of a tile's sums: they are stored as they are, kPanel apart, or rounded into C of `product` at (row,
// column).
struct TileResult {
  float* sums;
  bool resume;          // start from the sums that are there
  const Gemm* product;  // nullptr: store the sums; else C is float32 or bfloat16, neither transposed nor added to
  int64_t row;
  int64_t column;
};

LOWRANK_INLINE Vec loadBias(const Gemm& product, int64_t column, int lanes) {
  Vec bias;
  withStorage(product.biasDType,
              [&]<class T>(T) { bias = loadLanes(static_cast<const T*>(product.bias) + column, lanes); });
  return bias;
}

// Rounds one vector of sums into C, which is not transposed.
LOWRANK_INLINE void finishVector(const Gemm& product, Vec sum, int64_t row, int64_t column, int lanes) {
  Vec value = sum * product.alpha;
  if (product.bias != nullptr) value += loadBias(product, column, lanes);
  withStorage(product.cDType, [&]<class T>(T) {
    T* to = static_cast<T*>(product.c) + row * product.cStride + column;
    if (product.accumulate) value += loadLanes(to, lanes);
    storeLanes(to, value, lanes);
  });
}

// sums += A B of one run.
template <bool kDot, int kRows, int kVectors>
LOWRANK_INLINE void addRun(const TileRun& run, Vec sums[kRows][kVectors]) {
  const char* a = run.a;
  const float* b = run.b;
  const int64_t rowBytes = run.rowBytes, stepBytes = run.stepBytes, steps = run.steps;
  // One pointer per four rows: base + {0, 1, 2, 3} * rowBytes are addresses that cost no instruction.
  const char* rows[(kRows + 3) / 4];
  for (int i = 0; i < (kRows + 3) / 4; ++i) rows[i] = a + 4 * i * rowBytes;
  const int64_t rowBytes3 = 3 * rowBytes;
  for (int64_t step = 0; step < steps; ++step) {
    Vec columns[kVectors];
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) columns[j] = load(b + j * kLanes);
#pragma GCC unroll 24
    for (int i = 0; i < kRows; ++i) {
      const char* word = rows[i / 4] + (i % 4 == 3 ? rowBytes3 : i % 4 * rowBytes);
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sums[i][j] = multiplyAdd<kDot>(word, columns[j], sums[i][j]);
    }
    // A line of the next tile's rows per step, in the order in which they will be read: 5 % of the rate on Intel with
    // 24 sums to hide it behind, a loss with fewer.
    if constexpr (kLanes == 16)
      __builtin_prefetch(a + (kRows + (step & 15)) * rowBytes + (step & ~int64_t{15}) * 4, 0, 2);
    b += kVectors * kLanes;
#pragma GCC unroll 6
    for (int i = 0; i < (kRows + 3) / 4; ++i) rows[i] += stepBytes;
  }
}

template <int kRows, int kVectors>
LOWRANK_INLINE void startSums(const float* from, bool resume, Vec sums[kRows][kVectors]) {
#pragma GCC unroll 24
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) sums[i][j] = resume ? load(from + i * kPanel + j * kLanes) : zero();
  }
}

template <int kRows, int kVectors, class T>
LOWRANK_INLINE void storeSums(const Vec sums[kRows][kVectors], T* to, int64_t pitch) {
#pragma GCC unroll 24
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVectors; ++j) store(to + i * pitch + j * kLanes, sums[i][j]);
  }
}

// to[row][kPanel] (+)= the product of one run.
template <bool kDot, int kRows, int kVectors>
static void sumTile(const char* a, int64_t rowBytes, int64_t stepBytes, const float* b, int64_t steps, float* to,
                    bool resume) {
  Vec sums[kRows][kVectors];
  startSums<kRows, kVectors>(to, resume, sums);
  addRun<kDot, kRows, kVectors>(TileRun{a, rowBytes, stepBytes, b, steps}, sums);
  storeSums<kRows, kVectors>(sums, to, kPanel);
}

template <bool kDot, int kRows, int kVectors>
static void tile(const TileRun* runs, int64_t count, const TileResult& result) {
  Vec sums[kRows][kVectors];
  startSums<kRows, kVectors>(result.sums, result.resume, sums);
  for (int64_t run = 0; run < count; ++run) addRun<kDot, kRows, kVectors>(runs[run], sums);
  // finishVector() for all of them, each question asked once.
  float* to = result.sums;
  int64_t pitch = kPanel;
  if (const Gemm* product = result.product) {
    Vec bias[kVectors] = {};
    for (int j = 0; j < kVectors && product->bias != nullptr; ++j) {
      bias[j] = loadBias(*product, result.column + j * kLanes, kLanes);
    }
    const Vec alpha = splat(product->alpha);
#pragma GCC unroll 24
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) sums[i][j] = sums[i][j] * alpha;
    }
    if (product->bias != nullptr) {
#pragma GCC unroll 24
      for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) sums[i][j] = sums[i][j] + bias[j];
      }
    }
    pitch = product->cStride;
    const int64_t offset = result.row * pitch + result.column;
    if (product->cDType == DType::kBFloat16) {
      return storeSums<kRows, kVectors>(sums, static_cast<BFloat16*>(product->c) + offset, pitch);
    }
    to = static_cast<float*>(product->c) + offset;
  }
  storeSums<kRows, kVectors>(sums, to, pitch);
}

using TileFunction = void (*)(const TileRun*, int64_t, const TileResult&);
using SumTileFunction = void (*)(const char*, int64_t, int64_t, const float*, int64_t, float*, bool);

template <bool kDot, int kVectors, int kRows>
LOWRANK_INLINE TileFunction tileOfRows(int64_t rows) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return tileOfRows<kDot, kVectors, kRows - 1>(rows);
  }
  return tile<kDot, kRows, kVectors>;
}

// rows in [1, kTileRows], or up to kTallRows where vectors is 1; vectors in [1, kTileVectors]
template <bool kDot>
LOWRANK_INLINE TileFunction tileFor(int64_t rows, int64_t vectors) {
  return vectors == 1 ? tileOfRows<kDot, 1, kTallRows>(rows) : tileOfRows<kDot, 2, kTileRows>(rows);
}

template <bool kDot, int kVectors, int kRows>
LOWRANK_INLINE SumTileFunction sumTileOfRows(int64_t rows) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return sumTileOfRows<kDot, kVectors, kRows - 1>(rows);
  }
  return sumTile<kDot, kRows, kVectors>;
}

// rows in [1, kTileRows], vectors in [1, kTileVectors]
template <bool kDot>
LOWRANK_INLINE SumTileFunction sumTileFor(int64_t rows, int64_t vectors) {
  return vectors == 1 ? sumTileOfRows<kDot, 1, kTileRows>(rows) : sumTileOfRows<kDot, 2, kTileRows>(rows);
}

}  // namespace lowrank::cpu::LOWRANK_ISA
