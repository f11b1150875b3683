// What the ops share whose threads take runs of neighbouring elements of a row: 16 bytes at a time where all rows allow
// it, else one element.
#pragma once

#include "kernels.h"

namespace lowrank::LOWRANK_BACKEND {

inline constexpr int kPointwiseThreads = 256;

// Every row is whole runs of 16 bytes.
inline bool wholeRuns(const Tensor& tensor) {
  return rowsAligned(tensor, 16) && tensor.cols * sizeOf(tensor.dtype) % 16 == 0;
}

// call(T{}, count): the compute dtype as a type, and the elements of a run as an integral constant.
template <class Call>
void withRuns(DType dtype, bool whole, const Call& call) {
  withComputeType(dtype, [&](auto type) {
    if (whole) return call(type, std::integral_constant<int, 16 / sizeof(type)>{});
    call(type, std::integral_constant<int, 1>{});
  });
}

inline dim3 pointwiseGrid(const Queue& queue, int64_t runs) {
  const int64_t most = int64_t{8} * queue.multiprocessors();
  return dim3(static_cast<unsigned>(maxOf(1, minOf(ceilDiv(runs, kPointwiseThreads), most))));
}

template <class T, int kCount>
__device__ __forceinline__ void loadRun(const T* from, float (&values)[kCount]) {
  if constexpr (kCount == 1) {
    values[0] = toFloat(*from);
  } else if constexpr (sizeof(T) == 4) {
    LOWRANK_UNROLL for (int i = 0; i < kCount; i += 4) {
      const float4 four = loadVector<float4>(from + i);
      values[i] = four.x;
      values[i + 1] = four.y;
      values[i + 2] = four.z;
      values[i + 3] = four.w;
    }
  } else {
    static_assert(kCount == 8);
    const uint4 words = loadVector<uint4>(from);
    const uint32_t pairs[4] = {words.x, words.y, words.z, words.w};
    LOWRANK_UNROLL for (int i = 0; i < 4; ++i) {
      const float2 pair = unpackPair<std::remove_const_t<T>>(pairs[i]);
      values[2 * i] = pair.x;
      values[2 * i + 1] = pair.y;
    }
  }
}

template <class T, int kCount>
__device__ __forceinline__ void storeRun(T* to, const float (&values)[kCount]) {
  if constexpr (kCount == 1) {
    *to = fromFloat<T>(values[0]);
  } else if constexpr (sizeof(T) == 4) {
    LOWRANK_UNROLL for (int i = 0; i < kCount; i += 4) {
      storeVector(to + i, float4{values[i], values[i + 1], values[i + 2], values[i + 3]});
    }
  } else {
    static_assert(kCount == 8);
    storeVector(to, uint4{packPair<T>(values[0], values[1]), packPair<T>(values[2], values[3]),
                          packPair<T>(values[4], values[5]), packPair<T>(values[6], values[7])});
  }
}

// call(row, run) for the runs of this thread, a grid apart. Divisions are made once: they would cost as much as the
// elements.
template <class Call>
__device__ __forceinline__ void forRuns(int64_t rows, int64_t runs, const Call& call) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kPointwiseThreads + threadIdx.x;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kPointwiseThreads;
  const int64_t rowStep = step / runs, runStep = step % runs;
  int64_t row = first / runs, run = first % runs;
  while (row < rows) {
    call(row, run);
    row += rowStep;
    run += runStep;
    if (run >= runs) {
      run -= runs;
      ++row;
    }
  }
}

}  // namespace lowrank::LOWRANK_BACKEND
