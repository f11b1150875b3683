// Kernels with a planted mistake, for the emulator's own tests, and the right version of each whose mistake shows only
// in its result.
#include "probes.h"

#include <cstdarg>
#include <cstdio>

#include "../core/fault.h"
#include "../cuda/queue.h"
#include "runtime.h"

namespace lowrank::emulator {
namespace {

constexpr int kThreads = 64;
constexpr int kShared = kThreads * sizeof(float);

// to[i] = the value of the thread opposite, through shared memory.
template <bool kBarrier>
void reverse(const float* from, float* to) {
  float* const shared = sharedMemory<float>();
  const int i = int(threadIdx.x);
  shared[i] = from[i];
  if constexpr (kBarrier) syncThreads();
  to[i] = shared[kThreads - 1 - i];
}

// The same twice through one buffer: the second round overwrites what slow threads still read.
template <bool kBarrier>
void reverseTwice(const float* from, float* to) {
  float* const shared = sharedMemory<float>();
  const int i = int(threadIdx.x);
  shared[i] = from[i];
  syncThreads();
  const float opposite = shared[kThreads - 1 - i];
  if constexpr (kBarrier) syncThreads();
  shared[i] = opposite;
  syncThreads();
  to[i] = shared[kThreads - 1 - i] - from[i] + opposite;
}

template <bool kWait>
void copyThroughShared(const float* from, float* to) {
  float* const shared = sharedMemory<float>();
  const int i = int(threadIdx.x);
  if (i % 4 == 0) cpAsync16(shared + i, from + i);
  cpAsyncCommit();
  if constexpr (kWait) cpAsyncWait<0>();
  syncThreads();
  to[kThreads - 1 - i] = shared[i];
  cpAsyncWait<0>();
}

// A tile of 8 rows whose loop goes one row too far.
template <int kRows>
void sumColumns(const float* from, float* to) {
  float* const shared = sharedMemory<float>();
  const int i = int(threadIdx.x);
  shared[i] = from[i];
  syncThreads();
  float sum = 0.0f;
  for (int row = 0; row < kRows; ++row) sum += shared[(row * 8 + i % 8)];
  to[i] = sum;
}

void divergentBarrier(const float*, float*) {
  if (threadIdx.x < 32) {
    syncThreads();
  } else {
    syncThreads();
  }
}

void barrierWithoutEnough(const float*, float*) {
  syncNamed(1, kThreads + 32);
}

void divergentShuffle(const float* from, float* to) {
  const int i = int(threadIdx.x);
  if (i % 32 < 16) {
    to[i] = shuffleXor(from[i], 1);
  } else {
    to[i] = shuffleXor(from[i], 2);
  }
}

void shuffleOfSome(const float* from, float* to) {
  const int i = int(threadIdx.x);
  if (i % 32 == 7) return;
  to[i] = shuffleXor(from[i], 1);
}

void misalignedLoad(const float* from, float* to) {
  const float4 value = loadVector<float4>(from + 1);
  to[threadIdx.x] = value.x;
}

void misalignedLdmatrix(const float*, float*) {
  uint32_t r[4];
  ldmatrix(r, sharedMemory<char>() + 8);
}

void misalignedCopy(const float* from, float*) {
  cpAsync16(sharedMemory<char>() + 4, from);
}

void copyNeverAwaited(const float* from, float*) {
  cpAsync16(sharedMemory<float>(), from);
  cpAsyncCommit();
}

constexpr int kGroupThreads = 128;
constexpr int kPanels = (64 + 128) * 64 * 2;

// to[i] = 16 ones times 16 ones, by a warpgroup.
template <bool kWait, bool kWaitAtEnd = true>
void product(const float*, float* to) {
  uint16_t* const shared = sharedMemory<uint16_t>();
  const int i = int(threadIdx.x);
  for (int at = i; at < kPanels / 2; at += kGroupThreads) shared[at] = 0x3f80;
  wgmmaFence();
  syncThreads();
  float sums[16][4] = {};
  wgmmaBegin();
  wgmma<BFloat16, 128, false>(sums, wgmmaOperand(shared, 16, 1024), wgmmaOperand(shared + 64 * 64, 16, 1024));
  wgmmaCommit();
  if constexpr (kWait) wgmmaWait<0>();
  if (i < kThreads) to[i] = sums[i / 4][i % 4];
  if constexpr (kWaitAtEnd) wgmmaWait<0>();
}

void writeFarBeyondShared(const float*, float*) {
  sharedMemory<float>()[(200 << 10) / 4] = 1.0f;
}

void readBeforeShared(const float*, float* to) {
  to[0] = sharedMemory<float>()[-(200 << 10) / 4];
}

void writeJustBeyondShared(const float*, float*) {
  if (threadIdx.x == 0) sharedMemory<float>()[kThreads] = 1.0f;
}

void largeFrame(const float* from, float* to) {
  volatile float frame[32 << 10];
  frame[0] = from[0];
  frame[(32 << 10) - 1] = from[1];
  to[0] = frame[0] + frame[(32 << 10) - 1];
}

class ProbeContext final : public Context {
 public:
  explicit ProbeContext(void* queue) : queue_(queue) {}
  void parallel(int64_t blocks, Body body, void* state) override {
    for (int64_t block = 0; block < blocks; ++block) body(state, block, 0);
  }
  int threads() const override { return 1; }
  void* device() override { return queue_; }
  void* scratch(size_t) override { return nullptr; }
  void fail(const char* format, ...) override {
    char text[1024];
    va_list values;
    va_start(values, format);
    std::vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (fault.empty()) fault = text;
  }
  std::string fault;

 private:
  void* queue_;
};

struct Probe {
  const char* name;
  void (*run)(Queue& queue, const float* from, float* to);
};

template <auto kKernel>
void run(Queue& queue, const float* from, float* to) {
  launch<kKernel>(queue, dim3(2), dim3(kThreads), kShared, from, to);
}

template <auto kKernel>
void runGroup(Queue& queue, const float* from, float* to) {
  launchOnSm90<kKernel>(queue, dim3(1), dim3(kGroupThreads), kPanels, from, to);
}

const Probe kProbes[] = {
    {"reverse", run<reverse<true>>},
    {"reverse without its barrier", run<reverse<false>>},
    {"reverseTwice", run<reverseTwice<true>>},
    {"reverseTwice without its middle barrier", run<reverseTwice<false>>},
    {"copyThroughShared", run<copyThroughShared<true>>},
    {"copyThroughShared without its wait", run<copyThroughShared<false>>},
    {"sumColumns", run<sumColumns<8>>},
    {"sumColumns one row too far", run<sumColumns<9>>},
    {"divergentBarrier", run<divergentBarrier>},
    {"barrierWithoutEnough", run<barrierWithoutEnough>},
    {"divergentShuffle", run<divergentShuffle>},
    {"shuffleOfSome", run<shuffleOfSome>},
    {"misalignedLoad", run<misalignedLoad>},
    {"misalignedLdmatrix", run<misalignedLdmatrix>},
    {"misalignedCopy", run<misalignedCopy>},
    {"copyNeverAwaited", run<copyNeverAwaited>},
    {"product", runGroup<product<true>>},
    {"product read before its wait", runGroup<product<false>>},
    {"productNeverAwaited", runGroup<product<false, false>>},
    {"writeFarBeyondShared", run<writeFarBeyondShared>},
    {"readBeforeShared", run<readBeforeShared>},
    {"writeJustBeyondShared", run<writeJustBeyondShared>},
    {"largeFrame", run<largeFrame>},
    {"too much shared memory",
     [](Queue& queue, const float* from, float* to) {
       launch<reverse<true>>(queue, dim3(1), dim3(kThreads), sharedBytesOf(Generation::kSm80) + 1, from, to);
     }},
    {"too much shared memory for sm_90",
     [](Queue& queue, const float* from, float* to) {
       launchOnSm90<reverse<true>>(queue, dim3(1), dim3(kThreads), sharedBytesOf(Generation::kSm90) + 1, from, to);
     }},
    {"product launched as for sm_80",
     [](Queue& queue, const float* from, float* to) {
       launch<product<true>>(queue, dim3(1), dim3(kGroupThreads), kPanels, from, to);
     }},
    {"too many threads", [](Queue& queue, const float* from,
                            float* to) { launch<reverse<true>>(queue, dim3(1), dim3(1056), kShared, from, to); }},
    {"an empty grid", [](Queue& queue, const float* from,
                         float* to) { launch<reverse<true>>(queue, dim3(0), dim3(kThreads), kShared, from, to); }},
};

}  // namespace

std::vector<std::string> probeNames() {
  std::vector<std::string> names;
  for (const Probe& probe : kProbes) names.push_back(probe.name);
  return names;
}

std::string runProbe(const std::string& name, const Options& options, std::vector<float>& result) {
  for (const Probe& probe : kProbes) {
    if (name != probe.name) continue;
    const std::shared_ptr<DeviceQueue> device = openQueue(options, false);
    ProbeContext context(device->kernelQueue());
    device->begin(context, 1);
    alignas(16) float from[kThreads];
    for (int i = 0; i < kThreads; ++i) from[i] = float(i + 1);
    result.assign(kThreads, 0.0f);
    probe.run(queueOf(context), from, result.data());
    return context.fault;
  }
  throw InvalidArgument("[emulator] expected the name of a probe, got '" + name + "'");
}

}  // namespace lowrank::emulator
