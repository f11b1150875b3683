#include "stream.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <new>

#include "../platform/platform.h"
#include "format.h"
#include "spin.h"
#include "start_thread.h"
#include "thread_pool.h"

namespace lowrank {
namespace {

constexpr size_t kLoadChunkBytes = size_t{4} << 20;

// The longest that close() holds JavaScript up for a worker that has only memory to give back, which takes milliseconds where it gets a core, and
// for a device that may still compute.
constexpr std::chrono::milliseconds kLongestClose{5000};
constexpr std::chrono::milliseconds kLongestDeviceClose{50};

bool hasElements(const Tensor& tensor) {
  return tensor.rows > 0 && tensor.cols > 0;
}

// Rows without gaps between them.
bool packed(const Tensor& tensor) {
  return tensor.rows <= 1 || tensor.stride == tensor.cols;
}

int64_t elementCount(const Tensor& tensor) {
  return tensor.rows * tensor.cols;
}

bool coversBuffer(const Tensor& tensor) {
  return packed(tensor) && uint64_t(elementCount(tensor) * elementBytes(tensor.dtype)) == bufferOf(tensor).bytes;
}

// The data pointer that kernels read; the buffer has memory.
Tensor located(const Tensor& tensor) {
  Tensor result = tensor;
  result.data = static_cast<char*>(bufferOf(tensor).data) + tensor.byteOffset;
  return result;
}

Tensor hostTensor(void* data, int64_t rows, int64_t cols, DType dtype) {
  return {data, rows, cols, cols, 0, kNoBuffer, dtype};
}

// Part of a located tensor.
Tensor part(const Tensor& tensor, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  Tensor result = tensor;
  result.data = static_cast<char*>(tensor.data) + (row * tensor.stride + col) * elementBytes(tensor.dtype);
  result.rows = rows;
  result.cols = cols;
  return result;
}

void copyRows(const Tensor& from, const Tensor& to) {
  for (int64_t row = 0; row < from.rows; ++row) {
    std::memcpy(part(to, row, 1, 0, 0).data, part(from, row, 1, 0, 0).data,
                size_t(from.cols * elementBytes(from.dtype)));
  }
}

void markWritten(const Tensor& tensor) {
  if (!hasElements(tensor)) return;
  Buffer& buffer = bufferOf(tensor);
  buffer.written = true;
  if (coversBuffer(tensor)) buffer.poison.reset();
}

void requireConvertible(const char* caller, DType from, DType to) {
  if (from == to || (isFloat(from) && isFloat(to))) return;
  throw InvalidArgument("[" + std::string(caller) + "] expected a source that converts to " + dtypeName(to) + ", got " +
                        dtypeName(from));
}

}  // namespace

// The pool, for one kernel. A stream of one thread does not need it.
class Stream::Turn {
 public:
  Turn(int threads, KernelContext& context);
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

  // `wait` may need other streams to go on: they get the pool until it returns.
  template <class Wait>
  void suspend(const Wait& wait) {
    if (taken_) ThreadPool::instance().unlock();
    wait();
    if (taken_) ThreadPool::instance().lock();
  }

 private:
  const bool taken_;
  KernelContext& context_;
};

class Stream::KernelContext final : public Context {
 public:
  KernelContext(Stream& stream, const char* op) : stream_(stream), op_(op) {}

  ~KernelContext() {
    for (void* memory : scratch_) stream_.allocator_.free(memory);
  }

  void parallel(int64_t blocks, Body body, void* state) override {
    if (!stream_.options_.dryRun) ThreadPool::instance().run(threads(), blocks, body, state);
  }

  int threads() const override { return stream_.threads(); }

  void* device() override { return stream_.options_.queue ? stream_.options_.queue->kernelQueue() : nullptr; }

  // Kernels are compiled without exceptions: none may pass through them.
  void* scratch(size_t bytes) override {
    try {
      scratch_.push_back(nullptr);
      scratch_.back() = stream_.allocator_.allocate(bytes);
      if (scratch_.back() == nullptr) {
        const auto again = [&] { scratch_.back() = stream_.obtain(bytes); };
        if (turn_ != nullptr) {
          turn_->suspend(again);
        } else {
          again();
        }
      }
      if (scratch_.back() == nullptr) record(stream_.outOfMemory(op_, bytes, "its working memory"));
      return scratch_.back();
    } catch (...) {
      fault_ = stream_.noHostMemory_;
      return nullptr;
    }
  }

  void fail(const char* format, ...) override {
    char text[512];
    va_list values;
    va_start(values, format);
    std::vsnprintf(text, sizeof text, format, values);
    va_end(values);
    const std::lock_guard guard(mutex_);  // several threads may find something wrong
    if (fault_) return;
    try {
      record(Fault{"[" + std::string(op_) + "] " + text});
    } catch (...) {
      fault_ = stream_.noHostMemory_;
    }
  }

  const FaultRef& fault() const { return fault_; }

 private:
  friend class Turn;

  void record(Fault fault) { fault_ = std::make_shared<const Fault>(std::move(fault)); }

  Stream& stream_;
  const char* op_;
  Turn* turn_ = nullptr;
  std::vector<void*> scratch_;
  std::mutex mutex_;
  FaultRef fault_;
};

Stream::Turn::Turn(int threads, KernelContext& context) : taken_(threads > 1), context_(context) {
  if (taken_) ThreadPool::instance().lock();
  context_.turn_ = this;
}

Stream::Turn::~Turn() {
  context_.turn_ = nullptr;
  if (taken_) ThreadPool::instance().unlock();
}

static MemorySource& sourceOf(const StreamOptions& options) {
  return options.queue ? options.queue->memory() : hostMemory();
}

static DryRun dryRunOf(const StreamOptions& options) {
  if (!options.dryRun) return DryRun::kNo;
  return options.holdBudget ? DryRun::kHeldToBudget : DryRun::kUnlimited;
}

Stream::Stream(const StreamOptions& options, CompletionSink& sink)
    : options_(options),
      sink_(sink),
      allocator_(sourceOf(options), options.memoryBudget, dryRunOf(options)),
      noHostMemory_(std::make_shared<const Fault>(
          Fault{"[device] the process has no memory left for the engine's bookkeeping", true})) {
  if (!options.dryRun) {
    ThreadPool::instance().grow(options.threads);
    user_.emplace(sourceOf(options), allocator_);
  }
  worker_ = startThread("the queue of a device", [this] { work(); });
}

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
  return buffers_.allocate(uint64_t(bytes), onHost);
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
  push(Release{std::move(buffer)});
  return bytes;
}

void Stream::label(double slot, const std::string& what) {
  if (closed_ || !user_) return;
  Buffer* const buffer = buffers_.find(slot);
  if (buffer != nullptr) user_->label(*buffer, what);
}

Tensor Stream::view(const double* words, const char* caller, const char* name) const {
  requireOpen(caller);
  return decodeView(words, buffers_, caller, name);
}

void Stream::enqueue(double op, const double* words, size_t length) {
  requireOpen("enqueue");
  if (!(op >= 0 && op < kOpCount && op == std::floor(op))) {
    throw InvalidArgument("[enqueue] expected an op from 0 to " + std::to_string(kOpCount - 1) + ", got " +
                          formatNumber(op));
  }
  const OpInfo& info = kOps[int(op)];
  // A view of 6 numbers decodes to 56 bytes, so that one chunk mostly does.
  auto arena = std::make_unique<std::pmr::monotonic_buffer_resource>(256 + length * 12);
  void* args = info.decode(words, length, buffers_, *arena);
  Op command{&info, args, std::move(arena)};
  if (openList_) return keep(std::move(command));
  push(std::move(command));
}

void Stream::keep(Op op) {
  List& list = *openList_;
  op.info->visitTensors(op.args, [&](Tensor& tensor, Access, const ArgumentPath&) {
    const uint64_t slot = bufferOf(tensor).slot;
    if (list.slots.insert(slot).second) buffers_.retain(double(slot));
  });
  list.ops.push_back(std::move(op));
}

void Stream::beginList() {
  requireReady("beginList");
  openList_ = std::make_shared<List>();
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
  push(Replay{listAt(list, "replay")->second});
}

void Stream::releaseList(double list) {
  if (closed_) return;  // close() has released everything
  const auto found = listAt(list, "releaseList");
  const std::shared_ptr<List> released = std::move(found->second);
  lists_.erase(found);
  for (const uint64_t slot : released->slots) release(double(slot));
}

std::map<uint64_t, std::shared_ptr<Stream::List>>::iterator Stream::listAt(double number, const char* caller) {
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
  if (!options_.dryRun || !isFloat(sourceDType)) {
    copy.reset(new (std::nothrow) std::byte[sourceBytes]);
    if (!copy) {
      throw InvalidArgument("[upload] expected " + formatBytes(double(sourceBytes)) +
                            " of the machine's memory for a copy of the values, there is none; upload parts of them");
    }
    std::memcpy(copy.get(), source, sourceBytes);
  }
  push(Upload{target, std::move(copy), sourceDType});
}

void Stream::loadFile(const Tensor& target, std::string path, double fileOffset, DType sourceDType) {
  requireReady("loadFile");
  requireConvertible("loadFile", sourceDType, target.dtype);
  if (!(fileOffset >= 0 && fileOffset < 0x1p53 && fileOffset == std::floor(fileOffset))) {
    throw InvalidArgument("[loadFile] expected a whole number >= 0 for fileOffset, got " + formatNumber(fileOffset));
  }
  push(Load{target, std::move(path), uint64_t(fileOffset), sourceDType});
}

void Stream::read(const Tensor& source, DType dtype, void* destination, void* token) {
  push(Read{source, dtype, destination, token});
}

void Stream::sync(void* token) {
  push(Sync{token});
}

void Stream::close() {
  if (closed_) return;
  lists_.clear();
  openList_.reset();
  if (user_) user_->beginClosing();
  const bool isIdle = computing_ == 0 || abandoned_;
  push(Close{buffers_.releaseAll()});
  closed_ = true;
  std::unique_lock guard(mutex_);
  const auto longest = options_.queue && options_.queue->runsLater() ? kLongestDeviceClose : kLongestClose;
  endIsAwaited_ = ended_ || (isIdle && hasEnded_.wait_for(guard, longest, [this] { return ended_; }));
  guard.unlock();
  if (endIsAwaited_) join();
}

void Stream::join() noexcept {
  if (worker_.joinable()) worker_.join();
}

void Stream::abandon() noexcept {
  abandoned_ = true;
  try {
    close();
  } catch (...) {
    return;  // no memory for the last command: the thread cannot be told, and the process is about to end
  }
  join();
}

bool Stream::frees(const Command& command) {
  return std::holds_alternative<Release>(command) || std::holds_alternative<Close>(command);
}

void Stream::push(Command command) {
  if (!frees(command)) ++computing_;
  {
    const std::lock_guard guard(mutex_);
    queue_.push_back(std::move(command));
    hasWork_.store(true, std::memory_order_release);
  }
  arrived_.notify_one();
}

void Stream::work() noexcept {
  platform::becomeComputeThread("lowrank-stream");
  if (options_.queue) {
    const std::string error = options_.queue->attach();
    if (!error.empty()) stick(Fault{"[device] " + error});
  }
  std::vector<Command> batch;
  while (!stopped_) {
    spinUntil([this] { return hasWork_.load(std::memory_order_acquire); });
    {
      std::unique_lock guard(mutex_);
      arrived_.wait(guard, [this] { return !queue_.empty(); });
      batch.swap(queue_);
      hasWork_.store(false, std::memory_order_relaxed);
    }
    for (Command& queued : batch) {
      Command command = std::move(queued);  // so that what it holds goes when it has run
      execute(command);
    }
    batch.clear();
  }
  std::unique_lock guard(mutex_);
  ended_ = true;
  hasEnded_.notify_all();
  const bool told = !endIsAwaited_;
  guard.unlock();
  if (told) sink_.ended();
}

void Stream::execute(Command& command) noexcept {
  if (frees(command)) return std::visit([this](auto& kind) { attempt(kind); }, command);
  // Who hears of a read or a sync may close the stream at once, and finds it idle.
  const bool tells = std::holds_alternative<Read>(command) || std::holds_alternative<Sync>(command);
  if (tells) --computing_;
  if (!abandoned_) std::visit([this](auto& kind) { attempt(kind); }, command);
  if (!tells) --computing_;
}

template <class Kind>
void Stream::attempt(Kind& command) noexcept {
  try {
    run(command);
  } catch (const std::bad_alloc&) {
    give(command, noHostMemory_);
  } catch (const std::exception& error) {
    give(command, std::make_shared<const Fault>(Fault{std::string("[device] unexpected: ") + error.what()}));
  }
}

// Each delivers a fault that interrupted a command.
void Stream::give(Op& op, const FaultRef& fault) noexcept {
  sticky_ = fault;
  poisonResults(op, fault, false);
}

void Stream::give(Replay&, const FaultRef& fault) noexcept {
  sticky_ = fault;  // its ops are attempted one by one
}

void Stream::give(Upload& upload, const FaultRef& fault) noexcept {
  sticky_ = bufferOf(upload.target).poison = fault;
}

void Stream::give(Load& load, const FaultRef& fault) noexcept {
  sticky_ = bufferOf(load.target).poison = fault;
}

void Stream::give(Read& read, const FaultRef& fault) noexcept {
  sink_.complete(read.token, fault);
}

void Stream::give(Sync& sync, const FaultRef& fault) noexcept {
  sink_.complete(sync.token, fault);
}

FaultRef Stream::stick(Fault fault) {
  return sticky_ = std::make_shared<const Fault>(std::move(fault));
}

Fault Stream::outOfMemory(const char* where, uint64_t bytes, const std::string& purpose) const {
  const MemoryInfo memory = allocator_.info();
  const std::string own = holdings();
  const MemoryUser::Others rest = others();
  std::string text =
      "[" + std::string(where) + "] expected " + formatBytes(double(bytes)) + " for " + purpose + ", but " +
         formatBytes(double(memory.live)) + " of the memory budget of " + formatBytes(double(memory.budget)) +
         " are live" + (own.empty() ? "" : " (" + own + ")") +
         (rest.bytes == 0 ? ""
                          : ", and other devices of this process have " + formatBytes(double(rest.bytes)) + " of it (" +
                                rest.text + ")") +
         "; use a smaller batch or maxLength, gradientCheckpointing or bfloat16, " +
         (rest.bytes == 0 ? "" : "dispose of models that are not needed, ") + "or raise memoryBudget";
  return {std::move(text), true, memory.live + rest.bytes + bytes, memory.budget};
}

MemoryUser::Others Stream::others() const {
  return user_ && !options_.memoryBudget ? user_->others() : MemoryUser::Others{};
}

// Memory, if need be when those who give theirs back have done so; nullptr where there is none.
void* Stream::obtain(size_t bytes) {
  void* memory = allocator_.allocate(bytes);
  while (memory == nullptr && user_ && user_->waitForClosing()) memory = allocator_.allocate(bytes);
  return memory;
}

void Stream::limitMemory(double bytes) {
  if (!(bytes >= 1 && bytes <= 0x1p53))
    throw InvalidArgument("[limitMemory] expected a number of bytes >= 1, got " + formatNumber(bytes));
  allocator_.limit(uint64_t(bytes));
}

MemoryInfo Stream::memory() const {
  MemoryInfo info = allocator_.info();
  info.hostLive = hostLive_;
  return info;
}

FaultRef Stream::provideOnHost(Buffer& buffer, const char* where, const std::string& name) {
  std::string why;
  buffer.data = options_.queue->allocateHost(buffer.bytes, why);
  if (buffer.data == nullptr) {
    return stick(Fault{"[" + std::string(where) + "] expected " + formatBytes(double(buffer.bytes)) + " for " + name +
                           " in the machine's memory, where the GPU reads it, but " + why +
                           "; leave out offloadEmbedding",
                       true});
  }
  hostLive_ += buffer.bytes;
  buffersHeld_.insert(&buffer);
  return nullptr;
}

FaultRef Stream::provide(Buffer& buffer, const char* where, const std::string& name) {
  if (buffer.data != nullptr) return nullptr;
  if (buffer.onHost && options_.queue) return provideOnHost(buffer, where, name);
  buffer.data = obtain(buffer.bytes);
  if (buffer.data != nullptr) {
    if (user_) user_->took(buffer);
    if (options_.queue) buffersHeld_.insert(&buffer);
    return nullptr;
  }
  return stick(outOfMemory(where, buffer.bytes, name));
}

// Memory for what the op writes, addresses for all its tensors. Returns the fault for which the op must be skipped.
FaultRef Stream::resolve(Op& op) {
  if (sticky_) return sticky_;
  FaultRef fault;
  op.info->visitTensors(op.args, [&](Tensor& tensor, Access access, const ArgumentPath& path) {
    if (fault || access == Access::kOut) return;
    const Buffer& buffer = bufferOf(tensor);
    if (buffer.poison) {
      fault = buffer.poison;
      // Its results would not show that it was skipped.
      if (op.info->keepsInoutsWhenSkipped) sticky_ = fault;
    } else if (!buffer.written && hasElements(tensor)) {
      fault = stick(Fault{"[" + std::string(op.info->name) + "] expected contents for " + path.text() +
                          ", got a tensor that nothing has written"});
    }
  });
  if (fault) return fault;
  op.info->visitTensors(op.args, [&](Tensor& tensor, Access, const ArgumentPath& path) {
    if (fault) return;
    Buffer& buffer = bufferOf(tensor);
    if (buffer.data == nullptr) fault = provide(buffer, op.info->name, path.text());
    tensor.data = static_cast<char*>(buffer.data) + tensor.byteOffset;
  });
  return fault;
}

void Stream::poisonResults(const Op& op, const FaultRef& fault, bool skipped) {
  const bool keepInouts = skipped && op.info->keepsInoutsWhenSkipped;
  op.info->visitTensors(op.args, [&](Tensor& tensor, Access access, const ArgumentPath&) {
    if (access == Access::kOut || (access == Access::kInout && !keepInouts)) bufferOf(tensor).poison = fault;
  });
}

void Stream::run(Op& op) {
  if (const FaultRef fault = resolve(op)) return poisonResults(op, fault, true);
  {
    KernelContext context(*this, op.info->name);
    Turn turn(options_.dryRun ? 1 : threads(), context);
    OpTime& time = times_[size_t(op.info - kOps)];
    const bool byDevice = options_.timeOps && options_.queue;
    const auto begin = std::chrono::steady_clock::now();
    if (options_.queue) {
      options_.queue->begin(context, ++serial_);
      unseenOps_.push_back(op.info->name);
    }
    if (byDevice) options_.queue->beginTimer(time.nanoseconds);
    op.info->run(*options_.backend, op.args, context);
    if (byDevice) {
      options_.queue->endTimer();
    } else {
      const auto elapsed = std::chrono::steady_clock::now() - begin;
      time.nanoseconds.fetch_add(uint64_t(elapsed.count()), std::memory_order_relaxed);
    }
    time.calls.fetch_add(1, std::memory_order_relaxed);
    sticky_ = context.fault();
  }
  if (sticky_) return poisonResults(op, sticky_, false);
  op.info->visitTensors(op.args, [&](Tensor& tensor, Access access, const ArgumentPath&) {
    if (access == Access::kOut) markWritten(tensor);
    const bool changed = access == Access::kOut || (access == Access::kInout && !op.info->keepsInoutsWhenSkipped);
    if (options_.queue && changed) bufferOf(tensor).writtenBy = serial_;
  });
}

void Stream::run(Replay& replay) {
  for (Op& op : replay.list->ops) {
    if (abandoned_) return;
    attempt(op);
  }
}

// The backend's copy kernel, between located tensors.
void Stream::convert(const Tensor& from, const Tensor& to, KernelContext& context) {
  if (context.fault()) return;
  const CopyArgs args{from, to};
  Turn turn(threads(), context);
  options_.backend->copy(args, context);
}

// `host` has packed rows, `to` is located.
void Stream::fromHost(const Tensor& host, const Tensor& to, KernelContext& context) {
  if (!options_.queue && options_.dryRun) {
    if (!context.fault() && !isFloat(host.dtype)) copyRows(host, to);
    return;
  }
  if (!options_.queue) return convert(host, to, context);
  options_.queue->begin(context, serial_);
  const size_t bytes = size_t(elementCount(host) * elementBytes(host.dtype));
  if (host.dtype == to.dtype && packed(to)) return options_.queue->upload(to.data, host.data, bytes);
  const Tensor staged = hostTensor(context.scratch(bytes), host.rows, host.cols, host.dtype);
  if (context.fault()) return;
  options_.queue->upload(staged.data, host.data, bytes);
  convert(staged, to, context);
}

void Stream::toHost(const Tensor& from, const Tensor& host, KernelContext& context) {
  if (!options_.queue && options_.dryRun) {
    if (!context.fault() && !isFloat(from.dtype)) copyRows(from, host);
    return;
  }
  if (!options_.queue) return convert(from, host, context);
  options_.queue->begin(context, serial_);
  const size_t bytes = size_t(elementCount(host) * elementBytes(host.dtype));
  if (host.dtype == from.dtype && packed(from)) return options_.queue->download(host.data, from.data, bytes);
  const Tensor staged = hostTensor(context.scratch(bytes), host.rows, host.cols, host.dtype);
  convert(from, staged, context);
  if (!context.fault()) options_.queue->download(host.data, staged.data, bytes);
}

// What kernels found wrong counts as if it had been found when their commands ran.
void Stream::waitForDevice() {
  if (!options_.queue) return;
  const std::optional<LateFault> late = options_.queue->wait();
  if (late) {
    const uint64_t first = serial_ - unseenOps_.size() + 1;
    const bool known = late->serial >= first && late->serial <= serial_;
    const char* const op = known ? unseenOps_[late->serial - first] : "device";
    const FaultRef fault = stick(Fault{"[" + std::string(op) + "] " + late->message});
    const uint64_t from = known ? late->serial : first;
    for (Buffer* buffer : buffersHeld_) {
      if (buffer->writtenBy >= from) buffer->poison = fault;
    }
  }
  unseenOps_.clear();
}

void Stream::run(Upload& upload) {
  Buffer& buffer = bufferOf(upload.target);
  const FaultRef earlier = sticky_;
  FaultRef fault = provide(buffer, "upload", "target");
  if (!fault) {
    KernelContext context(*this, "upload");
    const Tensor& target = upload.target;
    fromHost(hostTensor(upload.source.get(), target.rows, target.cols, upload.sourceDType), located(target), context);
    fault = context.fault();
    if (coversBuffer(target)) buffer.writtenBy = 0;
  }
  sticky_ = earlier ? earlier : fault;
  if (fault) {
    buffer.poison = fault;
  } else {
    markWritten(upload.target);
  }
}

void Stream::run(Load& load) {
  Buffer& buffer = bufferOf(load.target);
  FaultRef fault = sticky_ ? sticky_ : provide(buffer, "loadFile", "target");
  if (fault) {
    buffer.poison = fault;
    return;
  }
  KernelContext context(*this, "loadFile");
  const std::string error = readInto(load, context);
  if (!error.empty()) {
    buffer.poison = stick(Fault{"[loadFile] expected to read '" + load.path + "', got: " + error});
  } else if (context.fault()) {
    buffer.poison = sticky_ = context.fault();
  } else {
    markWritten(load.target);
  }
}

// Fills the target from its file. Returns what is wrong with the file, or nothing.
std::string Stream::readInto(const Load& load, KernelContext& context) {
  const Tensor target = located(load.target);
  const int64_t size = elementBytes(load.sourceDType);
  const bool direct = !options_.queue && load.sourceDType == target.dtype && packed(target);
  const int64_t chunk = int64_t(kLoadChunkBytes) / size;
  const size_t stagingBytes = size_t(std::min(chunk, elementCount(target)) * size);
  void* staging = direct || options_.queue ? nullptr : context.scratch(stagingBytes);
  if (options_.dryRun || context.fault()) return {};
  std::unique_ptr<std::byte[]> hostStaging;
  if (options_.queue) staging = (hostStaging = std::make_unique<std::byte[]>(stagingBytes)).get();

  platform::File file(load.path);
  std::string error = file.error();
  uint64_t offset = load.fileOffset;
  // Reads the next `rows` x `cols` elements into a place of the target.
  const auto readPart = [&](int64_t row, int64_t rows, int64_t col, int64_t cols) {
    if (!error.empty() || context.fault() || abandoned_) return;
    const Tensor place = part(target, row, rows, col, cols);
    const int64_t wanted = rows * cols * size;
    const int64_t got = file.readAt(offset, direct ? place.data : staging, size_t(wanted));
    if (got < wanted) {
      error = got < 0 ? file.error()
                      : "the file ends at byte " + std::to_string(offset + uint64_t(got)) + " where " +
                            std::to_string(elementCount(target) * size) + " bytes from " +
                            std::to_string(load.fileOffset) + " were expected";
    } else if (!direct) {
      fromHost(hostTensor(staging, rows, cols, load.sourceDType), place, context);
    }
    offset += uint64_t(wanted);
  };
  if (target.cols <= chunk) {
    const int64_t rowsAtOnce = chunk / std::max<int64_t>(target.cols, 1);
    for (int64_t row = 0; row < target.rows; row += rowsAtOnce)
      readPart(row, std::min(rowsAtOnce, target.rows - row), 0, target.cols);
  } else {
    for (int64_t row = 0; row < target.rows; ++row) {
      for (int64_t col = 0; col < target.cols; col += chunk) readPart(row, 1, col, std::min(chunk, target.cols - col));
    }
  }
  return error;
}

void Stream::run(Read& read) {
  waitForDevice();
  const Buffer& buffer = bufferOf(read.source);
  FaultRef fault = buffer.poison;
  if (!fault && hasElements(read.source)) {
    if (buffer.written) {
      KernelContext context(*this, "read");
      const Tensor& source = read.source;
      toHost(located(source), hostTensor(read.destination, source.rows, source.cols, read.dtype), context);
      fault = context.fault();
    } else {
      fault = std::make_shared<const Fault>(
          Fault{"[read] expected a tensor with contents, got one that nothing has written"});
    }
  }
  sink_.complete(read.token, fault);
}

void Stream::run(Sync& sync) {
  waitForDevice();
  const FaultRef fault = std::move(sticky_);
  sticky_.reset();
  sink_.complete(sync.token, fault);
}

void Stream::run(Release& release) {
  freeBuffer(std::move(release.buffer));
}

void Stream::run(Close& close) {
  waitForDevice();
  for (std::unique_ptr<Buffer>& buffer : close.buffers) freeBuffer(std::move(buffer));
  allocator_.releaseFree();
  if (user_) user_->endClosing();
  stopped_ = true;
}

void Stream::freeBuffer(std::unique_ptr<Buffer> buffer) {
  if (options_.queue) buffersHeld_.erase(buffer.get());
  if (user_) user_->gave(*buffer);
  if (!buffer->onHost || !options_.queue) return allocator_.free(buffer->data);
  if (buffer->data == nullptr) return;
  options_.queue->freeHost(buffer->data);
  hostLive_ -= buffer->bytes;
}

}  // namespace lowrank
