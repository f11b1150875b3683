// The CUDA runtime behind runtime.h and queue.h.
//
// Copies go through a ring of pinned memory, so that the host goes on while they run.
// Errors: a launch that is refused is the op's fault; an error while running is seen at the next wait, and the device
// is lost to the process, whose other devices live on. Memory of the host that kernels read is pinned, and has one
// address for both. Timers: pairs of events, read at the next wait and used again.
#include <cstdio>
#include <cstring>
#include <map>
#include <vector>

#include "../core/fault.h"
#include "device_memory.h"
#include "dry_queue.h"
#include "finding.h"
#include "queue.h"
#include "runtime.h"

namespace lowrank::cuda {
namespace {

constexpr size_t kStagingBytes = size_t{8} << 20;
constexpr int kStagingSlots = 4;
constexpr size_t kTimers = 4096;  // more than a training step of 8B parameters has ops

std::string describe(cudaError_t error) {
  return std::string("CUDA reports ") + cudaGetErrorName(error) + " (" + cudaGetErrorString(error) + ")";
}

class CudaQueue final : public DeviceQueue, public Queue {
 public:
  CudaQueue(int ordinal, const QueueTraits& traits) : ordinal_(ordinal), traits_(traits) {}

  ~CudaQueue() override {
    if (stream_ == nullptr) return;
    cudaSetDevice(ordinal_);
    cudaStreamSynchronize(stream_);
    for (Staging& slot : staging_) {
      cudaFreeHost(slot.memory);
      cudaEventDestroy(slot.done);
    }
    for (Timer& timer : timers_) {
      if (timer.begin != nullptr) cudaEventDestroy(timer.begin);
      if (timer.end != nullptr) cudaEventDestroy(timer.end);
    }
    cudaFree(record_);
    cudaFreeHost(seen_);
    cudaStreamDestroy(stream_);
  }

  std::string attach() override {
    const auto failed = [&](cudaError_t error) {
      if (error != cudaSuccess && error_.empty()) error_ = describe(error);
    };
    failed(cudaSetDevice(ordinal_));
    failed(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    for (Staging& slot : staging_) {
      failed(cudaMallocHost(&slot.memory, kStagingBytes));
      failed(cudaEventCreateWithFlags(&slot.done, cudaEventDisableTiming));
    }
    failed(cudaMalloc(&record_, sizeof(FaultRecord)));
    failed(cudaMallocHost(&seen_, sizeof(FaultRecord)));
    if (error_.empty()) clearRecord();
    return error_;
  }

  MemorySource& memory() override { return memoryOf(ordinal_); }

  // Pinned; with unified addressing, which all GPUs that serve have, the host's address is the device's too.
  void* allocateHost(size_t bytes, std::string& why) override {
    void* memory = nullptr;
    const cudaError_t error = cudaHostAlloc(&memory, bytes, cudaHostAllocPortable | cudaHostAllocMapped);
    if (error != cudaSuccess) {
      cudaGetLastError();
      why = describe(error);
      return nullptr;
    }
    hostBlocks_[static_cast<char*>(memory)] = bytes;
    return memory;
  }
  void freeHost(void* address) noexcept override {
    cudaStreamSynchronize(stream_);
    hostBlocks_.erase(static_cast<char*>(address));
    cudaFreeHost(address);
  }

  void* kernelQueue() override { return static_cast<Queue*>(this); }

  void begin(Context& context, uint64_t serial) override {
    context_ = &context;
    serial_ = serial;
    failed_ = false;
  }

  void beginTimer(std::atomic<uint64_t>& nanoseconds) override {
    if (failed_) return;
    if (timers_.empty()) timers_.resize(kTimers);
    if (timersQueued_ - timersRead_ == kTimers) expect(readOldestTimer(), "a timer");
    Timer& timer = timers_[timersQueued_ % kTimers];
    if (timer.begin == nullptr) expect(cudaEventCreate(&timer.begin), "a timer");
    if (timer.end == nullptr) expect(cudaEventCreate(&timer.end), "a timer");
    if (failed_) return;
    timer.nanoseconds = &nanoseconds;
    expect(cudaEventRecord(timer.begin, stream_), "a timer");
  }

  void endTimer() override {
    if (failed_) return;
    expect(cudaEventRecord(timers_[timersQueued_ % kTimers].end, stream_), "a timer");
    if (!failed_) ++timersQueued_;
  }

  void upload(void* device, const void* host, size_t bytes) override {
    if (failed_) return;
    if (isOnHost(device)) return copyOnHost(device, host, bytes);
    for (size_t at = 0; at < bytes; at += kStagingBytes) {
      const size_t part = bytes - at < kStagingBytes ? bytes - at : kStagingBytes;
      Staging& slot = nextSlot();
      std::memcpy(slot.memory, static_cast<const char*>(host) + at, part);
      expect(cudaMemcpyAsync(static_cast<char*>(device) + at, slot.memory, part, cudaMemcpyHostToDevice, stream_),
             "a copy");
      cudaEventRecord(slot.done, stream_);
    }
  }

  void download(void* host, const void* device, size_t bytes) override {
    if (failed_) return;
    if (isOnHost(device)) return copyOnHost(host, device, bytes);
    for (size_t at = 0; at < bytes; at += kStagingBytes) {
      const size_t part = bytes - at < kStagingBytes ? bytes - at : kStagingBytes;
      Staging& slot = nextSlot();
      expect(cudaMemcpyAsync(slot.memory, static_cast<const char*>(device) + at, part, cudaMemcpyDeviceToHost, stream_),
             "a copy");
      expect(cudaStreamSynchronize(stream_), "a copy");
      if (failed_) return;
      std::memcpy(static_cast<char*>(host) + at, slot.memory, part);
    }
  }

  std::optional<LateFault> wait() override {
    if (stream_ == nullptr) return {};
    cudaMemcpyAsync(seen_, record_, sizeof(FaultRecord), cudaMemcpyDeviceToHost, stream_);
    cudaError_t error = cudaStreamSynchronize(stream_);
    while (error == cudaSuccess && timersRead_ < timersQueued_) error = readOldestTimer();
    timersRead_ = timersQueued_ = 0;  // so that there are no more events than ops between two waits
    if (error != cudaSuccess) return LateFault{0, describe(error)};
    if (seen_->serial == 0) return {};
    LateFault fault{seen_->serial, describeFinding(seen_->finding, seen_->limits)};
    clearRecord();
    return fault;
  }

  void launch(Kernel& kernel, dim3 grid, dim3 block, size_t sharedBytes, const LaunchCode& code) override {
    if (failed_) return;
    ++kernel.launches;
    if (sharedBytes > kSharedWithoutAsking) {
      expect(cudaFuncSetAttribute(code.function, cudaFuncAttributeMaxDynamicSharedMemorySize, int(sharedBytes)),
             kernel.name);
      if (failed_) return;
    }
    expect(cudaLaunchKernel(code.function, grid, block, code.arguments, sharedBytes, stream_), kernel.name);
  }

  void copyToDevice(void* device, const void* host, size_t bytes) override { upload(device, host, bytes); }
  void fillBytes(void* device, uint8_t value, size_t bytes) override {
    if (!failed_) expect(cudaMemsetAsync(device, value, bytes, stream_), "a fill");
  }
  FaultSink faults() override { return {record_, serial_}; }
  int multiprocessors() const override { return traits_.multiprocessors; }
  bool runsWgmma() const override { return traits_.runsWgmma; }
  int64_t cacheBytes() const override { return traits_.cacheBytes; }

 private:
  static constexpr size_t kSharedWithoutAsking = 48 << 10;

  struct Staging {
    void* memory = nullptr;
    cudaEvent_t done = nullptr;
  };

  // The events around a command.
  struct Timer {
    cudaEvent_t begin = nullptr;
    cudaEvent_t end = nullptr;
    std::atomic<uint64_t>* nanoseconds = nullptr;
  };

  cudaError_t readOldestTimer() {
    const Timer& timer = timers_[timersRead_++ % kTimers];
    float milliseconds = 0;
    cudaError_t error = cudaEventSynchronize(timer.end);
    if (error == cudaSuccess) error = cudaEventElapsedTime(&milliseconds, timer.begin, timer.end);
    if (error == cudaSuccess)
      timer.nanoseconds->fetch_add(uint64_t(double(milliseconds) * 1e6), std::memory_order_relaxed);
    return error;
  }

  // Whether an address is within what allocateHost() gave.
  bool isOnHost(const void* address) const {
    const char* const at = static_cast<const char*>(address);
    const auto after = hostBlocks_.upper_bound(const_cast<char*>(at));
    return after != hostBlocks_.begin() && at < std::prev(after)->first + std::prev(after)->second;
  }

  void copyOnHost(void* to, const void* from, size_t bytes) {
    expect(cudaStreamSynchronize(stream_), "a copy");
    if (!failed_) std::memcpy(to, from, bytes);
  }

  Staging& nextSlot() {
    Staging& slot = staging_[next_++ % kStagingSlots];
    cudaEventSynchronize(slot.done);
    return slot;
  }

  void clearRecord() {
    *seen_ = FaultRecord{0, ~uint64_t{0}, {}};
    cudaMemcpyAsync(record_, seen_, sizeof(FaultRecord), cudaMemcpyHostToDevice, stream_);
    cudaStreamSynchronize(stream_);
  }

  void expect(cudaError_t error, const char* what) {
    if (error == cudaSuccess) return;
    cudaGetLastError();  // what can be forgotten is
    failed_ = true;
    context_->fail("expected %s to run on CUDA device %d, but CUDA reports %s (%s)", what, ordinal_,
                   cudaGetErrorName(error), cudaGetErrorString(error));
  }

  const int ordinal_;
  const QueueTraits traits_;
  std::string error_;
  cudaStream_t stream_ = nullptr;
  Staging staging_[kStagingSlots];
  unsigned next_ = 0;
  std::map<char*, size_t> hostBlocks_;
  std::vector<Timer> timers_;      // a ring; nothing until one is asked for
  size_t timersQueued_ = 0;        // since the last wait
  size_t timersRead_ = 0;          // of them
  FaultRecord* record_ = nullptr;  // on the device
  FaultRecord* seen_ = nullptr;    // the host's copy, pinned
  Context* context_ = nullptr;
  uint64_t serial_ = 0;
  bool failed_ = false;
};

std::string versionText(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

DriverInfo driverInfo() {
  DriverInfo info{0, CUDART_VERSION, {}};
  int count = 0;
  cudaDriverGetVersion(&info.driverVersion);
  const cudaError_t error = cudaGetDeviceCount(&count);
  cudaGetLastError();
  if (info.driverVersion == 0) {
    info.error = "no NVIDIA driver was found";
  } else if (error == cudaErrorInsufficientDriver) {
    info.error = "the NVIDIA driver runs CUDA " + versionText(info.driverVersion) + " at most, and CUDA " +
                 versionText(info.runtimeVersion) + " is needed";
  } else if (error != cudaSuccess) {
    info.error = describe(error);
  } else if (count == 0) {
    info.error = "the NVIDIA driver shows no GPU to this process";
  }
  return info;
}

std::vector<DeviceInfo> devices(bool memory) {
  std::vector<DeviceInfo> result;
  int count = 0;
  if (!driverInfo().error.empty() || cudaGetDeviceCount(&count) != cudaSuccess) return result;
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    cudaDeviceProp properties;
    if (cudaGetDeviceProperties(&properties, ordinal) != cudaSuccess) continue;
    size_t free = 0, total = 0;
    if (memory && cudaSetDevice(ordinal) == cudaSuccess) cudaMemGetInfo(&free, &total);
    result.push_back({properties.name, properties.major, properties.minor, properties.totalGlobalMem, uint64_t(free)});
  }
  return result;
}

std::shared_ptr<DeviceQueue> openQueue(int ordinal, bool dryRun) {
  if (dryRun) return std::make_shared<DryQueue>(dryMemoryOf(ordinal), QueueTraits{108, int64_t{50} << 20, false}, true);
  const DriverInfo driver = driverInfo();
  if (!driver.error.empty()) {
    throw InvalidArgument("[device] expected a GPU for device 'cuda', but " + driver.error +
                          "; use device 'cpu', or install an NVIDIA driver for CUDA " +
                          versionText(driver.runtimeVersion) + " (`lowrank doctor` says more)");
  }
  int count = 0;
  cudaGetDeviceCount(&count);
  if (ordinal >= count) {
    throw InvalidArgument("[device] expected a GPU from 0 to " + std::to_string(count - 1) +
                          " for device 'cuda:N', got " + std::to_string(ordinal));
  }
  cudaDeviceProp properties;
  if (const cudaError_t error = cudaGetDeviceProperties(&properties, ordinal); error != cudaSuccess)
    throw InvalidArgument("[device] " + describe(error));
  if (properties.major < kLeastMajor) {
    throw InvalidArgument(
        "[device] expected a GPU of compute capability 8.0 or more (Ampere and newer) for device 'cuda:" +
        std::to_string(ordinal) + "', got " + properties.name + ", which has " + std::to_string(properties.major) +
        "." + std::to_string(properties.minor) + "; use device 'cpu'");
  }
#if defined(LOWRANK_SM_90A)
  const bool runsWgmma = properties.major == 9 && properties.minor == 0;
#else
  const bool runsWgmma = false;
#endif
  return std::make_shared<CudaQueue>(ordinal,
                                     QueueTraits{properties.multiProcessorCount, properties.l2CacheSize, runsWgmma});
}

}  // namespace lowrank::cuda
