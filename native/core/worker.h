// The worker of a stream: its thread, its queue, and the running of commands. Its rules stand at Stream.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "command.h"
#include "executor.h"
#include "fault.h"
#include "stream_memory.h"

namespace lowrank {

// Gets the outcome of read() and sync(), on the worker's thread. `fault` is null when all went well. ended(): the
// worker does nothing any more after a close(), and join() does not wait.
class CompletionSink {
 public:
  virtual void complete(void* token, FaultRef fault) noexcept = 0;
  virtual void ended() noexcept = 0;

 protected:
  ~CompletionSink() = default;
};

class Worker {
 public:
  Worker(const StreamOptions& options, CompletionSink& sink);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // All of these are for JavaScript's thread.
  const Executor& executor() const { return *executor_; }
  StreamMemory& memory() { return memory_; }
  const StreamMemory& memory() const { return memory_; }
  // By op id, since the stream began. Whole once what was queued has been waited for.
  const std::array<OpTime, kOpCount>& times() const { return times_; }

  void push(command::Command command);

  // The end, in this order. close(): queues the last command, which gives back `buffers` and ends the worker.
  // awaitEnd(): waits and joins where nothing was queued that computes; else the sink hears of the end. join() waits
  // for the thread, and may come twice.
  void close(std::vector<std::unique_ptr<Buffer>> buffers);
  void awaitEnd();
  void join() noexcept;
  // What has not begun is skipped, but for the freeing of memory.
  void abandon() noexcept { abandoned_ = true; }

 private:
  static bool frees(const command::Command& command);

  // Below: the thread's own.
  void work() noexcept;
  void execute(command::Command& command) noexcept;
  template <class Kind>
  void attempt(Kind& kind) noexcept;
  void run(command::Op& op);
  void run(command::Replay& replay);
  void run(command::Upload& upload);
  void run(command::Load& load);
  void run(command::Read& read);
  void run(command::Sync& sync);
  void run(command::Release& release);
  void run(command::Close& close);

  // Each delivers a fault that interrupted a command.
  void give(command::Op& op, const FaultRef& fault) noexcept;
  void give(command::Replay& replay, const FaultRef& fault) noexcept;
  void give(command::Upload& upload, const FaultRef& fault) noexcept;
  void give(command::Load& load, const FaultRef& fault) noexcept;
  void give(command::Read& read, const FaultRef& fault) noexcept;
  void give(command::Sync& sync, const FaultRef& fault) noexcept;
  void give(command::Release&, const FaultRef&) noexcept {}
  void give(command::Close&, const FaultRef&) noexcept {}

  FaultRef stick(Fault fault);
  FaultRef resolve(command::Op& op);
  void poisonResults(const command::Op& op, const FaultRef& fault, bool skipped);
  FaultRef provide(Buffer& buffer, const char* where, const std::string& name);
  FaultRef provideOnHost(Buffer& buffer, const char* where, const std::string& name);
  void freeBuffer(std::unique_ptr<Buffer> buffer);
  void waitForKernels();

  CompletionSink& sink_;
  const std::unique_ptr<Executor> executor_;
  StreamMemory memory_;
  std::array<OpTime, kOpCount> times_;
  FaultRef sticky_;
  bool stopped_ = false;  // the last command has run

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<command::Command> queue_;
  bool ended_ = false;        // the thread touches nothing any more; guarded by mutex_, as the next
  bool endIsAwaited_ = true;  // awaitEnd() sees it itself
  std::condition_variable hasEnded_;
  std::atomic<bool> hasWork_{false};
  std::atomic<int64_t> computing_{0};  // commands that have not run yet, without those that free memory or wait
  std::atomic<bool> abandoned_{false};
  bool wasIdle_ = false;  // when close() was called
  std::thread thread_;
};

}  // namespace lowrank
