// From the sums of a block on tensor cores to its tile of C, by way of shared memory: threads have sums of scattered
// elements, C wants whole runs of a row. What each element needs (bias, addend, another dtype) is decided in a loop
// that stays small: unrolled over the sums that a thread has in registers it would be more code than the caches of
// instructions hold, and take longer than the product.
#pragma once

#include "gemm_kernels.h"
#include "pointwise.cuh"

namespace lowrank::LOWRANK_BACKEND {

inline constexpr int kTileRun = 8;

// Eight more floats than columns: two by two, the sums of eight rows lie in all banks.
template <int kCols>
inline constexpr int kTilePitch = kCols + 8;
template <int kRows, int kCols>
inline constexpr int kTileBytes = kRows * kTilePitch<kCols> * 4;

// Stages the sums of two neighbours.
template <int kCols>
__device__ __forceinline__ void stageSums(float* tile, int row, int col, float first, float second) {
  storeVector(tile + row * kTilePitch<kCols> + col, float2{first, second});
}

// The first `count` values of a run; in pieces of 16 bytes when they are all of it and `whole`.
template <class T>
__device__ __forceinline__ void storePart(T* to, const float (&values)[kTileRun], int32_t count, bool whole) {
  if (whole && count == kTileRun) return storeRun(to, values);
  LOWRANK_UNROLL for (int e = 0; e < kTileRun; ++e) {
    if (e < count) to[e] = fromFloat<T>(values[e]);
  }
}

// Rows [firstRow, + kRows) and columns [firstCol, + kCols) of C or of a split's partial sums; all threads call it when
// all sums are staged.
template <class T, int kRows, int kCols, int kThreads>
__device__ __forceinline__ void storeTile(const ProductArguments& product, int32_t split, int32_t firstRow,
                                          int32_t firstCol, const float* tile) {
  constexpr int kRuns = kCols / kTileRun;
  const int32_t m = product.m, n = product.n;
  const bool partial = product.splits > 1, floatC = product.floatC, runs = product.runs;
  float* const partials = product.partials + (partial ? static_cast<int64_t>(split) * m * n : 0);
  const T* const bias = static_cast<const T*>(product.bias);
  const float* const addend = product.addend;
  const float alpha = product.alpha;
  LOWRANK_ROLLED for (int i = static_cast<int>(threadIdx.x); i < kRows * kRuns; i += kThreads) {
    const int row = i / kRuns, col = i % kRuns * kTileRun;
    const int32_t r = firstRow + row, c = firstCol + col;
    if (r >= m || c >= n) continue;
    float values[kTileRun];
    loadRun(tile + row * kTilePitch<kCols> + col, values);
    const int32_t count = n - c < kTileRun ? n - c : kTileRun;
    if (partial) {
      storePart(partials + static_cast<int64_t>(r) * n + c, values, count, n % 4 == 0);
      continue;
    }
    LOWRANK_UNROLL for (int e = 0; e < kTileRun; ++e) values[e] *= alpha;
    if (bias != nullptr) {
      LOWRANK_UNROLL for (int e = 0; e < kTileRun; ++e) {
        if (e < count) values[e] += toFloat(bias[c + e]);
      }
    }
    if (addend != nullptr) {
      const float* const from = addend + static_cast<int64_t>(r) * product.addendStride + c;
      LOWRANK_UNROLL for (int e = 0; e < kTileRun; ++e) {
        if (e < count) values[e] += from[e];
      }
    }
    const int64_t at = static_cast<int64_t>(r) * product.cStride + c;
    if (floatC) {
      storePart(static_cast<float*>(product.c) + at, values, count, runs);
    } else {
      storePart(static_cast<T*>(product.c) + at, values, count, runs);
    }
  }
}

}  // namespace lowrank::LOWRANK_BACKEND
