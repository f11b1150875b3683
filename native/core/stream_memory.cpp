#include "stream_memory.h"

#include <utility>

#include "format.h"

namespace lowrank {

StreamMemory::StreamMemory(MemorySource& source, std::optional<uint64_t> budget, DryRun dryRun)
    : sharesBudget_(!budget),
      allocator_(source, budget, dryRun),
      noHostMemory_(std::make_shared<const Fault>(
          Fault{"[device] the process has no memory left for the engine's bookkeeping", true})) {
  if (dryRun == DryRun::kNo) user_.emplace(source, allocator_);
}

MemoryInfo StreamMemory::info() const {
  MemoryInfo info = allocator_.info();
  info.hostLive = hostLive_;
  return info;
}

MemoryUser::Others StreamMemory::others() const {
  return user_ && sharesBudget_ ? user_->others() : MemoryUser::Others{};
}

void StreamMemory::label(Buffer& buffer, const std::string& what) {
  if (user_) user_->label(buffer, what);
}

void StreamMemory::beginClosing() {
  if (user_) user_->beginClosing();
}

void StreamMemory::endClosing() {
  allocator_.releaseFree();
  if (user_) user_->endClosing();
}

void* StreamMemory::await(size_t bytes) {
  void* memory = allocator_.allocate(bytes);
  while (memory == nullptr && user_ && user_->waitForClosing()) memory = allocator_.allocate(bytes);
  return memory;
}

void StreamMemory::took(Buffer& buffer) {
  if (user_) user_->took(buffer);
}

void StreamMemory::gave(Buffer& buffer) {
  if (user_) user_->gave(buffer);
}

Fault StreamMemory::outOfMemory(const char* where, uint64_t bytes, const std::string& purpose) const {
  const MemoryInfo memory = allocator_.info();
  const std::string own = holdings();
  const MemoryUser::Others rest = others();
  std::string text = "[" + std::string(where) + "] expected " + formatBytes(double(bytes)) + " for " + purpose +
                     ", but " + formatBytes(double(memory.live)) + " of the memory budget of " +
                     formatBytes(double(memory.budget)) + " are live" + (own.empty() ? "" : " (" + own + ")") +
                     (rest.bytes == 0 ? ""
                                      : ", and other devices of this process have " + formatBytes(double(rest.bytes)) +
                                            " of it (" + rest.text + ")") +
                     "; use a smaller batch or maxLength, gradientCheckpointing or bfloat16, " +
                     (rest.bytes == 0 ? "" : "dispose of models that are not needed, ") + "or raise memoryBudget";
  return {std::move(text), true, memory.live + rest.bytes + bytes, memory.budget};
}

}  // namespace lowrank
