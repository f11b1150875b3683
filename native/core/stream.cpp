#include "stream.h"

#include <cmath>
#include <cstring>
#include <new>
#include <utility>

#include "format.h"
#include "views.h"

namespace lowrank {
namespace {

void requireConvertible(const char* caller, DType from, DType to) {
  if (from == to || (isFloat(from) && isFloat(to))) return;
  throw InvalidArgument("[" + std::string(caller) + "] expected a source that converts to " + dtypeName(to) + ", got " +
                        dtypeName(from));
}

}  // namespace

Stream::Stream(const StreamOptions& options, CompletionSink& sink)
    : backend_(*options.backend), worker_(options, sink) {}

Stream::~Stream() {
  abandon();
}

void Stream::requireOpen(const char* caller) const {
  if (closed_) throw InvalidArgument("[" + std::string(caller) + "] expected an open device, got one that was closed");
}

void Stream::requireReady(const char* caller) const {
  requireOpen(caller);
  if (openList_)
    throw InvalidArgument("[" + std::string(caller) + "] expected nothing but ops while a command list is recorded");
}

uint64_t Stream::allocate(double bytes, bool onHost) {
  requireOpen("allocate");
  if (!(bytes >= 1 && bytes <= 0x1p46 && bytes == std::floor(bytes))) {
    throw InvalidArgument("[allocate] expected a whole number of bytes from 1 to 2^46, got " + formatNumber(bytes));
  }
  return buffers_.allocate(uint64_t(bytes), onHost && worker_.executor().hasOwnMemory());
}

void Stream::retain(double slot) {
  requireOpen("retain");
  buffers_.retain(slot);
}

uint64_t Stream::release(double slot) {
  if (closed_) return 0;  // close() has released everything
  std::unique_ptr<Buffer> buffer = buffers_.release(slot);
  if (!buffer) return 0;
  const uint64_t bytes = buffer->bytes;
  worker_.push(command::Release{std::move(buffer)});
  return bytes;
}

void Stream::label(double slot, const std::string& what) {
  if (closed_) return;
  Buffer* const buffer = buffers_.find(slot);
  if (buffer != nullptr) worker_.memory().label(*buffer, what);
}

Tensor Stream::view(const double* words, const char* caller, const char* name) const {
  requireOpen(caller);
  return decodeView(words, buffers_, caller, name);
}

void Stream::enqueue(double id, const double* words, size_t length) {
  requireOpen("enqueue");
  if (!(id >= 0 && id < kOpCount && id == std::floor(id))) {
    throw InvalidArgument("[enqueue] expected an op from 0 to " + std::to_string(kOpCount - 1) + ", got " +
                          formatNumber(id));
  }
  const OpInfo& info = kOps[int(id)];
  // A view of 6 numbers decodes to 56 bytes, so that one chunk mostly does.
  auto arena = std::make_unique<std::pmr::monotonic_buffer_resource>(256 + length * 12);
  void* args = info.decode(words, length, buffers_, *arena);
  command::Op op{&info, args, std::move(arena)};
  if (openList_) return keep(std::move(op));
  worker_.push(std::move(op));
}

void Stream::keep(command::Op op) {
  command::List& list = *openList_;
  op.info->visitTensors(op.args, [&](Tensor& tensor, Access, const ArgumentPath&) {
    const uint64_t slot = bufferOf(tensor).slot;
    if (list.slots.insert(slot).second) buffers_.retain(double(slot));
  });
  list.ops.push_back(std::move(op));
}

void Stream::beginList() {
  requireReady("beginList");
  openList_ = std::make_shared<command::List>();
}

uint64_t Stream::endList() {
  requireOpen("endList");
  if (!openList_) throw InvalidArgument("[endList] expected a list that was begun");
  lists_.emplace(nextList_, std::move(openList_));
  openList_.reset();
  return nextList_++;
}

void Stream::replay(double list) {
  requireReady("replay");
  worker_.push(command::Replay{listAt(list, "replay")->second});
}

void Stream::releaseList(double list) {
  if (closed_) return;  // close() has released everything
  const auto found = listAt(list, "releaseList");
  const std::shared_ptr<command::List> released = std::move(found->second);
  lists_.erase(found);
  for (const uint64_t slot : released->slots) release(double(slot));
}

Stream::Lists::iterator Stream::listAt(double number, const char* caller) {
  const auto found = number >= 1 && number < 0x1p53 ? lists_.find(uint64_t(number)) : lists_.end();
  if (found != lists_.end() && double(found->first) == number) return found;
  throw InvalidArgument("[" + std::string(caller) + "] expected a command list, got " + formatNumber(number) +
                        ", which was released or never was");
}

void Stream::upload(const Tensor& target, const void* source, size_t sourceBytes, DType sourceDType) {
  requireReady("upload");
  requireConvertible("upload", sourceDType, target.dtype);
  const int64_t wanted = elementCount(target) * elementBytes(sourceDType);
  if (uint64_t(wanted) != sourceBytes) {
    throw InvalidArgument("[upload] expected " + std::to_string(wanted) + " bytes of " + dtypeName(sourceDType) +
                          " for target " + formatShape(target) + ", got " + std::to_string(sourceBytes));
  }
  if (sourceBytes == 0) return;
  std::unique_ptr<std::byte[]> copy;
  if (worker_.executor().needsValues(sourceDType)) {
    copy.reset(new (std::nothrow) std::byte[sourceBytes]);
    if (!copy) {
      throw InvalidArgument("[upload] expected " + formatBytes(double(sourceBytes)) +
                            " of the machine's memory for a copy of the values, there is none; upload parts of them");
    }
    std::memcpy(copy.get(), source, sourceBytes);
  }
  worker_.push(command::Upload{target, std::move(copy), sourceDType});
}

void Stream::loadFile(const Tensor& target, std::string path, double fileOffset, DType sourceDType) {
  requireReady("loadFile");
  requireConvertible("loadFile", sourceDType, target.dtype);
  if (!(fileOffset >= 0 && fileOffset < 0x1p53 && fileOffset == std::floor(fileOffset))) {
    throw InvalidArgument("[loadFile] expected a whole number >= 0 for fileOffset, got " + formatNumber(fileOffset));
  }
  worker_.push(command::Load{target, {std::move(path), uint64_t(fileOffset), sourceDType}});
}

void Stream::read(const Tensor& source, DType dtype, void* destination, void* token) {
  worker_.push(command::Read{source, dtype, destination, token});
}

void Stream::sync(void* token) {
  worker_.push(command::Sync{token});
}

void Stream::limitMemory(double bytes) {
  if (!(bytes >= 1 && bytes <= 0x1p53))
    throw InvalidArgument("[limitMemory] expected a number of bytes >= 1, got " + formatNumber(bytes));
  worker_.memory().limit(uint64_t(bytes));
}

void Stream::close() {
  if (closed_) return;
  lists_.clear();
  openList_.reset();
  worker_.close(buffers_.releaseAll());
  closed_ = true;
  worker_.awaitEnd();
}

void Stream::abandon() noexcept {
  worker_.abandon();
  try {
    close();
  } catch (...) {
    return;  // no memory for the last command: the thread cannot be told, and the process is about to end
  }
  join();
}

}  // namespace lowrank
