// C (+)= alpha * sum over terms of A_t B_t + bias: the one matrix product behind linear, its backward and the loss
// head.
//
//   C [M, N], A_t [M, K_t] and B_t [K_t, N] in float32, bfloat16 or float16; A and B are each stored straight or
//   transposed.
//
// 1. All terms share one float32 accumulator per element of C, which runs over the terms in order and over k ascending.
//    The result is rounded once, at the store. With `accumulate` the old value of C is added last.
// 2. The work is cut by shapes alone, so results are the same bits for every number of threads. An element of C depends
//    on its row of A and its column of B alone, and on whether they are summed as few rows or as many: `order` says
//    that, or M does.
// 3. Where the instruction set has bfloat16 dot products (kHasDot) and every operand is bfloat16, pairs along k are
//    multiplied by vdpbf16ps, which flushes denormals and rounds the sum of a pair in its own way. Elsewhere bfloat16
//    is widened exactly, float16 always.
// 4. Nothing the size of a weight is ever stored: panels of B are packed, from NF4 where it is that, by the task that
//    multiplies them. NF4 gives the bits that its dequantised matrix in that dtype would give.
#pragma once

#include "kernels.h"

namespace lowrank::cpu::LOWRANK_ISA {

#if defined(__AVX512BF16__)
inline constexpr bool kHasDot = true;
#else
inline constexpr bool kHasDot = false;
#endif

struct GemmOperand {
  const void* data;
  DType dtype;
  int64_t stride;   // elements from one stored row to the next
  bool transposed;  // A is stored [K, M], B is stored [N, K]
  const Nf4*
      nf4;  // B only: the storage that data and stride, which are unused then, stand for; dtype is what it is read as
};

struct GemmTerm {
  GemmOperand a;
  GemmOperand b;
  int64_t k;
};

struct Gemm {
  int64_t m;
  int64_t n;
  const GemmTerm* terms;
  int64_t termCount;
  float alpha;
  const void* bias;  // [N]; nullptr: none
  DType biasDType;
  void* c;
  DType cDType;
  int64_t cStride;
  bool accumulate;   // C is float32 then
  bool cTransposed;  // element (i, j) is stored at row j, column i; without bias, C is float32
  SumOrder order;    // ops/linear.h
};

// Scratch of a Context lives until the kernel returns, so loops over row blocks share one allocation that only ever
// grows.
struct Workspace {
  void* data;
  size_t bytes;
};

// At least `bytes` of 64-byte aligned memory with undefined contents, or nullptr after an out-of-memory fault.
LOWRANK_INLINE void* reserve(Workspace& workspace, size_t bytes, Context& context) {
  if (bytes > workspace.bytes) {
    workspace.data = context.scratch(bytes);
    workspace.bytes = workspace.data != nullptr ? bytes : 0;
  }
  return workspace.data;
}

// Runs products that do not depend on each other; they share the threads. False: out of memory, the caller returns at
// once.
bool gemm(const Gemm* products, int64_t count, Workspace& workspace, Context& context);

}  // namespace lowrank::cpu::LOWRANK_ISA
