// What a kernel may ask of the stream that runs it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace lowrank {

// 1. A kernel runs on the stream's worker thread and owns the machine's pool until it returns.
// 2. parallel() may be called many times per kernel, never from inside a body.
// 3. Work is cut into blocks by the shapes alone, never by the number of threads: which thread runs a block is open,
//    what the block computes is not. That is what makes results independent of the thread count.
// 4. Scratch lives until the kernel returns, is counted in memory(), and is 64-byte aligned, contents undefined. When
//    it cannot be had, scratch() records the out-of-memory fault and returns nullptr: the kernel returns at once.
// 5. fail() records the stream's sticky error (printf format, one sentence: what was expected, what came). The kernel
//    returns at once; its outputs count as poisoned.
class Context {
 public:
  using Body = void (*)(void* state, int64_t block, int thread);

  virtual void parallel(int64_t blocks, Body body, void* state) = 0;  // thread is in [0, threads())
  virtual int threads() const = 0;
  virtual void* device() = 0;  // what the backend of a device other than the CPU needs: its queue (cuda/queue.h)
  virtual void* scratch(size_t bytes) = 0;
  virtual void fail(const char* format, ...) __attribute__((format(printf, 2, 3))) = 0;

 protected:
  ~Context() = default;
};

}  // namespace lowrank
