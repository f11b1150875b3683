// Everything that kernels use of the machine. nvcc gets CUDA and the PTX instructions here; any other compiler gets the
// emulator, which runs the same sources on the CPU. Kernels use no other intrinsic and no inline assembly of their own:
//
//   threadIdx blockIdx blockDim gridDim   __global__ __device__ __forceinline__ __launch_bounds__ __restrict__
//   LOWRANK_UNROLL LOWRANK_ROLLED
//   LOWRANK_CONSTANT(type): of a large argument, which no thread copies
//   BFloat16 Float16 toFloat fromFloat<T> packPair<T> unpackPair<T> bitsToFloat floatToBits, uint2 uint4 float2 float4
//   multiply multiplyAdd exp2Fast rsqrt exp log log1p tanh erf sqrt fabs fmax fmin isfinite multiplyHigh bitCount prmt
//   loadVector<V> storeVector  sharedMemory<T>  syncThreads syncNamed syncWarp  shuffle shuffleXor ballot
//   ldmatrix<transposed> mma<T>  cpAsync16 cpAsyncCommit cpAsyncWait<groups>  atomicCompareExchange atomicMinimum
//   wgmmaOperand wgmmaFence wgmmaBegin wgmma<T, columns, across> wgmmaCommit wgmmaWait<groups>: Hopper (queue.h,
//   runsWgmma)
//
// Their meaning stands in emulator/device.h. Rules:
// 1. Calls of a warp (shuffles, ballot, ldmatrix, mma, wgmma, syncWarp) are reached by all of its 32 lanes, from the
//    same source line; blocks have whole warps.
// 2. All shared memory is the one arena of sharedMemory(), at most 99 KiB: sm_86 and sm_89 have no more. Kernels with
//    wgmma have 227 KiB, and are launched by launchOnSm90().
// 3. A barrier is reached by all threads of the block that have not ended, from the same source line.
// 4. No atomics but for reporting faults (faults.h): sums have an order.
// 5. Addresses of vector accesses, ldmatrix and cpAsync16 are multiples of their size. Tensors are only as aligned as
//    their elements: launchers look at pointers and strides, and choose.
#pragma once

#if defined(__CUDACC__)
#include "device_nvcc.h"
#else
#include "../emulator/device.h"
#endif
