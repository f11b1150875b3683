// Where an op's kernels are launched: the device side of a stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "../core/context.h"
#include "../core/tensor.h"
#include "device.h"
#include "generation.h"

namespace lowrank::LOWRANK_BACKEND {

// What kernels find wrong in the values that they read, as an id beyond the vocabulary. Of all such finds since the
// host looked last the first is kept: of the earliest op, there of the lowest code, there of the lowest position; that
// does not depend on who runs when.
struct FaultRecord {
  uint64_t serial;      // of the op; 0: none
  uint64_t finding;     // code << 60 | position << 32 | value; ~0: none
  uint64_t limits[16];  // by code
};

// What is wrong. The numbers order the finds of one op.
enum class FaultCode : uint32_t {
  kIds,
  kIdsOfGradient,
  kRows,
  kPositions,
  kLabels,
  kSequencesQ,
  kSequencesK,
  kUsedKeys,
  kBlocks,
  kPairRows,
  kSampling,
  kChosen,
  kLogits,
  kWeights,
};

// A kernel's argument.
struct FaultSink {
  FaultRecord* record;
  uint64_t serial;
};

__device__ __forceinline__ void reportFault(const FaultSink& sink, FaultCode code, int64_t position, int32_t value,
                                            int64_t limit) {
  const uint64_t before = atomicCompareExchange(&sink.record->serial, 0, sink.serial);
  if (before != 0 && before != sink.serial) return;
  sink.record->limits[static_cast<uint32_t>(code)] = static_cast<uint64_t>(limit);
  atomicMinimum(&sink.record->finding, static_cast<uint64_t>(code) << 60 |
                                           (static_cast<uint64_t>(position) & 0xfffffff) << 32 |
                                           static_cast<uint32_t>(value));
}

// A kernel as the launch needs it, one object per variant.
struct Kernel {
  Kernel(const char* prettyFunction, Generation generation);
  char name[160];
  const Generation needs;
  int64_t launches = 0;
  const Kernel* next;
};

template <auto kKernel>
const char* prettyName() {
  return __PRETTY_FUNCTION__;
}

template <auto kKernel, Generation kNeeds>
struct KernelOf {
  static inline Kernel record{prettyName<kKernel>(), kNeeds};
};

class Queue;

#if defined(__CUDACC__)
struct LaunchCode {
  const void* function;
  void** arguments;
};
#else
using LaunchCode = Body;
#endif

// 1. Ops run on the stream's worker thread, which owns the queue. Kernels run in the order of their launches; nothing
//    waits for them.
// 2. A launch that fails leaves the fault with the op's context; the launches after it are left out.
// 3. In a dry run it launches nothing (dry_queue.h).
class Queue {
 public:
  virtual void launch(Kernel& kernel, dim3 grid, dim3 block, size_t sharedBytes, const LaunchCode& code) = 0;

  // Both in the order of the launches. The host's bytes may be reused at once.
  virtual void copyToDevice(void* device, const void* host, size_t bytes) = 0;
  virtual void fillBytes(void* device, uint8_t value, size_t bytes) = 0;

  // For reportFault(), as from the op that runs.
  virtual FaultSink faults() = 0;
  // A grid that should fill the device has a few blocks for each of its multiprocessors.
  virtual int multiprocessors() const = 0;
  // Whether the device, and its code in this addon, has the products of warpgroups: compute capability 9.0.
  virtual bool runsWgmma() const = 0;
  // Bytes of the device's second-level cache. Work may be cut by them where neither results nor scratch depend on it.
  virtual int64_t cacheBytes() const = 0;

 protected:
  ~Queue() = default;
};

inline Queue& queueOf(Context& context) {
  return *static_cast<Queue*>(context.device());
}

#if defined(__CUDACC__)
template <class... Parameters>
void launchAs(Kernel& record, void (*kernel)(Parameters...), Queue& queue, dim3 grid, dim3 block, size_t sharedBytes,
              std::type_identity_t<Parameters>... arguments) {
  void* addresses[] = {const_cast<void*>(static_cast<const void*>(&arguments))...};
  queue.launch(record, grid, block, sharedBytes, {reinterpret_cast<const void*>(kernel), addresses});
}
#else
template <class... Parameters>
void launchAs(Kernel& record, void (*kernel)(Parameters...), Queue& queue, dim3 grid, dim3 block, size_t sharedBytes,
              std::type_identity_t<Parameters>... arguments) {
  const auto body = [&] { kernel(arguments...); };
  using Call = decltype(body);
  queue.launch(record, grid, block, sharedBytes,
               {[](const void* state) { (*static_cast<const std::remove_reference_t<Call>*>(state))(); }, &body});
}
#endif

// launch<kernel<T>>(queue, grid, block, sharedBytes, arguments...): arguments convert to the kernel's parameters.
template <auto kKernel, class... Arguments>
void launch(Queue& queue, dim3 grid, dim3 block, size_t sharedBytes, Arguments... arguments) {
  launchAs(KernelOf<kKernel, Generation::kSm80>::record, kKernel, queue, grid, block, sharedBytes, arguments...);
}

// The same for kernels with wgmma, where the queue runs them.
template <auto kKernel, class... Arguments>
void launchOnSm90(Queue& queue, dim3 grid, dim3 block, size_t sharedBytes, Arguments... arguments) {
  launchAs(KernelOf<kKernel, Generation::kSm90>::record, kKernel, queue, grid, block, sharedBytes, arguments...);
}

}  // namespace lowrank::LOWRANK_BACKEND
