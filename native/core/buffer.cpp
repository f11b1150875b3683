#include "buffer.h"

#include <cmath>
#include <string>

#include "format.h"

namespace lowrank {

uint64_t BufferTable::allocate(uint64_t bytes, bool onHost) {
  size_t index;
  if (!freeIndices_.empty()) {
    index = freeIndices_.back();
    freeIndices_.pop_back();
  } else {
    index = slots_.size();
    if (index > kIndexMask)
      throw InvalidArgument("[allocate] expected at most 16777216 live buffers; dispose tensors that are not needed");
    slots_.emplace_back();
    freeIndices_.reserve(slots_.size());  // so that release() cannot fail half-way
  }
  Slot& slot = slots_[index];
  slot.references = 1;
  slot.generation = (slot.generation + 1) % kGenerations;
  const uint64_t number = slot.generation << kIndexBits | index;
  slot.buffer = std::make_unique<Buffer>(bytes, number, onHost);
  return number;
}

size_t BufferTable::indexOf(double number) const {
  if (!(number >= 0 && number < 0x1p53 && number == std::floor(number))) return kNone;
  const uint64_t bits = uint64_t(number);
  const size_t index = size_t(bits & kIndexMask);
  return index < slots_.size() && slots_[index].buffer && slots_[index].generation == bits >> kIndexBits ? index
                                                                                                         : kNone;
}

size_t BufferTable::liveIndexOf(double number, const char* caller) const {
  const size_t index = indexOf(number);
  if (index != kNone) return index;
  throw InvalidArgument("[" + std::string(caller) + "] expected a live buffer for slot, got " + formatNumber(number) +
                        ", which was released or never was");
}

Buffer* BufferTable::find(double slot) const {
  const size_t index = indexOf(slot);
  return index == kNone ? nullptr : slots_[index].buffer.get();
}

void BufferTable::retain(double slot) {
  ++slots_[liveIndexOf(slot, "retain")].references;
}

std::unique_ptr<Buffer> BufferTable::release(double number) {
  const size_t index = liveIndexOf(number, "release");
  Slot& slot = slots_[index];
  if (--slot.references > 0) return nullptr;
  freeIndices_.push_back(index);
  return std::move(slot.buffer);
}

std::vector<std::unique_ptr<Buffer>> BufferTable::releaseAll() {
  std::vector<std::unique_ptr<Buffer>> buffers;
  for (size_t index = 0; index < slots_.size(); ++index) {
    if (!slots_[index].buffer) continue;
    buffers.push_back(std::move(slots_[index].buffer));
    freeIndices_.push_back(index);
  }
  return buffers;
}

}  // namespace lowrank
