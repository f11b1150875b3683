// The memory of one stream: blocks cut from ranges that grow at their end, best fit, neighbours merged.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "memory_source.h"

namespace lowrank {

struct MemoryInfo {
  uint64_t live;      // bytes in use
  uint64_t peak;      // the most that was in use since resetPeak()
  uint64_t touched;   // bytes that were in use at some time and not given back since: what is resident
  uint64_t reserved;  // bytes taken from the operating system
  uint64_t budget;
  uint64_t hostLive = 0;  // of a GPU's stream: bytes in use of the machine's memory
};

// 1. Only the stream's worker allocates and frees, in stream order; info() and resetPeak() may be called from any thread.
// 2. Small blocks have a range of their own: a scalar that lives long would otherwise split the space that large activations reuse. An adapter's
//    gradients are no small blocks: the next forward pass has their memory.
// 3. Free memory is kept for the next step. When a request does not fit the budget, whole free pages are given back to the system first, so
//    that fragments of any shape can serve any request.
// 4. Without `budget` the source's budget holds for the sum of all streams; with it, this stream alone is held to it.
// 5. In a dry run memory is addresses that are hardly touched: the budget is reported, but neither held to nor used up.
class Allocator {
 public:
  Allocator(MemorySource& source, std::optional<uint64_t> budget, bool dryRun);
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // Contents undefined; nullptr when the budget or the machine does not have it. May throw std::bad_alloc.
  void* allocate(size_t bytes);
  void free(void* address);  // nullptr is fine

  // Gives the pages of all free blocks back to the system.
  void releaseFree();

  MemoryInfo info() const;
  void resetPeak();

 private:
  struct Block {
    size_t bytes;
    bool free;
  };
  struct Pool {
    size_t growthBytes;  // the least that is asked of the system at once
    char* end;           // of the memory; the addresses up to `limit` are kept for it to grow
    char* limit;
    std::map<char*, Block> blocks;                  // by address; neighbours in memory are neighbours here
    std::set<std::pair<size_t, char*>> freeBlocks;  // by size, then address
  };

  static constexpr size_t kSmallBytes = size_t{32} << 10;
  Pool& poolOf(size_t bytes) { return bytes < kSmallBytes ? small_ : large_; }
  void* take(Pool& pool, size_t bytes);
  bool grow(Pool& pool, size_t bytes);
  bool growBy(Pool& pool, size_t size);
  bool openRange(Pool& pool, size_t bytes);
  void closeRange(Pool& pool);
  bool claimBudget(size_t bytes);
  void returnBudget(size_t bytes);
  void addFree(Pool& pool, char* address, size_t bytes);
  void trim(Pool& pool, size_t wanted);
  void markTouched(char* begin, char* end);
  void forgetTouched(char* begin, char* end);

  MemorySource& source_;
  const std::optional<uint64_t> ownBudget_;
  const bool dryRun_;
  Pool small_{size_t{2} << 20, nullptr, nullptr, {}, {}};
  Pool large_{size_t{32} << 20, nullptr, nullptr, {}, {}};
  std::atomic<uint64_t> live_{0};
  std::atomic<uint64_t> peak_{0};
  std::map<char*, char*> touchedRanges_;  // begin, end; neither overlapping nor adjacent
  std::atomic<uint64_t> touched_{0};
  std::atomic<uint64_t> reserved_{0};
};

}  // namespace lowrank
