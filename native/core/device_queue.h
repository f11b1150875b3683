// What a stream needs of a device that is not the CPU: memory of its own that the host cannot touch, kernels that run
// later.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "context.h"
#include "memory_source.h"

namespace lowrank {

// What kernels found wrong, seen when they were waited for.
struct LateFault {
  uint64_t serial;      // of the command; 0: of any since the last wait
  std::string message;  // without the op's name
};

// 1. Made on JavaScript's thread; everything else is the stream's worker's.
// 2. Kernels, copies and fills run in the order in which they were queued.
// 3. A dry run has a queue that runs nothing and needs no device: cuda/dry_queue.h.
class DeviceQueue {
 public:
  virtual ~DeviceQueue() = default;

  // Whether kernels may still run when their commands have.
  virtual bool runsLater() const { return true; }

  // The worker's thread begins. Returns what is wrong, or nothing.
  virtual std::string attach() = 0;
  virtual MemorySource& memory() = 0;

  // Memory of the machine at an address that kernels may use too; nullptr, and why, where there is none. It is freed
  // when nothing queued uses it.
  virtual void* allocateHost(size_t bytes, std::string& why) = 0;
  virtual void freeHost(void* address) noexcept = 0;

  // Context::device() of kernels.
  virtual void* kernelQueue() = 0;

  // What follows belongs to the command `serial`; launches that fail are told to `context`, which lives until the next
  // begin().
  virtual void begin(Context& context, uint64_t serial) = 0;

  // The device's time from one to the other, of one command, by the device's clock: it is added to `nanoseconds`, which
  // lives until the last wait(), before the next wait() returns. The host waits only where very many are open. A
  // command that fails adds nothing.
  virtual void beginTimer(std::atomic<uint64_t>& nanoseconds) = 0;
  virtual void endTimer() = 0;

  // Returns when the host's bytes may be reused, and when they are filled. `device` is in either memory.
  virtual void upload(void* device, const void* host, size_t bytes) = 0;
  virtual void download(void* host, const void* device, size_t bytes) = 0;

  // Until everything queued has run. Of all that kernels found wrong since the last call, the earliest.
  virtual std::optional<LateFault> wait() = 0;
};

}  // namespace lowrank
