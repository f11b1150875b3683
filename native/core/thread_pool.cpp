#include "thread_pool.h"

#include <cstdlib>
#include <string>
#include <thread>

#include "../platform/platform.h"
#include "fault.h"
#include "spin.h"
#include "start_thread.h"

namespace lowrank {

ThreadPool& ThreadPool::instance() {
  static ThreadPool* const pool = new ThreadPool;
  return *pool;
}

int ThreadPool::defaultThreads() {
  const char* text = std::getenv("LOWRANK_NUM_THREADS");
  if (text == nullptr || *text == '\0') return platform::allowedCores();
  char* end = nullptr;
  const long threads = std::strtol(text, &end, 10);
  if (*end != '\0' || threads < 1 || threads > kMaxThreads) {
    throw InvalidArgument("[device] expected a whole number from 1 to " + std::to_string(kMaxThreads) +
                          " for LOWRANK_NUM_THREADS, got '" + text + "'");
  }
  return int(threads);
}

void ThreadPool::grow(int threads) {
  const std::lock_guard guard(growMutex_);
  while (helperCount_ < threads - 1) {
    const int index = helperCount_ + 1;
    helpers_[index] = std::make_unique<Helper>();
    startThread("computing", [this, index] { help(index); }).detach();
    helperCount_ = index;
  }
}

void ThreadPool::lock() {
  std::unique_lock guard(turnMutex_);
  const uint64_t ticket = nextTicket_++;
  turnChanged_.wait(guard, [&] { return servedTicket_ == ticket; });
}

void ThreadPool::unlock() {
  bool others;
  {
    const std::lock_guard guard(turnMutex_);
    ++servedTicket_;
    others = servedTicket_ != nextTicket_;
  }
  if (others) turnChanged_.notify_all();
}

void ThreadPool::claimBlocks(int thread) {
  for (;;) {
    const int64_t block = nextBlock_.fetch_add(1, std::memory_order_relaxed);
    if (block >= blocks_) return;
    body_(state_, block, thread);
  }
}

void ThreadPool::run(int threads, int64_t blocks, Context::Body body, void* state) {
  if (threads == 1 || blocks <= 1) {
    for (int64_t block = 0; block < blocks; ++block) body(state, block, 0);
    return;
  }
  body_ = body;
  state_ = state;
  blocks_ = blocks;
  threads_.store(threads, std::memory_order_relaxed);
  nextBlock_.store(0, std::memory_order_relaxed);
  const uint32_t last = gate_.load(std::memory_order_relaxed);
  gate_.store(((last & ~(kOpen | kInside)) + kRun) | kOpen, std::memory_order_seq_cst);
  for (int index = 1; index < threads; ++index) {
    std::atomic<uint32_t>& parked = helpers_[index]->parked;
    if (parked.load(std::memory_order_seq_cst) == 0) continue;
    parked.store(0, std::memory_order_relaxed);
    parked.notify_one();
  }

  claimBlocks(0);

  // All blocks are claimed. Who is inside may still compute; who is not need not come.
  gate_.fetch_and(~kOpen, std::memory_order_seq_cst);
  const auto empty = [this] { return (gate_.load(std::memory_order_acquire) & kInside) == 0; };
  if (spinUntil(empty)) return;
  ownerParked_.store(true, std::memory_order_seq_cst);
  for (;;) {
    const uint32_t gate = gate_.load(std::memory_order_seq_cst);
    if ((gate & kInside) == 0) break;
    gate_.wait(gate, std::memory_order_seq_cst);
  }
  ownerParked_.store(false, std::memory_order_relaxed);
}

void ThreadPool::help(int index) {
  platform::becomeComputeThread(("lowrank-" + std::to_string(index)).c_str());
  std::atomic<uint32_t>& parked = helpers_[index]->parked;
  uint32_t done = 0;  // the number of the last run that this thread left
  uint32_t gate = 0;
  const auto wanted = [&] {
    gate = gate_.load(std::memory_order_seq_cst);
    return (gate & kOpen) != 0 && (gate & ~(kOpen | kInside)) != done &&
           index < threads_.load(std::memory_order_relaxed);
  };
  for (;;) {
    if (!spinUntil(wanted)) {
      // Either this sees the next run's gate, or that run sees the word.
      parked.store(1, std::memory_order_seq_cst);
      if (!wanted()) parked.wait(1, std::memory_order_acquire);
      parked.store(0, std::memory_order_relaxed);
      continue;
    }
    if (!gate_.compare_exchange_strong(gate, gate + 1, std::memory_order_acq_rel)) continue;
    done = gate & ~(kOpen | kInside);
    // Asked again, since run numbers wrap round: this may be a run with fewer threads.
    if (index < threads_.load(std::memory_order_relaxed)) claimBlocks(index);
    gate_.fetch_sub(1, std::memory_order_seq_cst);
    if (ownerParked_.load(std::memory_order_seq_cst)) gate_.notify_all();
  }
}

}  // namespace lowrank
