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

// 1. Only the stream's worker allocates and frees, in stream order; info() and resetPeak() may be called from any
//    thread.
// 2. Small blocks have a range of their own: a scalar that lives long would otherwise split the space that large
//    activations reuse. An adapter's gradients are no small blocks: the next forward pass has their memory.
// 3. Free memory is kept for the next step. When a request does not fit the budget, free memory is given back to the
//    system first: whole pages of kRegionAlignment, and if that is not enough, all whole granules of the source. So
//    fragments of any shape can serve any request, and a small budget is not lost to page ends.
// 4. Without `budget` the source's budget holds for the sum of all streams; with it, this stream alone is held to it.
// 5. In a dry run memory is addresses that are hardly touched. It does not use up the source's budget, and is held to
//    the budget only with kHeldToBudget: then the same requests fail as in a real run that has the budget for itself.
enum class DryRun { kNo, kUnlimited, kHeldToBudget };

class Allocator {
 public:
  Allocator(MemorySource& source, std::optional<uint64_t> budget, DryRun dryRun);
  ~Allocator();
  Allocator(const Allocator&) = delete;
  Allocator& operator=(const Allocator&) = delete;

  // Contents undefined; nullptr when the budget or the machine does not have it. May throw std::bad_alloc.
  void* allocate(size_t bytes);
  void free(void* address);  // nullptr is fine

  // Gives the memory of all free blocks back to the system, and the addresses that are kept to grow into. When every
  // block is free nothing stays.
  void releaseFree();

  // Holds this allocator to so many bytes, beside its budget.
  void limit(uint64_t bytes) { limit_ = bytes; }

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
  size_t freeAtEnd(const Pool& pool) const;
  bool openRange(Pool& pool, size_t bytes);
  void closeRange(Pool& pool);
  bool claimBudget(size_t bytes);
  void returnBudget(size_t bytes);
  void addFree(Pool& pool, char* address, size_t bytes);
  void trim(Pool& pool, size_t wanted, size_t unit);
  void forbid(void* address, size_t bytes) const;
  void permit(void* address, size_t bytes) const;
  void markTouched(char* begin, char* end);
  void forgetTouched(char* begin, char* end);

  MemorySource& source_;
  const std::optional<uint64_t> ownBudget_;
  const DryRun dryRun_;
  std::atomic<uint64_t> limit_{~uint64_t{0}};
  uint64_t budget() const;
  Pool small_{size_t{2} << 20, nullptr, nullptr, {}, {}};
  Pool large_{size_t{32} << 20, nullptr, nullptr, {}, {}};
  std::atomic<uint64_t> live_{0};
  std::atomic<uint64_t> peak_{0};
  std::map<char*, char*> touchedRanges_;  // begin, end; neither overlapping nor adjacent
  std::atomic<uint64_t> touched_{0};
  std::atomic<uint64_t> reserved_{0};
};

}  // namespace lowrank
