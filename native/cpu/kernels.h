// What every CPU kernel file includes: the ops' declarations at this level, and the few helpers that all kernels share.
#pragma once

#include "../core/context.h"
#include "../core/ops.h"
#include "../core/tensor.h"
#include "simd.h"

namespace lowrank::cpu::LOWRANK_ISA {

#define LOWRANK_DECLARE(op, Args) void op(const Args& args, Context& context);
LOWRANK_OPS(LOWRANK_DECLARE)
#undef LOWRANK_DECLARE

extern const Backend kBackend;

template <class T>
LOWRANK_INLINE T* rowOf(const Tensor& tensor, int64_t row) {
  return static_cast<T*>(tensor.data) + row * tensor.stride;
}

LOWRANK_INLINE int64_t elementSize(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kInt32 ? 4 : dtype == DType::kUInt8 ? 1 : 2;
}

LOWRANK_INLINE bool present(const Tensor& tensor) {
  return tensor.data != nullptr;
}
LOWRANK_INLINE int64_t elementCount(const Tensor& tensor) {
  return tensor.rows * tensor.cols;
}
LOWRANK_INLINE bool contiguous(const Tensor& tensor) {
  return tensor.rows <= 1 || tensor.stride == tensor.cols;
}

LOWRANK_INLINE int64_t ceilDiv(int64_t a, int64_t b) {
  return (a + b - 1) / b;
}
LOWRANK_INLINE int64_t roundUp(int64_t a, int64_t b) {
  return (a + b - 1) / b * b;
}
LOWRANK_INLINE int64_t minOf(int64_t a, int64_t b) {
  return a < b ? a : b;
}
LOWRANK_INLINE int64_t maxOf(int64_t a, int64_t b) {
  return a > b ? a : b;
}

// body(block, thread) for every block; see Context for what blocks may depend on.
template <class Body>
LOWRANK_INLINE void parallelFor(Context& context, int64_t blocks, const Body& body) {
  if (blocks <= 0) return;
  context.parallel(
      blocks, [](void* state, int64_t block, int thread) { (*static_cast<const Body*>(state))(block, thread); },
      const_cast<Body*>(&body));
}

template <class T>
LOWRANK_INLINE T* scratch(Context& context, int64_t count) {
  return static_cast<T*>(context.scratch(static_cast<size_t>(maxOf(count, 1)) * sizeof(T)));
}

// Elements that make a block worth handing to a thread (about ten microseconds of pointwise work).
inline constexpr int64_t kBlockElements = 16384;

// body(firstRow, endRow) over blocks of whole rows.
template <class Body>
LOWRANK_INLINE void forRowBlocks(Context& context, int64_t rows, int64_t cols, const Body& body) {
  const int64_t step = maxOf(1, kBlockElements / maxOf(1, cols));
  parallelFor(context, ceilDiv(rows, step),
              [&](int64_t block, int) { body(block * step, minOf(rows, (block + 1) * step)); });
}

// body(row, col, count) over runs of one row each; with `flat` the matrix counts as one row of rows * cols elements.
template <class Body>
LOWRANK_INLINE void forRuns(Context& context, int64_t rows, int64_t cols, bool flat, const Body& body) {
  if (flat) {
    cols *= rows;
    rows = cols > 0 ? 1 : 0;
  }
  const int64_t runs = ceilDiv(cols, kBlockElements);  // per row
  if (runs > 1) {
    parallelFor(context, rows * runs, [&](int64_t block, int) {
      const int64_t col = block % runs * kBlockElements;
      body(block / runs, col, minOf(kBlockElements, cols - col));
    });
  } else {
    forRowBlocks(context, rows, cols, [&](int64_t begin, int64_t end) {
      for (int64_t row = begin; row < end; ++row) body(row, int64_t{0}, cols);
    });
  }
}

// body(i, count): every full vector of [0, n), then the tail with its count.
template <class Body>
LOWRANK_INLINE void forLanes(int64_t n, const Body& body) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, kLanes);
  if (i < n) body(i, static_cast<int>(n - i));
}

// Gradients that sum over rows: chunk c of the rows (cut by their number alone) adds into partials[c * cols, + cols),
// then addPartials() adds the chunks to the gradient in order. At most 64 chunks keep the partials small.
LOWRANK_INLINE int64_t rowsPerPartial(int64_t rows) {
  return maxOf(8, ceilDiv(rows, 64));
}

LOWRANK_INLINE void addPartials(Context& context, const float* partials, int64_t chunks, int64_t cols,
                                float* gradient) {
  constexpr int64_t kStep = 256;
  parallelFor(context, ceilDiv(cols, kStep), [&](int64_t block, int) {
    for (int64_t i = block * kStep; i < minOf(cols, (block + 1) * kStep); ++i) {
      float sum = 0.0f;
      for (int64_t chunk = 0; chunk < chunks; ++chunk) sum += partials[chunk * cols + i];
      gradient[i] += sum;
    }
  });
}

// body(T{}), T being the storage type of a compute dtype.
template <class Body>
LOWRANK_INLINE void withStorage(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::kBFloat16:
      return body(BFloat16{});
    case DType::kFloat16:
      return body(Float16{});
    default:
      return body(float{});
  }
}

template <class T>
inline constexpr bool kIsBFloat16 = false;
template <>
inline constexpr bool kIsBFloat16<BFloat16> = true;

// load and store by a count that is kLanes (a compile-time fact after inlining) or a tail.
template <class T>
LOWRANK_INLINE Vec loadLanes(const T* from, int count) {
  return count == kLanes ? load(from) : load(from, count);
}

template <class T>
LOWRANK_INLINE void storeLanes(T* to, Vec value, int count) {
  if (count == kLanes) {
    store(to, value);
  } else {
    store(to, value, count);
  }
}

}  // namespace lowrank::cpu::LOWRANK_ISA
