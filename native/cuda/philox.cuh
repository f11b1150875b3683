// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), the source of dropout masks;
// the same bits as cpu/philox.h.
//
// key     = the seed's low and high 32 bits
// counter = (element / 4: low and high 32 bits, microStep, dropoutStream); output word element % 4 belongs to the
// element.
// An element is kept when its word >= p * 2^32. No state: any element can be made anywhere, in any order; four in a row
// cost as much as one.
#pragma once

#include "../core/dropout_mask.h"
#include "kernels.h"

namespace lowrank::LOWRANK_BACKEND {

// The four words of a counter.
__device__ __forceinline__ uint4 philox(const DropoutMask& mask, uint64_t counter) {
  uint4 c{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), mask.microStep, mask.dropoutStream};
  uint32_t k0 = mask.key[0], k1 = mask.key[1];
  LOWRANK_UNROLL for (int round = 0; round < 10; ++round) {
    const uint32_t high0 = multiplyHigh(c.x, 0xd2511f53u), low0 = c.x * 0xd2511f53u;
    const uint32_t high1 = multiplyHigh(c.z, 0xcd9e8d57u), low1 = c.z * 0xcd9e8d57u;
    c = uint4{high1 ^ c.y ^ k0, low1, high0 ^ c.w ^ k1, low0};
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
  return c;
}

// What an element is multiplied by: 1 / (1 - p), or 0 where it is dropped.
__device__ __forceinline__ float dropoutFactor(const DropoutMask& mask, int64_t element) {
  const uint4 words = philox(mask, static_cast<uint64_t>(element) / 4);
  const int at = static_cast<int>(element & 3);
  const uint32_t word = at == 0 ? words.x : at == 1 ? words.y : at == 2 ? words.z : words.w;
  return word >= mask.threshold ? mask.scale : 0.0f;
}

// The same for `element` and the three after it; it is a multiple of 4.
__device__ __forceinline__ float4 dropoutFactors(const DropoutMask& mask, int64_t element) {
  const uint4 words = philox(mask, static_cast<uint64_t>(element) / 4);
  const auto factor = [&](uint32_t word) { return word >= mask.threshold ? mask.scale : 0.0f; };
  return float4{factor(words.x), factor(words.y), factor(words.z), factor(words.w)};
}

// A dropped infinity or NaN is dropped too.
__device__ __forceinline__ float dropped(float value, float factor) {
  return factor != 0.0f ? value * factor : 0.0f;
}

}  // namespace lowrank::LOWRANK_BACKEND
