#include "memory_source.h"

#include <cstdlib>
#include <string>

#include "../platform/platform.h"
#include "fault.h"

namespace lowrank {

uint64_t memoryBudgetSetting() {
  const char* text = std::getenv("LOWRANK_MEMORY_BUDGET");
  if (text == nullptr || *text == '\0') return 0;
  char* end = nullptr;
  const double bytes = std::strtod(text, &end);
  if (*end != '\0' || !(bytes >= 1 && bytes <= 9e15)) {
    throw InvalidArgument("[device] expected a number of bytes for LOWRANK_MEMORY_BUDGET, got '" + std::string(text) +
                          "'");
  }
  return uint64_t(bytes);
}

void* HostMemory::reserveAddresses(size_t bytes) noexcept {
  return platform::reserveAddresses(bytes);
}

bool HostMemory::commitPages(void* address, size_t bytes, bool sparse) noexcept {
  return platform::commitPages(address, bytes, sparse);
}

void HostMemory::releasePages(void* address, size_t bytes) noexcept {
  platform::releasePages(address, bytes);
}

uint64_t HostMemory::budget() {
  static const uint64_t budget = [] {
    const uint64_t setting = memoryBudgetSetting();
    return setting != 0 ? setting : platform::availableMemory() / 10 * 9;
  }();
  return budget;
}

MemorySource& hostMemory() {
  static HostMemory memory(64);
  return memory;
}

}  // namespace lowrank
