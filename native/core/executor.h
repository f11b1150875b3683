// Where a stream's commands run. There are four: the CPU and a device with a queue (host_executor.cpp,
// device_executor.cpp), and a dry run of each, which reserves memory and computes nothing.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "buffer.h"
#include "context.h"
#include "device_queue.h"
#include "fault.h"
#include "memory_source.h"
#include "schema.h"
#include "tensor.h"

namespace lowrank {

class KernelContext;

struct StreamOptions {
  const Backend* backend;
  int threads;
  std::optional<uint64_t> memoryBudget;  // of this stream alone; without it the process's holds
  bool dryRun;                           // see Stream
  bool holdBudget;                       // a dry run too has no more memory than the budget
  bool timeOps;                          // with a queue: OpTime has the device's time
  std::shared_ptr<DeviceQueue> queue;    // nullptr: the CPU
};

// How often an op ran, and the time in it: the worker's, which with a queue is that of queuing, or the device's where
// StreamOptions asks for it. The worker adds; anybody reads.
struct OpTime {
  std::atomic<uint64_t> calls{0};
  std::atomic<uint64_t> nanoseconds{0};
};

// Elements of a file, rows packed.
struct FileRange {
  std::string path;
  uint64_t offset;
  DType dtype;
};

// 1. Made and destroyed on JavaScript's thread, which may ask what stands first; everything else is the worker's.
// 2. Tensors are located (views.h), and their buffers have memory.
// 3. What fails is left with the context. Nothing here sticks or poisons, but for wait().
class Executor {
 public:
  virtual ~Executor() = default;

  // Whether there is memory that the host does not compute in. Without it Buffer::onHost is never set.
  virtual bool hasOwnMemory() const = 0;
  // Whether an upload's values are looked at.
  virtual bool needsValues(DType dtype) const = 0;
  // The longest that close() holds JavaScript up for a worker that has only memory to give back.
  virtual std::chrono::milliseconds longestClose() const = 0;

  // The worker's thread begins. Returns what is wrong, or nothing.
  virtual std::string attach() = 0;

  // For buffers onHost: memory of the machine at an address that kernels may use too; nullptr, and why, where there is
  // none.
  virtual void* allocateHost(size_t bytes, std::string& why) = 0;
  virtual void freeHost(void* address) noexcept = 0;

  // A buffer has memory, will have none, has been changed by the op that ran last, or wholly by the host.
  virtual void took(Buffer& buffer) = 0;
  virtual void gave(Buffer& buffer) = 0;
  virtual void changed(Buffer& buffer) = 0;
  virtual void filled(Buffer& buffer) = 0;

  virtual void run(const OpInfo& op, const void* args, KernelContext& context, OpTime& time) = 0;

  // Copies and converts; `host` has packed rows.
  virtual void fromHost(const Tensor& host, const Tensor& to, KernelContext& context) = 0;
  virtual void toHost(const Tensor& from, const Tensor& host, KernelContext& context) = 0;

  // Fills the target from its file, unless `abandoned`. Returns what is wrong with the file, or nothing.
  virtual std::string load(const FileRange& from, const Tensor& target, KernelContext& context,
                           const std::atomic<bool>& abandoned) = 0;

  // Until everything that ran has ended. The fault that kernels found meanwhile, with which all that depends on it is
  // poisoned already; or nothing.
  virtual FaultRef wait() = 0;

  // For KernelContext.
  virtual int threads() const = 0;
  virtual void* kernelQueue() = 0;
  virtual void parallel(int64_t blocks, Context::Body body, void* state) = 0;
  virtual void beginTurn() = 0;
  virtual void endTurn() = 0;
};

std::unique_ptr<Executor> makeHostExecutor(const StreamOptions& options);
std::unique_ptr<Executor> makeDeviceExecutor(const StreamOptions& options);

}  // namespace lowrank
