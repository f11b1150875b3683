#include "block_memory.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

#include "machine.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace lowrank::emulator {
namespace {

constexpr size_t kPage = 4096;
constexpr size_t kSharedAlignment = 1024;
constexpr size_t kSignalStackBytes = 64 << 10;
constexpr size_t kGuardBytes = 1 << 20;  // a wrong index is rarely off by more
constexpr size_t kArenaBytes = (sharedBytesOf(Generation::kSm90) + kPage - 1) / kPage * kPage;
// Most kernels get by with the end of the arena.
constexpr size_t kUsualBytes = (sharedBytesOf(Generation::kSm80) + kPage - 1) / kPage * kPage;
constexpr size_t kMappedBytes = 2 * kGuardBytes + kArenaBytes;
constexpr unsigned char kPoison = 0xff;

unsigned char* map(size_t bytes, int protection) {
  void* const memory = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<unsigned char*>(memory);
}

// Some hundred KB per block, which would take long byte by byte: every byte is like the one before it.
bool isPoison(const unsigned char* begin, const unsigned char* end) {
  return begin >= end || (*begin == kPoison && std::memcmp(begin, begin + 1, size_t(end - begin) - 1) == 0);
}

}  // namespace

BlockMemory::BlockMemory()
    : arena_(map(kMappedBytes, PROT_NONE)),
      openBytes_(kUsualBytes),
      stacks_(map((size_t(kMaxThreads) + 1) * kStackBytes, PROT_READ | PROT_WRITE)),
      signalStack_(map(kSignalStackBytes, PROT_READ | PROT_WRITE)) {
  mprotect(arenaEnd() - openBytes_, openBytes_, PROT_READ | PROT_WRITE);
  for (int i = 0; i <= kMaxThreads; ++i) mprotect(stacks_ + size_t(i) * kStackBytes, kPage, PROT_NONE);
}

BlockMemory::~BlockMemory() {
  munmap(arena_, kMappedBytes);
  munmap(stacks_, (size_t(kMaxThreads) + 1) * kStackBytes);
  munmap(signalStack_, kSignalStackBytes);
}

unsigned char* BlockMemory::arenaEnd() const {
  return arena_ + kGuardBytes + kArenaBytes;
}

unsigned char* BlockMemory::prepareShared(size_t bytes) {
  const size_t open = bytes > kUsualBytes ? kArenaBytes : kUsualBytes;
  if (open != openBytes_) {
    mprotect(arenaEnd() - kArenaBytes, kArenaBytes - kUsualBytes,
             open == kArenaBytes ? PROT_READ | PROT_WRITE : PROT_NONE);
    openBytes_ = open;
  }
  shared_ = arenaEnd() - (bytes + kSharedAlignment - 1) / kSharedAlignment * kSharedAlignment;
  sharedBytes_ = bytes;
  std::memset(arenaEnd() - open, kPoison, open);
  return shared_;
}

bool BlockMemory::isIntactAround() const {
  return isPoison(shared_ + sharedBytes_, arenaEnd()) && isPoison(arenaEnd() - openBytes_, shared_);
}

unsigned char* BlockMemory::spareStack() const {
  return stackOf(kMaxThreads);
}

void BlockMemory::forgetFrames() {
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(stacks_, (size_t(kMaxThreads) + 1) * kStackBytes);
#endif
}

bool BlockMemory::guards(const void* address) const {
  const auto* const at = static_cast<const unsigned char*>(address);
  const bool inArena = at >= arena_ && at < arena_ + kMappedBytes;
  return inArena || (at >= stacks_ && at < stacks_ + size_t(kMaxThreads) * kStackBytes);
}

void BlockMemory::beginSignals() {
  stack_t own{};
  own.ss_sp = signalStack_;
  own.ss_size = kSignalStackBytes;
  sigaltstack(&own, &previousSignalStack_);
}

void BlockMemory::endSignals() {
  sigaltstack(&previousSignalStack_, nullptr);
}

}  // namespace lowrank::emulator
