#include <utility>

#include "executor.h"
#include "file_load.h"
#include "kernel_context.h"
#include "work.h"

namespace lowrank {
namespace {

// The CPU: kernels have run when their commands have, in the memory that the host has too.
template <class Work>
class HostExecutor final : public Executor {
 public:
  explicit HostExecutor(const StreamOptions& options) : backend_(*options.backend), work_(options.threads) {}

  bool hasOwnMemory() const override { return false; }
  bool needsValues(DType dtype) const override { return work_.needsValues(dtype); }
  // It takes milliseconds where the worker gets a core.
  std::chrono::milliseconds longestClose() const override { return std::chrono::milliseconds(5000); }

  std::string attach() override { return {}; }
  void* allocateHost(size_t, std::string& why) override {
    why = "the CPU has no other memory";
    return nullptr;
  }
  void freeHost(void*) noexcept override {}

  void took(Buffer&) override {}
  void gave(Buffer&) override {}
  void changed(Buffer&) override {}
  void filled(Buffer&) override {}

  void run(const OpInfo& op, const void* args, KernelContext& context, OpTime& time) override {
    const auto begin = std::chrono::steady_clock::now();
    op.run(backend_, args, context);
    const auto elapsed = std::chrono::steady_clock::now() - begin;
    time.nanoseconds.fetch_add(uint64_t(elapsed.count()), std::memory_order_relaxed);
  }

  void fromHost(const Tensor& host, const Tensor& to, KernelContext& context) override { copy(host, to, context); }
  void toHost(const Tensor& from, const Tensor& host, KernelContext& context) override { copy(from, host, context); }

  std::string load(const FileRange& from, const Tensor& target, KernelContext& context,
                   const std::atomic<bool>& abandoned) override {
    const bool direct = from.dtype == target.dtype && packed(target);
    void* const staging = direct ? nullptr : context.scratch(partBytes(from, target));
    if (context.fault()) return {};
    return work_.load([&] {
      return loadParts(
          from, target, [&](const Tensor& place) { return direct ? place.data : staging; },
          [&](const Tensor& place, const Tensor& values) {
            if (!direct) copy(values, place, context);
          },
          [&] { return abandoned || context.fault(); });
    });
  }

  FaultRef wait() override { return nullptr; }

  int threads() const override { return work_.threads(); }
  void* kernelQueue() override { return nullptr; }
  void parallel(int64_t blocks, Context::Body body, void* state) override { work_.parallel(blocks, body, state); }
  void beginTurn() override { work_.beginTurn(); }
  void endTurn() override { work_.endTurn(); }

 private:
  void copy(const Tensor& from, const Tensor& to, KernelContext& context) {
    if (context.fault()) return;
    work_.copyOnHost(from, to, [&](const Tensor& source, const Tensor& target) {
      const KernelContext::Turn turn(context);
      backend_.copy(CopyArgs{source, target}, context);
    });
  }

  const Backend& backend_;
  Work work_;
};

}  // namespace

std::unique_ptr<Executor> makeHostExecutor(const StreamOptions& options) {
  if (options.dryRun) return std::make_unique<HostExecutor<DryWork>>(options);
  return std::make_unique<HostExecutor<RealWork>>(options);
}

}  // namespace lowrank
