// The Context of a stream's kernels (context.h), for one command.
#pragma once

#include <mutex>
#include <string>
#include <vector>

#include "context.h"
#include "executor.h"
#include "fault.h"
#include "stream_memory.h"

namespace lowrank {

class KernelContext final : public Context {
 public:
  // `op` is for messages.
  KernelContext(Executor& executor, StreamMemory& memory, const char* op)
      : executor_(executor), memory_(memory), op_(op) {}
  ~KernelContext();
  KernelContext(const KernelContext&) = delete;
  KernelContext& operator=(const KernelContext&) = delete;

  void parallel(int64_t blocks, Body body, void* state) override { executor_.parallel(blocks, body, state); }
  int threads() const override { return executor_.threads(); }
  void* device() override { return executor_.kernelQueue(); }
  void* scratch(size_t bytes) override;
  void fail(const char* format, ...) override __attribute__((format(printf, 2, 3)));

  const FaultRef& fault() const { return fault_; }

  // The executor's turn of the process's pool, for one kernel.
  class Turn {
   public:
    explicit Turn(KernelContext& context);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    KernelContext& context_;
  };

 private:
  class Suspended;
  void record(Fault fault);

  Executor& executor_;
  StreamMemory& memory_;
  const char* op_;
  bool inTurn_ = false;
  std::vector<void*> scratch_;
  std::mutex mutex_;
  FaultRef fault_;
};

}  // namespace lowrank
