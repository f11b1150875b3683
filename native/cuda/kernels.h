// What every op's file includes: the ops' declarations, the device, the queue, and the few helpers that all share.
#pragma once

#include "../core/context.h"
#include "../core/ops.h"
#include "../core/tensor.h"
#include "device.h"
#include "queue.h"

namespace lowrank::LOWRANK_BACKEND {

#define LOWRANK_DECLARE(op, Args) void op(const Args& args, Context& context);
LOWRANK_OPS(LOWRANK_DECLARE)
#undef LOWRANK_DECLARE

extern const Backend kBackend;

inline constexpr int kWarp = 32;

// A tensor as a kernel's argument.
template <class T>
struct Matrix {
  T* data;
  int64_t stride;  // elements from one row to the next
  int32_t rows;
  int32_t cols;
  __device__ __forceinline__ T* row(int64_t index) const { return data + index * stride; }
};

template <class T>
Matrix<T> matrixOf(const Tensor& tensor) {
  return Matrix<T>{static_cast<T*>(tensor.data), tensor.stride, static_cast<int32_t>(tensor.rows),
                   static_cast<int32_t>(tensor.cols)};
}

inline bool present(const Tensor& tensor) {
  return tensor.data != nullptr;
}
inline int64_t elementCount(const Tensor& tensor) {
  return tensor.rows * tensor.cols;
}
inline bool contiguous(const Tensor& tensor) {
  return tensor.rows <= 1 || tensor.stride == tensor.cols;
}
inline int64_t sizeOf(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kInt32 ? 4 : dtype == DType::kUInt8 ? 1 : 2;
}

// Every row begins at a multiple of `bytes`.
inline bool rowsAligned(const Tensor& tensor, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(tensor.data) % static_cast<uintptr_t>(bytes) == 0 &&
         (tensor.rows <= 1 || tensor.stride * sizeOf(tensor.dtype) % bytes == 0);
}

__host__ __device__ __forceinline__ int64_t ceilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
__host__ __device__ __forceinline__ int64_t roundUp(int64_t a, int64_t b) {
  return (a + b - 1) / b * b;
}
__host__ __device__ __forceinline__ int64_t minOf(int64_t a, int64_t b) {
  return a < b ? a : b;
}
__host__ __device__ __forceinline__ int64_t maxOf(int64_t a, int64_t b) {
  return a > b ? a : b;
}

template <class T>
T* scratch(Context& context, int64_t count) {
  return static_cast<T*>(context.scratch(static_cast<size_t>(maxOf(count, 1)) * sizeof(T)));
}

// call(T{}) with the compute dtype as a type.
template <class Call>
void withComputeType(DType dtype, const Call& call) {
  if (dtype == DType::kBFloat16) return call(BFloat16{});
  if (dtype == DType::kFloat16) return call(Float16{});
  call(float{});
}

// The same for all threads of the block, by shuffles and one slot of shared memory per warp; all threads call it.
// `slots` holds 32 floats and may be used again after the next barrier.
__device__ __forceinline__ float warpSum(float value) {
  LOWRANK_UNROLL for (int mask = kWarp / 2; mask > 0; mask /= 2) value += shuffleXor(value, mask);
  return value;
}
__device__ __forceinline__ float warpMax(float value) {
  LOWRANK_UNROLL for (int mask = kWarp / 2; mask > 0; mask /= 2) value = fmax(value, shuffleXor(value, mask));
  return value;
}
template <int kThreads>
__device__ __forceinline__ float blockSum(float value, float* slots) {
  value = warpSum(value);
  if (threadIdx.x % kWarp == 0) slots[threadIdx.x / kWarp] = value;
  syncThreads();
  float sum = 0.0f;
  LOWRANK_UNROLL for (int warp = 0; warp < kThreads / kWarp; ++warp) sum += slots[warp];
  return sum;
}
template <int kThreads>
__device__ __forceinline__ float blockMax(float value, float* slots) {
  value = warpMax(value);
  if (threadIdx.x % kWarp == 0) slots[threadIdx.x / kWarp] = value;
  syncThreads();
  float largest = slots[0];
  LOWRANK_UNROLL for (int warp = 1; warp < kThreads / kWarp; ++warp) largest = fmax(largest, slots[warp]);
  return largest;
}

}  // namespace lowrank::LOWRANK_BACKEND
