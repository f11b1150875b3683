// The memory of one stream: its blocks, what it uses them for, and what is said when there is no more.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "allocator.h"
#include "buffer.h"
#include "fault.h"
#include "memory_user.h"

namespace lowrank {

// The allocator belongs to the stream's worker; what JavaScript may ask stands first.
class StreamMemory {
 public:
  // A dry run takes nothing from the other streams, and so is no user of the source.
  StreamMemory(MemorySource& source, std::optional<uint64_t> budget, DryRun dryRun);

  // For any thread.
  MemoryInfo info() const;
  // What the tensors are for; empty where nothing has a label.
  std::string holdings() const { return user_ ? user_->holdings() : std::string(); }
  // What other streams have of the budget that this one shares with them; nothing where it has its own.
  MemoryUser::Others others() const;
  void resetPeak() { allocator_.resetPeak(); }
  void limit(uint64_t bytes) { allocator_.limit(bytes); }
  void label(Buffer& buffer, const std::string& what);
  void beginClosing();

  // For the worker. Both return nullptr where there is none, and may throw std::bad_alloc.
  void* allocate(size_t bytes) { return allocator_.allocate(bytes); }
  // If need be when those who give theirs back have done so.
  void* await(size_t bytes);
  void free(void* address) { allocator_.free(address); }

  // Memory came for a buffer, or goes with it.
  void took(Buffer& buffer);
  void gave(Buffer& buffer);
  void tookOnHost(const Buffer& buffer) { hostLive_ += buffer.bytes; }
  void gaveOnHost(const Buffer& buffer) { hostLive_ -= buffer.bytes; }
  void endClosing();

  // The fault of a request that found the budget full; `purpose` is what the bytes were for.
  Fault outOfMemory(const char* where, uint64_t bytes, const std::string& purpose) const;
  // Made ahead, for when nothing can be made.
  const FaultRef& noHostMemory() const { return noHostMemory_; }

 private:
  const bool sharesBudget_;
  Allocator allocator_;
  std::optional<MemoryUser> user_;
  std::atomic<uint64_t> hostLive_{0};
  const FaultRef noHostMemory_;
};

}  // namespace lowrank
