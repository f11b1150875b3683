// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), the source of dropout masks.
//
// key     = the seed's low and high 32 bits
// counter = (element / 4: low and high 32 bits, microStep, dropoutStream); output word element % 4 belongs to the
// element.
// An element is kept when its word >= p * 2^32. No state: any run of elements can be made anywhere, in any order.
#pragma once

#include "../core/dropout_mask.h"
#include "simd.h"

namespace lowrank::cpu::LOWRANK_ISA {

// The 64-bit products of the lanes of a with m, as high and low halves.
LOWRANK_INLINE void multiplyWide(UintVec a, uint32_t m, UintVec& high, UintVec& low) {
#if defined(__AVX512F__)
  const __m512i factor = _mm512_set1_epi32(static_cast<int>(m)), lanes = reinterpret_cast<__m512i>(a);
  const __m512i even = _mm512_mul_epu32(lanes, factor), odd = _mm512_mul_epu32(_mm512_srli_epi64(lanes, 32), factor);
  high = reinterpret_cast<UintVec>(_mm512_mask_mov_epi32(_mm512_srli_epi64(even, 32), 0xaaaa, odd));
  low = reinterpret_cast<UintVec>(_mm512_mask_mov_epi32(even, 0xaaaa, _mm512_slli_epi64(odd, 32)));
#elif defined(__AVX2__)
  const __m256i factor = _mm256_set1_epi32(static_cast<int>(m)), lanes = reinterpret_cast<__m256i>(a);
  const __m256i even = _mm256_mul_epu32(lanes, factor), odd = _mm256_mul_epu32(_mm256_srli_epi64(lanes, 32), factor);
  high = reinterpret_cast<UintVec>(_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa));
  low = reinterpret_cast<UintVec>(_mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa));
#else
  for (int i = 0; i < kLanes; ++i) {
    const uint64_t product = static_cast<uint64_t>(a[i]) * m;
    high[i] = static_cast<uint32_t>(product >> 32);
    low[i] = static_cast<uint32_t>(product);
  }
#endif
}

// Words of kLanes consecutive counters, the first of which is `counter`: words[4 * i + j] is word j of counter + i.
// Lane 4 q + k carries counter + k * (kLanes / 4) + q: the four output vectors, transposed in squares of four lanes,
// then lie in memory order.
LOWRANK_INLINE void philox(const DropoutMask& mask, uint64_t counter, UintVec words[4]) {
  const UintVec lane = reinterpret_cast<UintVec>(laneIndex());
  const uint32_t low = static_cast<uint32_t>(counter), high = static_cast<uint32_t>(counter >> 32);
  UintVec c0 = (lane & 3u) * (kLanes / 4u) + (lane >> 2) + low;
  UintVec c1 =
      UintVec{} + high - reinterpret_cast<UintVec>(c0 < UintVec{} + low);  // a true comparison is -1: the carry
  UintVec c2 = UintVec{} + mask.microStep, c3 = UintVec{} + mask.dropoutStream;
  uint32_t k0 = mask.key[0], k1 = mask.key[1];
  for (int round = 0; round < 10; ++round) {
    UintVec high0{}, low0{}, high1{}, low1{};
    multiplyWide(c0, 0xd2511f53u, high0, low0);
    multiplyWide(c2, 0xcd9e8d57u, high1, low1);
    c0 = high1 ^ c1 ^ k0;
    c2 = high0 ^ c3 ^ k1;
    c1 = low1;
    c3 = low0;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  // Shuffles of two vectors, lane by lane inside each square: of a and b the lower halves interleaved, and so on.
  const UintVec square = lane & ~3u, odd = lane & 1u, upper = (lane >> 1) & 1u;
  const UintVec fromSecond = UintVec{} + static_cast<uint32_t>(kLanes);
  const UintVec interleaveLow = square + upper + odd * fromSecond, interleaveHigh = interleaveLow + 2u;
  const UintVec pairLow = square + odd + upper * fromSecond, pairHigh = pairLow + 2u;
  const UintVec a = __builtin_shuffle(c0, c1, interleaveLow), b = __builtin_shuffle(c2, c3, interleaveLow);
  const UintVec c = __builtin_shuffle(c0, c1, interleaveHigh), d = __builtin_shuffle(c2, c3, interleaveHigh);
  words[0] = __builtin_shuffle(a, b, pairLow);
  words[1] = __builtin_shuffle(a, b, pairHigh);
  words[2] = __builtin_shuffle(c, d, pairLow);
  words[3] = __builtin_shuffle(c, d, pairHigh);
}

// factors[i] = what element (element + i) is multiplied by: 1 / (1 - p), or 0 where it is dropped.
LOWRANK_INLINE void dropoutFactors(const DropoutMask& mask, int64_t element, int64_t count, float* factors) {
  constexpr int64_t kRun = 4 * kLanes;
  int64_t done = 0;
  while (done < count) {
    const int64_t first = (element + done) & ~int64_t{3};
    const int64_t skip = element + done - first;
    UintVec words[4];
    philox(mask, static_cast<uint64_t>(first) / 4, words);
    const bool whole = skip == 0 && count - done >= kRun;
    float run[kRun];
    float* to = whole ? factors + done : run;
    for (int i = 0; i < 4; ++i) store(to + i * kLanes, (words[i] >= mask.threshold) ? splat(mask.scale) : zero());
    const int64_t take = kRun - skip < count - done ? kRun - skip : count - done;
    if (!whole) __builtin_memcpy(factors + done, run + skip, static_cast<size_t>(take) * sizeof(float));
    done += take;
  }
}

}  // namespace lowrank::cpu::LOWRANK_ISA
