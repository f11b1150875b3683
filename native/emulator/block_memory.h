// What the blocks of one CPU thread run in: the stacks of their fibers, and shared memory between guards.
#pragma once

#include <signal.h>

#include <cstddef>

namespace lowrank::emulator {

// 1. The lowest page of a stack cannot be touched: a kernel with too large a frame faults instead of writing into its
//    neighbour's.
// 2. Shared memory begins as NaN (all bits set) and ends at a guard, but for what alignment leaves; that is looked at
//    when the block has ended. What is before it is guard too, further away.
class BlockMemory {
 public:
  BlockMemory();
  ~BlockMemory();
  BlockMemory(const BlockMemory&) = delete;
  BlockMemory& operator=(const BlockMemory&) = delete;

  // `bytes` of shared memory for the next block.
  unsigned char* prepareShared(size_t bytes);
  // Whether the block left everything around its shared memory as it was.
  bool isIntactAround() const;

  // Where the stack of fiber `number` begins, downwards.
  unsigned char* stackOf(int number) const { return stacks_ + size_t(number + 1) * kStackBytes; }
  // The same of the stack beyond the last fiber's, which is for faults.
  unsigned char* spareStack() const;
  // Frames of fibers that were abandoned have left their marks for AddressSanitizer.
  void forgetFrames();

  // Whether an address is where nothing may be touched by a block: in the arena or among the stacks.
  bool guards(const void* address) const;

  // The stack that handlers of signals run on while a block runs.
  void beginSignals();
  void endSignals();

 private:
  static constexpr size_t kStackBytes = 64 << 10;
  unsigned char* arenaEnd() const;

  unsigned char* arena_;  // guard, shared memory up to the guard after it
  size_t openBytes_;      // of shared memory, up to the guard
  unsigned char* shared_ = nullptr;
  size_t sharedBytes_ = 0;
  unsigned char* stacks_;
  unsigned char* signalStack_;
  stack_t previousSignalStack_{};
};

}  // namespace lowrank::emulator
