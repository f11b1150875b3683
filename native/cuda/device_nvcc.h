// device.h for nvcc: CUDA's own types, and the PTX instructions behind the names.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>

#define LOWRANK_UNROLL _Pragma("unroll")

namespace lowrank::cuda {

using BFloat16 = __nv_bfloat16;
using Float16 = __half;

__device__ __forceinline__ float toFloat(float value) {
  return value;
}
__device__ __forceinline__ float toFloat(BFloat16 value) {
  return __bfloat162float(value);
}
__device__ __forceinline__ float toFloat(Float16 value) {
  return __half2float(value);
}

template <class T>
__device__ __forceinline__ T fromFloat(float value);
template <>
__device__ __forceinline__ float fromFloat<float>(float value) {
  return value;
}
template <>
__device__ __forceinline__ BFloat16 fromFloat<BFloat16>(float value) {
  return __float2bfloat16_rn(value);
}
template <>
__device__ __forceinline__ Float16 fromFloat<Float16>(float value) {
  return __float2half_rn(value);
}

template <class T>
__device__ __forceinline__ uint32_t packPair(float first, float second);
template <>
__device__ __forceinline__ uint32_t packPair<BFloat16>(float first, float second) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  return *reinterpret_cast<const uint32_t*>(&pair);
}
template <>
__device__ __forceinline__ uint32_t packPair<Float16>(float first, float second) {
  const __half2 pair = __floats2half2_rn(first, second);
  return *reinterpret_cast<const uint32_t*>(&pair);
}

template <class T>
__device__ __forceinline__ float2 unpackPair(uint32_t pair);
template <>
__device__ __forceinline__ float2 unpackPair<BFloat16>(uint32_t pair) {
  return make_float2(__uint_as_float(pair << 16), __uint_as_float(pair & 0xffff0000u));
}
template <>
__device__ __forceinline__ float2 unpackPair<Float16>(uint32_t pair) {
  return __half22float2(*reinterpret_cast<const __half2*>(&pair));
}

__device__ __forceinline__ float bitsToFloat(uint32_t bits) {
  return __uint_as_float(bits);
}
__device__ __forceinline__ uint32_t floatToBits(float value) {
  return __float_as_uint(value);
}

__device__ __forceinline__ float multiply(float a, float b) {
  return __fmul_rn(a, b);
}
__device__ __forceinline__ float multiplyAdd(float a, float b, float c) {
  return fmaf(a, b, c);
}
__device__ __forceinline__ float exp2Fast(float value) {
  float result;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(result) : "f"(value));
  return result;
}
__device__ __forceinline__ float rsqrt(float value) {
  return 1.0f / sqrtf(value);
}
__device__ __forceinline__ uint32_t multiplyHigh(uint32_t a, uint32_t b) {
  return __umulhi(a, b);
}
__device__ __forceinline__ int bitCount(uint32_t bits) {
  return __popc(bits);
}
__device__ __forceinline__ uint32_t prmt(uint32_t a, uint32_t b, uint32_t selector) {
  uint32_t result;
  asm("prmt.b32 %0, %1, %2, %3;" : "=r"(result) : "r"(a), "r"(b), "r"(selector));
  return result;
}

template <class V, class T>
__device__ __forceinline__ V loadVector(const T* from) {
  return *reinterpret_cast<const V*>(from);
}
template <class V, class T>
__device__ __forceinline__ void storeVector(T* to, const V& value) {
  *reinterpret_cast<V*>(to) = value;
}

template <class T>
__device__ __forceinline__ T* sharedMemory() {
  extern __shared__ __align__(1024) unsigned char lowrankShared[];
  return reinterpret_cast<T*>(lowrankShared);
}
__device__ __forceinline__ unsigned sharedAddress(const void* pointer) {
  return static_cast<unsigned>(__cvta_generic_to_shared(pointer));
}

__device__ __forceinline__ void syncThreads() {
  __syncthreads();
}
__device__ __forceinline__ void syncNamed(int barrier, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(barrier), "r"(threads) : "memory");
}
__device__ __forceinline__ void syncWarp() {
  __syncwarp();
}
template <class T>
__device__ __forceinline__ T shuffle(T value, int from) {
  return __shfl_sync(0xffffffffu, value, from);
}
template <class T>
__device__ __forceinline__ T shuffleXor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
__device__ __forceinline__ uint32_t ballot(bool predicate) {
  return __ballot_sync(0xffffffffu, predicate);
}

template <bool kTransposed = false>
__device__ __forceinline__ void ldmatrix(uint32_t (&r)[4], const void* row) {
  if constexpr (kTransposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(sharedAddress(row))
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(sharedAddress(row))
                 : "memory");
  }
}

template <class T>
__device__ __forceinline__ void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]);
template <>
__device__ __forceinline__ void mma<BFloat16>(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}
template <>
__device__ __forceinline__ void mma<Float16>(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
      "%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// With fewer than 16 bytes to read the rest becomes zero; with none `from` is not touched.
__device__ __forceinline__ void cpAsync16(void* to, const void* from, bool valid = true) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(sharedAddress(to)), "l"(from), "r"(valid ? 16 : 0)
               : "memory");
}
__device__ __forceinline__ void cpAsyncCommit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int kGroups>
__device__ __forceinline__ void cpAsyncWait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
}

__device__ __forceinline__ uint64_t atomicCompareExchange(uint64_t* at, uint64_t expected, uint64_t value) {
  return atomicCAS(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(expected),
                   static_cast<unsigned long long>(value));
}
__device__ __forceinline__ uint64_t atomicMinimum(uint64_t* at, uint64_t value) {
  return atomicMin(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(value));
}

}  // namespace lowrank::cuda
