// C = alpha * sum over terms of A_t B_t + bias + addend: the one matrix product behind linear, its backward and the
// loss head.
//
//   A_t [M, K_t] and B_t [K_t, N] in the compute dtype, each stored straight or transposed; C [M, N] in it or float32.
//
// 1. All terms share one float32 accumulator per element of C, which runs over the terms in order. The result is
//    rounded once.
// 2. How a product is cut (tiles, splits of a long K, chunks of NF4) depends on its shape alone, and on whether the
//    device runs wgmma: so do its bits. An element of C depends on its row of A and its column of B, not on their
//    neighbours; with an `order` other than kByRows not on M either.
// 3. NF4 gives the bits that its dequantised matrix would give. Scratch is the same on every device.
// 4. Nothing waits: how many rows there are may be a number on the device (RowLimit).
#pragma once

#include "kernels.h"

namespace lowrank::LOWRANK_BACKEND {

struct GemmOperand {
  const void* data;
  int64_t stride;   // elements from one stored row to the next
  bool transposed;  // A is stored [K, M], B is stored [N, K]
  const Nf4* nf4;   // B only: the storage that data and stride, which are unused then, stand for
};

struct GemmTerm {
  GemmOperand a;
  GemmOperand b;
  int64_t k;
};

// Limits a product to the tokens whose index, counted from `first`, is below *count. nullptr: all tokens are there.
struct RowLimit {
  const int32_t* count;
  int32_t first;
};

struct Gemm {
  int64_t m;
  int64_t n;
  const GemmTerm* terms;
  int64_t termCount;
  float alpha;
  const void* bias;  // [N] compute; nullptr: none
  void* c;
  DType cDType;
  int64_t cStride;
  const float* addend;  // [M, N]; nullptr: none. May be c
  int64_t addendStride;
  RowLimit limit;
  bool limitsDepth;  // the tokens are the columns of A and rows of B, not the rows of A and C
  SumOrder order;    // ops/linear.h
};

// Device memory that the products of one op use one after the other, so that it only grows: scratch lives until the op
// returns.
struct Workspace {
  void* data;
  size_t bytes;
};

// At least `bytes` with undefined contents, or nullptr after an out-of-memory fault.
inline void* reserve(Workspace& workspace, int64_t bytes, Context& context) {
  const size_t wanted = static_cast<size_t>(maxOf(bytes, 1));
  if (wanted > workspace.bytes) {
    workspace.data = context.scratch(wanted);
    workspace.bytes = workspace.data != nullptr ? wanted : 0;
  }
  return workspace.data;
}

struct GemmScratch {
  Workspace partials;     // of a split K
  Workspace sums;         // of a product with very many terms
  Workspace packed;       // narrow operands with their K filled up
  Workspace dequantised;  // a chunk of NF4 weights
};

// Products that do not depend on each other; they share launches. False: out of memory, the caller returns at once.
bool gemm(const Gemm* products, int64_t count, DType compute, GemmScratch& scratch, Context& context);

}  // namespace lowrank::LOWRANK_BACKEND
