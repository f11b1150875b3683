// The process's compute threads, which serve all streams in turn.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>

#include "context.h"

namespace lowrank {

// 1. The one permitted singleton: two pools would fight for the same cores. It is never destroyed, because its threads
//    run until the process ends; parked threads cost nothing.
// 2. A stream takes its turn with lock() for one kernel at a time; turns are given in the order in which they were
//    asked for.
// 3. Within a turn run() may be called many times, by the thread that took the turn; that thread is thread 0 of every
//    run.
// 4. Blocks are claimed one by one from a counter. A helper that the system has not scheduled yet is not waited for:
//    run() returns when all blocks are done, so that a core which Node's main thread uses for a moment costs its share
//    and no more.
class ThreadPool {
 public:
  static ThreadPool& instance();

  // LOWRANK_NUM_THREADS, or the physical cores that this process may use. Throws InvalidArgument for a value that is no
  // count.
  static int defaultThreads();
  static constexpr int kMaxThreads = 1024;

  // Makes sure that `threads` can take part in a run, the caller included. Throws InvalidArgument when there are no
  // more threads.
  void grow(int threads);

  void lock();
  void unlock();

  // body(state, block, thread) for every block in [0, blocks), on at most `threads` threads.
  void run(int threads, int64_t blocks, Context::Body body, void* state);

 private:
  // A helper parks on a word of its own, so that a run wakes only as many as it wants.
  struct alignas(64) Helper {
    std::atomic<uint32_t> parked{0};
  };

  ThreadPool() = default;
  void help(int index);
  void claimBlocks(int thread);

  // The gate of the current run, one word so that entering is one atomic step: how many helpers are inside, whether it
  // is open, and the run's number.
  static constexpr uint32_t kInside = 0x7ff;
  static constexpr uint32_t kOpen = 0x800;
  static constexpr uint32_t kRun = 0x1000;
  alignas(64) std::atomic<uint32_t> gate_{0};
  std::atomic<bool> ownerParked_{false};
  alignas(64) std::atomic<int64_t> nextBlock_{0};

  // What the current run computes. It is written while the gate is closed and no thread is inside.
  alignas(64) Context::Body body_ = nullptr;
  void* state_ = nullptr;
  int64_t blocks_ = 0;
  std::atomic<int> threads_{0};  // helpers from this index on stay out

  std::mutex turnMutex_;
  std::condition_variable turnChanged_;
  uint64_t nextTicket_ = 0;
  uint64_t servedTicket_ = 0;

  std::mutex growMutex_;
  int helperCount_ = 0;
  std::unique_ptr<Helper> helpers_[kMaxThreads];  // by thread; thread 0 is the caller of run()
};

}  // namespace lowrank
