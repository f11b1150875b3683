// What Philox makes a dropout mask of, the same for every backend: the Dropout of ops/dropout.h as the words that
// cpu/philox.h and cuda/philox.cuh read.
#pragma once

#include "inline.h"
#include "ops/dropout.h"

namespace lowrank {

struct DropoutMask {
  uint32_t key[2];
  uint32_t microStep;
  uint32_t dropoutStream;
  uint32_t threshold;  // kept when word >= threshold
  float scale;         // 1 / (1 - p); 0 for p = 1, which keeps nothing
};

LOWRANK_INLINE DropoutMask makeDropoutMask(const Dropout& dropout) {
  const uint64_t seed = static_cast<uint64_t>(static_cast<int64_t>(dropout.seed));
  const double bound = static_cast<double>(dropout.p) * 0x1p32;
  const uint64_t floor = static_cast<uint64_t>(bound), ceiling = floor + (static_cast<double>(floor) < bound ? 1 : 0);
  const float scale = dropout.p < 1.0f ? static_cast<float>(1.0 / (1.0 - static_cast<double>(dropout.p))) : 0.0f;
  return DropoutMask{{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
                     static_cast<uint32_t>(static_cast<int64_t>(dropout.microStep)),
                     static_cast<uint32_t>(static_cast<int64_t>(dropout.dropoutStream)),
                     static_cast<uint32_t>(ceiling < 0xffffffffu ? ceiling : 0xffffffffu),
                     scale};
}

}  // namespace lowrank
