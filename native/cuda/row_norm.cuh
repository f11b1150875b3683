// What rmsNorm and layerNorm share: rows in parts of `width` elements, each normalised by one group of threads, and
// gradients that sum over parts.
#pragma once

#include "pointwise.cuh"

namespace lowrank::LOWRANK_BACKEND {

// For an optional tensor: where it is absent it stands in nobody's way.
inline bool absentOrWholeRuns(const Tensor& tensor) {
  return !present(tensor) || wholeRuns(tensor);
}

// A warp per part where parts are narrow or not aligned, a block per part where they are wide.
inline constexpr int kWidePart = 1024;

// call(T{}, run, group): as withRuns(), and the threads of a group as an integral constant.
template <class Call>
void withGroups(DType dtype, bool whole, int64_t width, const Call& call) {
  withRuns(dtype, whole, [&](auto type, auto run) {
    if constexpr (decltype(run)::value > 1) {
      if (width > kWidePart) return call(type, run, std::integral_constant<int, kPointwiseThreads>{});
    }
    call(type, run, std::integral_constant<int, kWarp>{});
  });
}

inline dim3 groupGrid(int64_t groups, int threads) {
  return dim3(static_cast<unsigned>(ceilDiv(groups, kPointwiseThreads / threads)));
}

template <int kGroup>
__device__ __forceinline__ int64_t groupNumber() {
  return static_cast<int64_t>(blockIdx.x) * (kPointwiseThreads / kGroup) + threadIdx.x / kGroup;
}

// Over the group. `slots` holds 32 floats in shared memory; warps need none. Two sums in turn need two of them and no
// barrier between: the barrier in one sum comes after all threads have read the sum before.
template <int kGroup>
__device__ __forceinline__ float groupSum(float value, float* slots) {
  if constexpr (kGroup == kWarp) return warpSum(value);
  return blockSum<kGroup>(value, slots);
}

// call(col) for the first column of the runs of this thread of the group. It has the same columns in every pass.
template <int kRun, int kGroup, class Call>
__device__ __forceinline__ void forGroup(int32_t width, const Call& call) {
  for (int32_t col = static_cast<int32_t>(threadIdx.x % kGroup) * kRun; col < width; col += kGroup * kRun) call(col);
}

// Gradients that sum over parts: group c adds its parts into row c of the partials, then addPartials() adds the rows to
// the gradient in order. Cut by the number of parts alone. Without such gradients a group has one part.
inline int64_t partsPerGroup(int64_t parts, bool sums) {
  return sums ? maxOf(8, ceilDiv(parts, 512)) : 1;
}

namespace {

__global__ void __launch_bounds__(kPointwiseThreads) addPartialsKernel(const float* partials,  // [chunks, cols]
                                                                       int32_t chunks, int32_t cols,
                                                                       float* gradient) {  // [cols]
  const int64_t col = static_cast<int64_t>(blockIdx.x) * kPointwiseThreads + threadIdx.x;
  if (col >= cols) return;
  float sum = 0.0f;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) sum += partials[chunk * cols + col];
  gradient[col] += sum;
}

inline void addPartials(Queue& queue, const float* partials, int64_t chunks, const Tensor& gradient) {
  launch<addPartialsKernel>(queue, static_cast<unsigned>(ceilDiv(gradient.cols, kPointwiseThreads)), kPointwiseThreads,
                            0, partials, chunks, gradient.cols, static_cast<float*>(gradient.data));
}

}  // namespace

}  // namespace lowrank::LOWRANK_BACKEND
