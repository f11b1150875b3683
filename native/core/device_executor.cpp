#include <unordered_set>
#include <utility>
#include <vector>

#include "executor.h"
#include "file_load.h"
#include "kernel_context.h"
#include "work.h"

namespace lowrank {
namespace {

// A device with a queue: kernels run later than their commands, in memory that the host cannot touch.
//
// 1. Ops have serial numbers, from 1. What kernels find wrong comes with the number of their op, when wait() looks.
// 2. Every buffer that has memory is known with the number of the op that changed it last: what the op with the fault
//    and the ops after it changed is poisoned.
template <class Work>
class DeviceExecutor final : public Executor {
 public:
  explicit DeviceExecutor(const StreamOptions& options)
      : backend_(*options.backend), queue_(options.queue), timedByDevice_(options.timeOps), work_(options.threads) {}

  bool hasOwnMemory() const override { return true; }
  bool needsValues(DType dtype) const override { return work_.needsValues(dtype); }
  // A device may still compute.
  std::chrono::milliseconds longestClose() const override {
    return std::chrono::milliseconds(queue_->runsLater() ? 50 : 5000);
  }

  std::string attach() override { return queue_->attach(); }
  void* allocateHost(size_t bytes, std::string& why) override { return queue_->allocateHost(bytes, why); }
  void freeHost(void* address) noexcept override { queue_->freeHost(address); }

  void took(Buffer& buffer) override { held_.insert(&buffer); }
  void gave(Buffer& buffer) override { held_.erase(&buffer); }
  void changed(Buffer& buffer) override { buffer.writtenBy = serial_; }
  void filled(Buffer& buffer) override { buffer.writtenBy = 0; }

  void run(const OpInfo& op, const void* args, KernelContext& context, OpTime& time) override {
    const auto begin = std::chrono::steady_clock::now();
    queue_->begin(context, ++serial_);
    unseenOps_.push_back(op.name);
    if (timedByDevice_) queue_->beginTimer(time.nanoseconds);
    op.run(backend_, args, context);
    if (timedByDevice_) return queue_->endTimer();
    const auto elapsed = std::chrono::steady_clock::now() - begin;
    time.nanoseconds.fetch_add(uint64_t(elapsed.count()), std::memory_order_relaxed);
  }

  void fromHost(const Tensor& host, const Tensor& to, KernelContext& context) override {
    queue_->begin(context, serial_);
    if (host.dtype == to.dtype && packed(to)) return queue_->upload(to.data, host.data, byteCount(host));
    const Tensor staged = hostTensor(context.scratch(byteCount(host)), host.rows, host.cols, host.dtype);
    if (context.fault()) return;
    queue_->upload(staged.data, host.data, byteCount(host));
    convert(staged, to, context);
  }

  void toHost(const Tensor& from, const Tensor& host, KernelContext& context) override {
    queue_->begin(context, serial_);
    if (host.dtype == from.dtype && packed(from)) return queue_->download(host.data, from.data, byteCount(host));
    const Tensor staged = hostTensor(context.scratch(byteCount(host)), host.rows, host.cols, host.dtype);
    convert(from, staged, context);
    if (!context.fault()) queue_->download(host.data, staged.data, byteCount(host));
  }

  std::string load(const FileRange& from, const Tensor& target, KernelContext& context,
                   const std::atomic<bool>& abandoned) override {
    return work_.load([&] {
      const std::unique_ptr<std::byte[]> staging = std::make_unique<std::byte[]>(partBytes(from, target));
      return loadParts(
          from, target, [&](const Tensor&) { return staging.get(); },
          [&](const Tensor& place, const Tensor& values) { fromHost(values, place, context); },
          [&] { return abandoned || context.fault(); });
    });
  }

  FaultRef wait() override {
    const std::optional<LateFault> late = queue_->wait();
    FaultRef fault;
    if (late) {
      const uint64_t first = serial_ - unseenOps_.size() + 1;
      const bool known = late->serial >= first && late->serial <= serial_;
      const char* const op = known ? unseenOps_[late->serial - first] : "device";
      fault = std::make_shared<const Fault>(Fault{"[" + std::string(op) + "] " + late->message});
      const uint64_t from = known ? late->serial : first;
      for (Buffer* buffer : held_) {
        if (buffer->writtenBy >= from) buffer->poison = fault;
      }
    }
    unseenOps_.clear();
    return fault;
  }

  int threads() const override { return work_.threads(); }
  void* kernelQueue() override { return queue_->kernelQueue(); }
  void parallel(int64_t blocks, Context::Body body, void* state) override { work_.parallel(blocks, body, state); }
  void beginTurn() override { work_.beginTurn(); }
  void endTurn() override { work_.endTurn(); }

 private:
  // The backend's copy kernel.
  void convert(const Tensor& from, const Tensor& to, KernelContext& context) {
    if (context.fault()) return;
    const KernelContext::Turn turn(context);
    backend_.copy(CopyArgs{from, to}, context);
  }

  const Backend& backend_;
  const std::shared_ptr<DeviceQueue> queue_;
  const bool timedByDevice_;
  Work work_;
  uint64_t serial_ = 0;                 // of the last op
  std::vector<const char*> unseenOps_;  // the ops since the last wait; the last is serial_
  std::unordered_set<Buffer*> held_;    // all buffers that have memory
};

}  // namespace

std::unique_ptr<Executor> makeDeviceExecutor(const StreamOptions& options) {
  if (options.dryRun) return std::make_unique<DeviceExecutor<DryWork>>(options);
  return std::make_unique<DeviceExecutor<RealWork>>(options);
}

}  // namespace lowrank
