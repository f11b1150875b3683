// gemm for a handful of rows (decoding): B is read once, as it is in memory, because packing it would cost more than
// the product. A straight B is swept along its columns, a transposed one is a dot product per row; transposed NF4 in
// whole runs is looked up on the way, other NF4 goes through a small buffer.
//
// With bfloat16 dot products a row of B is read from end to end, so that the processor's own prefetching keeps up, in
// runs of 64 elements: a word pairs elements 2i and 2i + 2 of a run, or 2i + 1 and 2i + 3, because that is how codes
// become words with the fewest instructions.
//
// Roof: the bytes of B; for NF4 also 8 cycles per 64 weights (four shifts, look-ups and multiply-adds, and four
// instructions that make the table, on two ports), 5 with dot products. The order of a sum differs from the tiles'
// (lanes run along k when B is transposed).
#pragma once

#include "gemm.h"
#include "nf4.h"

namespace lowrank::cpu::LOWRANK_ISA {

inline constexpr int64_t kFewRows = 4;          // that are few without being told so
inline constexpr int64_t kMostRows = 8;         // that are multiplied at a time
inline constexpr int64_t kFewRowsColumns = 64;  // per task
inline constexpr int64_t kFewRowsDepth = 1024;  // elements of k whose A is widened at a time
inline constexpr int64_t kDotDepth = 8192;      // or, for dot products, put in order
// Floats that fewRows() needs to work in.
inline constexpr int64_t kFewRowsWords = kMostRows * (kHasDot ? kDotDepth / 2 : kFewRowsDepth);

// A number of rows as a type.
template <int kRows>
struct Rows {};

// body(Rows<n>{}) for n rows, or the next number that has kernels: the sums of those that are not there are not used.
template <class Body>
LOWRANK_INLINE void withRowCount(int64_t rows, const Body& body) {
  switch (rows) {
    case 1:
      return body(Rows<1>{});
    case 2:
      return body(Rows<2>{});
    case 3:
      return body(Rows<3>{});
    case 4:
      return body(Rows<4>{});
    case 5:
    case 6:
      return body(Rows<6>{});
    default:
      return body(Rows<8>{});
  }
}

// Columns that are summed side by side: enough sums to hide the latency of a multiply-add, and that fit the registers.
// A sum's bits do not depend on it.
template <int kRows>
inline constexpr int kColumnsBeside = kRows <= 2   ? 4
                                      : kRows <= 4 ? 2
                                                   : 1;

// sums[row][column] += dot(a row, b row), b's rows being the columns of the product.
template <int kRows, class T>
static void dotRows(const float* a, const T* b, int64_t stride, int64_t k, int64_t columns, float* sums) {
  constexpr int kColumns = kColumnsBeside<kRows>;
  for (int64_t column = 0; column < columns; column += kColumns) {
    const int64_t count = minOf(kColumns, columns - column);
    const T* rows[kColumns];
    for (int64_t j = 0; j < kColumns; ++j) rows[j] = b + (column + minOf(j, count - 1)) * stride;
    Vec partial[kRows][kColumns] = {};
    forLanes(k, [&](int64_t at, int lanes) {
      Vec weights[kColumns];
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) {
        weights[j] = loadLanes(rows[j] + at, lanes);
        __builtin_prefetch(rows[j] + kColumns * stride + at, 0,
                           3);  // the row of the next ones: half the time of a large matrix
      }
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        const Vec x = load(a + i * kFewRowsDepth + at);  // zeros after k
#pragma GCC unroll 4
        for (int j = 0; j < kColumns; ++j) partial[i][j] = fma(x, weights[j], partial[i][j]);
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
  constexpr int kWide = kRows <= 4 ? 4 : 2;
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
  plain = readRowScales(from, weight, column, columns, first, runs, scales) && plain;
  constexpr int kColumns = kColumnsBeside<kRows>;
  for (int64_t j = 0; j < columns; j += kColumns) {
    const int64_t count = minOf(kColumns, columns - j);
    const uint8_t* codes[kColumns];
    const float* scale[kColumns];
    for (int i = 0; i < kColumns; ++i) {
      const int64_t row = j + minOf(i, count - 1);
      codes[i] = from.packed + (start + row * weight.cols) / 2;
      scale[i] = scales + row * runs;
    }
    Vec partial[kRows][kColumns] = {};
#if !defined(__AVX512F__)
    if constexpr (kIsBFloat16<T>) {
      const CodesForBytes code = codesForBytes(from);
      for (int64_t run = 0; run < runs; ++run) {
#pragma GCC unroll 4
        for (int i = 0; i < kColumns; ++i) {
          const Vec first = code.codes[0] * scale[i][run], second = code.codes[1] * scale[i][run];
          const ByteTable table = plain ? byteTable(roundedOrdinary(first), roundedOrdinary(second))
                                        : byteTable(rounded<T>(first), rounded<T>(second));
          __builtin_prefetch(codes[i] + 4 * weight.cols, 0, 3);  // eight rows on
          lookUpRun(codes[i], table, [&](int at, Vec weights) {
#pragma GCC unroll 8
            for (int row = 0; row < kRows; ++row) {
              const Vec x = load(a + row * kFewRowsDepth + run * kNf4Run + at * kLanes);
              partial[row][i] = fma(x, weights, partial[row][i]);
            }
          });
          codes[i] += kNf4Run / 2;
        }
      }
      for (int row = 0; row < kRows; ++row) {
        for (int64_t i = 0; i < count; ++i) sums[row * kFewRowsColumns + j + i] += reduceAdd(partial[row][i]);
      }
      continue;
    }
#endif
    for (int64_t run = 0; run < runs; ++run) {
      Nf4Table tables[kColumns];
#pragma GCC unroll 4
      for (int i = 0; i < kColumns; ++i) {
        tables[i] = plain ? makeOrdinaryTable<T>(from, scale[i][run]) : makeTable<T>(from, scale[i][run]);
        __builtin_prefetch(codes[i] + 4 * weight.cols, 0, 3);  // eight rows on
      }
#pragma GCC unroll 8
      for (int64_t at = 0; at < kNf4Run; at += kLanes) {
        Vec weights[kColumns];
#pragma GCC unroll 4
        for (int i = 0; i < kColumns; ++i) weights[i] = lookUpAnyOrder(codes[i] + at / 2, tables[i]);
#pragma GCC unroll 8
        for (int row = 0; row < kRows; ++row) {
          const Vec x = load(a + row * kFewRowsDepth + run * kNf4Run + at);
#pragma GCC unroll 4
          for (int i = 0; i < kColumns; ++i) partial[row][i] = fma(x, weights[i], partial[row][i]);
        }
      }
#pragma GCC unroll 4
      for (int i = 0; i < kColumns; ++i) codes[i] += kNf4Run / 2;
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

#if defined(__AVX512BF16__)

inline constexpr int64_t kNf4PrefetchBytes = 8192;  // into the second-level cache

// A run of 64 elements as two words of pairs: those at even and those at odd places.
struct RunWords {
  __m512bh even;
  __m512bh odd;
};

LOWRANK_INLINE __m512i evenPlaces() {
  return _mm512_slli_epi16(
      _mm512_cvtepu8_epi16(_mm256_set_epi8(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13,
                                           12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)),
      1);
}

// `count` of the elements exist, the others are 0.
LOWRANK_INLINE RunWords runWords(const BFloat16* from, int64_t count) {
  __m512i first, second;
  if (count >= 64) {
    first = _mm512_loadu_si512(from);
    second = _mm512_loadu_si512(from + 32);
  } else {
    const uint64_t there = (uint64_t{1} << count) - 1;
    first = _mm512_maskz_loadu_epi16(static_cast<__mmask32>(there), from);
    second = _mm512_maskz_loadu_epi16(static_cast<__mmask32>(there >> 32), from + 32);
  }
  const __m512i even = evenPlaces(), odd = _mm512_add_epi16(even, _mm512_set1_epi16(1));
  return RunWords{reinterpret_cast<__m512bh>(_mm512_permutex2var_epi16(first, even, second)),
                  reinterpret_cast<__m512bh>(_mm512_permutex2var_epi16(first, odd, second))};
}

// The same of NF4.
LOWRANK_INLINE RunWords runWords(const uint8_t* codes, Vec code, float scale) {
  const __m512i table = pairTable(code, scale);
  const __m512i bytes = _mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
  return RunWords{reinterpret_cast<__m512bh>(_mm512_permutexvar_epi16(_mm512_srli_epi16(bytes, 4), table)),
                  reinterpret_cast<__m512bh>(_mm512_permutexvar_epi16(bytes, table))};
}

// reduceAdd of four, each in the order of reduceAdd.
LOWRANK_INLINE __m128 quarter(Vec value) {
  const __m256 half = _mm256_add_ps(_mm512_extractf32x8_ps(value, 1), _mm512_castps512_ps256(value));
  return _mm_add_ps(_mm256_extractf128_ps(half, 1), _mm256_castps256_ps128(half));
}
LOWRANK_INLINE __m128 reduceAddFour(Vec a, Vec b, Vec c, Vec d) {
  const __m128 a4 = quarter(a), b4 = quarter(b), c4 = quarter(c), d4 = quarter(d);
  const __m128 ab = _mm_add_ps(_mm_unpackhi_ps(a4, b4), _mm_unpacklo_ps(a4, b4));
  const __m128 cd = _mm_add_ps(_mm_unpackhi_ps(c4, d4), _mm_unpacklo_ps(c4, d4));
  return _mm_add_ps(_mm_movelh_ps(ab, cd), _mm_movehl_ps(cd, ab));
}

// sums[row][column] += dot(x row, b row): kColumns rows of B of `runs` runs, which come from runAt(column, run). x:
// [kRows][kDotDepth], each run as RunWords.
template <int kRows, int kColumns, class RunAt>
LOWRANK_INLINE void dotRuns(const BFloat16* x, int64_t runs, const RunAt& runAt, float* sums) {
  Vec even[kRows][kColumns] = {}, odd[kRows][kColumns] = {};
  for (int64_t run = 0; run < runs; ++run) {
#pragma GCC unroll 4
    for (int j = 0; j < kColumns; ++j) {
      const RunWords words = runAt(j, run);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        const BFloat16* from = x + i * kDotDepth + run * 64;
        even[i][j] = _mm512_dpbf16_ps(even[i][j], reinterpret_cast<__m512bh>(_mm512_loadu_si512(from)), words.even);
        odd[i][j] = _mm512_dpbf16_ps(odd[i][j], reinterpret_cast<__m512bh>(_mm512_loadu_si512(from + 32)), words.odd);
      }
    }
  }
  for (int i = 0; i < kRows; ++i) {
    float* to = sums + i * kFewRowsColumns;
    if constexpr (kColumns == 4) {
      const __m128 four =
          reduceAddFour(even[i][0] + odd[i][0], even[i][1] + odd[i][1], even[i][2] + odd[i][2], even[i][3] + odd[i][3]);
      _mm_storeu_ps(to, _mm_add_ps(_mm_loadu_ps(to), four));
    } else {
      for (int j = 0; j < kColumns; ++j) to[j] += reduceAdd(even[i][j] + odd[i][j]);
    }
  }
}

// kColumns rows of NF4 in whole runs, from row `row` on, with a scale per run.
template <int kRows, int kColumns>
static void dotNf4Runs(const BFloat16* x, const Nf4& weight, int64_t first, int64_t k, int64_t row, const float* scales,
                       float* sums) {
  const Nf4Reader reader = readerOf(weight);
  const Vec code = load(reader.code);
  const int64_t runs = k / kNf4Run;
  const uint8_t* codes[kColumns];
  const float* scale[kColumns];
  for (int j = 0; j < kColumns; ++j) {
    codes[j] = reader.packed + ((row + j) * weight.cols + first) / 2;
    scale[j] = scales + j * runs;
  }
  dotRuns<kRows, kColumns>(
      x, runs,
      [&](int j, int64_t run) {
        const uint8_t* from = codes[j] + run * (kNf4Run / 2);
        __builtin_prefetch(from + kNf4PrefetchBytes, 0, 2);
        return runWords(from, code, scale[j][run]);
      },
      sums);
}

// The scales of as many rows as there is room for come first: looking them up takes long, and nothing of the rows waits
// for it.
template <int kRows>
static void dotNf4Columns(const BFloat16* x, const Nf4& weight, int64_t first, int64_t k, int64_t column,
                          int64_t columns, float* sums) {
  constexpr int64_t kScales = 4 * kDotDepth / kNf4Run;
  float scales[kScales + kLanes];
  const int64_t runs = k / kNf4Run, atOnce = kScales / runs / 4 * 4;
  for (int64_t begin = 0; begin < columns; begin += atOnce) {
    const int64_t end = minOf(columns, begin + atOnce);
    readRowScales(readerOf(weight), weight, column + begin, end - begin, first, runs, scales);
    constexpr int kColumns = kColumnsBeside<kRows>;
    int64_t j = begin;
    for (; j + kColumns <= end; j += kColumns)
      dotNf4Runs<kRows, kColumns>(x, weight, first, k, column + j, scales + (j - begin) * runs, sums + j);
    for (; j < end; ++j) dotNf4Runs<kRows, 1>(x, weight, first, k, column + j, scales + (j - begin) * runs, sums + j);
  }
}

// sums[row][column] += dot(x row, b row), b's rows being the columns of the product; bfloat16, dense or read as that
// from NF4. A dense row at a time: memory is the bound. NF4 four at a time, so that sums do not wait for each other.
template <int kRows>
static void dotTerm(const BFloat16* x, const GemmOperand& b, int64_t first, int64_t k, int64_t column, int64_t columns,
                    float* sums) {
  if (b.nf4 != nullptr && looksUp(*b.nf4)) {
    dotNf4Columns<kRows>(x, *b.nf4, first, k, column, columns, sums);
    return;
  }
  BFloat16 values[kDotDepth];
  for (int64_t j = 0; j < columns; ++j) {
    const BFloat16* row = values;
    if (b.nf4 != nullptr) {
      dequantizeRun(readerOf(*b.nf4), (column + j) * b.nf4->cols + first, k, values);
    } else {
      row = static_cast<const BFloat16*>(b.data) + (column + j) * b.stride + first;
    }
    dotRuns<kRows, 1>(
        x, ceilDiv(k, 64), [&](int, int64_t run) { return runWords(row + run * 64, k - run * 64); }, sums + j);
  }
}

// A term whose B is transposed, all bfloat16. `ordered` holds kMostRows * kDotDepth elements.
static void dotFewRows(const GemmTerm& term, int64_t firstRow, int64_t rowCount, int64_t column, int64_t columns,
                       BFloat16* ordered, float* sums) {
  for (int64_t first = 0; first < term.k; first += kDotDepth) {
    const int64_t k = minOf(kDotDepth, term.k - first);
    for (int64_t i = 0; i < rowCount; ++i) {
      const BFloat16* row = static_cast<const BFloat16*>(term.a.data) + (firstRow + i) * term.a.stride + first;
      for (int64_t at = 0; at < k; at += 64) {
        const RunWords words = runWords(row + at, k - at);
        _mm512_storeu_si512(ordered + i * kDotDepth + at, reinterpret_cast<__m512i>(words.even));
        _mm512_storeu_si512(ordered + i * kDotDepth + at + 32, reinterpret_cast<__m512i>(words.odd));
      }
    }
    withRowCount(rowCount,
                 [&]<int kRows>(Rows<kRows>) { dotTerm<kRows>(ordered, term.b, first, k, column, columns, sums); });
  }
}

#endif

// sums[kMostRows][kFewRowsColumns] for up to kMostRows rows and the columns [column, column + columns) of a product
// whose A is straight in every term. `widened` holds kFewRowsWords floats; with `dot` all operands are bfloat16.
static void fewRows(const Gemm& product, [[maybe_unused]] bool dot, int64_t firstRow, int64_t rowCount, int64_t column,
                    int64_t columns, float* widened, float* sums) {
  __builtin_memset(sums, 0, sizeof(float) * kMostRows * kFewRowsColumns);
  for (int64_t t = 0; t < product.termCount; ++t) {
    const GemmTerm& term = product.terms[t];
#if defined(__AVX512BF16__)
    if (dot && term.b.transposed) {
      dotFewRows(term, firstRow, rowCount, column, columns, reinterpret_cast<BFloat16*>(widened), sums);
      continue;
    }
#endif
    const bool reordered = dotsNf4(term.b);
    for (int64_t first = 0; first < term.k; first += kFewRowsDepth) {
      const int64_t k = minOf(kFewRowsDepth, term.k - first);
      for (int64_t i = 0; i < rowCount; ++i) {
        const int64_t offset = (firstRow + i) * term.a.stride + first;
        forLanes(k, [&](int64_t at, int lanes) {
          Vec x;
          withStorage(term.a.dtype,
                      [&]<class T>(T) { x = loadLanes(static_cast<const T*>(term.a.data) + offset + at, lanes); });
          store(widened + i * kFewRowsDepth + at, reordered ? reorder(x) : x);
        });
      }
      withStorage(term.b.dtype, [&]<class T>(T) {
        withRowCount(rowCount, [&]<int kRows>(Rows<kRows>) {
          multiplyFewRows<kRows, T>(widened, term.b, first, k, column, columns, sums);
        });
      });
    }
  }
}

}  // namespace lowrank::cpu::LOWRANK_ISA
