// What attention's forward and backward share: blocks of sequences, their conversion to float32, masks, and a small
// matrix product.
//
// 1. A block has up to kBlock tokens of one sequence and one head, in float32: row-major [kBlock][pitch], zero-filled
//    past the head's width, or transposed [headDim][kBlock], zero-filled up to a whole vector of tokens.
// 2. Both passes keep their own side transposed once per task and stream the other side through row-major blocks, so
//    that no product needs a transposition inside the loop.
#pragma once

#include "kernels.h"

namespace lowrank::cpu::LOWRANK_ISA {

inline constexpr int64_t kBlock = 64;

struct AttentionShape {
  int64_t headDim;
  int64_t pitch;  // headDim rounded up to whole vectors
  int64_t heads;
  int64_t group;  // query heads per key/value head
  int64_t kvHeads;
};

LOWRANK_INLINE AttentionShape attentionShape(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  const int64_t headDim = options.headDim, heads = q.cols / headDim, kvHeads = k.cols / headDim;
  return AttentionShape{headDim, roundUp(headDim, kLanes), heads, heads / kvHeads, kvHeads};
}

// One block of one sequence. Tokens are rows of the ragged matrices.
struct BlockTask {
  int64_t qBegin;  // the sequence's first query
  int64_t qCount;
  int64_t kBegin;
  int64_t kCount;
  int64_t first;  // of this block, counted inside the sequence
  int64_t count;
};

// False, with the fault recorded, where the boundaries do not ascend from 0 to the rows that there are.
LOWRANK_INLINE bool checkBoundaries(const Tensor& boundaries, int64_t rows, bool all, const char* name,
                                    Context& context) {
  const int32_t* at = static_cast<const int32_t*>(boundaries.data);
  const int64_t last = elementCount(boundaries) - 1;
  bool good = last >= 0 && at[0] == 0 && (all ? at[last] == rows : at[last] <= rows);
  for (int64_t i = 0; good && i < last; ++i) good = at[i] <= at[i + 1];
  if (good) return true;
  context.fail("expected %s to ascend from 0 to %s%lld, got %d .. %d in %lld entries", name, all ? "" : "at most ",
               static_cast<long long>(rows), last >= 0 ? at[0] : 0, last >= 0 ? at[last] : 0,
               static_cast<long long>(last + 1));
  return false;
}

LOWRANK_INLINE bool checkSequences(const Tensor& cuQ, const Tensor& cuK, int64_t queries, int64_t keys,
                                   Context& context) {
  if (elementCount(cuQ) != elementCount(cuK)) {
    context.fail("expected as many entries in cuSeqlensK as in cuSeqlensQ, got %lld and %lld",
                 static_cast<long long>(elementCount(cuK)), static_cast<long long>(elementCount(cuQ)));
    return false;
  }
  return checkBoundaries(cuQ, queries, true, "cuSeqlensQ", context) &&
         checkBoundaries(cuK, keys, false, "cuSeqlensK", context);
}

// All blocks of the query side (or the key side) of all sequences. Returns nullptr when scratch is out.
LOWRANK_INLINE BlockTask* blockTasks(const Tensor& cuQ, const Tensor& cuK, bool keySide, int64_t& count,
                                     Context& context) {
  const int32_t* q = static_cast<const int32_t*>(cuQ.data);
  const int32_t* k = static_cast<const int32_t*>(cuK.data);
  const int32_t* side = keySide ? k : q;
  const int64_t sequences = elementCount(cuQ) - 1;
  count = 0;
  for (int64_t s = 0; s < sequences; ++s) count += ceilDiv(side[s + 1] - side[s], kBlock);
  BlockTask* tasks = scratch<BlockTask>(context, count);
  if (tasks == nullptr) return nullptr;
  int64_t next = 0;
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t length = side[s + 1] - side[s];
    for (int64_t first = 0; first < length; first += kBlock) {
      tasks[next++] = BlockTask{q[s], q[s + 1] - q[s], k[s], k[s + 1] - k[s], first, minOf(kBlock, length - first)};
    }
  }
  return tasks;
}

// Query i of a sequence sees the keys [firstKey(i), endKey(i)); the interval may be empty.
struct Visibility {
  int64_t offset;  // lenK - lenQ: the last query sees the last key
  int64_t keys;
  int64_t window;
  bool causal;
};

LOWRANK_INLINE Visibility visibility(const BlockTask& task, const AttentionOptions& options) {
  return Visibility{task.kCount - task.qCount, task.kCount, options.window, options.causal != 0};
}

LOWRANK_INLINE int64_t firstKey(const Visibility& v, int64_t query) {
  return v.window > 0 ? minOf(v.keys, maxOf(0, query + v.offset - v.window + 1)) : 0;
}

LOWRANK_INLINE int64_t endKey(const Visibility& v, int64_t query) {
  return v.causal ? maxOf(0, minOf(v.keys, query + v.offset + 1)) : v.keys;
}

// True when every query of [q0, q1) sees every key of [k0, k1).
LOWRANK_INLINE bool allVisible(const Visibility& v, int64_t q0, int64_t q1, int64_t k0, int64_t k1) {
  return firstKey(v, q1 - 1) <= k0 && k1 <= endKey(v, q0);
}

// Rows [0, count) of x, times scale, as a row-major block; rows up to `rows` are zero.
template <class T>
LOWRANK_INLINE void loadBlock(const T* x, int64_t stride, int64_t count, int64_t rows, const AttentionShape& shape,
                              float scale, float* block) {
  for (int64_t i = 0; i < count; ++i) {
    forLanes(shape.headDim, [&](int64_t j, int lanes) {
      store(block + i * shape.pitch + j, loadLanes(x + i * stride + j, lanes) * scale);
    });
  }
  if (rows > count) {
    __builtin_memset(block + count * shape.pitch, 0, static_cast<size_t>((rows - count) * shape.pitch) * sizeof(float));
  }
}

// transposed[j * kBlock + i] = block[i * pitch + j], in squares of four.
LOWRANK_INLINE void transposeBlock(const float* block, int64_t rows, const AttentionShape& shape, float* transposed) {
  typedef float Quad __attribute__((vector_size(16)));
  typedef int32_t Pick __attribute__((vector_size(16)));
  for (int64_t j = 0; j < shape.headDim; j += 4) {
    for (int64_t i = 0; i < rows; i += 4) {
      Quad r[4];
      for (int n = 0; n < 4; ++n) __builtin_memcpy(&r[n], block + (i + n) * shape.pitch + j, sizeof(Quad));
      const Quad a = __builtin_shuffle(r[0], r[1], Pick{0, 4, 1, 5}),
                 b = __builtin_shuffle(r[2], r[3], Pick{0, 4, 1, 5});
      const Quad c = __builtin_shuffle(r[0], r[1], Pick{2, 6, 3, 7}),
                 d = __builtin_shuffle(r[2], r[3], Pick{2, 6, 3, 7});
      const Quad columns[4] = {__builtin_shuffle(a, b, Pick{0, 1, 4, 5}), __builtin_shuffle(a, b, Pick{2, 3, 6, 7}),
                               __builtin_shuffle(c, d, Pick{0, 1, 4, 5}), __builtin_shuffle(c, d, Pick{2, 3, 6, 7})};
      for (int n = 0; n < 4; ++n) __builtin_memcpy(transposed + (j + n) * kBlock + i, &columns[n], sizeof(Quad));
    }
  }
}

// c[i][n] (+)= sum over k of A[i][k] b[k][n] for a register tile. A[i][k] is a[i * lda + k], or a[k * lda + i] when
// kTransposed.
template <int kRows, int kVectors, bool kTransposed>
LOWRANK_INLINE void multiplyTile(int64_t depth, const float* a, int64_t lda, const float* b, int64_t ldb, float* c,
                                 int64_t ldc, bool accumulate) {
  Vec sum[kRows][kVectors];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) sum[i][n] = accumulate ? load(c + i * ldc + n * kLanes) : zero();
  }
  for (int64_t k = 0; k < depth; ++k) {
    Vec column[kVectors];
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) column[n] = load(b + k * ldb + n * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i) {
      const Vec value = splat(kTransposed ? a[k * lda + i] : a[i * lda + k]);
#pragma GCC unroll 4
      for (int n = 0; n < kVectors; ++n) sum[i][n] = fma(value, column[n], sum[i][n]);
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int n = 0; n < kVectors; ++n) store(c + i * ldc + n * kLanes, sum[i][n]);
  }
}

template <int kVectors, bool kTransposed>
static void multiplyRows(int64_t rows, int64_t depth, const float* a, int64_t lda, const float* b, int64_t ldb,
                         float* c, int64_t ldc, bool accumulate) {
  const int64_t step = kTransposed ? 1 : lda;
  int64_t i = 0;
  for (; i + 6 <= rows; i += 6) {
    multiplyTile<6, kVectors, kTransposed>(depth, a + i * step, lda, b, ldb, c + i * ldc, ldc, accumulate);
  }
  for (; i + 2 <= rows; i += 2) {
    multiplyTile<2, kVectors, kTransposed>(depth, a + i * step, lda, b, ldb, c + i * ldc, ldc, accumulate);
  }
  if (i < rows) multiplyTile<1, kVectors, kTransposed>(depth, a + i * step, lda, b, ldb, c + i * ldc, ldc, accumulate);
}

// The whole product: c [rows, vectors * kLanes]. 32 registers hold tiles of 6 x 4 vectors, 16 hold 6 x 2.
template <bool kTransposed>
static void multiply(int64_t rows, int64_t vectors, int64_t depth, const float* a, int64_t lda, const float* b,
                     int64_t ldb, float* c, int64_t ldc, bool accumulate) {
  int64_t n = 0;
#if defined(__AVX512F__)
  for (; n + 4 <= vectors; n += 4) {
    multiplyRows<4, kTransposed>(rows, depth, a, lda, b + n * kLanes, ldb, c + n * kLanes, ldc, accumulate);
  }
#endif
  for (; n + 2 <= vectors; n += 2) {
    multiplyRows<2, kTransposed>(rows, depth, a, lda, b + n * kLanes, ldb, c + n * kLanes, ldc, accumulate);
  }
  if (n < vectors)
    multiplyRows<1, kTransposed>(rows, depth, a, lda, b + n * kLanes, ldb, c + n * kLanes, ldc, accumulate);
}

}  // namespace lowrank::cpu::LOWRANK_ISA
