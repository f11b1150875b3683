#include <cstdio>

#include "machine.h"

namespace lowrank::emulator {

Launch::Launch(const char* kernel, Generation needs, Generation gpu, dim3 grid, dim3 block, size_t sharedBytes,
               Body body, const Schedule& schedule)
    : kernel_(kernel),
      needs_(needs),
      grid_(grid),
      block_(block),
      sharedBytes_(sharedBytes),
      body_(body),
      schedule_(schedule) {
  const uint64_t threads = uint64_t(block.x) * block.y * block.z;
  const size_t mostShared = sharedBytesOf(needs);
  if (needs > gpu) {
    std::snprintf(refusal_, sizeof refusal_, "%s: expected a GPU of sm_90, got one of sm_80", kernel);
  } else if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
    std::snprintf(refusal_, sizeof refusal_,
                  "%s: expected a grid of 1 to 2^31 - 1 by 65535 by 65535 blocks, got %u x %u x %u", kernel, grid.x,
                  grid.y, grid.z);
  } else if (threads == 0 || threads > kMaxThreads || block.z > 64) {
    std::snprintf(refusal_, sizeof refusal_, "%s: expected 1 to %d threads per block, got %u x %u x %u", kernel,
                  kMaxThreads, block.x, block.y, block.z);
  } else if (sharedBytes > mostShared) {
    std::snprintf(refusal_, sizeof refusal_, "%s: expected at most %zu bytes of shared memory per block, got %zu",
                  kernel, mostShared, sharedBytes);
  }
}

int64_t Launch::blocks() const {
  return int64_t(grid_.x) * grid_.y * grid_.z;
}

void Launch::runBlock(int64_t number) {
  if (__atomic_load_n(&faults_, __ATOMIC_RELAXED) > 0) return;
  // Blocks are independent: the order in which they run is one more thing that the schedule turns.
  if (schedule_.order != Schedule::Order::kForward) number = blocks() - 1 - number;
  runOnThisThread(*this, number);
}

void Launch::recordFault(const char* text) {
  if (__atomic_fetch_add(&faults_, 1, __ATOMIC_ACQ_REL) == 0) std::snprintf(faultText_, sizeof faultText_, "%s", text);
}

const char* Launch::faultText() const {
  return faultText_;
}

}  // namespace lowrank::emulator
