// Products with few rows (gemm.h), as for one token of each sequence: a warp has a column of C, and reads its row of B
// once for all rows of A.
//
// Lane l takes eight elements of k at 8 l, 256 + 8 l, and so on, of one term after the other; then the lanes' sums meet
// by shuffles. NF4 weights are decoded on the way, by a table in shared memory, and rounded to the compute dtype as in
// storage of that dtype.
// Roof: the bandwidth that B is read with, as long as multiply-adds keep up (2 M per element of B; above 8 rows tensor
// cores take over); A is read again for every column, from the caches. 4 warps, 64 bytes of shared memory for NF4.
// Vector loads where rows begin at multiples of 16 bytes, else by elements. Deterministic: an element's sum depends on
// its row and column alone.
#include "gemm_kernels.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kThreads = static_cast<int>(kFewRowsColumns) * kWarp;
constexpr int kRun = 8;  // elements of a lane at a time

// `count` elements and zeros after them.
template <class T>
__device__ __forceinline__ void loadRun(const T* from, bool vectors, int32_t count, float (&values)[kRun]) {
  if (vectors && count >= kRun) {
    if constexpr (sizeof(T) == 4) {
      const float4 low = loadVector<float4>(from), high = loadVector<float4>(from + 4);
      const float all[kRun] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
      LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) values[i] = all[i];
    } else {
      const uint4 bits = loadVector<uint4>(from);
      const uint32_t pairs[4] = {bits.x, bits.y, bits.z, bits.w};
      LOWRANK_UNROLL for (int i = 0; i < 4; ++i) {
        const float2 pair = unpackPair<T>(pairs[i]);
        values[2 * i] = pair.x;
        values[2 * i + 1] = pair.y;
      }
    }
    return;
  }
  LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) values[i] = i < count ? toFloat(from[i]) : 0.0f;
}

template <class T>
__device__ __forceinline__ void loadNf4Run(const Nf4Reader& from, const float* code, int64_t element, int32_t count,
                                           float (&values)[kRun]) {
  T rounded[kRun];
  if (from.vectors) {
    eightOf<T>(from, code, element, rounded);
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) values[i] = toFloat(rounded[i]);
    return;
  }
  LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
    values[i] = i < count ? toFloat(elementOf<T>(from, code, element + i)) : 0.0f;
  }
}

template <class T, int kRows, bool kNf4>
__global__ void __launch_bounds__(kThreads) fewRowsKernel(LOWRANK_CONSTANT(BatchArguments) batch) {
  const BlockTask task = taskOf(batch, static_cast<int32_t>(blockIdx.x));
  const ProductArguments& product = batch.products[task.product];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float* const code = sharedMemory<float>();
  if constexpr (kNf4) {
    const Nf4Reader& from = batch.readers[batch.terms[product.firstTerm].reader];
    if (threadIdx.x < kNf4Codes) code[threadIdx.x] = from.code[threadIdx.x];
    syncThreads();
  }
  const int32_t col = task.col * static_cast<int32_t>(kFewRowsColumns) + static_cast<int32_t>(threadIdx.x) / kWarp;
  if (col >= product.n) return;

  float sums[kRows] = {};
  for (int32_t number = 0; number < product.termCount; ++number) {
    const TermArguments& term = batch.terms[product.firstTerm + number];
    const T* const a = static_cast<const T*>(term.a);
    for (int32_t k = lane * kRun; k < term.k; k += kWarp * kRun) {
      float b[kRun];
      if (kNf4 && number == 0) {
        const Nf4Reader& from = batch.readers[term.reader];
        loadNf4Run<T>(from, code, col * from.cols + k, term.k - k, b);
      } else {
        loadRun(static_cast<const T*>(term.b) + col * term.bStride + k, term.vectors, term.k - k, b);
      }
      LOWRANK_UNROLL for (int row = 0; row < kRows; ++row) {
        if (row >= product.m) break;
        float x[kRun];
        loadRun(a + row * term.aStride + k, term.vectors, term.k - k, x);
        LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) sums[row] = multiplyAdd(x[i], b[i], sums[row]);
      }
    }
  }
  LOWRANK_UNROLL for (int row = 0; row < kRows; ++row) {
    const float sum = warpSum(sums[row]);
    if (lane == 0 && row < product.m) storeSum<T>(product, 0, row, col, sum);
  }
}

template <class T, bool kNf4>
void launchTyped(const BatchArguments& batch, int64_t blocks, Queue& queue) {
  const size_t sharedBytes = kNf4 ? kNf4Codes * sizeof(float) : 0;
  bool single = true;
  for (int32_t i = 0; i < batch.productCount; ++i) single = single && batch.products[i].m == 1;
  const dim3 grid(static_cast<unsigned>(blocks));
  if (single) return launch<fewRowsKernel<T, 1, kNf4>>(queue, grid, kThreads, sharedBytes, batch);
  launch<fewRowsKernel<T, static_cast<int>(kFewRows), kNf4>>(queue, grid, kThreads, sharedBytes, batch);
}

}  // namespace

void launchFewRows(const BatchArguments& batch, bool quantised, int64_t blocks, DType compute, Queue& queue) {
  withComputeType(compute, [&](auto type) {
    using T = decltype(type);
    quantised ? launchTyped<T, true>(batch, blocks, queue) : launchTyped<T, false>(batch, blocks, queue);
  });
}

}  // namespace lowrank::LOWRANK_BACKEND
