// Asynchronous copies and products of warpgroups, from their issue to the wait for them.
#include <cstring>
#include <type_traits>
#include <utility>

#include "machine.h"

namespace lowrank::emulator {

void complete(const AsyncCopy& copy) {
  if (copy.from != nullptr) {
    std::memcpy(copy.to, copy.from, AsyncCopy::kBytes);
  } else {
    std::memset(copy.to, 0, AsyncCopy::kBytes);
  }
}

template <class Item>
void Groups<Item>::start(const Item& item) {
  if constexpr (std::is_same_v<Item, AsyncProduct>) {
    if (!launchedForSm90()) fault(item.place, "is a wgmma in a kernel that launchOnSm90() did not launch");
  }
  if (landsLate()) {
    open_.push_back(item);
  } else {
    complete(item);
  }
}

template <class Item>
void Groups<Item>::commit() {
  committed_.push_back(std::move(open_));
  open_.clear();
}

template <class Item>
void Groups<Item>::waitFor(size_t groupsLeft, const Place& place) {
  if (isLeftOut(place)) return;
  if (committed_.size() <= groupsLeft) return;
  const auto end = committed_.end() - std::ptrdiff_t(groupsLeft);
  for (auto group = committed_.begin(); group != end; ++group) {
    for (const Item& item : *group) complete(item);
  }
  committed_.erase(committed_.begin(), end);
}

template <class Item>
const Item* Groups<Item>::firstUnfinished() const {
  for (const auto& group : committed_) {
    if (!group.empty()) return &group.front();
  }
  return open_.empty() ? nullptr : &open_.front();
}

template <class Item>
void Groups<Item>::clear() {
  open_.clear();
  committed_.clear();
}

template class Groups<AsyncCopy>;
template class Groups<AsyncProduct>;

}  // namespace lowrank::emulator
