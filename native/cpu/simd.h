// One float32 vector type per instruction set, and what kernels do with it.
//
// 1. Every kernel file is compiled once per level, with LOWRANK_ISA = generic | avx2 | avx512 | avx512bf16 | amx and
//    that level's flags. All code lives in namespace lowrank::cpu::LOWRANK_ISA and uses no standard-library template: a
//    weak symbol shared between levels could otherwise be the AVX-512 one on a machine without AVX-512.
// 2. A vector has kLanes floats. `count` forms touch only the first count <= kLanes elements; loads fill the rest
//    with 0.
// 3. Storage types: float, BFloat16, Float16. Arithmetic is float32; a store rounds to nearest even, once. With BF16
//    instructions it makes a subnormal bfloat16 0; storeExactly() does not.
// 4. Reductions over lanes add in one fixed order.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__AVX2__) || defined(__AVX512F__)
#include <immintrin.h>
#endif

#include "../core/inline.h"

#ifndef LOWRANK_ISA
#error "kernel files are compiled with -DLOWRANK_ISA=<level>"
#endif

namespace lowrank::cpu::LOWRANK_ISA {

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

// Vec is a compiler vector: + - * / and comparisons work on it, a comparison gives an IntVec of 0 and -1, and
// `mask ? a : b` selects by lane.
#if defined(__AVX512F__)
inline constexpr int kLanes = 16;
typedef __m512 Vec;
#elif defined(__AVX2__)
inline constexpr int kLanes = 8;
typedef __m256 Vec;
#else
inline constexpr int kLanes = 4;
typedef float Vec __attribute__((vector_size(16)));
#endif
typedef int32_t IntVec __attribute__((vector_size(kLanes * 4)));
typedef uint32_t UintVec __attribute__((vector_size(kLanes * 4)));

inline constexpr float kInfinity = __builtin_inff();

LOWRANK_INLINE Vec splat(float value) {
  return value - Vec{};
}
LOWRANK_INLINE Vec zero() {
  return Vec{};
}
LOWRANK_INLINE IntVec splatInt(int32_t value) {
  return value - IntVec{};
}

// Vector lanes 0, 1, 2, ... of the result hold 0, 1, 2, ...
LOWRANK_INLINE IntVec laneIndex() {
  IntVec lanes{};
  for (int i = 0; i < kLanes; ++i) lanes[i] = i;
  return lanes;
}

// ---- float32 ----

LOWRANK_INLINE Vec load(const float* from) {
#if defined(__AVX512F__)
  return _mm512_loadu_ps(from);
#elif defined(__AVX2__)
  return _mm256_loadu_ps(from);
#else
  Vec value;
  __builtin_memcpy(&value, from, sizeof value);
  return value;
#endif
}

LOWRANK_INLINE void store(float* to, Vec value) {
#if defined(__AVX512F__)
  _mm512_storeu_ps(to, value);
#elif defined(__AVX2__)
  _mm256_storeu_ps(to, value);
#else
  __builtin_memcpy(to, &value, sizeof value);
#endif
}

LOWRANK_INLINE Vec load(const float* from, int64_t count) {
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << count) - 1), from);
#elif defined(__AVX2__)
  return _mm256_maskload_ps(from, reinterpret_cast<__m256i>(laneIndex() < splatInt(static_cast<int32_t>(count))));
#else
  Vec value{};
  for (int64_t i = 0; i < count; ++i) value[i] = from[i];
  return value;
#endif
}

LOWRANK_INLINE void store(float* to, Vec value, int64_t count) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1), value);
#elif defined(__AVX2__)
  _mm256_maskstore_ps(to, reinterpret_cast<__m256i>(laneIndex() < splatInt(static_cast<int32_t>(count))), value);
#else
  for (int64_t i = 0; i < count; ++i) to[i] = value[i];
#endif
}

// ---- bfloat16 ----

LOWRANK_INLINE float toFloat(float value) {
  return value;
}

LOWRANK_INLINE float toFloat(BFloat16 value) {
  const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
  float result;
  __builtin_memcpy(&result, &bits, sizeof result);
  return result;
}

// The upper 16 bits of the result, in its lower half, are the bfloat16: round to nearest even; a NaN stays one.
LOWRANK_INLINE UintVec roundExactly(Vec value) {
  const UintVec bits = reinterpret_cast<UintVec>(value);
  const UintVec rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const UintVec quiet = (bits >> 16) | 0x40u;
  return (value == value) ? rounded : quiet;
}

// The same in one instruction where there is one, which makes subnormals 0.
LOWRANK_INLINE UintVec roundToBFloat16(Vec value) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<UintVec>(_mm512_cvtepu16_epi32(reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value))));
#else
  return roundExactly(value);
#endif
}

LOWRANK_INLINE Vec load(const BFloat16* from) {
#if defined(__AVX512F__)
  return _mm512_castsi512_ps(
      _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))), 16));
#elif defined(__AVX2__)
  return _mm256_castsi256_ps(
      _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))), 16));
#else
  typedef uint16_t Half __attribute__((vector_size(8)));
  Half half;
  __builtin_memcpy(&half, from, sizeof half);
  return reinterpret_cast<Vec>(__builtin_convertvector(half, UintVec) << 16);
#endif
}

// The lower halves of `rounded`.
LOWRANK_INLINE void storeHalves(BFloat16* to, UintVec rounded) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(rounded)));
#elif defined(__AVX2__)
  const __m256i words = reinterpret_cast<__m256i>(rounded);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(words, words), 0x08);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(packed));
#else
  typedef uint16_t Half __attribute__((vector_size(8)));
  const Half half = __builtin_convertvector(rounded, Half);
  __builtin_memcpy(to, &half, sizeof half);
#endif
}

LOWRANK_INLINE void store(BFloat16* to, Vec value) {
#if defined(__AVX512BF16__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(value)));
#else
  storeHalves(to, roundExactly(value));
#endif
}

LOWRANK_INLINE Vec load(const BFloat16* from, int64_t count) {
#if defined(__AVX512F__)
  const __m256i half = _mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), from);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16));
#else
  BFloat16 lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = from[i];
  return load(lanes);
#endif
}

LOWRANK_INLINE void store(BFloat16* to, Vec value, int64_t count) {
#if defined(__AVX512F__)
  const __m256i half = _mm512_cvtepi32_epi16(reinterpret_cast<__m512i>(roundToBFloat16(value)));
  _mm256_mask_storeu_epi16(to, static_cast<__mmask16>((1u << count) - 1), half);
#else
  BFloat16 lanes[kLanes];
  store(lanes, value);
  for (int64_t i = 0; i < count; ++i) to[i] = lanes[i];
#endif
}

LOWRANK_INLINE void storeExactly(BFloat16* to, Vec value, int64_t count) {
  BFloat16 lanes[kLanes];
  storeHalves(count == kLanes ? to : lanes, roundExactly(value));
  for (int64_t i = 0; count < kLanes && i < count; ++i) to[i] = lanes[i];
}

// ---- float16 ----

#if defined(__AVX2__)
LOWRANK_INLINE float toFloat(Float16 value) {
  return _cvtsh_ss(value.bits);
}

LOWRANK_INLINE Vec load(const Float16* from) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)));
#else
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)));
#endif
}

LOWRANK_INLINE void store(Float16* to, Vec value) {
#if defined(__AVX512F__)
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
#else
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
#endif
}
#else
LOWRANK_INLINE float toFloat(Float16 value) {
  const uint32_t sign = (value.bits & 0x8000u) << 16, magnitude = value.bits & 0x7fffu;
  // A float16 is a float32 of 2^112 times less exponent bias; the multiplication also normalises subnormals.
  const uint32_t shifted = magnitude << 13;
  float scaled;
  __builtin_memcpy(&scaled, &shifted, sizeof scaled);
  scaled *= 0x1p112f;
  uint32_t bits;
  __builtin_memcpy(&bits, &scaled, sizeof bits);
  if (magnitude >= 0x7c00u) bits = 0x7f800000u | shifted | (magnitude > 0x7c00u ? 0x400000u : 0u);
  bits |= sign;
  __builtin_memcpy(&scaled, &bits, sizeof scaled);
  return scaled;
}

// Without conversion instructions these two are long, and functions: inlined, they would be the most of every kernel.
[[maybe_unused]] __attribute__((noinline)) static Vec load(const Float16* from) {
  Vec value{};
  for (int i = 0; i < kLanes; ++i) value[i] = toFloat(from[i]);
  return value;
}

[[maybe_unused]] __attribute__((noinline)) static void store(Float16* to, Vec value) {
  for (int i = 0; i < kLanes; ++i) {
    const float lane = value[i];
    uint32_t bits;
    __builtin_memcpy(&bits, &lane, sizeof bits);
    const uint32_t sign = (bits >> 16) & 0x8000u;
    bits &= 0x7fffffffu;
    uint32_t half;
    if (bits > 0x7f800000u) {
      half = 0x7e00u | ((bits >> 13) & 0x3ffu);
    } else if (bits >= 0x477ff000u) {
      half = 0x7c00u;  // rounds past 65504
    } else if (bits < 0x38800000u) {
      // Subnormal result: adding 0.5 leaves value * 2^24 rounded in the low bits of the sum.
      float magnitude;
      __builtin_memcpy(&magnitude, &bits, sizeof magnitude);
      magnitude += 0.5f;
      __builtin_memcpy(&half, &magnitude, sizeof half);
      half -= 0x3f000000u;
    } else {
      half = (bits - 0x38000000u + 0xfffu + ((bits >> 13) & 1u)) >> 13;
    }
    to[i].bits = static_cast<uint16_t>(sign | half);
  }
}
#endif

LOWRANK_INLINE Vec load(const Float16* from, int64_t count) {
#if defined(__AVX512F__)
  return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(static_cast<__mmask16>((1u << count) - 1), from));
#else
  Float16 lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = from[i];
  return load(lanes);
#endif
}

LOWRANK_INLINE void store(Float16* to, Vec value, int64_t count) {
#if defined(__AVX512F__)
  const __m256i half = _mm512_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT);
  _mm256_mask_storeu_epi16(to, static_cast<__mmask16>((1u << count) - 1), half);
#else
  Float16 lanes[kLanes];
  store(lanes, value);
  for (int64_t i = 0; i < count; ++i) to[i] = lanes[i];
#endif
}

// What a stored float16 would load.
LOWRANK_INLINE Vec roundToFloat16(Vec value) {
  Float16 lanes[kLanes];
  store(lanes, value);
  return load(lanes);
}

// ---- arithmetic ----

// a * b + c; fused wherever the level has FMA.
LOWRANK_INLINE Vec fma(Vec a, Vec b, Vec c) {
#if defined(__AVX512F__)
  return _mm512_fmadd_ps(a, b, c);
#elif defined(__AVX2__)
  return _mm256_fmadd_ps(a, b, c);
#else
  return a * b + c;
#endif
}

// The larger; b where either is a NaN.
LOWRANK_INLINE Vec max(Vec a, Vec b) {
#if defined(__AVX512F__)
  return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#else
  return (a > b) ? a : b;
#endif
}

// The smaller; b where either is a NaN.
LOWRANK_INLINE Vec min(Vec a, Vec b) {
#if defined(__AVX512F__)
  return _mm512_min_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_min_ps(a, b);
#else
  return (a < b) ? a : b;
#endif
}

LOWRANK_INLINE Vec sqrt(Vec value) {
#if defined(__AVX512F__)
  return _mm512_sqrt_ps(value);
#elif defined(__AVX2__)
  return _mm256_sqrt_ps(value);
#else
  for (int i = 0; i < kLanes; ++i) value[i] = __builtin_sqrtf(value[i]);
  return value;
#endif
}

LOWRANK_INLINE Vec abs(Vec value) {
  return reinterpret_cast<Vec>(reinterpret_cast<UintVec>(value) & 0x7fffffffu);
}

LOWRANK_INLINE Vec copySign(Vec magnitude, Vec sign) {
  return reinterpret_cast<Vec>((reinterpret_cast<UintVec>(magnitude) & 0x7fffffffu) |
                               (reinterpret_cast<UintVec>(sign) & 0x80000000u));
}

// Pairs lanes i and i + half, then halves again.
LOWRANK_INLINE float reduceAdd(Vec value) {
#if defined(__AVX2__)
#if defined(__AVX512F__)
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(value), _mm512_extractf32x8_ps(value, 1));
#else
  const __m256 eight = value;
#endif
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
#else
  float lanes[kLanes];
  store(lanes, value);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
#endif
}

LOWRANK_INLINE float reduceMax(Vec value) {
  float lanes[kLanes];
  store(lanes, value);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] = lanes[i] > lanes[i + half] ? lanes[i] : lanes[i + half];
  }
  return lanes[0];
}

// ---- functions: polynomials are our own minimax fits ----

// e^x within 1 ulp; 0 where the result would be subnormal (below -87.33: scaling to a subnormal costs a microcode
// assist of some 150 cycles on Intel, and masked scores are all there), infinity above 88.73, NaN kept.
LOWRANK_INLINE Vec exp(Vec x) {
  const float shifter = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  const Vec lowest = splat(-87.33654f);
  const Vec clamped = min(splat(90.0f), max(lowest, x));
  const Vec shifted = fma(clamped, splat(1.44269504f), splat(shifter));
  const Vec n = shifted - shifter;
  Vec r = fma(n, splat(-0.693359375f), clamped);
  r = fma(n, splat(2.12194440e-4f), r);
  Vec p = fma(splat(1.395048923e-3f), r, splat(8.368889801e-3f));
  p = fma(p, r, splat(4.166620597e-2f));
  p = fma(p, r, splat(1.666651815e-1f));
  p = fma(p, r, splat(0.5f));
  p = fma(p, r * r, r) + 1.0f;
#if defined(__AVX512F__)
  return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, lowest, _CMP_NLT_UQ), p, n);
#else
  // 2^n in two factors, so that both are normal numbers.
  const IntVec power = reinterpret_cast<IntVec>(shifted) - 0x4b400000;
  const IntVec first = power >> 1;
  const Vec a = reinterpret_cast<Vec>((first + 127) << 23);
  const Vec b = reinterpret_cast<Vec>((power - first + 127) << 23);
  return (x < lowest) ? zero() : p * a * b;
#endif
}

// Within 2 ulp.
LOWRANK_INLINE Vec tanh(Vec x) {
  const Vec t = abs(x);
  const Vec z = x * x;
  Vec p = fma(splat(-5.660780706e-3f), z, splat(2.060199901e-2f));
  p = fma(p, z, splat(-5.372922868e-2f));
  p = fma(p, z, splat(1.333132833e-1f));
  p = fma(p, z, splat(-3.333327770e-1f));
  const Vec small = fma(p * z, x, x);
  const Vec large = 1.0f - 2.0f / (exp(t + t) + 1.0f);
  return (t < 0.63f) ? small : copySign(large, x);
}

// Within 2 ulp.
LOWRANK_INLINE Vec erf(Vec x) {
  const Vec t = min(splat(4.0f), abs(x));
  const Vec z = x * x;
  Vec p = fma(splat(7.889119297e-5f), z, splat(-8.020841051e-4f));
  p = fma(p, z, splat(5.189535208e-3f));
  p = fma(p, z, splat(-2.685444430e-2f));
  p = fma(p, z, splat(1.128360033e-1f));
  p = fma(p, z, splat(-3.761262596e-1f));
  p = fma(p, z, splat(1.283791661e-1f));
  const Vec small = fma(p, x, x);
  // q = -log(erfc(t)) on [1, 4]
  Vec q = fma(splat(-1.869280095e-4f), t, splat(2.952887677e-3f));
  q = fma(q, t, splat(-2.185834199e-2f));
  q = fma(q, t, splat(1.031477600e-1f));
  q = fma(q, t, splat(6.380991936e-1f));
  q = fma(q, t, splat(1.127115726f));
  q = fma(q, t, splat(3.352017957e-4f));
  const Vec large = copySign(1.0f - exp(-q), x);
  return (t < 1.0f) ? small : large;
}

// 1 / (1 + e^-x)
LOWRANK_INLINE Vec sigmoid(Vec x) {
  return 1.0f / (1.0f + exp(-x));
}

}  // namespace lowrank::cpu::LOWRANK_ISA
