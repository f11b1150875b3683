// The queue of a dry run: kernels are planned as for the device, and nothing is launched or copied.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>

#include "../core/device_queue.h"
#include "queue.h"

namespace lowrank::LOWRANK_BACKEND {

// What launchers ask of the device. Scratch must not depend on it.
struct QueueTraits {
  int multiprocessors;
  int64_t cacheBytes;
  bool runsWgmma;
};

class DryQueue final : public DeviceQueue, public Queue {
 public:
  // `runsLater`: as the device's kernels do.
  DryQueue(MemorySource& memory, const QueueTraits& traits, bool runsLater)
      : memory_(memory), traits_(traits), runsLater_(runsLater) {}

  bool runsLater() const override { return runsLater_; }
  std::string attach() override { return {}; }
  MemorySource& memory() override { return memory_; }

  // Addresses that nothing touches.
  void* allocateHost(size_t bytes, std::string& why) override {
    void* const memory = std::malloc(bytes);
    if (memory == nullptr) why = "the process has no more";
    return memory;
  }
  void freeHost(void* address) noexcept override { std::free(address); }

  void* kernelQueue() override { return static_cast<Queue*>(this); }
  void begin(Context&, uint64_t) override {}
  void beginTimer(std::atomic<uint64_t>&) override {}
  void endTimer() override {}
  void upload(void*, const void*, size_t) override {}
  void download(void*, const void*, size_t) override {}
  std::optional<LateFault> wait() override { return {}; }

  void launch(Kernel&, dim3, dim3, size_t, const LaunchCode&) override {}
  void copyToDevice(void*, const void*, size_t) override {}
  void fillBytes(void*, uint8_t, size_t) override {}
  FaultSink faults() override { return {nullptr, 0}; }
  int multiprocessors() const override { return traits_.multiprocessors; }
  bool runsWgmma() const override { return traits_.runsWgmma; }
  int64_t cacheBytes() const override { return traits_.cacheBytes; }

 private:
  MemorySource& memory_;
  const QueueTraits traits_;
  const bool runsLater_;
};

}  // namespace lowrank::LOWRANK_BACKEND
