// What a core can do at best, measured: the roofs that benchmarks compare kernels with.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lowrank::cpu {

// One table per instruction-set level. Each function runs on the calling thread; who calls it takes the time.
struct Probes {
  // Multiply-adds on registers alone, as wide as the level has them. Returns the floating-point operations done.
  double (*multiplyAdd)(int64_t rounds);
  // The same with vdpbf16ps; nullptr below avx512bf16.
  double (*dotBFloat16)(int64_t rounds);
  // Reads memory once, front to back. `bytes` is a multiple of 512.
  void (*read)(const void* data, int64_t bytes);
};

}  // namespace lowrank::cpu
