// Generations of GPUs, by what kernels need of them.
#pragma once

#include <cstddef>

namespace lowrank::LOWRANK_BACKEND {

// sm80: what every GPU from Ampere on has. sm90: products of warpgroups, which Hopper alone has, and its shared memory.
enum class Generation { kSm80, kSm90 };

// What one block may have of shared memory. sm_86 and sm_89 have less than sm_80: kernels for all keep to theirs.
inline constexpr size_t sharedBytesOf(Generation generation) {
  return size_t{generation == Generation::kSm90 ? 227u : 99u} << 10;
}

}  // namespace lowrank::LOWRANK_BACKEND
