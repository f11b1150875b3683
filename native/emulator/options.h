// What the emulated GPU is like.
#pragma once

#include <cstdint>
#include <optional>

#include "machine.h"

namespace lowrank::emulator {

struct Options {
  Generation generation = Generation::kSm90;
  Schedule schedule;
  int multiprocessors = 4;
  int64_t cacheBytes = 256 << 10;     // little, so that small tests see what it decides
  std::optional<uint64_t> hostBytes;  // the largest tensor that the machine's memory takes; nullopt: any that there is
};

}  // namespace lowrank::emulator
