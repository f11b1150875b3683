#include "machine.h"

#include <signal.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>

#include "block_memory.h"

// Saves the registers that a call must keep and the stack pointer of this fiber, and goes on with another (System V
// ABI, x86-64).
extern "C" void lowrankSwitchFiber(void** save, void* to);
asm(R"(
.text
.globl lowrankSwitchFiber
.hidden lowrankSwitchFiber
.type lowrankSwitchFiber,@function
lowrankSwitchFiber:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size lowrankSwitchFiber,.-lowrankSwitchFiber
)");

namespace lowrank::emulator {

thread_local Block* currentBlock = nullptr;
thread_local Thread* currentThread = nullptr;

namespace {

const char* fileName(const Place& place) {
  const char* slash = std::strrchr(place.file_name(), '/');
  return slash != nullptr ? slash + 1 : place.file_name();
}

bool samePlace(const Place& a, const Place& b) {
  return a.line() == b.line() && (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

}  // namespace

// The fibers, shared memory and scheduler of one CPU thread.
class Machine {
 public:
  static Machine& ofThisThread() {
    static thread_local std::unique_ptr<Machine> machine;
    if (!machine) machine = std::make_unique<Machine>();
    return *machine;
  }
  static Machine* running() { return running_; }

  Machine();

  void run(Launch& launch, int64_t number);
  void barrier(int id, int threads, const Place& place);
  Warp& meet(Meeting meeting, const Place& place, void (*finish)(Warp&));
  [[noreturn]] void abandon(const char* text, const Place* place);
  Warp& warp(int number) { return warps_[number]; }
  void threadEnded();
  bool runsWgmma() const { return launch_->needs_ == Generation::kSm90; }
  bool lateCopies() const { return launch_->schedule_.lateCopies; }
  const BlockMemory& memory() const { return memory_; }

 private:
  static void enter();
  int pick(uint32_t mask, int from);
  void yield();
  void wake(int warp, uint32_t lanes);
  void release(Barrier& barrier);
  void checkShared();
  bool random() const { return launch_->schedule_.order == Schedule::Order::kRandom; }
  bool reverse() const { return launch_->schedule_.order == Schedule::Order::kReverse; }

  static thread_local Machine* running_ __attribute__((tls_model("initial-exec")));

  Launch* launch_ = nullptr;
  Block block_{};
  Thread threads_[kMaxThreads]{};
  Warp warps_[kMaxWarps]{};
  Barrier barriers_[kBarriers]{};
  uint32_t runnableWarps_ = 0;
  int threadCount_ = 0;
  int warpCount_ = 0;
  int liveThreads_ = 0;
  uint32_t random_ = 1;
  void* mainStackPointer_ = nullptr;
  BlockMemory memory_;
};

thread_local Machine* Machine::running_ __attribute__((tls_model("initial-exec"))) = nullptr;

namespace {

// Runs on the spare stack, out of the signal's handler.
void faultAfterSignal() {
  Machine::running()->abandon("touches memory outside of its block's shared memory or stack", nullptr);
}

struct sigaction previousHandler;

void onSegmentFault(int signal, siginfo_t* info, void* context) {
  Machine* const machine = Machine::running();
  if (machine != nullptr && machine->memory().guards(info->si_addr)) {
    ucontext_t* const state = static_cast<ucontext_t*>(context);
    const uintptr_t stack = reinterpret_cast<uintptr_t>(machine->memory().spareStack());
    state->uc_mcontext.gregs[REG_RSP] = greg_t(stack / 16 * 16 - 8);
    state->uc_mcontext.gregs[REG_RIP] = greg_t(reinterpret_cast<uintptr_t>(&faultAfterSignal));
    return;
  }
  // Not ours: as if this handler were not there.
  if ((previousHandler.sa_flags & SA_SIGINFO) != 0) return previousHandler.sa_sigaction(signal, info, context);
  sigaction(signal, &previousHandler, nullptr);
}

void installHandler() {
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action{};
    action.sa_sigaction = onSegmentFault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSEGV, &action, &previousHandler);
  });
}

}  // namespace

Machine::Machine() {
  installHandler();
}

// The set bit of `mask` that comes after `from` in the order of the schedule.
int Machine::pick(uint32_t mask, int from) {
  if (random()) {
    random_ = random_ * 1664525u + 1013904223u;
    from = int(random_ >> 16 & 31);
  }
  if (reverse()) {
    const uint32_t below = mask & ((1u << from) - 1);
    return 31 - __builtin_clz(below != 0 ? below : mask);
  }
  const uint32_t above = from >= 31 ? 0 : mask & ~((2u << from) - 1);
  return __builtin_ctz(above != 0 ? above : mask);
}

// Goes on with another thread that can run, of the same warp where there is one, or with the launch when all have
// ended.
void Machine::yield() {
  Thread& self = *currentThread;
  int warp = self.warp;
  if (warps_[warp].runnable == 0) {
    runnableWarps_ &= ~(1u << warp);
    if (runnableWarps_ == 0) {
      if (liveThreads_ > 0)
        abandon("waits for threads that never come (a barrier or a warp's call that not all reach)", nullptr);
      void* ignored;
      lowrankSwitchFiber(&ignored, mainStackPointer_);
    }
    warp = pick(runnableWarps_, warp);
  } else if (random() && (random_ >> 8 & 3) == 0) {
    warp = pick(runnableWarps_, warp);
  }
  const int from = warp == self.warp ? self.lane : reverse() ? 0 : 31;
  Thread& next = threads_[warp * kWarpLanes + pick(warps_[warp].runnable, from)];
  if (&next == &self) return;
  currentThread = &next;
  lowrankSwitchFiber(&self.stackPointer, next.stackPointer);
}

void Machine::wake(int warp, uint32_t lanes) {
  warps_[warp].runnable |= lanes;
  runnableWarps_ |= 1u << warp;
}

void Machine::release(Barrier& barrier) {
  barrier.arrived = 0;
  for (int warp = 0; warp < warpCount_; ++warp) {
    if (barrier.waiting[warp] == 0) continue;
    wake(warp, barrier.waiting[warp]);
    barrier.waiting[warp] = 0;
  }
}

void Machine::barrier(int id, int threads, const Place& place) {
  Barrier& barrier = barriers_[id];
  Thread& self = *currentThread;
  const int expected = threads > 0 ? threads : liveThreads_;
  if (barrier.arrived > 0 && !samePlace(barrier.place, place)) {
    fault(place, "waits at a barrier where others of its block wait at line %u of %s", unsigned(barrier.place.line()),
          fileName(barrier.place));
  }
  if (barrier.arrived > 0 && threads > 0 && barrier.expected != threads) {
    fault(place, "waits at barrier %d for %d threads where others wait for %d", id, threads, barrier.expected);
  }
  barrier.place = place;
  barrier.expected = threads;
  if (++barrier.arrived == expected) {
    release(barrier);
    if (launch_->schedule_.order == Schedule::Order::kForward) return;
    yield();  // the last to come is not the first to go on
    return;
  }
  barrier.waiting[self.warp] |= 1u << self.lane;
  warps_[self.warp].runnable &= ~(1u << self.lane);
  yield();
}

Warp& Machine::meet(Meeting meeting, const Place& place, void (*finish)(Warp&)) {
  Thread& self = *currentThread;
  Warp& warp = warps_[self.warp];
  const uint32_t lane = 1u << self.lane;
  if (warp.live != ~0u) {
    fault(place, "is a call of a whole warp, but lane %d has ended or never was", __builtin_ctz(~warp.live));
  }
  if (warp.arrived == 0) {
    warp.meeting = meeting;
    warp.place = place;
  } else if (warp.meeting != meeting || !samePlace(warp.place, place)) {
    fault(place, "is a call of a whole warp, but other lanes are at line %u of %s", unsigned(warp.place.line()),
          fileName(warp.place));
  }
  warp.arrived |= lane;
  if (warp.arrived == ~0u) {
    warp.arrived = 0;
    finish(warp);
    wake(self.warp, ~0u);
    if (launch_->schedule_.order != Schedule::Order::kForward) yield();
  } else {
    warp.runnable &= ~lane;
    yield();
  }
  return warp;
}

void Machine::threadEnded() {
  Thread& self = *currentThread;
  self.ended = true;
  if (const AsyncCopy* const copy = self.copies.firstUnfinished())
    abandon("ends while an asynchronous copy is on its way that it never waited for", &copy->place);
  if (const AsyncProduct* const product = self.products.firstUnfinished())
    abandon("ends while a wgmma is on its way that it never waited for", &product->place);
  --liveThreads_;
  Warp& warp = warps_[self.warp];
  const uint32_t lane = 1u << self.lane;
  if (warp.arrived != 0) abandon("ends while other lanes of its warp wait for it", &warp.place);
  warp.runnable &= ~lane;
  warp.live &= ~lane;
  for (Barrier& barrier : barriers_) {
    if (barrier.arrived > 0 && barrier.expected == 0 && barrier.arrived == liveThreads_) release(barrier);
  }
  yield();
}

void Machine::enter() {
  Machine& machine = *running_;
  machine.launch_->body_.call(machine.launch_->body_.state);
  machine.threadEnded();
  __builtin_unreachable();
}

// Leaves the block where it stands; its fibers are never resumed.
void Machine::abandon(const char* text, const Place* place) {
  const Thread& thread = *currentThread;
  char where[128] = "";
  if (place != nullptr)
    std::snprintf(where, sizeof where, ", line %u of %s", unsigned(place->line()), fileName(*place));
  char message[512];
  std::snprintf(message, sizeof message, "%s, block (%u, %u, %u), thread (%u, %u, %u)%s: %s", launch_->kernel_,
                block_.index.x, block_.index.y, block_.index.z, thread.index.x, thread.index.y, thread.index.z, where,
                text);
  launch_->recordFault(message);
  void* ignored;
  lowrankSwitchFiber(&ignored, mainStackPointer_);
  __builtin_unreachable();
}

void Machine::checkShared() {
  if (memory_.isIntactAround()) return;
  char text[512];
  std::snprintf(text, sizeof text, "%s, block (%u, %u, %u): wrote outside of its %zu bytes of shared memory",
                launch_->kernel_, block_.index.x, block_.index.y, block_.index.z, launch_->sharedBytes_);
  launch_->recordFault(text);
}

void Machine::run(Launch& launch, int64_t number) {
  launch_ = &launch;
  running_ = this;
  currentBlock = &block_;
  const dim3 grid = launch.grid_, size = launch.block_;
  const unsigned at = unsigned(number);
  block_.index = dim3(at % grid.x, at / grid.x % grid.y, at / grid.x / grid.y);
  block_.size = size;
  block_.grid = grid;
  threadCount_ = liveThreads_ = int(size.x * size.y * size.z);
  warpCount_ = (threadCount_ + kWarpLanes - 1) / kWarpLanes;
  random_ = launch.schedule_.seed + at;
  runnableWarps_ = 0;
  std::fill(std::begin(barriers_), std::end(barriers_), Barrier{});
  for (int i = 0; i < warpCount_; ++i) warps_[i].runnable = warps_[i].live = warps_[i].arrived = 0;
  block_.shared = memory_.prepareShared(launch.sharedBytes_);
  memory_.forgetFrames();
  for (int i = 0; i < threadCount_; ++i) {
    Thread& thread = threads_[i];
    const unsigned n = unsigned(i);
    thread.index = dim3(n % size.x, n / size.x % size.y, n / (size.x * size.y));
    thread.number = i;
    thread.lane = i % kWarpLanes;
    thread.warp = i / kWarpLanes;
    thread.ended = false;
    thread.copies.clear();
    thread.products.clear();
    // As if enter() had been called: the return address of its caller (none) on a stack that is 16-byte aligned before
    // the call.
    void** stack = reinterpret_cast<void**>(memory_.stackOf(i) - 64);
    *--stack = nullptr;
    *--stack = reinterpret_cast<void*>(&Machine::enter);
    for (int saved = 0; saved < 6; ++saved) *--stack = nullptr;
    thread.stackPointer = stack;
    Warp& warp = warps_[thread.warp];
    warp.runnable |= 1u << thread.lane;
    warp.live |= 1u << thread.lane;
    runnableWarps_ |= 1u << thread.warp;
  }
  memory_.beginSignals();
  const int warp = reverse() ? warpCount_ - 1 : 0;
  const int lane = reverse() ? 31 - __builtin_clz(warps_[warp].runnable) : 0;
  currentThread = &threads_[warp * kWarpLanes + lane];
  lowrankSwitchFiber(&mainStackPointer_, currentThread->stackPointer);
  memory_.endSignals();
  running_ = nullptr;
  currentThread = nullptr;
  currentBlock = nullptr;
  if (launch.faults_ == 0) checkShared();
}

// LOWRANK_EMULATOR_SKIP=gemm.cuh:120 leaves out the barrier or wait at that line: how tests see that it is needed.
bool isLeftOut(const Place& place) {
  static const char* const text = std::getenv("LOWRANK_EMULATOR_SKIP");
  if (text == nullptr || *text == '\0') [[likely]]
    return false;
  char line[300];
  std::snprintf(line, sizeof line, "%s:%u", fileName(place), unsigned(place.line()));
  return std::strcmp(line, text) == 0;
}

bool launchedForSm90() {
  return Machine::running()->runsWgmma();
}

bool landsLate() {
  return Machine::running()->lateCopies();
}

void runOnThisThread(Launch& launch, int64_t block) {
  Machine::ofThisThread().run(launch, block);
}

void meetAtBarrier(int id, int threads, const Place& place) {
  if (isLeftOut(place)) return;
  Machine::running()->barrier(id, threads, place);
}

Warp& meetInWarp(Meeting meeting, const Place& place, void (*finish)(Warp&)) {
  if (meeting == Meeting::kSync && isLeftOut(place)) return warpOf(*currentThread);
  return Machine::running()->meet(meeting, place, finish);
}

Warp& warpOf(const Thread& thread) {
  return Machine::running()->warp(thread.warp);
}

void fault(const Place& place, const char* format, ...) {
  char text[256];
  va_list values;
  va_start(values, format);
  std::vsnprintf(text, sizeof text, format, values);
  va_end(values);
  Machine::running()->abandon(text, &place);
}

}  // namespace lowrank::emulator
