#include "dispatch.h"

#include <cpuid.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../platform/platform.h"

namespace lowrank::cpu {

namespace {

struct Level {
  const char* name;
  const Backend* backend;  // nullptr: this build leaves the level out
  const Probes* probes;
};

}  // namespace

// A build for one machine has the levels that this machine chooses from, any other has all (LOWRANK_ISA_LEVELS in
// CMakeLists.txt).
#define LOWRANK_LEVEL(isa)                                     \
  namespace isa {                                              \
  extern const Backend kBackend;                               \
  extern const Probes kProbes;                                 \
  inline constexpr Level kLevel = {#isa, &kBackend, &kProbes}; \
  }
#define LOWRANK_NO_LEVEL(isa)                               \
  namespace isa {                                           \
  inline constexpr Level kLevel = {#isa, nullptr, nullptr}; \
  }
#ifdef LOWRANK_HAS_generic
LOWRANK_LEVEL(generic)
#else
LOWRANK_NO_LEVEL(generic)
#endif
#ifdef LOWRANK_HAS_avx2
LOWRANK_LEVEL(avx2)
#else
LOWRANK_NO_LEVEL(avx2)
#endif
#ifdef LOWRANK_HAS_avx512
LOWRANK_LEVEL(avx512)
#else
LOWRANK_NO_LEVEL(avx512)
#endif
#ifdef LOWRANK_HAS_avx512bf16
LOWRANK_LEVEL(avx512bf16)
#else
LOWRANK_NO_LEVEL(avx512bf16)
#endif
#ifdef LOWRANK_HAS_amx
LOWRANK_LEVEL(amx)
#else
LOWRANK_NO_LEVEL(amx)
#endif

namespace {

// From lowest to highest: a machine that has a level has those before it.
constexpr const Level* kLevels[] = {&generic::kLevel, &avx2::kLevel, &avx512::kLevel, &avx512bf16::kLevel,
                                    &amx::kLevel};
constexpr int kLevelCount = 5;
constexpr int kBFloat16Level = 3;
constexpr int kAmxLevel = 4;

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
  const bool tiles = bit(d, 22) && bit(d, 24) && (xcr0 & 0x60000u) == 0x60000u;
  const bool f = bit(b, 16), dq = bit(b, 17), bw = bit(b, 30), vl = bit(b, 31);
  if (!f || !dq || !bw || !vl || (xcr0 & 0xe6u) != 0xe6u) return 1;
  if (subleaves < 1 || !__get_cpuid_count(7, 1, &a, &b, &c, &d)) return 2;
  if (!bit(a, 5)) return 2;
  // The system hands out the tile registers on request only.
  return tiles && platform::allowTileRegisters() ? kAmxLevel : kBFloat16Level;
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

// vdpbf16ps does twice the work of a multiply-add and issues as often (Zen 4) or a quarter as often (Sapphire and
// Emerald Rapids), where widening bfloat16 to float32 is the faster way to multiply it. Ratios are 2 and 0.5: no noise
// turns them round. Of the levels in this build. -1: this machine has none of them.
int fastestLevel() {
  static const int level = [] {
    int best = detectedLevel();
    while (best >= 0 && kLevels[best]->backend == nullptr) --best;
    if (best != kBFloat16Level || kLevels[best - 1]->backend == nullptr) return best;
    const bool faster = rate(kLevels[best]->probes->dotBFloat16) > 1.1 * rate(kLevels[best]->probes->multiplyAdd);
    return faster ? best : best - 1;
  }();
  return level;
}

void refuseLevel(char* error, size_t errorSize, const char* expected, const char* origin, const char* isa) {
  char built[64] = "";
  for (const Level* level : kLevels) {
    if (level->backend == nullptr) continue;
    const size_t used = std::strlen(built);
    std::snprintf(built + used, sizeof built - used, "%s%s", used == 0 ? "" : ", ", level->name);
  }
  std::snprintf(error, errorSize,
                "expected %s for %s, got '%s': this build has kernels for %s; npm run build makes all", expected,
                origin, isa, built[0] == '\0' ? "none" : built);
}

}  // namespace

const char* detectedIsa() {
  return kLevels[detectedLevel()]->name;
}

const char* fastestIsa() {
  return kLevels[fastestLevel() < 0 ? 0 : fastestLevel()]->name;
}

const Backend* selectBackend(const char* isa, char* error, size_t errorSize) {
  const char* origin = "isa";
  if (isa == nullptr || *isa == '\0') {
    isa = std::getenv("LOWRANK_ISA");
    origin = "LOWRANK_ISA";
  }
  if (isa == nullptr || *isa == '\0') {
    if (fastestLevel() >= 0) return kLevels[fastestLevel()]->backend;
    refuseLevel(error, errorSize, "kernels that this machine can run", "isa", detectedIsa());
    return nullptr;
  }
  for (int level = 0; level < kLevelCount; ++level) {
    if (std::strcmp(isa, kLevels[level]->name) != 0) continue;
    const char* unchecked = std::getenv("LOWRANK_ISA_UNCHECKED");
    if (level <= detectedLevel() || (unchecked != nullptr && std::strcmp(unchecked, "1") == 0)) {
      if (kLevels[level]->backend == nullptr) refuseLevel(error, errorSize, "a level that this build has", origin, isa);
      return kLevels[level]->backend;
    }
    std::snprintf(
        error, errorSize,
        "expected a level that this machine has for %s, got '%s': the best here is '%s'; choose that or a lower one "
        "(where a hypervisor hides what the CPU can do, LOWRANK_ISA_UNCHECKED=1 skips this check)",
        origin, isa, detectedIsa());
    return nullptr;
  }
  std::snprintf(error, errorSize, "expected generic, avx2, avx512, avx512bf16 or amx for %s, got '%.64s'", origin, isa);
  return nullptr;
}

const Probes& probesOf(const Backend& backend) {
  int level = 0;
  while (kLevels[level]->backend != &backend) ++level;
  return *kLevels[level]->probes;
}

}  // namespace lowrank::cpu
