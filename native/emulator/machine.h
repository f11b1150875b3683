// The CUDA execution model on one CPU thread per block: every CUDA thread is a fiber, and switches happen only where
// threads wait for each other.
//
// 1. A launch runs its blocks on the stream's threads; a block is one thread's from begin to end, with shared memory
//    and fibers of that thread.
// 2. Threads run until they wait: at a barrier, or where the lanes of a warp meet (shuffles, ldmatrix, mma). Which one
//    runs next is the schedule's choice: a kernel that lacks a barrier is right in one order and wrong in another.
// 3. Asynchronous copies land, and products of a warpgroup run, when they are issued (early) or only when they are
//    waited for (late): a kernel that lacks a wait is wrong when late.
// 4. Shared memory begins as NaN (all bits set) and lies between pages that cannot be touched.
// 5. What CUDA leaves undefined or refuses is a fault with kernel, block, thread and source line: it ends the launch,
//    never the process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <source_location>
#include <vector>

#include "../cuda/generation.h"

namespace lowrank::emulator {

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

inline constexpr int kWarpLanes = 32;
inline constexpr int kMaxThreads = 1024;
inline constexpr int kMaxWarps = kMaxThreads / kWarpLanes;
inline constexpr int kBarriers = 16;
inline constexpr int kProductDepth = 16;  // values of k in a product of matrix instructions

using Place = std::source_location;

// Who runs next where several can, and when asynchronous copies land.
struct Schedule {
  enum class Order { kForward, kReverse, kRandom };
  Order order = Order::kForward;
  bool lateCopies = true;
  uint32_t seed = 1;
};

struct AsyncCopy {
  static constexpr size_t kBytes = 16;
  void* to;
  const void* from;  // nullptr: zeros
  Place place;
};

// This thread's share of a wgmma (device.h).
struct AsyncProduct {
  float (*c)[4];  // [cols / 8][4]
  int cols;
  bool fresh;
  uint64_t a;                       // in shared memory, or
  uint16_t rows[2][kProductDepth];  // the two rows of this thread's sums, from registers
  bool fromRegisters;
  uint64_t b;
  bool across;
  bool bfloat16;
  Place place;
};

// What a thread has started, in the groups that it commits and waits for.
template <class Item>
class Groups {
 public:
  void start(const Item& item);
  void commit();
  void waitFor(size_t groupsLeft, const Place& place);
  const Item* firstUnfinished() const;  // or nullptr
  void clear();

 private:
  std::vector<Item> open_;                    // not committed yet
  std::vector<std::vector<Item>> committed_;  // oldest first
};

struct Thread {
  void* stackPointer;
  dim3 index;
  int number;  // in the block
  int lane;
  int warp;
  bool ended;
  Groups<AsyncCopy> copies;
  Groups<AsyncProduct> products;
};

// What the lanes of a warp do together.
enum class Meeting {
  kNone,
  kSync,
  kShuffle,
  kBallot,
  kLdmatrix,
  kLdmatrixTransposed,
  kMmaBFloat16,
  kMmaFloat16,
  kWgmma,
  kWgmmaRegisters
};

struct Warp {
  uint32_t runnable;
  uint32_t live;
  uint32_t arrived;  // lanes that wait in the meeting
  Meeting meeting;
  Place place;
  uint32_t in[kWarpLanes][10];
  uint32_t out[kWarpLanes][16];
  const void* rows[kWarpLanes];
};

struct Barrier {
  int arrived;
  int expected;
  Place place;
  uint32_t waiting[kMaxWarps];
};

// One block while it runs.
struct Block {
  dim3 index;
  dim3 size;
  dim3 grid;
  unsigned char* shared;
};

// The CUDA thread that runs on this CPU thread, and its block. Fibers never change their CPU thread.
extern thread_local Block* currentBlock __attribute__((tls_model("initial-exec")));
extern thread_local Thread* currentThread __attribute__((tls_model("initial-exec")));

// Waits for `threads` threads of the block (0: all that have not ended) at barrier `id`.
void meetAtBarrier(int id, int threads, const Place& place);

// Waits for all lanes of the warp at the same call; the last to come runs `finish`. Returns the warp, with this lane's
// results in it.
Warp& meetInWarp(Meeting meeting, const Place& place, void (*finish)(Warp&));
Warp& warpOf(const Thread& thread);

// How the launch on this thread runs.
bool launchedForSm90();
bool landsLate();
// Whether the barrier or wait at this place is left out (machine.cpp).
bool isLeftOut(const Place& place);

void complete(const AsyncCopy& copy);
void complete(const AsyncProduct& product);  // wgmma.cpp

// Ends the launch.
[[noreturn]] void fault(const Place& place, const char* format, ...) __attribute__((format(printf, 2, 3)));

inline void requireAligned(const void* address, size_t bytes, const char* what, const Place& place) {
  if ((reinterpret_cast<uintptr_t>(address) & (bytes - 1)) != 0)
    fault(place, "%s expects an address that is a multiple of %zu, got one that is %zu above", what, bytes,
          reinterpret_cast<uintptr_t>(address) & (bytes - 1));
}

// A kernel's code for one thread.
struct Body {
  void (*call)(const void* state);
  const void* state;
};

// The blocks of one launch, run in any order and by several CPU threads.
class Launch {
 public:
  // `needs` is what the kernel was launched for, `gpu` what there is.
  Launch(const char* kernel, Generation needs, Generation gpu, dim3 grid, dim3 block, size_t sharedBytes, Body body,
         const Schedule& schedule);

  // Empty where the launch can be made at all.
  const char* refusal() const { return refusal_; }
  int64_t blocks() const;
  void runBlock(int64_t number);  // nothing after a fault
  const char* faultText() const;  // empty when all went well

 private:
  friend class Machine;
  void recordFault(const char* text);

  const char* kernel_;
  Generation needs_;
  dim3 grid_;
  dim3 block_;
  size_t sharedBytes_;
  Body body_;
  Schedule schedule_;
  char refusal_[256] = "";
  char faultText_[512] = "";
  int faults_ = 0;  // atomically
};

// A block of a launch from its begin to its end.
void runOnThisThread(Launch& launch, int64_t block);

}  // namespace lowrank::emulator
