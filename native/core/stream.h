// A device's command queue: one worker thread that runs commands in the order in which JavaScript queued them.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_set>
#include <variant>
#include <vector>

#include "allocator.h"
#include "buffer.h"
#include "device_queue.h"
#include "fault.h"
#include "memory_user.h"
#include "schema.h"
#include "tensor.h"

namespace lowrank {

struct StreamOptions {
  const Backend* backend;
  int threads;
  std::optional<uint64_t> memoryBudget;  // of this stream alone; without it the process's holds
  bool dryRun;                           // see Stream
  bool holdBudget;                       // a dry run too has no more memory than the budget
  bool timeOps;                          // with a queue: OpTime has the device's time
  std::shared_ptr<DeviceQueue> queue;    // nullptr: the CPU
};

// How often an op ran, and the time in it: the worker's, which with a queue is that of queuing, or the device's where StreamOptions asks for it.
// The worker adds; anybody reads.
struct OpTime {
  std::atomic<uint64_t> calls{0};
  std::atomic<uint64_t> nanoseconds{0};
};

// Gets the outcome of read() and sync(), on the worker's thread. `fault` is null when all went well. ended(): the worker does nothing any more after
// a close(), and join() does not wait.
class CompletionSink {
 public:
  virtual void complete(void* token, FaultRef fault) noexcept = 0;
  virtual void ended() noexcept = 0;

 protected:
  ~CompletionSink() = default;
};

// Threads
// 1. All public members are for JavaScript's thread. Calls validate, queue and return; InvalidArgument says what is wrong with one.
// 2. Buffers' contents, the allocator and the kernels belong to the worker.
// 3. The worker runs a kernel only in its turn of the process's thread pool.
//
// Faults
// 4. A command that fails leaves a fault: it sticks to the stream, and the contents of what it should have written are poisoned. Later commands are
//    skipped and poison what they should have written; uploads, which need nothing of those before
//    them, still run. sync() reports the fault once and clears the stream.
// 5. A command that meets poison when the stream is clear is skipped too and passes the poison on. Writing a buffer wholly heals it.
// 6. read() reports the fault of poisoned data; data that is whole can be read whatever happened elsewhere.
//
// Devices
// 7. With a queue kernels run later than their commands, and only they can look at what tensors hold. What one finds wrong is seen where the
//    worker waits, at read() and sync(), and treated as if it had been seen at once: what its command and the ops after it wrote is poisoned. adamw
//    looks by itself whether something was found before it, and then leaves parameters as they were.
//
// Dry run
// 8. Memory is reserved exactly as ever, kernels run but for the bodies of parallel(), files are not read, and of host data only integers are copied,
//    because kernels look at ids, labels and bounds outside of parallel(). Other contents are undefined. It tells what memory a program needs.
//
// Command lists
// 9. Between beginList() and endList() ops are checked as ever but kept instead of queued. replay() queues the whole list, as often as wanted: the same
//    ops on the same buffers, whose contents may have changed. A list holds references to its buffers, so that what is released while it
//    lives stays. There is no memory planning inside a list: everything it writes has memory of its own until releaseList().
//
// End
// 10. close() lets everything queued run, then gives back all memory, addresses and the thread. Where nothing is queued that computes, that is done
//     when it returns; else other streams that find the budget full wait for it. abandon() skips what has not begun, reports nothing, and returns
//     when the worker has ended; the destructor does that too.
class Stream {
 public:
  Stream(const StreamOptions& options, CompletionSink& sink);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Slots of device memory; see BufferTable. release() returns the bytes of a buffer whose last reference this was, else 0.
  // `onHost`: in the machine's memory; see Buffer.
  uint64_t allocate(double bytes, bool onHost);
  void retain(double slot);
  uint64_t release(double slot);
  // Says what a buffer is for, as errors about a full budget name it.
  void label(double slot, const std::string& what);

  void enqueue(double op, const double* words, size_t length);

  // See "Command lists". beginList() and endList() come in pairs, without others between; nothing but ops may be queued between them.
  void beginList();
  uint64_t endList();
  void replay(double list);
  void releaseList(double list);

  // A view of six numbers, for the calls below; `caller` is for messages.
  Tensor view(const double* words, const char* caller, const char* name) const;

  // `source` holds the target's elements, rows packed, as sourceDType. It is copied before the call returns.
  void upload(const Tensor& target, const void* source, size_t sourceBytes, DType sourceDType);

  // The worker reads the same from a file.
  void loadFile(const Tensor& target, std::string path, double fileOffset, DType sourceDType);

  // The worker writes the elements, rows packed, as `dtype` to `destination`, which lives until complete(token).
  void read(const Tensor& source, DType dtype, void* destination, void* token);
  void sync(void* token);
  // Throws where nothing can be read or waited for: on a closed stream, and while a list is recorded.
  void requireReady(const char* caller) const;

  MemoryInfo memory() const;
  // What the tensors are for; empty where nothing has a label.
  std::string holdings() const { return user_ ? user_->holdings() : std::string(); }
  // What other streams have of the budget that this one shares with them; nothing where it has its own.
  MemoryUser::Others others() const;
  void resetPeak() { allocator_.resetPeak(); }
  void limitMemory(double bytes);
  // By op id, since the stream began. Whole once what was queued has been waited for.
  const std::array<OpTime, kOpCount>& times() const { return times_; }
  int threads() const { return options_.threads; }
  const Backend& backend() const { return *options_.backend; }

  void close();
  bool closed() const { return closed_; }
  // Ends the thread of a closed stream; returns at once where CompletionSink::ended() was called.
  void join() noexcept;
  void abandon() noexcept;

 private:
  struct Op {
    const OpInfo* info;
    void* args;
    std::unique_ptr<std::pmr::monotonic_buffer_resource> arena;
  };
  struct List {
    std::vector<Op> ops;
    std::unordered_set<uint64_t> slots;  // of its buffers, each retained once
  };
  struct Replay {
    std::shared_ptr<List> list;
  };
  struct Upload {
    Tensor target;
    std::unique_ptr<std::byte[]> source;
    DType sourceDType;
  };
  struct Load {
    Tensor target;
    std::string path;
    uint64_t fileOffset;
    DType sourceDType;
  };
  struct Read {
    Tensor source;
    DType dtype;
    void* destination;
    void* token;
  };
  struct Sync {
    void* token;
  };
  struct Release {
    std::unique_ptr<Buffer> buffer;
  };
  struct Close {
    std::vector<std::unique_ptr<Buffer>> buffers;
  };
  using Command = std::variant<Op, Replay, Upload, Load, Read, Sync, Release, Close>;
  class KernelContext;
  class Turn;

  static bool frees(const Command& command);
  void push(Command command);
  void keep(Op op);
  std::map<uint64_t, std::shared_ptr<List>>::iterator listAt(double number, const char* caller);
  void requireOpen(const char* caller) const;

  // Below: the worker.
  void work() noexcept;
  void execute(Command& command) noexcept;
  template <class Kind>
  void attempt(Kind& command) noexcept;
  void run(Op& op);
  void run(Replay& replay);
  void run(Upload& upload);
  void run(Load& load);
  void run(Read& read);
  void run(Sync& sync);
  void run(Release& release);
  void run(Close& close);

  FaultRef resolve(Op& op);
  void poisonResults(const Op& op, const FaultRef& fault, bool skipped);
  void give(Op& op, const FaultRef& fault) noexcept;
  void give(Replay& replay, const FaultRef& fault) noexcept;
  void give(Upload& upload, const FaultRef& fault) noexcept;
  void give(Load& load, const FaultRef& fault) noexcept;
  void give(Read& read, const FaultRef& fault) noexcept;
  void give(Sync& sync, const FaultRef& fault) noexcept;
  void give(Release&, const FaultRef&) noexcept {}
  void give(Close&, const FaultRef&) noexcept {}
  FaultRef stick(Fault fault);
  FaultRef provideOnHost(Buffer& buffer, const char* where, const std::string& name);
  FaultRef provide(Buffer& buffer, const char* where, const std::string& name);
  void* obtain(size_t bytes);
  std::string readInto(const Load& load, KernelContext& context);
  void fromHost(const Tensor& host, const Tensor& to, KernelContext& context);
  void toHost(const Tensor& from, const Tensor& host, KernelContext& context);
  void convert(const Tensor& from, const Tensor& to, KernelContext& context);
  void waitForDevice();
  void freeBuffer(std::unique_ptr<Buffer> buffer);
  Fault outOfMemory(const char* where, uint64_t bytes, const std::string& purpose) const;

  const StreamOptions options_;
  CompletionSink& sink_;
  BufferTable buffers_;
  std::map<uint64_t, std::shared_ptr<List>> lists_;
  std::shared_ptr<List> openList_;  // between beginList() and endList()
  uint64_t nextList_ = 1;
  bool closed_ = false;

  Allocator allocator_;
  std::optional<MemoryUser> user_;  // but for dry runs
  std::atomic<uint64_t> hostLive_{0};
  std::array<OpTime, kOpCount> times_;
  FaultRef sticky_;
  uint64_t serial_ = 0;                      // of the last op, from 1
  std::vector<const char*> unseenOps_;       // the ops since the last wait; the last is serial_
  std::unordered_set<Buffer*> buffersHeld_;  // with a queue: all that have memory
  bool stopped_ = false;  // the last command has run
  const FaultRef noHostMemory_;  // made ahead, for when nothing can be made

  std::mutex mutex_;
  std::condition_variable arrived_;
  std::vector<Command> queue_;
  bool ended_ = false;         // the worker, which touches nothing any more; guarded by mutex_, as the next
  bool endIsAwaited_ = true;   // close() sees it itself
  std::condition_variable hasEnded_;
  std::atomic<bool> hasWork_{false};
  std::atomic<int64_t> computing_{0};  // commands that have not run yet, without those that free memory or wait
  std::atomic<bool> abandoned_{false};
  std::thread worker_;
};

}  // namespace lowrank
