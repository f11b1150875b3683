#include "machine.h"

#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <type_traits>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

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

constexpr size_t kPage = 4096;
constexpr size_t kStackBytes = 64 << 10;
constexpr size_t kGuardBytes = 1 << 20;  // a wrong index is rarely off by more
constexpr size_t kArenaBytes = (sharedBytesOf(Generation::kSm90) + kPage - 1) / kPage * kPage;
// Most kernels get by with the end of the arena.
constexpr size_t kUsualBytes = (sharedBytesOf(Generation::kSm80) + kPage - 1) / kPage * kPage;
constexpr size_t kSharedAlignment = 1024;
constexpr unsigned char kPoison = 0xff;

const char* fileName(const Place& place) {
  const char* slash = std::strrchr(place.file_name(), '/');
  return slash != nullptr ? slash + 1 : place.file_name();
}

bool samePlace(const Place& a, const Place& b) {
  return a.line() == b.line() && (a.file_name() == b.file_name() || std::strcmp(a.file_name(), b.file_name()) == 0);
}

// LOWRANK_EMULATOR_SKIP=gemm.cuh:120 leaves out the barrier or wait at that line: how tests see that it is needed.
bool skipped(const Place& place) {
  static const char* const text = std::getenv("LOWRANK_EMULATOR_SKIP");
  if (text == nullptr || *text == '\0') [[likely]]
    return false;
  char line[300];
  std::snprintf(line, sizeof line, "%s:%u", fileName(place), unsigned(place.line()));
  return std::strcmp(line, text) == 0;
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
  ~Machine();

  void run(Launch& launch, int64_t number);
  void barrier(int id, int threads, const Place& place);
  Warp& meet(Meeting meeting, const Place& place, void (*finish)(Warp&));
  [[noreturn]] void abandon(const char* text, const Place* place);
  bool guards(const void* address) const;
  Warp& warp(int number) { return warps_[number]; }
  void threadEnded();
  bool runsWgmma() const { return launch_->needs_ == Generation::kSm90; }
  bool lateCopies() const { return launch_->schedule_.lateCopies; }
  void* spareStack() const { return stacks_ + stacksBytes(); }  // beyond the last fiber's: for faults

 private:
  static constexpr size_t stacksBytes() { return size_t(kMaxThreads) * kStackBytes; }
  static void enter();
  int pick(uint32_t mask, int from);
  void yield();
  void wake(int warp, uint32_t lanes);
  void release(Barrier& barrier);
  unsigned char* arenaEnd() const { return arena_ + kGuardBytes + kArenaBytes; }
  void prepareShared();
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
  unsigned char* arena_;            // guard, shared memory up to the guard after it
  size_t openBytes_ = kUsualBytes;  // of shared memory; what is before them is guard too
  unsigned char* stacks_;
  unsigned char* signalStack_;
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
  if (machine != nullptr && machine->guards(info->si_addr)) {
    ucontext_t* const state = static_cast<ucontext_t*>(context);
    const uintptr_t stack = reinterpret_cast<uintptr_t>(machine->spareStack()) + kStackBytes;
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

unsigned char* map(size_t bytes, int protection) {
  void* const memory = mmap(nullptr, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<unsigned char*>(memory);
}

constexpr size_t kSignalStackBytes = 64 << 10;

}  // namespace

Machine::Machine()
    : arena_(map(2 * kGuardBytes + kArenaBytes, PROT_NONE)),
      stacks_(map(size_t(kMaxThreads) * kStackBytes + kStackBytes, PROT_READ | PROT_WRITE)),
      signalStack_(map(kSignalStackBytes, PROT_READ | PROT_WRITE)) {
  mprotect(arenaEnd() - openBytes_, openBytes_, PROT_READ | PROT_WRITE);
  // The lowest page of every stack: a kernel with too large a frame faults instead of writing into its neighbour's.
  for (int i = 0; i <= kMaxThreads; ++i) mprotect(stacks_ + size_t(i) * kStackBytes, kPage, PROT_NONE);
  installHandler();
}

Machine::~Machine() {
  munmap(arena_, 2 * kGuardBytes + kArenaBytes);
  munmap(stacks_, stacksBytes() + kStackBytes);
  munmap(signalStack_, kSignalStackBytes);
}

bool Machine::guards(const void* address) const {
  const auto* const at = static_cast<const unsigned char*>(address);
  const bool inArena = at >= arena_ && at < arena_ + 2 * kGuardBytes + kArenaBytes;
  return inArena || (at >= stacks_ && at < stacks_ + stacksBytes());
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

// The end of shared memory is the guard's begin, but for what alignment leaves; that is checked when the block has
// ended.
void Machine::prepareShared() {
  const size_t open = launch_->sharedBytes_ > kUsualBytes ? kArenaBytes : kUsualBytes;
  if (open != openBytes_) {
    mprotect(arenaEnd() - kArenaBytes, kArenaBytes - kUsualBytes,
             open == kArenaBytes ? PROT_READ | PROT_WRITE : PROT_NONE);
    openBytes_ = open;
  }
  const size_t bytes = (launch_->sharedBytes_ + kSharedAlignment - 1) / kSharedAlignment * kSharedAlignment;
  block_.shared = arenaEnd() - bytes;
  std::memset(arenaEnd() - open, kPoison, open);
}

void Machine::checkShared() {
  // Every byte like the one before it: some hundred KB per block, which nobody would like to wait for byte by byte.
  const auto changed = [](const unsigned char* begin, const unsigned char* end) {
    return begin < end && (*begin != kPoison || std::memcmp(begin, begin + 1, size_t(end - begin) - 1) != 0);
  };
  if (changed(block_.shared + launch_->sharedBytes_, arenaEnd()) || changed(arenaEnd() - openBytes_, block_.shared)) {
    char text[512];
    std::snprintf(text, sizeof text, "%s, block (%u, %u, %u): wrote outside of its %zu bytes of shared memory",
                  launch_->kernel_, block_.index.x, block_.index.y, block_.index.z, launch_->sharedBytes_);
    launch_->recordFault(text);
  }
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
  prepareShared();
#if defined(__SANITIZE_ADDRESS__)
  // Frames of fibers that were abandoned have left their marks.
  ASAN_UNPOISON_MEMORY_REGION(stacks_, stacksBytes() + kStackBytes);
#endif
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
    void** stack = reinterpret_cast<void**>(stacks_ + size_t(i + 1) * kStackBytes - 64);
    *--stack = nullptr;
    *--stack = reinterpret_cast<void*>(&Machine::enter);
    for (int saved = 0; saved < 6; ++saved) *--stack = nullptr;
    thread.stackPointer = stack;
    Warp& warp = warps_[thread.warp];
    warp.runnable |= 1u << thread.lane;
    warp.live |= 1u << thread.lane;
    runnableWarps_ |= 1u << thread.warp;
  }
  stack_t previousStack{}, signalStack{};
  signalStack.ss_sp = signalStack_;
  signalStack.ss_size = kSignalStackBytes;
  sigaltstack(&signalStack, &previousStack);
  const int warp = reverse() ? warpCount_ - 1 : 0;
  const int lane = reverse() ? 31 - __builtin_clz(warps_[warp].runnable) : 0;
  currentThread = &threads_[warp * kWarpLanes + lane];
  lowrankSwitchFiber(&mainStackPointer_, currentThread->stackPointer);
  sigaltstack(&previousStack, nullptr);
  running_ = nullptr;
  currentThread = nullptr;
  currentBlock = nullptr;
  if (launch.faults_ == 0) checkShared();
}

void meetAtBarrier(int id, int threads, const Place& place) {
  if (skipped(place)) return;
  Machine::running()->barrier(id, threads, place);
}

Warp& meetInWarp(Meeting meeting, const Place& place, void (*finish)(Warp&)) {
  if (meeting == Meeting::kSync && skipped(place)) return warpOf(*currentThread);
  return Machine::running()->meet(meeting, place, finish);
}

Warp& warpOf(const Thread& thread) {
  return Machine::running()->warp(thread.warp);
}

void complete(const AsyncCopy& copy) {
  if (copy.from != nullptr) {
    std::memcpy(copy.to, copy.from, AsyncCopy::kBytes);
  } else {
    std::memset(copy.to, 0, AsyncCopy::kBytes);
  }
}

template <class Item>
void Groups<Item>::start(const Item& item) {
  if constexpr (std::is_same_v<Item, AsyncProduct>) {
    if (!Machine::running()->runsWgmma())
      fault(item.place, "is a wgmma in a kernel that launchOnSm90() did not launch");
  }
  if (Machine::running()->lateCopies()) {
    open_.push_back(item);
  } else {
    complete(item);
  }
}

template <class Item>
void Groups<Item>::commit() {
  committed_.push_back(std::move(open_));
  open_.clear();
}

template <class Item>
void Groups<Item>::waitFor(size_t groupsLeft, const Place& place) {
  if (skipped(place)) return;
  if (committed_.size() <= groupsLeft) return;
  const auto end = committed_.end() - std::ptrdiff_t(groupsLeft);
  for (auto group = committed_.begin(); group != end; ++group) {
    for (const Item& item : *group) complete(item);
  }
  committed_.erase(committed_.begin(), end);
}

template <class Item>
const Item* Groups<Item>::firstUnfinished() const {
  for (const auto& group : committed_) {
    if (!group.empty()) return &group.front();
  }
  return open_.empty() ? nullptr : &open_.front();
}

template <class Item>
void Groups<Item>::clear() {
  open_.clear();
  committed_.clear();
}

template class Groups<AsyncCopy>;
template class Groups<AsyncProduct>;

void fault(const Place& place, const char* format, ...) {
  char text[256];
  va_list values;
  va_start(values, format);
  std::vsnprintf(text, sizeof text, format, values);
  va_end(values);
  Machine::running()->abandon(text, &place);
}

Launch::Launch(const char* kernel, Generation needs, Generation gpu, dim3 grid, dim3 block, size_t sharedBytes,
               Body body, const Schedule& schedule)
    : kernel_(kernel),
      needs_(needs),
      grid_(grid),
      block_(block),
      sharedBytes_(sharedBytes),
      body_(body),
      schedule_(schedule) {
  const uint64_t threads = uint64_t(block.x) * block.y * block.z;
  const size_t mostShared = sharedBytesOf(needs);
  if (needs > gpu) {
    std::snprintf(refusal_, sizeof refusal_, "%s: expected a GPU of sm_90, got one of sm_80", kernel);
  } else if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) {
    std::snprintf(refusal_, sizeof refusal_,
                  "%s: expected a grid of 1 to 2^31 - 1 by 65535 by 65535 blocks, got %u x %u x %u", kernel, grid.x,
                  grid.y, grid.z);
  } else if (threads == 0 || threads > kMaxThreads || block.z > 64) {
    std::snprintf(refusal_, sizeof refusal_, "%s: expected 1 to %d threads per block, got %u x %u x %u", kernel,
                  kMaxThreads, block.x, block.y, block.z);
  } else if (sharedBytes > mostShared) {
    std::snprintf(refusal_, sizeof refusal_, "%s: expected at most %zu bytes of shared memory per block, got %zu",
                  kernel, mostShared, sharedBytes);
  }
}

int64_t Launch::blocks() const {
  return int64_t(grid_.x) * grid_.y * grid_.z;
}

void Launch::runBlock(int64_t number) {
  if (__atomic_load_n(&faults_, __ATOMIC_RELAXED) > 0) return;
  // Blocks are independent: the order in which they run is one more thing that the schedule turns.
  if (schedule_.order != Schedule::Order::kForward) number = blocks() - 1 - number;
  Machine::ofThisThread().run(*this, number);
}

void Launch::recordFault(const char* text) {
  if (__atomic_fetch_add(&faults_, 1, __ATOMIC_ACQ_REL) == 0) std::snprintf(faultText_, sizeof faultText_, "%s", text);
}

const char* Launch::faultText() const {
  return faultText_;
}

}  // namespace lowrank::emulator
