// Packing for gemm: operands become streams of 32-bit words (see gemm_tile.h).
//
// A word is a float, a widened bfloat16 or float16, or with kDot a pair of bfloat16 along k, of which the earlier is
// the low half. A k that is odd ends in a pair with zero.
#pragma once

#include "gemm_tile.h"

namespace lowrank::cpu::LOWRANK_ISA {

template <bool kDot>
inline constexpr int kWordDepth = kDot ? 2 : 1;  // steps of k per word

// kLanes words of a run along k, of which `count` elements exist.
template <bool kDot, class T>
LOWRANK_INLINE Vec loadWords(const T* from, int64_t count) {
  if constexpr (kDot) {
    if (count >= 2 * kLanes) return load(reinterpret_cast<const float*>(from));
#if defined(__AVX512BF16__)
    return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(static_cast<__mmask32>((1u << count) - 1), from));
#else
    return zero();  // no level without that instruction has kDot
#endif
  } else {
    return count >= kLanes ? load(from) : load(from, count);
  }
}

// kLanes columns of one step, `count` of them there; rows of k are `stride` apart and `depth` of them are left.
template <bool kDot, class T>
LOWRANK_INLINE Vec loadStep(const T* from, int64_t stride, int64_t depth, int64_t count) {
  const Vec first = count >= kLanes ? load(from) : load(from, count);
  if constexpr (kDot) {
    const UintVec low = reinterpret_cast<UintVec>(first) >> 16;
    if (depth < 2) return reinterpret_cast<Vec>(low);
    const Vec second = count >= kLanes ? load(from + stride) : load(from + stride, count);
    return reinterpret_cast<Vec>(low | reinterpret_cast<UintVec>(second));
  }
  return first;
}

// r[i][j] becomes r[j][i].
LOWRANK_INLINE void transpose(Vec r[kLanes]) {
#if defined(__AVX512F__)
  Vec t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    t[2 * i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512d a = _mm512_castps_pd(t[4 * i]), b = _mm512_castps_pd(t[4 * i + 2]);
    const __m512d c = _mm512_castps_pd(t[4 * i + 1]), d = _mm512_castps_pd(t[4 * i + 3]);
    r[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
    r[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
    r[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(c, d));
    r[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(c, d));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[4 + i], 0x88);
    t[4 + i] = _mm512_shuffle_f32x4(r[i], r[4 + i], 0xdd);
    t[8 + i] = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0x88);
    t[12 + i] = _mm512_shuffle_f32x4(r[8 + i], r[12 + i], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_f32x4(t[i], t[8 + i], 0x88);
    r[4 + i] = _mm512_shuffle_f32x4(t[4 + i], t[12 + i], 0x88);
    r[8 + i] = _mm512_shuffle_f32x4(t[i], t[8 + i], 0xdd);
    r[12 + i] = _mm512_shuffle_f32x4(t[4 + i], t[12 + i], 0xdd);
  }
#elif defined(__AVX2__)
  Vec t[8];
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    r[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
    r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    t[i] = _mm256_permute2f128_ps(r[i], r[4 + i], 0x20);
    t[4 + i] = _mm256_permute2f128_ps(r[i], r[4 + i], 0x31);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) r[i] = t[i];
#else
  for (int i = 0; i < kLanes; ++i) {
    for (int j = i + 1; j < kLanes; ++j) {
      const float upper = r[i][j];
      r[i][j] = r[j][i];
      r[j][i] = upper;
    }
  }
#endif
}

// Words of `count` rows that run along k, one row after the other, `pitch` words apart.
template <bool kDot, class T>
static void packRows(const T* from, int64_t stride, int64_t count, int64_t k, float* to, int64_t pitch) {
  const int64_t depth = kLanes * kWordDepth<kDot>;
  for (int64_t i = 0; i < count; ++i) {
    const T* row = from + i * stride;
    float* words = to + i * pitch;
    int64_t done = 0;
    for (; done + depth <= k; done += depth, words += kLanes) store(words, loadWords<kDot>(row + done, depth));
    if (done < k) store(words, loadWords<kDot>(row + done, k - done));  // pitch leaves room for a whole vector
  }
}

inline constexpr int64_t kPackAhead = 32;  // rows

// [steps][vectors * kLanes] from rows of k: `columns` of them exist, the others become 0.
template <bool kDot, class T>
static void packStraight(const T* from, int64_t stride, int64_t columns, int64_t k, float* to, int64_t vectors) {
  for (int64_t step = 0; step < k; step += kWordDepth<kDot>, to += vectors * kLanes) {
    const T* row = from + step * stride;
    for (int i = 0; i < kWordDepth<kDot>; ++i) __builtin_prefetch(row + (kPackAhead + i) * stride, 0, 2);
    for (int64_t j = 0; j < vectors; ++j) {
      const int64_t left = maxOf(0, columns - j * kLanes);
      store(to + j * kLanes, loadStep<kDot>(row + j * kLanes, stride, k - step, left));
    }
  }
}

// [steps][vectors * kLanes] from rows of n that run along k: transposed block by block.
template <bool kDot, class T>
static void packTransposed(const T* from, int64_t stride, int64_t columns, int64_t k, float* to, int64_t vectors) {
  const int64_t depth = kLanes * kWordDepth<kDot>;
  const int64_t steps = ceilDiv(k, kWordDepth<kDot>);
  for (int64_t j = 0; j < vectors; ++j) {
    const T* rows = from + j * kLanes * stride;
    const int64_t left = minOf(kLanes, columns - j * kLanes);
    for (int64_t block = 0; block * kLanes < steps; ++block) {
      const int64_t count = minOf(depth, k - block * depth);
      Vec words[kLanes];
      if (left == kLanes && count == depth) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) {
          words[i] = loadWords<kDot>(rows + i * stride + block * depth, depth);
          __builtin_prefetch(rows + (kLanes + i) * stride + block * depth, 0, 2);
        }
      } else {
        for (int i = 0; i < kLanes; ++i) {
          words[i] = i < left ? loadWords<kDot>(rows + i * stride + block * depth, count) : zero();
        }
      }
      transpose(words);
      float* out = to + block * kLanes * vectors * kLanes + j * kLanes;
      const int64_t valid = minOf(kLanes, steps - block * kLanes);
      if (valid == kLanes) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) store(out + i * vectors * kLanes, words[i]);
      } else {
        for (int64_t i = 0; i < valid; ++i) store(out + i * vectors * kLanes, words[i]);
      }
    }
  }
}

// body(pointer to the element at `offset`); with kDot operands are bfloat16.
template <bool kDot, class Body>
LOWRANK_INLINE void withElements(const GemmOperand& operand, int64_t offset, const Body& body) {
  if constexpr (kDot) {
    body(static_cast<const BFloat16*>(operand.data) + offset);
  } else {
    withStorage(operand.dtype, [&]<class T>(T) { body(static_cast<const T*>(operand.data) + offset); });
  }
}

// A panel of a dense B; see packPanel.
template <bool kDot>
LOWRANK_INLINE void packDense(const GemmOperand& b, int64_t first, int64_t k, int64_t column, int64_t columns,
                              float* to, int64_t vectors) {
  const int64_t offset = b.transposed ? column * b.stride + first : first * b.stride + column;
  withElements<kDot>(b, offset, [&](const auto* from) {
    if (b.transposed) return packTransposed<kDot>(from, b.stride, columns, k, to, vectors);
    packStraight<kDot>(from, b.stride, columns, k, to, vectors);
  });
}

// A tile of A: rows [row, row + rows) of `total`. Straight: [rows][pitch]; transposed: [steps][kLanes].
template <bool kDot>
LOWRANK_INLINE void packTile(const GemmOperand& a, int64_t first, int64_t k, int64_t row, int64_t rows, int64_t total,
                             float* to, int64_t pitch) {
  const int64_t offset = a.transposed ? first * a.stride + row : row * a.stride + first;
  withElements<kDot>(a, offset, [&](const auto* from) {
    if (a.transposed) return packStraight<kDot>(from, a.stride, total - row, k, to, 1);
    packRows<kDot>(from, a.stride, rows, k, to, pitch);
  });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
