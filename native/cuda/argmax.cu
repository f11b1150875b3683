// ids[i] = the first index of the largest value of row i. A row with a NaN, or with nothing above -infinity, is a
// fault.
//
// x: [N, V] compute dtype, any row stride; ids: int32 [N]. Bytes: one read of x. Roof: memory bandwidth, for few rows
// that of one multiprocessor.
//
// Launch: a block of 512 threads per row, 128 bytes of shared memory. Deterministic: the maximum has no rounding, and
// of equal values the lower index wins in any order.
#include "kernels.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;
constexpr int32_t kNone = 0x7fffffff;

struct Best {
  float value;
  int32_t index;
};

__device__ __forceinline__ Best better(const Best& a, const Best& b) {
  return b.value > a.value || (b.value == a.value && b.index < a.index) ? b : a;
}

template <class T>
__global__ void __launch_bounds__(kThreads) argmaxKernel(Matrix<const T> x,  // [N, V]
                                                         int32_t* ids,       // [N]
                                                         FaultSink faults) {
  Best* const slots = sharedMemory<Best>();
  const T* const row = x.row(blockIdx.x);
  Best best{bitsToFloat(0xff800000u), kNone};  // -infinity; comparisons with NaN are false
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < x.cols; i += kThreads) {
    const float value = toFloat(row[i]);
    if (value != value) reportFault(faults, FaultCode::kLogits, blockIdx.x, 1, 0);
    best = better(best, Best{value, i});
  }
  LOWRANK_UNROLL for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    best = better(best, Best{shuffleXor(best.value, mask), shuffleXor(best.index, mask)});
  }
  if (threadIdx.x % kWarp == 0) slots[threadIdx.x / kWarp] = best;
  syncThreads();
  if (threadIdx.x != 0) return;
  for (int warp = 1; warp < kWarps; ++warp) best = better(best, slots[warp]);
  if (best.value == bitsToFloat(0xff800000u)) {
    reportFault(faults, FaultCode::kLogits, blockIdx.x, 0, 0);
    return;
  }
  ids[blockIdx.x] = best.index;
}

}  // namespace

void argmax(const ArgmaxArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  withComputeType(args.x.dtype, [&](auto type) {
    using T = decltype(type);
    launch<argmaxKernel<T>>(queue, static_cast<unsigned>(args.x.rows), kThreads, kWarps * sizeof(Best),
                            matrixOf<const T>(args.x), static_cast<int32_t*>(args.ids.data), queue.faults());
  });
}

}  // namespace lowrank::LOWRANK_BACKEND
