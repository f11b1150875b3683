#include "runtime.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "../cuda/dry_queue.h"
#include "../cuda/finding.h"
#include "../cuda/queue.h"

namespace lowrank::emulator {
namespace {

// Blocks are as aligned as cudaMalloc's.
MemorySource& emulatedMemory() {
  static HostMemory memory(256);
  return memory;
}

// LOWRANK_EMULATOR_COVERAGE names a file to which every kernel's name is appended when a process first launches it.
void noteFirstLaunch(const Kernel& kernel) {
  const char* const path = std::getenv("LOWRANK_EMULATOR_COVERAGE");
  if (path == nullptr || *path == '\0') return;
  std::FILE* const file = std::fopen(path, "a");
  if (file == nullptr) return;
  std::fprintf(file, "%s\n", kernel.name);
  std::fclose(file);
}

class EmulatorQueue final : public DeviceQueue, public Queue {
 public:
  explicit EmulatorQueue(const Options& options) : options_(options) {}

  bool runsLater() const override { return false; }
  std::string attach() override { return {}; }
  MemorySource& memory() override { return emulatedMemory(); }
  void* allocateHost(size_t bytes, std::string& why) override {
    if (!options_.hostBytes || bytes <= *options_.hostBytes) return std::aligned_alloc(256, (bytes + 255) / 256 * 256);
    why = "the emulated machine has " + std::to_string(*options_.hostBytes) + " bytes";
    return nullptr;
  }
  void freeHost(void* address) noexcept override { std::free(address); }
  void* kernelQueue() override { return static_cast<Queue*>(this); }

  void begin(Context& context, uint64_t serial) override {
    context_ = &context;
    serial_ = serial;
    failed_ = false;
  }

  // Kernels run within their launch: the host's clock is the device's.
  void beginTimer(std::atomic<uint64_t>& nanoseconds) override {
    timed_ = &nanoseconds;
    timerBegin_ = std::chrono::steady_clock::now();
  }
  void endTimer() override {
    if (failed_) return;
    const auto elapsed = std::chrono::steady_clock::now() - timerBegin_;
    timed_->fetch_add(uint64_t(elapsed.count()), std::memory_order_relaxed);
  }

  void upload(void* device, const void* host, size_t bytes) override {
    if (!failed_ && bytes > 0) std::memcpy(device, host, bytes);
  }
  void download(void* host, const void* device, size_t bytes) override { upload(host, device, bytes); }

  std::optional<LateFault> wait() override {
    if (record_.serial == 0) return {};
    LateFault fault{record_.serial, describeFinding(record_.finding, record_.limits)};
    record_ = {0, ~uint64_t{0}, {}};
    return fault;
  }

  void launch(Kernel& kernel, dim3 grid, dim3 block, size_t sharedBytes, const Body& body) override {
    if (failed_) return;
    if (kernel.launches++ == 0) noteFirstLaunch(kernel);
    Launch launch(kernel.name, kernel.needs, options_.generation, grid, block, sharedBytes, body, options_.schedule);
    if (*launch.refusal() == '\0') {
      context_->parallel(
          launch.blocks(), [](void* state, int64_t number, int) { static_cast<Launch*>(state)->runBlock(number); },
          &launch);
      if (*launch.faultText() == '\0') return;
    }
    failed_ = true;
    context_->fail("%s%s", launch.refusal(), launch.faultText());
  }

  void copyToDevice(void* device, const void* host, size_t bytes) override { upload(device, host, bytes); }
  void fillBytes(void* device, uint8_t value, size_t bytes) override {
    if (!failed_) std::memset(device, value, bytes);
  }
  FaultSink faults() override { return {&record_, serial_}; }
  int multiprocessors() const override { return options_.multiprocessors; }
  bool runsWgmma() const override { return options_.generation == Generation::kSm90; }
  int64_t cacheBytes() const override { return options_.cacheBytes; }

 private:
  const Options options_;
  Context* context_ = nullptr;
  uint64_t serial_ = 0;
  bool failed_ = false;
  std::atomic<uint64_t>* timed_ = nullptr;
  std::chrono::steady_clock::time_point timerBegin_;
  FaultRecord record_{0, ~uint64_t{0}, {}};
};

}  // namespace

std::shared_ptr<DeviceQueue> openQueue(const Options& options, bool dryRun) {
  if (!dryRun) return std::make_shared<EmulatorQueue>(options);
  const bool runsWgmma = options.generation == Generation::kSm90;
  return std::make_shared<DryQueue>(emulatedMemory(),
                                    QueueTraits{options.multiprocessors, options.cacheBytes, runsWgmma}, false);
}

std::vector<std::pair<std::string, int64_t>> kernelLaunches() {
  std::vector<std::pair<std::string, int64_t>> result;
  for (const Kernel* kernel = kernels(); kernel != nullptr; kernel = kernel->next)
    result.emplace_back(kernel->name, kernel->launches);
  return result;
}

}  // namespace lowrank::emulator
