// Device memory as JavaScript names it: slots with reference counts.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "fault.h"

namespace lowrank {

// 1. `bytes`, `slot` and `onHost` are fixed when the buffer is made; `label` and `counted` are MemoryUser's; the rest
//    belongs to the stream's worker.
// 2. Memory comes when a command first writes, and goes when the worker reaches the release that follows the last
//    reference.
struct Buffer {
  Buffer(uint64_t size, uint64_t number, bool host) : bytes(size), slot(number), onHost(host) {}
  const uint64_t bytes;
  const uint64_t slot;
  const bool onHost;   // in the machine's memory, where a GPU reads it from afar; never on the CPU
  uint32_t label = 0;  // what it is for
  bool counted = false;
  void* data = nullptr;
  bool written = false;
  uint64_t writtenBy = 0;  // the serial of the last op that wrote here, for devices whose kernels run later
  FaultRef poison;         // the fault that left the contents undefined, until they are wholly written again
};

// The slots of one stream, used on JavaScript's thread alone.
//
// Queued commands need no references of their own: a release is itself a command, and the queue is in order, so that
// whatever was queued before it finds the buffer alive. A slot number carries the generation of its slot, so that a
// number kept after the last release is told from the slot's next user.
class BufferTable {
 public:
  uint64_t allocate(uint64_t bytes, bool onHost);

  Buffer* find(double slot) const;  // nullptr for a number that is no live slot

  // Both throw InvalidArgument for a number that is no live slot.
  void retain(double slot);
  std::unique_ptr<Buffer> release(double slot);  // the buffer when this was the last reference

  std::vector<std::unique_ptr<Buffer>> releaseAll();

 private:
  // A slot number is exact in a double: generation * 2^24 + index, below 2^53.
  static constexpr int kIndexBits = 24;
  static constexpr uint64_t kIndexMask = (uint64_t{1} << kIndexBits) - 1;
  static constexpr uint64_t kGenerations = uint64_t{1} << 29;

  struct Slot {
    uint64_t generation = 0;
    uint64_t references = 0;
    std::unique_ptr<Buffer> buffer;
  };
  static constexpr size_t kNone = ~size_t{0};
  size_t indexOf(double slot) const;
  size_t liveIndexOf(double slot, const char* caller) const;

  std::vector<Slot> slots_;
  std::vector<size_t> freeIndices_;
};

}  // namespace lowrank
