// Reading NF4 storage (Nf4 in ops.h): the scale of a block, its table of sixteen weights, and runs of elements.
#pragma once

#include "kernels.h"

namespace lowrank::cpu::LOWRANK_ISA {

inline constexpr int kCodes = 16;
inline constexpr int64_t kNf4Run = 64;  // elements that vector kernels take from one block

// The pointers of an Nf4, and where blocks begin.
struct Nf4Reader {
  const uint8_t* packed;
  const float* code;
  const float* absmax;  // nullptr when double quantised
  const uint8_t* absmaxCodes;
  const float* nestedAbsmax;
  const float* nestedCode;
  float offset;
  int shift;  // log2 of the block size
  int nestedShift;
};

LOWRANK_INLINE Nf4Reader readerOf(const Nf4& weight) {
  const bool nested = present(weight.nestedAbsmax);
  return Nf4Reader{static_cast<const uint8_t*>(weight.packed.data),
                   static_cast<const float*>(weight.code.data),
                   nested ? nullptr : static_cast<const float*>(weight.absmax.data),
                   static_cast<const uint8_t*>(weight.absmax.data),
                   static_cast<const float*>(weight.nestedAbsmax.data),
                   static_cast<const float*>(weight.nestedCode.data),
                   nested ? *static_cast<const float*>(weight.offset.data) : 0.0f,
                   __builtin_ctz(static_cast<unsigned>(weight.blockSize)),
                   __builtin_ctz(static_cast<unsigned>(weight.nestedBlockSize))};
}

// The scale of a block. Product and sum are rounded apart, as they were when the scale was quantised.
LOWRANK_INLINE float scaleOf(const Nf4Reader& from, int64_t block) {
  if (from.absmax != nullptr) return from.absmax[block];
  const float product = from.nestedCode[from.absmaxCodes[block]] * from.nestedAbsmax[block >> from.nestedShift];
  return product + from.offset;
}

// Elements [first, first + count) in storage order, wherever blocks begin.
template <class T>
static void dequantizeRun(const Nf4Reader& from, int64_t first, int64_t count, T* to) {
  const int64_t end = first + count;
  while (first < end) {
    const float scale = scaleOf(from, first >> from.shift);
    T weights[kCodes];
    for (int q = 0; q < kCodes; q += kLanes) store(weights + q, load(from.code + q) * scale);
    const int64_t stop = minOf(end, ((first >> from.shift) + 1) << from.shift);
    for (; first < stop; ++first) {
      *to++ = weights[first % 2 == 0 ? from.packed[first / 2] >> 4 : from.packed[first / 2] & 15];
    }
  }
}

// True when weights are looked up in registers (lookUp(), below): every row is made of runs of kNf4Run elements, each
// in one block.
LOWRANK_INLINE bool looksUp(const Nf4& weight) {
#if defined(__AVX2__)
  return weight.cols % kNf4Run == 0 && weight.blockSize % kNf4Run == 0;
#else
  static_cast<void>(weight);
  return false;
#endif
}

// From the order of a row into that of lookUpAnyOrder().
LOWRANK_INLINE Vec reorder(Vec value) {
#if defined(__AVX512F__)
  return _mm512_permutexvar_ps(reinterpret_cast<__m512i>((laneIndex() >> 1) + ((laneIndex() & 1) << 3)), value);
#else
  return value;
#endif
}

#if defined(__AVX2__)

// The sixteen weights of a block.
struct Nf4Table {
  Vec weights[kCodes / kLanes];
};

// As a stored T would load; but for NaNs whose payload would carry into the sign, which quantizeNf4 does not make.
template <class T>
LOWRANK_INLINE Vec rounded(Vec value) {
  if constexpr (kIsBFloat16<T>) {
    const UintVec bits = reinterpret_cast<UintVec>(value);
    return reinterpret_cast<Vec>((bits + 0x7fffu + ((bits >> 16) & 1u)) & 0xffff0000u);
  } else {
    return sizeof(T) == sizeof(float) ? value : roundToFloat16(value);
  }
}

template <class T>
LOWRANK_INLINE Nf4Table makeTable(const Nf4Reader& from, float scale) {
  Nf4Table table;
  for (int i = 0; i < kCodes / kLanes; ++i) table.weights[i] = rounded<T>(load(from.code + i * kLanes) * scale);
  return table;
}

// The weights whose codes are the low four bits of each lane after a shift to the right by `shift`.
LOWRANK_INLINE Vec lookUp(IntVec codes, IntVec shift, const Nf4Table& table) {
#if defined(__AVX512F__)
  const __m512i index = _mm512_srlv_epi32(reinterpret_cast<__m512i>(codes), reinterpret_cast<__m512i>(shift));
  return _mm512_permutexvar_ps(index, table.weights[0]);
#else
  const __m256i index = _mm256_srlv_epi32(reinterpret_cast<__m256i>(codes), reinterpret_cast<__m256i>(shift));
  const __m256i upper = _mm256_slli_epi32(index, 28);  // the fourth bit chooses by the sign
  return _mm256_blendv_ps(_mm256_permutevar8x32_ps(table.weights[0], index),
                          _mm256_permutevar8x32_ps(table.weights[1], index), _mm256_castsi256_ps(upper));
#endif
}

// makeTable in fewer instructions: adding 3 * 2^15 times its power of two to a weight pushes the lower half of its bits
// out. Only for ordinary() scales and codes; the sign of a zero may be lost, which no sum that starts from 0 sees.
LOWRANK_INLINE Vec roundedOrdinary(Vec value) {
  const Vec power = reinterpret_cast<Vec>(reinterpret_cast<UintVec>(value) & 0x7f800000u);
  return fma(power, splat(-98304.0f), fma(power, splat(98304.0f), value));
}
template <class T>
LOWRANK_INLINE Nf4Table makeOrdinaryTable(const Nf4Reader& from, float scale) {
  if constexpr (!kIsBFloat16<T>) return makeTable<T>(from, scale);
  Nf4Table table;
  for (int i = 0; i < kCodes / kLanes; ++i) {
    table.weights[i] = roundedOrdinary(load(from.code + i * kLanes) * scale);
  }
  return table;
}

// Whether all magnitudes are from 2^-least to 2^least: no product of two such sets overflows or is subnormal.
LOWRANK_INLINE bool ordinary(Vec values, int least) {
  const UintVec bits = reinterpret_cast<UintVec>(values) & 0x7fffffffu;
  const UintVec above = bits - (static_cast<uint32_t>(127 - least) << 23);
  const IntVec outside = above > (static_cast<uint32_t>(2 * least) << 23);
#if defined(__AVX512F__)
  return _mm512_movepi32_mask(reinterpret_cast<__m512i>(outside)) == 0;
#else
  return _mm256_movemask_ps(reinterpret_cast<__m256>(outside)) == 0;
#endif
}

LOWRANK_INLINE bool ordinaryCodes(const Nf4Reader& from) {
  bool all = true;
  for (int i = 0; i < kCodes; i += kLanes) {
    const Vec codes = load(from.code + i);
    all = all && ordinary((codes == zero()) ? splat(1.0f) : codes, 20);
  }
  return all;
}

// The scales of `runs` runs from `element` on, and some value after them up to a whole vector. True: all are ordinary.
LOWRANK_INLINE bool readScales(const Nf4Reader& from, int64_t element, int64_t runs, float* scales) {
  bool all = true;
  for (int64_t run = 0; run < runs; run += kLanes) {
    const int64_t count = minOf(kLanes, runs - run);
#if defined(__AVX512F__)
    if (from.absmax == nullptr && (int64_t{1} << from.shift) == kNf4Run) {
      const int64_t first = (element + run * kNf4Run) >> from.shift;
      // In one or two nested blocks: none is smaller than 32.
      const float* nested = from.nestedAbsmax + (first >> from.nestedShift);
      const int64_t left = (((first >> from.nestedShift) + 1) << from.nestedShift) - first;
      const __mmask16 there = static_cast<__mmask16>((1u << count) - 1);
      const __m512i codes = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(there, from.absmaxCodes + first));
      Vec absmax = splat(nested[0]);
      if (left < count) absmax = (laneIndex() < splatInt(static_cast<int32_t>(left))) ? absmax : splat(nested[1]);
      const Vec values = _mm512_i32gather_ps(codes, from.nestedCode, 4) * absmax + from.offset;
      all = all && ordinary(values, 80);
      store(scales + run, values);
      continue;
    }
#endif
    for (int64_t i = 0; i < kLanes; ++i) {
      scales[run + i] = scaleOf(from, (element + (run + minOf(i, count - 1)) * kNf4Run) >> from.shift);
    }
    all = all && ordinary(load(scales + run), 80);
  }
  return all;
}

// The scales of `rows` rows from `row` on, `runs` of each; true as above.
LOWRANK_INLINE bool readRowScales(const Nf4Reader& from, const Nf4& weight, int64_t row, int64_t rows, int64_t first,
                                  int64_t runs, float* scales) {
  const int64_t start = row * weight.cols + first;
  if (runs * kNf4Run == weight.cols) return readScales(from, start, rows * runs, scales);
  bool all = true;
  for (int64_t i = 0; i < rows; ++i) all = readScales(from, start + i * weight.cols, runs, scales + i * runs) && all;
  return all;
}

template <class T>
LOWRANK_INLINE T loadAs(const uint8_t* from) {
  T value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
}

// kLanes elements in their order; each lane of eight takes its nibble of the same four bytes.
LOWRANK_INLINE Vec lookUpRow(const uint8_t* codes, const Nf4Table& table) {
  const IntVec element = laneIndex() & 7;
  const IntVec shift = (element ^ 1) << 2;
#if defined(__AVX512F__)
  const __m512i low = _mm512_set1_epi32(loadAs<int32_t>(codes));
  const __m512i both = _mm512_mask_set1_epi32(low, 0xff00, loadAs<int32_t>(codes + 4));
  return lookUp(reinterpret_cast<IntVec>(both), shift, table);
#else
  return lookUp(splatInt(loadAs<int32_t>(codes)), shift, table);
#endif
}

// The same in the order of columnOf(), which saves an instruction: lane l holds element columnOf(l).
LOWRANK_INLINE int columnOf(int lane) {
  return kLanes == 16 ? 8 * (lane & 1) + (lane >> 1) : lane;
}
LOWRANK_INLINE Vec lookUpAnyOrder(const uint8_t* codes, const Nf4Table& table) {
#if defined(__AVX512F__)
  const IntVec shift = ((laneIndex() >> 1) ^ 1) << 2;
  return lookUp(reinterpret_cast<IntVec>(_mm512_set1_epi64(loadAs<int64_t>(codes))), shift, table);
#else
  return lookUpRow(codes, table);
#endif
}

// reduceAdd of what reorder() has moved, in the order of the row: first the lanes that were eight apart.
LOWRANK_INLINE float reduceAddReordered(Vec value) {
#if defined(__AVX512F__)
  const Vec pairs = value + _mm512_movehdup_ps(value);
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(pairs), _mm512_extractf32x8_ps(pairs, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  return _mm_cvtss_f32(_mm_add_ss(four, _mm_movehl_ps(four, four)));
#else
  return reduceAdd(value);
#endif
}

#endif

#if defined(__AVX2__) && !defined(__AVX512F__)

// The sixteen weights of a block as bfloat16: their lower and their upper bytes, twice each, where vpshufb finds them.
// Twice as fast as two vpermps and a blend for every eight weights.
struct ByteTable {
  __m256i low;
  __m256i high;
};

// The codes in the order that byteTable takes: 0 to 3 and 8 to 11, then the others.
struct CodesForBytes {
  Vec codes[2];
};

LOWRANK_INLINE CodesForBytes codesForBytes(const Nf4Reader& from) {
  const Vec lower = load(from.code), upper = load(from.code + kLanes);
  return CodesForBytes{{_mm256_permute2f128_ps(lower, upper, 0x20), _mm256_permute2f128_ps(lower, upper, 0x31)}};
}

// From weights that are rounded to bfloat16.
LOWRANK_INLINE ByteTable byteTable(Vec first, Vec second) {
  const __m256i words = _mm256_packus_epi32(_mm256_srli_epi32(_mm256_castps_si256(first), 16),
                                            _mm256_srli_epi32(_mm256_castps_si256(second), 16));
  const __m256i lowThenHigh = _mm256_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15,  //
                                               0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
  const __m256i bytes = _mm256_shuffle_epi8(words, lowThenHigh);
  return ByteTable{_mm256_permute4x64_epi64(bytes, 0x88), _mm256_permute4x64_epi64(bytes, 0xdd)};
}

// body(i, weights) for the eight vectors of a run, in the order of the row.
template <class Body>
LOWRANK_INLINE void lookUpRun(const uint8_t* codes, const ByteTable& table, const Body& body) {
  // Bytes 4 i and 4 i + 1 to the lower half, the others to the upper half: four elements of each are a vector's.
  const __m256i pairs = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,  //
                                         0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
  const __m256i all = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes));
  const __m256i bytes = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(all, pairs), 0xd8);
  const __m256i mask = _mm256_set1_epi8(15);
  const __m256i even = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), mask), odd = _mm256_and_si256(bytes, mask);
  const __m256i elements[2] = {_mm256_unpacklo_epi8(even, odd), _mm256_unpackhi_epi8(even, odd)};
#pragma GCC unroll 2
  for (int half = 0; half < 2; ++half) {
    const __m256i low = _mm256_shuffle_epi8(table.low, elements[half]);
    const __m256i high = _mm256_shuffle_epi8(table.high, elements[half]);
    const __m256i words[2] = {_mm256_unpacklo_epi8(low, high), _mm256_unpackhi_epi8(low, high)};
#pragma GCC unroll 2
    for (int i = 0; i < 2; ++i) {
      const __m256i none = _mm256_setzero_si256();
      body(4 * half + 2 * i, _mm256_castsi256_ps(_mm256_unpacklo_epi16(none, words[i])));
      body(4 * half + 2 * i + 1, _mm256_castsi256_ps(_mm256_unpackhi_epi16(none, words[i])));
    }
  }
}

#endif

#if defined(__AVX512F__)

// The sixteen weights of a block as bfloat16, twice: a look-up by five bits, of which the highest is not part of the
// code, finds them in either half.
LOWRANK_INLINE __m512i pairTable(Vec code, float scale) {
  const Vec weights = code * scale;
#if defined(__AVX512BF16__)
  // Subnormal weights become 0, as they do in every dot product.
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(weights, weights));
#else
  // The upper words of the sixteen, twice.
  const __m512i odd = _mm512_or_si512(
      _mm512_slli_epi32(_mm512_and_si512(reinterpret_cast<__m512i>(laneIndex()), _mm512_set1_epi32(7)), 18),
      _mm512_slli_epi32(_mm512_and_si512(reinterpret_cast<__m512i>(laneIndex()), _mm512_set1_epi32(7)), 2));
  return _mm512_permutexvar_epi16(_mm512_add_epi32(odd, _mm512_set1_epi32(0x00030001)),
                                  _mm512_castps_si512(rounded<BFloat16>(weights)));
#endif
}

// 32 elements in their order, from sixteen bytes.
LOWRANK_INLINE __m512i lookUpPairs(const uint8_t* codes, __m512i table) {
  const __m512i bytes = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes)));
  // Each byte twice, in both words of its lane; lane 4 i + j of i quarters has byte 4 i + j.
  const __m512i lane = reinterpret_cast<__m512i>(laneIndex());
  const __m512i twice = _mm512_or_si512(lane, _mm512_slli_epi32(lane, 16));
  const __m512i words = _mm512_shuffle_epi8(bytes, twice);
  return _mm512_permutexvar_epi16(_mm512_srlv_epi16(words, _mm512_set1_epi32(4)), table);
}

#endif

}  // namespace lowrank::cpu::LOWRANK_ISA
