// Where an allocator's memory comes from: addresses first, memory behind them later.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <vector>

#include "../platform/platform.h"

namespace lowrank {

class MemoryUser;

// 1. One object per memory of the machine, for the whole process: allocators share its budget.
// 2. Sizes and addresses are multiples of granule().
class MemorySource {
 public:
  // Addresses without memory; nullptr when there are none.
  virtual void* reserveAddresses(size_t bytes) noexcept = 0;
  // Puts memory behind a part of them; `sparse`: it will hardly be touched. False when there is none.
  virtual bool commitPages(void* address, size_t bytes, bool sparse) noexcept = 0;
  // Gives back any part of the addresses, with the memory behind it. Nothing that was queued before may still use it
  // afterwards.
  virtual void releasePages(void* address, size_t bytes) noexcept = 0;

  // Every block begins at a multiple of this.
  virtual size_t alignment() const = 0;

  // The smallest part that can be given back, a divisor of platform::kRegionAlignment.
  virtual size_t granule() const { return platform::kRegionAlignment; }

  // Bytes that all allocators together may take. Throws InvalidArgument where the user's setting is no count of bytes.
  virtual uint64_t budget() = 0;

  // Bytes that they have taken.
  std::atomic<uint64_t> reserved{0};

  // The streams that take it; see MemoryUser.
  std::mutex usersMutex;
  std::condition_variable usersChanged;
  std::vector<MemoryUser*> users;

 protected:
  ~MemorySource() = default;
};

// The process's own memory. Its budget is LOWRANK_MEMORY_BUDGET, or 90 % of what was available when this was first
// asked.
class HostMemory final : public MemorySource {
 public:
  explicit HostMemory(size_t alignment) : alignment_(alignment) {}
  void* reserveAddresses(size_t bytes) noexcept override;
  bool commitPages(void* address, size_t bytes, bool sparse) noexcept override;
  void releasePages(void* address, size_t bytes) noexcept override;
  size_t alignment() const override { return alignment_; }
  size_t granule() const override { return size_t{64} << 10; }
  uint64_t budget() override;

 private:
  const size_t alignment_;
};

// LOWRANK_MEMORY_BUDGET; 0 where it is not set.
uint64_t memoryBudgetSetting();

MemorySource& hostMemory();

}  // namespace lowrank
