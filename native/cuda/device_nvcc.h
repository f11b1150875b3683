// device.h for nvcc: CUDA's own types, and the PTX instructions behind the names.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#define LOWRANK_UNROLL _Pragma("unroll")
#define LOWRANK_ROLLED _Pragma("unroll 1")
#define LOWRANK_CONSTANT(type) const __grid_constant__ type

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

// The products of a warpgroup are Hopper's alone; elsewhere they are never launched, and end the kernel.
#if defined(__CUDA_ARCH_FEAT_SM90_ALL) || !defined(__CUDA_ARCH__)
__device__ __forceinline__ uint64_t wgmmaOperand(const void* shared, int leadingBytes, int strideBytes) {
  return static_cast<uint64_t>((sharedAddress(shared) & 0x3ffff) >> 4) |
         static_cast<uint64_t>(leadingBytes >> 4) << 16 | static_cast<uint64_t>(strideBytes >> 4) << 32 |
         uint64_t{1} << 62;
}
__device__ __forceinline__ void wgmmaFence() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ void wgmmaBegin() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
__device__ __forceinline__ void wgmmaCommit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
// Nothing ties sums to the wait for them: where a compiler uses some before it, ptxas waits there by itself, and says
// so, which scripts/cuda-resources.mjs refuses.
template <int kGroups>
__device__ __forceinline__ void wgmmaWait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kGroups) : "memory");
}

#define LOWRANK_SUMS8(c, j)                                                                                            \
  "+f"(c[j][0]), "+f"(c[j][1]), "+f"(c[j][2]), "+f"(c[j][3]), "+f"(c[j + 1][0]), "+f"(c[j + 1][1]), "+f"(c[j + 1][2]), \
      "+f"(c[j + 1][3])
#define LOWRANK_SUMS32(c, j) \
  LOWRANK_SUMS8(c, j), LOWRANK_SUMS8(c, j + 2), LOWRANK_SUMS8(c, j + 4), LOWRANK_SUMS8(c, j + 6)
#define LOWRANK_SUMS64(c) LOWRANK_SUMS32(c, 0)
#define LOWRANK_SUMS128(c) LOWRANK_SUMS32(c, 0), LOWRANK_SUMS32(c, 8)
#define LOWRANK_SUMS256(c) LOWRANK_SUMS32(c, 0), LOWRANK_SUMS32(c, 8), LOWRANK_SUMS32(c, 16), LOWRANK_SUMS32(c, 24)
#define LOWRANK_NAMES64                                                    \
  "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
  "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define LOWRANK_NAMES128                                                             \
  LOWRANK_NAMES64                                                                    \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47" \
  ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define LOWRANK_NAMES256                                                                         \
  LOWRANK_NAMES128                                                                               \
  ", %64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79"             \
  ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"             \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111" \
  ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127"
// a from shared memory: after the sums come the descriptors of a and b, whether to add to the sums, and whether b lies
// across.
#define LOWRANK_WGMMA(cols, type, a, b, add, across)                                                       \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" #cols "k16.f32." type "." type " {" LOWRANK_NAMES##cols \
               "}, " a ", " b ", " add ", 1, 1, 0, " across ";"                                            \
               : LOWRANK_SUMS##cols(c)                                                                     \
               : "l"(from), "l"(by), "n"(kFresh ? 0 : 1), "n"(kAcross ? 1 : 0))
// a from registers: after the sums come its four and the descriptor of b.
#define LOWRANK_WGMMA_REGISTERS(cols, type, a, b, across)                                                  \
  asm volatile("wgmma.mma_async.sync.aligned.m64n" #cols "k16.f32." type "." type " {" LOWRANK_NAMES##cols \
               "}, " a ", " b ", 1, 1, 1, " across ";"                                                     \
               : LOWRANK_SUMS##cols(c)                                                                     \
               : "r"(from[0]), "r"(from[1]), "r"(from[2]), "r"(from[3]), "l"(by), "n"(kAcross ? 1 : 0))

template <class T, int kCols, bool kAcross, bool kFresh = false>
__device__ __forceinline__ void wgmma(float (&c)[kCols / 8][4], uint64_t from, uint64_t by) {
  constexpr bool kBFloat16 = std::is_same_v<T, BFloat16>;
  static_assert(kBFloat16 || std::is_same_v<T, Float16>);
  static_assert(kCols == 64 || kCols == 128 || kCols == 256);
  if constexpr (kCols == 64) {
    if constexpr (kBFloat16) {
      LOWRANK_WGMMA(64, "bf16", "%32", "%33", "%34", "%35");
    } else {
      LOWRANK_WGMMA(64, "f16", "%32", "%33", "%34", "%35");
    }
  } else if constexpr (kCols == 128) {
    if constexpr (kBFloat16) {
      LOWRANK_WGMMA(128, "bf16", "%64", "%65", "%66", "%67");
    } else {
      LOWRANK_WGMMA(128, "f16", "%64", "%65", "%66", "%67");
    }
  } else if constexpr (kBFloat16) {
    LOWRANK_WGMMA(256, "bf16", "%128", "%129", "%130", "%131");
  } else {
    LOWRANK_WGMMA(256, "f16", "%128", "%129", "%130", "%131");
  }
}
template <class T, int kCols, bool kAcross>
__device__ __forceinline__ void wgmma(float (&c)[kCols / 8][4], const uint32_t (&from)[4], uint64_t by) {
  constexpr bool kBFloat16 = std::is_same_v<T, BFloat16>;
  static_assert(kBFloat16 || std::is_same_v<T, Float16>);
  static_assert(kCols == 64 || kCols == 128);
  if constexpr (kCols == 64) {
    if constexpr (kBFloat16) {
      LOWRANK_WGMMA_REGISTERS(64, "bf16", "{%32, %33, %34, %35}", "%36", "%37");
    } else {
      LOWRANK_WGMMA_REGISTERS(64, "f16", "{%32, %33, %34, %35}", "%36", "%37");
    }
  } else if constexpr (kBFloat16) {
    LOWRANK_WGMMA_REGISTERS(128, "bf16", "{%64, %65, %66, %67}", "%68", "%69");
  } else {
    LOWRANK_WGMMA_REGISTERS(128, "f16", "{%64, %65, %66, %67}", "%68", "%69");
  }
}
#else
__device__ __forceinline__ uint64_t wgmmaOperand(const void*, int, int) {
  return 0;
}
__device__ __forceinline__ void wgmmaFence() {}
__device__ __forceinline__ void wgmmaBegin() {}
__device__ __forceinline__ void wgmmaCommit() {}
template <int kGroups>
__device__ __forceinline__ void wgmmaWait() {}
template <class T, int kCols, bool kAcross, bool kFresh = false>
__device__ __forceinline__ void wgmma(float (&)[kCols / 8][4], uint64_t, uint64_t) {
  __trap();
}
template <class T, int kCols, bool kAcross>
__device__ __forceinline__ void wgmma(float (&)[kCols / 8][4], const uint32_t (&)[4], uint64_t) {
  __trap();
}
#endif

__device__ __forceinline__ uint64_t atomicCompareExchange(uint64_t* at, uint64_t expected, uint64_t value) {
  return atomicCAS(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(expected),
                   static_cast<unsigned long long>(value));
}
__device__ __forceinline__ uint64_t atomicMinimum(uint64_t* at, uint64_t value) {
  return atomicMin(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(value));
}

}  // namespace lowrank::cuda
