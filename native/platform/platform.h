// Everything that is asked of the operating system, so that another system is one more file beside linux.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace lowrank::platform {

// Physical cores that this process may run on: its affinity mask without SMT siblings, cut by the CPU quota of its
// control groups.
int allowedCores();

// Asks the system for the tile registers of AMX, for all threads of this process; false where it keeps them.
bool allowTileRegisters();

// Bytes of memory of the machine, or of the tightest control group around this process.
uint64_t totalMemory();

// The bytes of those that are available now, within the process's own limits (ulimit -v, -d). Page cache that the
// system would give back counts as free.
uint64_t availableMemory();

// What limits the number of threads, for an error: "the control group runs 48 of 50 (pids.max)"; empty where nothing
// does.
std::string threadLimits();

// Addresses without memory, aligned to kRegionAlignment; nullptr when there are none. `bytes` is a multiple of
// kRegionAlignment, here and below.
inline constexpr size_t kRegionAlignment = size_t{2} << 20;
void* reserveAddresses(size_t bytes) noexcept;

// Puts zeroed memory behind a part of them whose ends are multiples of kRegionAlignment: huge pages where the system
// has them, or with `sparse`, for memory that is hardly touched, small ones. False when the system has none.
bool commitPages(void* address, size_t bytes, bool sparse) noexcept;

// Both at once: zeroed memory in huge pages, or nullptr.
void* reservePages(size_t bytes) noexcept;

// Gives back any part of the addresses, with the memory behind it. They are not used again.
void releasePages(void* address, size_t bytes) noexcept;

// Prepares the calling thread for computing: its name (up to 15 characters), and a rank below the thread that runs
// JavaScript, which is often on the same cores, needs moments only, and must get them at once for the event loop to
// stay free.
void becomeComputeThread(const char* name) noexcept;

// Tells the processor that this thread is spinning.
void spinPause() noexcept;

// What a signal does, whatever JavaScript is doing.
struct SignalRule {
  int signal;
  // 1: the process ends. 2: the first request goes to the handler that is there, the next one ends the process. 0: a
  // first request, never the next.
  int endsAt;
};

// Puts a handler of our own in front of those that are there, and takes the one of the last call away. An ended process
// leaves the terminal as it was at the first call, and writes `farewell` there, up to 64 bytes. Signals within 100 ms
// of the first are one request with it. False where a signal has no handler to stand in front of, or one of another
// kind. For one thread.
bool guardSignals(const std::vector<SignalRule>& rules, const std::string& farewell) noexcept;

enum class LockResult { kLocked, kHeld, kUnsupported };

// Locks an open file until it is closed, by this process or by its end; shared ones stand beside each other. Never
// waits for who holds it.
LockResult lockFile(int descriptor, bool exclusive) noexcept;

// A file open for reading.
class File {
 public:
  explicit File(const std::string& path);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  // Reads until `bytes` are there or the file ends; returns how many it got, or -1.
  int64_t readAt(uint64_t offset, void* destination, size_t bytes);

  // Why the file did not open or the last read failed; empty when all is well.
  const std::string& error() const { return error_; }

 private:
  int descriptor_;
  std::string error_;
};

}  // namespace lowrank::platform
