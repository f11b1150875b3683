#include "dispatch.h"

#include <cpuid.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace lowrank::cpu {

namespace generic {
extern const Backend kBackend;
extern const Probes kProbes;
}  // namespace generic
namespace avx2 {
extern const Backend kBackend;
extern const Probes kProbes;
}  // namespace avx2
namespace avx512 {
extern const Backend kBackend;
extern const Probes kProbes;
}  // namespace avx512
namespace avx512bf16 {
extern const Backend kBackend;
extern const Probes kProbes;
}  // namespace avx512bf16

namespace {

// From lowest to highest: each level has everything of those before it.
constexpr const Backend* kLevels[] = {&generic::kBackend, &avx2::kBackend, &avx512::kBackend, &avx512bf16::kBackend};
constexpr const Probes* kProbes[] = {&generic::kProbes, &avx2::kProbes, &avx512::kProbes, &avx512bf16::kProbes};
constexpr int kLevelCount = 4;
constexpr int kBFloat16Level = 3;

bool bit(unsigned word, int index) {
  return (word >> index & 1u) != 0;
}

int detectLevel() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  const bool fma = bit(c, 12), osxsave = bit(c, 27), avx = bit(c, 28), f16c = bit(c, 29);
  if (!fma || !osxsave || !avx || !f16c) return 0;
  // The system must save the registers across a context switch: bits 1, 2 are XMM, YMM; 5, 6, 7 the AVX-512 state.
  unsigned xcr0 = 0, high = 0;
  __asm__("xgetbv" : "=a"(xcr0), "=d"(high) : "c"(0));
  if ((xcr0 & 0x06u) != 0x06u) return 0;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  if (!bit(b, 5)) return 0;
  const unsigned subleaves = a;
  const bool f = bit(b, 16), dq = bit(b, 17), bw = bit(b, 30), vl = bit(b, 31);
  if (!f || !dq || !bw || !vl || (xcr0 & 0xe6u) != 0xe6u) return 1;
  if (subleaves < 1 || !__get_cpuid_count(7, 1, &a, &b, &c, &d)) return 2;
  return bit(a, 5) ? 3 : 2;
}

int detectedLevel() {
  static const int level = detectLevel();
  return level;
}

// Operations per second of a probe: the best of a few runs of some 20 microseconds each.
double rate(double (*probe)(int64_t)) {
  double best = 0.0;
  for (int run = 0; run < 8; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    const double work = probe(4096);
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
    best = std::max(best, work / seconds.count());
  }
  return best;
}

// vdpbf16ps does twice the work of a multiply-add and issues as often (Zen 4) or a quarter as often (Sapphire and Emerald
// Rapids), where widening bfloat16 to float32 is the faster way to multiply it. Ratios are 2 and 0.5: no noise turns them round.
int fastestLevel() {
  static const int level = [] {
    const int detected = detectedLevel();
    if (detected < kBFloat16Level) return detected;
    const bool faster = rate(kProbes[kBFloat16Level]->dotBFloat16) > 1.1 * rate(kProbes[kBFloat16Level]->multiplyAdd);
    return faster ? detected : kBFloat16Level - 1;
  }();
  return level;
}

}  // namespace

const char* detectedIsa() {
  return kLevels[detectedLevel()]->name;
}

const char* fastestIsa() {
  return kLevels[fastestLevel()]->name;
}

const Backend* selectBackend(const char* isa, char* error, size_t errorSize) {
  const char* origin = "isa";
  if (isa == nullptr || *isa == '\0') {
    isa = std::getenv("LOWRANK_ISA");
    origin = "LOWRANK_ISA";
  }
  if (isa == nullptr || *isa == '\0') return kLevels[fastestLevel()];
  for (int level = 0; level < kLevelCount; ++level) {
    if (std::strcmp(isa, kLevels[level]->name) != 0) continue;
    const char* unchecked = std::getenv("LOWRANK_ISA_UNCHECKED");
    if (level <= detectedLevel() || (unchecked != nullptr && std::strcmp(unchecked, "1") == 0)) return kLevels[level];
    std::snprintf(
        error, errorSize,
        "expected a level that this machine has for %s, got '%s': the best here is '%s'; choose that or a lower one "
        "(where a hypervisor hides what the CPU can do, LOWRANK_ISA_UNCHECKED=1 skips this check)",
        origin, isa, detectedIsa());
    return nullptr;
  }
  std::snprintf(error, errorSize, "expected generic, avx2, avx512 or avx512bf16 for %s, got '%.64s'", origin, isa);
  return nullptr;
}

const Probes& probesOf(const Backend& backend) {
  int level = 0;
  while (kLevels[level] != &backend) ++level;
  return *kProbes[level];
}

}  // namespace lowrank::cpu
