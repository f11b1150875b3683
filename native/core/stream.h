// A device's command queue: one worker thread that runs commands in the order in which JavaScript queued them.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "buffer.h"
#include "command.h"
#include "executor.h"
#include "schema.h"
#include "tensor.h"
#include "worker.h"

namespace lowrank {

// Threads
// 1. All public members are for JavaScript's thread. They validate, queue and return; a wrong call throws
//    InvalidArgument.
// 2. The contents of buffers, the allocator and the kernels belong to the worker.
// 3. The worker runs a kernel only in its turn of the process's thread pool.
//
// Faults
// 4. A command that fails leaves a fault. The fault sticks to the stream, and what the command should have written is
//    poisoned. Later commands are skipped and poison what they should have written; uploads still run, since they need
//    no result of the commands before them. sync() reports the fault once and clears the stream.
// 5. A command that meets poison on a clear stream is skipped too and passes the poison on. Writing a whole buffer
//    heals it.
// 6. read() reports the fault of poisoned data. Other data can be read whatever happened elsewhere.
//
// Devices
// 7. On a device with a queue, kernels run later than their commands, and only kernels can look at what tensors hold.
//    The worker learns what a kernel found wrong when it waits, at read() and sync(), and treats it as if it had been
//    found at once: what that command and the ops after it wrote is poisoned. adamw itself checks for findings before
//    it and then leaves the parameters as they were.
//
// Dry run
// 8. A dry run tells what memory a program needs. It reserves memory exactly as a real run does, and runs kernels
//    except for the bodies of parallel(). It reads no files and copies only integers from the host, because kernels
//    look at ids, labels and bounds outside of parallel(). All other contents are undefined.
//
// Command lists
// 9. Between beginList() and endList() ops are checked as always, but kept instead of queued. replay() queues the whole
//    list, any number of times: the same ops on the same buffers, whose contents may have changed. A list holds
//    references to its buffers, so what is released during its life stays. Memory is not planned inside a list:
//    everything that it writes has memory of its own until releaseList().
//
// End
// 10. close() lets all queued commands run, then gives back memory, addresses and the thread. If no queued command
//     computes, this is done when close() returns; otherwise other streams that find the budget full wait for it.
//     abandon() skips what has not begun, reports nothing, and returns when the worker has ended. The destructor does
//     that too.
class Stream {
 public:
  Stream(const StreamOptions& options, CompletionSink& sink);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Slots of device memory; see BufferTable. release() returns the bytes of a buffer whose last reference this was,
  // else 0. `onHost`: in the machine's memory; see Buffer.
  uint64_t allocate(double bytes, bool onHost);
  void retain(double slot);
  uint64_t release(double slot);
  // Says what a buffer is for, as errors about a full budget name it.
  void label(double slot, const std::string& what);

  void enqueue(double id, const double* words, size_t length);

  // See "Command lists". beginList() and endList() come in pairs, without others between; nothing but ops may be queued
  // between them.
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

  MemoryInfo memory() const { return worker_.memory().info(); }
  // What the tensors are for; empty where nothing has a label.
  std::string holdings() const { return worker_.memory().holdings(); }
  // What other streams have of the budget that this one shares with them; nothing where it has its own.
  MemoryUser::Others others() const { return worker_.memory().others(); }
  void resetPeak() { worker_.memory().resetPeak(); }
  void limitMemory(double bytes);
  // By op id, since the stream began. Whole once what was queued has been waited for.
  const std::array<OpTime, kOpCount>& times() const { return worker_.times(); }
  int threads() const { return worker_.executor().threads(); }
  const Backend& backend() const { return backend_; }

  void close();
  bool closed() const { return closed_; }
  // Ends the thread of a closed stream; returns at once where CompletionSink::ended() was called.
  void join() noexcept { worker_.join(); }
  void abandon() noexcept;

 private:
  using Lists = std::map<uint64_t, std::shared_ptr<command::List>>;

  void keep(command::Op op);
  Lists::iterator listAt(double number, const char* caller);
  void requireOpen(const char* caller) const;

  const Backend& backend_;
  BufferTable buffers_;
  Lists lists_;
  std::shared_ptr<command::List> openList_;  // between beginList() and endList()
  uint64_t nextList_ = 1;
  bool closed_ = false;
  Worker worker_;
};

}  // namespace lowrank
