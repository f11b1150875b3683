// gemm for a handful of rows (decoding): B is read once, as it is in memory, because packing it would cost more than the
// product. A straight B is swept along its columns, a transposed one is a dot product per row.
//
// Roof: the bytes of B. The order of a sum differs from the tiles' (lanes run along k when B is transposed).
#pragma once

#include "gemm.h"
#include "nf4.h"

namespace lowrank::cpu::LOWRANK_ISA {

inline constexpr int64_t kFewRows = 4;
inline constexpr int64_t kFewRowsColumns = 64;  // per task
inline constexpr int64_t kFewRowsDepth = 1024;  // elements of k whose A is widened at a time

// sums[row][column] += dot(a row, b row), b's rows being the columns of the product.
template <int kRows, class T>
static void dotRows(const float* a, const T* b, int64_t stride, int64_t k, int64_t columns, float* sums) {
  for (int64_t column = 0; column < columns; column += 4) {
    const int64_t count = minOf(4, columns - column);
    const T* rows[4];
    for (int64_t j = 0; j < 4; ++j) rows[j] = b + (column + minOf(j, count - 1)) * stride;
    Vec partial[kRows][4] = {};
    forLanes(k, [&](int64_t at, int lanes) {
      Vec weights[4];
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) weights[j] = loadLanes(rows[j] + at, lanes);
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        const Vec x = load(a + i * kFewRowsDepth + at);  // zeros after k
#pragma GCC unroll 4
        for (int j = 0; j < 4; ++j) partial[i][j] = fma(x, weights[j], partial[i][j]);
      }
    });
    for (int i = 0; i < kRows; ++i) {
      for (int64_t j = 0; j < count; ++j) sums[i * kFewRowsColumns + column + j] += reduceAdd(partial[i][j]);
    }
  }
}

// sums[row][column] += sum over k of a[row][k] * b[k][column]
template <int kRows, class T>
static void sweepColumns(const float* a, const T* b, int64_t stride, int64_t k, int64_t columns, float* sums) {
  constexpr int kWide = 4;
  for (int64_t column = 0; column < columns; column += kWide * kLanes) {
    Vec partial[kRows][kWide];
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < kWide; ++j) partial[i][j] = load(sums + i * kFewRowsColumns + column + j * kLanes);
    }
    const bool whole = column + kWide * kLanes <= columns;
    for (int64_t step = 0; step < k; ++step) {
      const T* row = b + step * stride + column;
      Vec weights[kWide];
      if (whole) {
#pragma GCC unroll 4
        for (int j = 0; j < kWide; ++j) weights[j] = load(row + j * kLanes);
      } else {
        for (int j = 0; j < kWide; ++j) {
          const int64_t left = columns - column - j * kLanes;
          weights[j] = load(row + j * kLanes, left < 0 ? 0 : minOf(left, kLanes));
        }
      }
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        const Vec x = splat(a[i * kFewRowsDepth + step]);
#pragma GCC unroll 4
        for (int j = 0; j < kWide; ++j) partial[i][j] = fma(x, weights[j], partial[i][j]);
      }
    }
    for (int i = 0; i < kRows; ++i) {
      for (int j = 0; j < kWide; ++j) store(sums + i * kFewRowsColumns + column + j * kLanes, partial[i][j]);
    }
  }
}

// NF4 of any shape: dequantised into a small buffer, which is multiplied as a dense operand is.
template <int kRows, class T>
static void multiplyNf4Runs(const float* a, const GemmOperand& b, int64_t first, int64_t k, int64_t column,
                            int64_t columns, float* sums) {
  const Nf4Reader from = readerOf(*b.nf4);
  T values[4 * kFewRowsDepth];
  if (b.transposed) {
    for (int64_t j = 0; j < columns; j += 4) {
      const int64_t count = minOf(4, columns - j);
      for (int64_t i = 0; i < count; ++i) {
        dequantizeRun(from, (column + j + i) * b.nf4->cols + first, k, values + i * kFewRowsDepth);
      }
      dotRows<kRows>(a, values, kFewRowsDepth, k, count, sums + j);
    }
  } else {
    constexpr int64_t kDepth = 4 * kFewRowsDepth / kFewRowsColumns;
    for (int64_t done = 0; done < k; done += kDepth) {
      const int64_t depth = minOf(kDepth, k - done);
      for (int64_t i = 0; i < depth; ++i) {
        dequantizeRun(from, (first + done + i) * b.nf4->cols + column, columns, values + i * kFewRowsColumns);
      }
      sweepColumns<kRows>(a + done, values, kFewRowsColumns, depth, columns, sums);
    }
  }
}

template <int kRows, class T>
LOWRANK_INLINE void multiplyFewRows(const float* a, const GemmOperand& b, int64_t first, int64_t k, int64_t column,
                                    int64_t columns, float* sums) {
  const T* from = static_cast<const T*>(b.data);
  if (b.nf4 != nullptr) {
    multiplyNf4Runs<kRows, T>(a, b, first, k, column, columns, sums);
  } else if (b.transposed) {
    dotRows<kRows>(a, from + column * b.stride + first, b.stride, k, columns, sums);
  } else {
    sweepColumns<kRows>(a, from + first * b.stride + column, b.stride, k, columns, sums);
  }
}

// sums[kFewRows][kFewRowsColumns] for the columns [column, column + columns) of a product whose A is straight in every term.
// `widened` holds kFewRows * kFewRowsDepth floats.
static void fewRows(const Gemm& product, int64_t column, int64_t columns, float* widened, float* sums) {
  __builtin_memset(sums, 0, sizeof(float) * kFewRows * kFewRowsColumns);
  for (int64_t t = 0; t < product.termCount; ++t) {
    const GemmTerm& term = product.terms[t];
    for (int64_t first = 0; first < term.k; first += kFewRowsDepth) {
      const int64_t k = minOf(kFewRowsDepth, term.k - first);
      for (int64_t i = 0; i < product.m; ++i) {
        const int64_t offset = i * term.a.stride + first;
        forLanes(k, [&](int64_t at, int lanes) {
          const Vec x = term.a.dtype == DType::kBFloat16
                            ? loadLanes(static_cast<const BFloat16*>(term.a.data) + offset + at, lanes)
                            : loadLanes(static_cast<const float*>(term.a.data) + offset + at, lanes);
          store(widened + i * kFewRowsDepth + at, x);
        });
      }
      const bool half = term.b.dtype == DType::kBFloat16;
      switch (product.m) {
        case 1:
          half ? multiplyFewRows<1, BFloat16>(widened, term.b, first, k, column, columns, sums)
               : multiplyFewRows<1, float>(widened, term.b, first, k, column, columns, sums);
          break;
        case 2:
          half ? multiplyFewRows<2, BFloat16>(widened, term.b, first, k, column, columns, sums)
               : multiplyFewRows<2, float>(widened, term.b, first, k, column, columns, sums);
          break;
        case 3:
          half ? multiplyFewRows<3, BFloat16>(widened, term.b, first, k, column, columns, sums)
               : multiplyFewRows<3, float>(widened, term.b, first, k, column, columns, sums);
          break;
        default:
          half ? multiplyFewRows<4, BFloat16>(widened, term.b, first, k, column, columns, sums)
               : multiplyFewRows<4, float>(widened, term.b, first, k, column, columns, sums);
      }
    }
  }
}

}  // namespace lowrank::cpu::LOWRANK_ISA
