// Loops that do nothing but multiply and add in registers, or nothing but read: no kernel of this level can be faster.
#include "probe.h"

#include "simd.h"

namespace lowrank::cpu::LOWRANK_ISA {

namespace {

// Independent sums: more than latency times issue width of any core (4 cycles, 2 per cycle), fewer than the registers.
constexpr int kSums = 12;

// To the compiler, a use of the value: what led to it stays.
LOWRANK_INLINE void keep(const Vec& value) {
  __asm__ volatile("" : : "m"(value));
}

template <class Step>
LOWRANK_INLINE void repeat(int64_t rounds, const Step& step) {
  Vec sums[kSums];
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) sums[i] = splat(static_cast<float>(i));
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kSums; ++i) sums[i] = step(sums[i]);
  }
  Vec total = zero();
#pragma GCC unroll 12
  for (int i = 0; i < kSums; ++i) total = total + sums[i];
  keep(total);
}

double multiplyAdd(int64_t rounds) {
  const Vec a = splat(0.5f), b = splat(0.25f);
  repeat(rounds, [=](Vec sum) { return fma(a, b, sum); });
  return 2.0 * kLanes * kSums * static_cast<double>(rounds);
}

#if defined(__AVX512BF16__)
double dotBFloat16(int64_t rounds) {
  const __m512bh a = reinterpret_cast<__m512bh>(splat(0.5f)), b = reinterpret_cast<__m512bh>(splat(0.25f));
  repeat(rounds, [=](Vec sum) { return _mm512_dpbf16_ps(sum, a, b); });
  return 4.0 * kLanes * kSums * static_cast<double>(rounds);
}
#endif

void read(const void* data, int64_t bytes) {
  constexpr int kVectors = 8;
  const float* from = static_cast<const float*>(data);
  const float* const end = from + bytes / 4;
  Vec sums[kVectors] = {};
  for (; from < end; from += kVectors * kLanes) {
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) sums[i] = sums[i] + load(from + i * kLanes);
  }
  Vec total = zero();
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) total = total + sums[i];
  keep(total);
}

}  // namespace

extern const Probes kProbes;
const Probes kProbes = {
    multiplyAdd,
#if defined(__AVX512BF16__)
    dotBFloat16,
#else
    nullptr,
#endif
    read,
};

}  // namespace lowrank::cpu::LOWRANK_ISA
