#include "memory_user.h"

#include <algorithm>
#include <mutex>

#include "format.h"

namespace lowrank {

namespace {

// Labels that a message names; the rest is counted as one.
constexpr size_t kShown = 4;

// Labels of one stream: what comes after has none.
constexpr size_t kMaxLabels = 1024;

}  // namespace

MemoryUser::MemoryUser(MemorySource& source, const Allocator& allocator) : source_(source), allocator_(allocator) {
  const std::lock_guard guard(source_.usersMutex);
  source_.users.push_back(this);
}

MemoryUser::~MemoryUser() {
  endClosing();
  const std::lock_guard guard(source_.usersMutex);
  source_.users.erase(std::find(source_.users.begin(), source_.users.end(), this));
}

void MemoryUser::took(Buffer& buffer) {
  const std::lock_guard guard(source_.usersMutex);
  buffer.counted = true;
  labels_[buffer.label].bytes += buffer.bytes;
}

void MemoryUser::gave(Buffer& buffer) {
  const std::lock_guard guard(source_.usersMutex);
  if (!buffer.counted) return;
  buffer.counted = false;
  labels_[buffer.label].bytes -= buffer.bytes;
}

void MemoryUser::label(Buffer& buffer, const std::string& what) {
  const std::lock_guard guard(source_.usersMutex);
  size_t index = 1;
  while (index < labels_.size() && labels_[index].what != what) ++index;
  if (index == labels_.size()) {
    if (index == kMaxLabels) return;
    labels_.push_back({what});
  }
  if (buffer.counted) {
    labels_[buffer.label].bytes -= buffer.bytes;
    labels_[index].bytes += buffer.bytes;
  }
  buffer.label = uint32_t(index);
}

void MemoryUser::add(std::vector<Label>& labels, const std::string& what, uint64_t bytes) const {
  if (bytes == 0) return;
  const auto same = std::find_if(labels.begin(), labels.end(), [&](const Label& label) { return label.what == what; });
  if (same == labels.end()) {
    labels.push_back({what, bytes});
  } else {
    same->bytes += bytes;
  }
}

void MemoryUser::addHoldings(std::vector<Label>& labels) const {
  for (const Label& label : labels_) add(labels, label.what, label.bytes);
}

std::string MemoryUser::textOf(std::vector<Label> labels) {
  std::sort(labels.begin(), labels.end(), [](const Label& a, const Label& b) { return a.bytes > b.bytes; });
  if (labels.size() > kShown) {
    for (size_t i = kShown; i < labels.size(); ++i) labels[kShown - 1].bytes += labels[i].bytes;
    labels.resize(kShown);
    labels.back().what = "other tensors";
  }
  std::string text;
  for (const Label& label : labels)
    text += (text.empty() ? "" : ", ") + label.what + " " + formatBytes(double(label.bytes));
  return text;
}

std::string MemoryUser::holdings() const {
  const std::lock_guard guard(source_.usersMutex);
  if (labels_.size() == 1) return {};
  std::vector<Label> labels;
  addHoldings(labels);
  return textOf(std::move(labels));
}

MemoryUser::Others MemoryUser::others() const {
  const std::lock_guard guard(source_.usersMutex);
  Others result;
  std::vector<Label> labels;
  for (const MemoryUser* user : source_.users) {
    if (user == this || user->closing_) continue;
    const MemoryInfo memory = user->allocator_.info();
    result.bytes += memory.reserved;
    user->addHoldings(labels);
    // The memory of kernels, and free memory that is kept for the next step.
    uint64_t named = 0;
    for (const Label& label : user->labels_) named += label.bytes;
    add(labels, "kept for later", memory.reserved - std::min(memory.reserved, named));
  }
  result.text = textOf(std::move(labels));
  return result;
}

void MemoryUser::beginClosing() {
  const std::lock_guard guard(source_.usersMutex);
  closing_ = true;
  // This one, if it waits, goes on.
  source_.usersChanged.notify_all();
}

void MemoryUser::endClosing() {
  const std::lock_guard guard(source_.usersMutex);
  closing_ = false;
  source_.usersChanged.notify_all();
}

bool MemoryUser::waitForClosing() {
  std::unique_lock guard(source_.usersMutex);
  const auto othersClose = [this] {
    return std::any_of(source_.users.begin(), source_.users.end(),
                       [this](const MemoryUser* user) { return user != this && user->closing_; });
  };
  if (closing_ || !othersClose()) return false;
  source_.usersChanged.wait(guard, [&] { return closing_ || !othersClose(); });
  return true;
}

}  // namespace lowrank
