// Sums in float64, for what many small terms add up to.
#pragma once

#include <cstring>

#include "kernels.h"

namespace lowrank::LOWRANK_BACKEND {

// The value of lane `from`, by way of its halves: shuffles take 32 bits.
__device__ __forceinline__ double shuffle64(double value, int from) {
  uint32_t halves[2];
  memcpy(halves, &value, sizeof value);
  halves[0] = shuffle(halves[0], from);
  halves[1] = shuffle(halves[1], from);
  memcpy(&value, halves, sizeof value);
  return value;
}

// The same for all lanes.
__device__ __forceinline__ double warpSum(double value) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  LOWRANK_UNROLL for (int mask = kWarp / 2; mask > 0; mask /= 2) value += shuffle64(value, lane ^ mask);
  return value;
}

}  // namespace lowrank::LOWRANK_BACKEND
