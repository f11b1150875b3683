#include "allocator.h"

#include <algorithm>
#include <new>

#include "../platform/platform.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace lowrank {
namespace {

// In a build with AddressSanitizer, what is not allocated is out of bounds to it, with a gap behind every block.
#if defined(__SANITIZE_ADDRESS__)
constexpr size_t kGap = 256;
#else
constexpr size_t kGap = 0;
#endif

// Addresses cost nothing; a process has room for a thousand such ranges.
constexpr size_t kRangeBytes = size_t{64} << 30;

size_t roundUp(size_t bytes, size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

Allocator::Allocator(MemorySource& source, std::optional<uint64_t> budget, DryRun dryRun)
    : source_(source), ownBudget_(budget), dryRun_(dryRun) {
  source.budget();
}

// The stream has freed every buffer by now.
Allocator::~Allocator() {
  releaseFree();
}

void Allocator::releaseFree() {
  constexpr size_t kAll = ~size_t{0};
  for (Pool* pool : {&small_, &large_}) {
    trim(*pool, kAll, source_.granule());
    closeRange(*pool);
  }
}

// A dry run has more memory than the machine: its shadow would have to be real.
void Allocator::forbid([[maybe_unused]] void* address, [[maybe_unused]] size_t bytes) const {
#if defined(__SANITIZE_ADDRESS__)
  if (dryRun_ == DryRun::kNo) ASAN_POISON_MEMORY_REGION(address, bytes);
#endif
}

void Allocator::permit([[maybe_unused]] void* address, [[maybe_unused]] size_t bytes) const {
#if defined(__SANITIZE_ADDRESS__)
  if (dryRun_ == DryRun::kNo) ASAN_UNPOISON_MEMORY_REGION(address, bytes);
#endif
}

void* Allocator::allocate(size_t wanted) {
  const size_t bytes = roundUp(std::max<size_t>(wanted, 1), source_.alignment());
  Pool& pool = poolOf(bytes);
  void* address = take(pool, bytes + kGap);
  if (address == nullptr && grow(pool, bytes + kGap)) address = take(pool, bytes + kGap);
  if (address == nullptr) return nullptr;
  permit(address, wanted);
  markTouched(static_cast<char*>(address), static_cast<char*>(address) + bytes);
  const uint64_t live = live_ += bytes;
  if (live > peak_) peak_ = live;
  return address;
}

void* Allocator::take(Pool& pool, size_t bytes) {
  const auto best = pool.freeBlocks.lower_bound({bytes, nullptr});
  if (best == pool.freeBlocks.end()) return nullptr;
  const auto [size, address] = *best;
  const auto block = pool.blocks.find(address);
  if (size > bytes) {
    pool.blocks.emplace_hint(std::next(block), address + bytes, Block{size - bytes, true});
    pool.freeBlocks.insert({size - bytes, address + bytes});
  }
  pool.freeBlocks.erase(best);
  block->second = {bytes, false};
  return address;
}

void Allocator::free(void* pointer) {
  if (pointer == nullptr) return;
  char* address = static_cast<char*>(pointer);
  Pool* pool = &small_;
  auto block = pool->blocks.find(address);
  if (block == pool->blocks.end()) {
    pool = &large_;
    block = pool->blocks.find(address);
  }
  const size_t bytes = block->second.bytes;
  pool->blocks.erase(block);
  live_ -= bytes - kGap;
  forbid(address, bytes);
  addFree(*pool, address, bytes);
}

// Merges with free neighbours on both sides.
void Allocator::addFree(Pool& pool, char* address, size_t bytes) {
  const auto absorb = [&](std::map<char*, Block>::iterator neighbour) {
    bytes += neighbour->second.bytes;
    pool.freeBlocks.erase({neighbour->second.bytes, neighbour->first});
    return pool.blocks.erase(neighbour);
  };
  auto next = pool.blocks.lower_bound(address);
  if (next != pool.blocks.end() && next->first == address + bytes && next->second.free) next = absorb(next);
  if (next != pool.blocks.begin()) {
    const auto previous = std::prev(next);
    if (previous->first + previous->second.bytes == address && previous->second.free) {
      address = previous->first;
      next = absorb(previous);
    }
  }
  pool.blocks.emplace_hint(next, address, Block{bytes, true});
  pool.freeBlocks.insert({bytes, address});
}

// Makes room for a block at the end of the pool, where a free block counts towards it.
bool Allocator::grow(Pool& pool, size_t bytes) {
  constexpr size_t kPage = platform::kRegionAlignment;
  const size_t most = roundUp(bytes, kPage);
  if (most < bytes) return false;
  const auto attempt = [&](size_t atLeast, size_t unit) {
    if (size_t(pool.limit - pool.end) < std::max(most, pool.growthBytes) && !openRange(pool, most)) return false;
    const size_t missing = bytes - std::min(bytes, freeAtEnd(pool));
    return growBy(pool, std::max(roundUp(missing, unit), atLeast));
  };
  if (attempt(pool.growthBytes, kPage) || attempt(0, kPage)) return true;
  for (const size_t unit : {kPage, source_.granule()}) {
    trim(large_, most, unit);
    trim(small_, most, unit);
    if (attempt(0, unit)) return true;
  }
  return false;
}

// Bytes of the free block that ends where the pool does.
size_t Allocator::freeAtEnd(const Pool& pool) const {
  const auto next = pool.blocks.lower_bound(pool.end);
  if (next == pool.blocks.begin()) return 0;
  const auto& [address, block] = *std::prev(next);
  return block.free && address + block.bytes == pool.end ? block.bytes : 0;
}

bool Allocator::growBy(Pool& pool, size_t size) {
  if (!claimBudget(size)) return false;
  if (!source_.commitPages(pool.end, size, dryRun_ != DryRun::kNo)) {
    returnBudget(size);
    return false;
  }
  reserved_ += size;
  forbid(pool.end, size);
  addFree(pool, pool.end, size);
  pool.end += size;
  return true;
}

// Other addresses to grow into; `bytes` is what they have to hold at least.
bool Allocator::openRange(Pool& pool, size_t bytes) {
  size_t size = std::max(bytes, kRangeBytes);
  char* range = static_cast<char*>(source_.reserveAddresses(size));
  if (range == nullptr) {
    // Addresses are limited (ulimit -v).
    size = std::max(bytes, pool.growthBytes);
    range = static_cast<char*>(source_.reserveAddresses(size));
    if (range == nullptr) return false;
  }
  closeRange(pool);
  pool.end = range;
  pool.limit = range + size;
  return true;
}

void Allocator::closeRange(Pool& pool) {
  if (pool.end != pool.limit) source_.releasePages(pool.end, size_t(pool.limit - pool.end));
  pool.end = pool.limit = nullptr;
}

uint64_t Allocator::budget() const {
  return std::min<uint64_t>(limit_, ownBudget_ ? *ownBudget_ : source_.budget());
}

bool Allocator::claimBudget(size_t bytes) {
  if (dryRun_ == DryRun::kUnlimited) return true;
  const uint64_t limit = budget();
  if (bytes > limit || reserved_ > limit - bytes) return false;
  if (dryRun_ == DryRun::kHeldToBudget) return true;
  const uint64_t shared = ownBudget_ ? ~uint64_t{0} : source_.budget();
  uint64_t taken = source_.reserved;
  do {
    if (bytes > shared || taken > shared - bytes) return false;
  } while (!source_.reserved.compare_exchange_weak(taken, taken + bytes));
  return true;
}

void Allocator::returnBudget(size_t bytes) {
  if (dryRun_ == DryRun::kNo) source_.reserved -= bytes;
}

// Gives whole units inside free blocks back to the system, largest blocks first, until `wanted` bytes went.
void Allocator::trim(Pool& pool, size_t wanted, size_t unit) {
  size_t given = 0;
  for (auto candidate = pool.freeBlocks.end(); given < wanted && candidate != pool.freeBlocks.begin();) {
    --candidate;
    const auto [bytes, address] = *candidate;
    if (bytes < unit) break;
    char* const begin = reinterpret_cast<char*>(roundUp(reinterpret_cast<uintptr_t>(address), unit));
    char* const end = reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(address + bytes) / unit * unit);
    if (begin >= end) continue;
    candidate = pool.freeBlocks.erase(candidate);
    pool.blocks.erase(address);
    const auto keep = [&](char* from, char* to) {
      if (from == to) return;
      pool.blocks.emplace(from, Block{size_t(to - from), true});
      pool.freeBlocks.insert({size_t(to - from), from});
    };
    keep(address, begin);
    keep(end, address + bytes);
    const size_t size = size_t(end - begin);
    forgetTouched(begin, end);
    permit(begin, size);  // the addresses may come back to somebody else
    source_.releasePages(begin, size);
    reserved_ -= size;
    returnBudget(size);
    given += size;
  }
}

void Allocator::markTouched(char* begin, char* end) {
  auto range = touchedRanges_.upper_bound(begin);
  if (range != touchedRanges_.begin() && std::prev(range)->second >= begin) {
    if ((--range)->second >= end) return;
    begin = range->first;
  }
  while (range != touchedRanges_.end() && range->first <= end) {
    end = std::max(end, range->second);
    touched_ -= uint64_t(range->second - range->first);
    range = touchedRanges_.erase(range);
  }
  touchedRanges_.emplace(begin, end);
  touched_ += uint64_t(end - begin);
}

void Allocator::forgetTouched(char* begin, char* end) {
  auto range = touchedRanges_.lower_bound(begin);
  if (range != touchedRanges_.begin() && std::prev(range)->second > begin) --range;
  while (range != touchedRanges_.end() && range->first < end) {
    const auto [first, last] = *range;
    range = touchedRanges_.erase(range);
    touched_ -= uint64_t(std::min(last, end) - std::max(first, begin));
    if (first < begin) touchedRanges_.emplace(first, begin);
    if (last > end) touchedRanges_.emplace(end, last);
  }
}

MemoryInfo Allocator::info() const {
  return {live_, peak_, touched_, reserved_, budget()};
}

void Allocator::resetPeak() {
  peak_ = live_.load();
}

}  // namespace lowrank
