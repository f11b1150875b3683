#include "worker.h"

#include <new>
#include <utility>

#include "../platform/platform.h"
#include "format.h"
#include "kernel_context.h"
#include "spin.h"
#include "start_thread.h"
#include "views.h"

namespace lowrank {

using namespace command;

static std::unique_ptr<Executor> makeExecutor(const StreamOptions& options) {
  return options.queue ? makeDeviceExecutor(options) : makeHostExecutor(options);
}

static MemorySource& sourceOf(const StreamOptions& options) {
  return options.queue ? options.queue->memory() : hostMemory();
}

static DryRun dryRunOf(const StreamOptions& options) {
  if (!options.dryRun) return DryRun::kNo;
  return options.holdBudget ? DryRun::kHeldToBudget : DryRun::kUnlimited;
}

Worker::Worker(const StreamOptions& options, CompletionSink& sink)
    : sink_(sink),
      executor_(makeExecutor(options)),
      memory_(sourceOf(options), options.memoryBudget, dryRunOf(options)) {
  thread_ = startThread("the queue of a device", [this] { work(); });
}

bool Worker::frees(const Command& command) {
  return std::holds_alternative<Release>(command) || std::holds_alternative<Close>(command);
}

void Worker::push(Command command) {
  if (!frees(command)) ++computing_;
  {
    const std::lock_guard guard(mutex_);
    queue_.push_back(std::move(command));
    hasWork_.store(true, std::memory_order_release);
  }
  arrived_.notify_one();
}

void Worker::close(std::vector<std::unique_ptr<Buffer>> buffers) {
  memory_.beginClosing();
  wasIdle_ = computing_ == 0 || abandoned_;
  push(Close{std::move(buffers)});
}

void Worker::awaitEnd() {
  std::unique_lock guard(mutex_);
  const auto ended = [this] { return ended_; };
  endIsAwaited_ = ended_ || (wasIdle_ && hasEnded_.wait_for(guard, executor_->longestClose(), ended));
  guard.unlock();
  if (endIsAwaited_) join();
}

void Worker::join() noexcept {
  if (thread_.joinable()) thread_.join();
}

void Worker::work() noexcept {
  platform::becomeComputeThread("lowrank-stream");
  const std::string error = executor_->attach();
  if (!error.empty()) stick(Fault{"[device] " + error});
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

void Worker::execute(Command& command) noexcept {
  if (frees(command)) return std::visit([this](auto& kind) { attempt(kind); }, command);
  // Who hears of a read or a sync may close the stream at once, and finds it idle.
  const bool tells = std::holds_alternative<Read>(command) || std::holds_alternative<Sync>(command);
  if (tells) --computing_;
  if (!abandoned_) std::visit([this](auto& kind) { attempt(kind); }, command);
  if (!tells) --computing_;
}

template <class Kind>
void Worker::attempt(Kind& kind) noexcept {
  try {
    run(kind);
  } catch (const std::bad_alloc&) {
    give(kind, memory_.noHostMemory());
  } catch (const std::exception& error) {
    give(kind, std::make_shared<const Fault>(Fault{std::string("[device] unexpected: ") + error.what()}));
  }
}

void Worker::give(Op& op, const FaultRef& fault) noexcept {
  sticky_ = fault;
  poisonResults(op, fault, false);
}

void Worker::give(Replay&, const FaultRef& fault) noexcept {
  sticky_ = fault;  // its ops are attempted one by one
}

void Worker::give(Upload& upload, const FaultRef& fault) noexcept {
  sticky_ = bufferOf(upload.target).poison = fault;
}

void Worker::give(Load& load, const FaultRef& fault) noexcept {
  sticky_ = bufferOf(load.target).poison = fault;
}

void Worker::give(Read& read, const FaultRef& fault) noexcept {
  sink_.complete(read.token, fault);
}

void Worker::give(Sync& sync, const FaultRef& fault) noexcept {
  sink_.complete(sync.token, fault);
}

FaultRef Worker::stick(Fault fault) {
  return sticky_ = std::make_shared<const Fault>(std::move(fault));
}

FaultRef Worker::provide(Buffer& buffer, const char* where, const std::string& name) {
  if (buffer.data != nullptr) return nullptr;
  if (buffer.onHost) return provideOnHost(buffer, where, name);
  buffer.data = memory_.await(buffer.bytes);
  if (buffer.data == nullptr) return stick(memory_.outOfMemory(where, buffer.bytes, name));
  memory_.took(buffer);
  executor_->took(buffer);
  return nullptr;
}

FaultRef Worker::provideOnHost(Buffer& buffer, const char* where, const std::string& name) {
  std::string why;
  buffer.data = executor_->allocateHost(buffer.bytes, why);
  if (buffer.data == nullptr) {
    return stick(Fault{"[" + std::string(where) + "] expected " + formatBytes(double(buffer.bytes)) + " for " + name +
                           " in the machine's memory, where the GPU reads it, but " + why +
                           "; leave out offloadEmbedding",
                       true});
  }
  memory_.tookOnHost(buffer);
  executor_->took(buffer);
  return nullptr;
}

void Worker::freeBuffer(std::unique_ptr<Buffer> buffer) {
  executor_->gave(*buffer);
  memory_.gave(*buffer);
  if (!buffer->onHost) return memory_.free(buffer->data);
  if (buffer->data == nullptr) return;
  executor_->freeHost(buffer->data);
  memory_.gaveOnHost(*buffer);
}

// Memory for what the op writes, addresses for all its tensors. Returns the fault for which the op must be skipped.
FaultRef Worker::resolve(Op& op) {
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

void Worker::poisonResults(const Op& op, const FaultRef& fault, bool skipped) {
  const bool keepInouts = skipped && op.info->keepsInoutsWhenSkipped;
  op.info->visitTensors(op.args, [&](Tensor& tensor, Access access, const ArgumentPath&) {
    if (access == Access::kOut || (access == Access::kInout && !keepInouts)) bufferOf(tensor).poison = fault;
  });
}

void Worker::run(Op& op) {
  if (const FaultRef fault = resolve(op)) return poisonResults(op, fault, true);
  {
    KernelContext context(*executor_, memory_, op.info->name);
    const KernelContext::Turn turn(context);
    OpTime& time = times_[size_t(op.info - kOps)];
    executor_->run(*op.info, op.args, context, time);
    time.calls.fetch_add(1, std::memory_order_relaxed);
    sticky_ = context.fault();
  }
  if (sticky_) return poisonResults(op, sticky_, false);
  op.info->visitTensors(op.args, [&](Tensor& tensor, Access access, const ArgumentPath&) {
    if (access == Access::kOut) markWritten(tensor);
    if (access == Access::kOut || (access == Access::kInout && !op.info->keepsInoutsWhenSkipped))
      executor_->changed(bufferOf(tensor));
  });
}

void Worker::run(Replay& replay) {
  for (Op& op : replay.list->ops) {
    if (abandoned_) return;
    attempt(op);
  }
}

// What kernels found wrong counts as if it had been found when their commands ran.
void Worker::waitForKernels() {
  if (FaultRef fault = executor_->wait()) sticky_ = std::move(fault);
}

void Worker::run(Upload& upload) {
  Buffer& buffer = bufferOf(upload.target);
  const FaultRef earlier = sticky_;
  FaultRef fault = provide(buffer, "upload", "target");
  if (!fault) {
    KernelContext context(*executor_, memory_, "upload");
    const Tensor& target = upload.target;
    const Tensor source = hostTensor(upload.source.get(), target.rows, target.cols, upload.sourceDType);
    executor_->fromHost(source, located(target), context);
    fault = context.fault();
    if (coversBuffer(target)) executor_->filled(buffer);
  }
  sticky_ = earlier ? earlier : fault;
  if (fault) {
    buffer.poison = fault;
  } else {
    markWritten(upload.target);
  }
}

void Worker::run(Load& load) {
  Buffer& buffer = bufferOf(load.target);
  FaultRef fault = sticky_ ? sticky_ : provide(buffer, "loadFile", "target");
  if (fault) {
    buffer.poison = fault;
    return;
  }
  KernelContext context(*executor_, memory_, "loadFile");
  const std::string error = executor_->load(load.source, located(load.target), context, abandoned_);
  if (!error.empty()) {
    buffer.poison = stick(Fault{"[loadFile] expected to read '" + load.source.path + "', got: " + error});
  } else if (context.fault()) {
    buffer.poison = sticky_ = context.fault();
  } else {
    markWritten(load.target);
  }
}

void Worker::run(Read& read) {
  waitForKernels();
  const Buffer& buffer = bufferOf(read.source);
  FaultRef fault = buffer.poison;
  if (!fault && hasElements(read.source)) {
    if (buffer.written) {
      KernelContext context(*executor_, memory_, "read");
      const Tensor& source = read.source;
      executor_->toHost(located(source), hostTensor(read.destination, source.rows, source.cols, read.dtype), context);
      fault = context.fault();
    } else {
      fault = std::make_shared<const Fault>(
          Fault{"[read] expected a tensor with contents, got one that nothing has written"});
    }
  }
  sink_.complete(read.token, fault);
}

void Worker::run(Sync& sync) {
  waitForKernels();
  const FaultRef fault = std::move(sticky_);
  sticky_.reset();
  sink_.complete(sync.token, fault);
}

void Worker::run(Release& release) {
  freeBuffer(std::move(release.buffer));
}

void Worker::run(Close& close) {
  waitForKernels();
  for (std::unique_ptr<Buffer>& buffer : close.buffers) freeBuffer(std::move(buffer));
  memory_.endClosing();
  stopped_ = true;
}

}  // namespace lowrank
