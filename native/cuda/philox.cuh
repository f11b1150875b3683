// Philox 4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011), the source of dropout masks; the same bits as
// cpu/philox.h.
//
// key     = the seed's low and high 32 bits
// counter = (element / 4: low and high 32 bits, microStep, site); output word element % 4 belongs to the element.
// An element is kept when its word >= p * 2^32. No state: any element can be made anywhere, in any order; four in a row cost as much as one.
#pragma once

#include "kernels.h"

namespace lowrank::LOWRANK_BACKEND {

struct DropoutMask {
  uint32_t key[2];
  uint32_t microStep;
  uint32_t site;
  uint32_t threshold;  // kept when word >= threshold
  float scale;         // 1 / (1 - p); 0 for p = 1, which keeps nothing
};

inline DropoutMask makeDropoutMask(const Dropout& dropout) {
  const uint64_t seed = static_cast<uint64_t>(static_cast<int64_t>(dropout.seed));
  const double bound = static_cast<double>(dropout.p) * 0x1p32;
  const uint64_t floor = static_cast<uint64_t>(bound), ceiling = floor + (static_cast<double>(floor) < bound ? 1 : 0);
  const float scale = dropout.p < 1.0f ? static_cast<float>(1.0 / (1.0 - static_cast<double>(dropout.p))) : 0.0f;
  return DropoutMask{{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
                     static_cast<uint32_t>(static_cast<int64_t>(dropout.microStep)),
                     static_cast<uint32_t>(static_cast<int64_t>(dropout.site)),
                     static_cast<uint32_t>(ceiling < 0xffffffffu ? ceiling : 0xffffffffu),
                     scale};
}

// The four words of a counter.
__device__ __forceinline__ uint4 philox(const DropoutMask& mask, uint64_t counter) {
  uint4 c{static_cast<uint32_t>(counter), static_cast<uint32_t>(counter >> 32), mask.microStep, mask.site};
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
