// gemm for a handful of rows (decoding): B is read once, as it is in memory, because packing it would cost more than the
// product. A straight B is swept along its columns, a transposed one is a dot product per row; transposed NF4 in whole runs is looked up
// on the way, other NF4 goes through a small buffer.
//
// Roof: the bytes of B; for NF4 with AVX-512 also 8 cycles per 64 weights (four shifts, look-ups and multiply-adds, and four
// instructions that make the table, on two ports). The order of a sum differs from the tiles' (lanes run along k when B is transposed).
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
      for (int j = 0; j < 4; ++j) {
        weights[j] = loadLanes(rows[j] + at, lanes);
        __builtin_prefetch(rows[j] + 4 * stride + at, 0,
                           3);  // the row of the next four: half the time of a large matrix
      }
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

#if defined(__AVX2__)

// dotRows of NF4 in whole runs (nf4.h); a is in the order that the codes are looked up in.
template <int kRows, class T>
static void dotNf4Rows(const float* a, const Nf4& weight, int64_t first, int64_t k, int64_t column, int64_t columns,
                       float* sums) {
  const Nf4Reader from = readerOf(weight);
  const int64_t runs = k / kNf4Run, start = column * weight.cols + first;
  // All scales first: looking them up takes long, and nothing else of the task waits for it.
  float scales[kFewRowsColumns * kFewRowsDepth / kNf4Run + kLanes];
  bool plain = ordinaryCodes(from);
  if (k == weight.cols) {
    plain = readScales(from, start, columns * runs, scales) && plain;
  } else {
    for (int64_t j = 0; j < columns; ++j) {
      plain = readScales(from, start + j * weight.cols, runs, scales + j * runs) && plain;
    }
  }
  for (int64_t j = 0; j < columns; j += 4) {
    const int64_t count = minOf(4, columns - j);
    const uint8_t* codes[4];
    const float* scale[4];
    for (int i = 0; i < 4; ++i) {
      const int64_t row = j + minOf(i, count - 1);
      codes[i] = from.packed + (start + row * weight.cols) / 2;
      scale[i] = scales + row * runs;
    }
    Vec partial[kRows][4] = {};
    for (int64_t run = 0; run < runs; ++run) {
      Nf4Table tables[4];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
        tables[i] = plain ? makeOrdinaryTable<T>(from, scale[i][run]) : makeTable<T>(from, scale[i][run]);
        __builtin_prefetch(codes[i] + 4 * weight.cols, 0, 3);  // eight rows on
      }
#pragma GCC unroll 8
      for (int64_t at = 0; at < kNf4Run; at += kLanes) {
        Vec weights[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) weights[i] = lookUpAnyOrder(codes[i] + at / 2, tables[i]);
#pragma GCC unroll 4
        for (int row = 0; row < kRows; ++row) {
          const Vec x = load(a + row * kFewRowsDepth + run * kNf4Run + at);
#pragma GCC unroll 4
          for (int i = 0; i < 4; ++i) partial[row][i] = fma(x, weights[i], partial[row][i]);
        }
      }
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) codes[i] += kNf4Run / 2;
    }
    for (int row = 0; row < kRows; ++row) {
      for (int64_t i = 0; i < count; ++i) sums[row * kFewRowsColumns + j + i] += reduceAddReordered(partial[row][i]);
    }
  }
}

#endif

// True where dotNf4Rows does the work.
LOWRANK_INLINE bool dotsNf4(const GemmOperand& b) {
  return b.nf4 != nullptr && b.transposed && looksUp(*b.nf4);
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
#if defined(__AVX2__)
  if (dotsNf4(b)) return dotNf4Rows<kRows, T>(a, *b.nf4, first, k, column, columns, sums);
#endif
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
    const bool reordered = dotsNf4(term.b);
    for (int64_t first = 0; first < term.k; first += kFewRowsDepth) {
      const int64_t k = minOf(kFewRowsDepth, term.k - first);
      for (int64_t i = 0; i < product.m; ++i) {
        const int64_t offset = i * term.a.stride + first;
        forLanes(k, [&](int64_t at, int lanes) {
          const Vec x = term.a.dtype == DType::kBFloat16
                            ? loadLanes(static_cast<const BFloat16*>(term.a.data) + offset + at, lanes)
                            : loadLanes(static_cast<const float*>(term.a.data) + offset + at, lanes);
          store(widened + i * kFewRowsDepth + at, reordered ? reorder(x) : x);
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
