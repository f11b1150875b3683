// Attention's backward. With D = dy.y, s_j = scale q.k_j or c tanh(scale q.k_j / c), p_j = e^(s_j - lse), recomputed:
//   dv_j = sum over queries of p_j dy;  ds_j = p_j (dy.v_j - D), times 1 - (s_j / c)^2 under softcap
//   dq = scale sum over keys of ds_j k_j;  dk_j = scale sum over queries of ds_j q
//
// Shapes, dtypes and masks as in attention.cpp; dk and dv rows that belong to no sequence are zero. Products and sums
// are float32; each output is rounded once. Work: 14 hd FLOP per visible pair and head, of which 4 are the scores'
// second recomputation. Roof: float32 FMA. Two passes, so that every output element is one task's and no sum depends on
// who ran: one over (sequence, head, 64 queries) for dq, one over (sequence, key/value head, 64 keys) for dk and dv. A
// single pass would save the 4 but needs dq or dk and dv once per split in memory.
#include "attention_blocks.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

struct BackwardScratch {
  float* ownT[2];    // [hd][kBlock]: q and dy, or k and v, of the task's own block
  float* other[2];   // [kBlock][pitch]: k and v, or q and dy, of the block that streams by
  float* result[2];  // [kBlock][pitch]: dq, or dk and dv
  float* p;          // [other][own]
  float* ds;         // [other][own]
  float* rows[4];    // [kBlock]: per own token: first and end of what it sees or is seen by, lse, D
};

// D for every query and head: dots[head * Nq + query].
template <class T>
void dotProducts(const AttentionBackwardArgs& args, const AttentionShape& shape, float* dots, Context& context) {
  const int64_t queries = args.q.rows;
  forRowBlocks(context, queries, args.q.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t head = 0; head < shape.heads; ++head) {
        const T* dy = rowOf<T>(args.dy, i) + head * shape.headDim;
        const T* y = rowOf<T>(args.y, i) + head * shape.headDim;
        Vec sum = zero();
        forLanes(shape.headDim,
                 [&](int64_t j, int lanes) { sum = fma(loadLanes(dy + j, lanes), loadLanes(y + j, lanes), sum); });
        dots[head * queries + i] = reduceAdd(sum);
      }
    }
  });
}

// lse of a query that sees nothing is -infinity; its scores are all masked, and 0 keeps their exponentials at 0.
LOWRANK_INLINE float finiteLse(float lse) {
  return lse == -kInfinity ? 0.0f : lse;
}

// In place: scores -> p, products dy.v -> ds. `visible` selects lanes when `masked`.
LOWRANK_INLINE void probabilities(float* scores, float* products, Vec lse, Vec dot, float softcap, bool masked,
                                  IntVec visible) {
  Vec score = load(scores), slope = splat(1.0f);
  if (softcap > 0.0f) {
    const Vec t = tanh(score / softcap);
    score = softcap * t;
    slope = 1.0f - t * t;
  }
  if (masked) score = visible ? score : splat(-kInfinity);
  const Vec p = exp(score - lse);
  store(scores, p);
  store(products, p * (load(products) - dot) * slope);
}

template <class T>
void queryTask(const AttentionBackwardArgs& args, const AttentionShape& shape, const BlockTask& task, int64_t head,
               const float* dots, const BackwardScratch& s) {
  const AttentionOptions& options = args.options;
  const Visibility seen = visibility(task, options);
  const int64_t vectors = ceilDiv(task.count, kLanes), padded = vectors * kLanes, pitch = shape.pitch;
  const int64_t q0 = task.first, q1 = task.first + task.count, row = task.qBegin + q0, column = head * shape.headDim;
  float* dq = s.result[0];
  loadBlock(rowOf<T>(args.q, row) + column, args.q.stride, task.count, padded, shape, options.scale, dq);
  transposeBlock(dq, padded, shape, s.ownT[0]);
  loadBlock(rowOf<T>(args.dy, row) + column, args.dy.stride, task.count, padded, shape, 1.0f, dq);
  transposeBlock(dq, padded, shape, s.ownT[1]);
  __builtin_memset(dq, 0, static_cast<size_t>(kBlock * pitch) * sizeof(float));
  const float* lse = rowOf<float>(args.lse, head) + row;
  for (int64_t i = 0; i < padded; ++i) {
    s.rows[0][i] = static_cast<float>(firstKey(seen, q0 + i));
    s.rows[1][i] = static_cast<float>(endKey(seen, q0 + i));
    s.rows[2][i] = i < task.count ? finiteLse(lse[i]) : 0.0f;
    s.rows[3][i] = i < task.count ? dots[head * args.q.rows + row + i] : 0.0f;
  }

  const int64_t keyEnd = endKey(seen, q1 - 1), kvColumn = head / shape.group * shape.headDim;
  for (int64_t k0 = firstKey(seen, q0); k0 < keyEnd; k0 += kBlock) {
    const int64_t keys = minOf(kBlock, keyEnd - k0), kRow = task.kBegin + k0;
    loadBlock(rowOf<T>(args.k, kRow) + kvColumn, args.k.stride, keys, keys, shape, 1.0f, s.other[0]);
    loadBlock(rowOf<T>(args.v, kRow) + kvColumn, args.v.stride, keys, keys, shape, 1.0f, s.other[1]);
    multiply<false>(keys, vectors, shape.headDim, s.other[0], pitch, s.ownT[0], kBlock, s.p, kBlock, false);
    multiply<false>(keys, vectors, shape.headDim, s.other[1], pitch, s.ownT[1], kBlock, s.ds, kBlock, false);
    const bool masked = !allVisible(seen, q0, q1, k0, k0 + keys);
    for (int64_t j = 0; j < keys; ++j) {
      const Vec key = splat(static_cast<float>(k0 + j));
      for (int64_t i = 0; i < padded; i += kLanes) {
        const IntVec visible = (key >= load(s.rows[0] + i)) & (key < load(s.rows[1] + i));
        probabilities(s.p + j * kBlock + i, s.ds + j * kBlock + i, load(s.rows[2] + i), load(s.rows[3] + i),
                      options.softcap, masked, visible);
      }
    }
    multiply<true>(task.count, pitch / kLanes, keys, s.ds, kBlock, s.other[0], pitch, dq, pitch, true);
  }

  for (int64_t i = 0; i < task.count; ++i) {
    T* to = rowOf<T>(args.dq, row + i) + column;
    forLanes(shape.headDim,
             [&](int64_t j, int lanes) { storeLanes(to + j, load(dq + i * pitch + j) * options.scale, lanes); });
  }
}

template <class T>
void keyTask(const AttentionBackwardArgs& args, const AttentionShape& shape, const BlockTask& task, int64_t kvHead,
             const float* dots, const BackwardScratch& s) {
  const AttentionOptions& options = args.options;
  const Visibility seen = visibility(task, options);
  const int64_t vectors = ceilDiv(task.count, kLanes), padded = vectors * kLanes, pitch = shape.pitch;
  const int64_t k0 = task.first, k1 = task.first + task.count, kRow = task.kBegin + k0,
                kvColumn = kvHead * shape.headDim;
  float* dk = s.result[0];
  float* dv = s.result[1];
  loadBlock(rowOf<T>(args.k, kRow) + kvColumn, args.k.stride, task.count, padded, shape, 1.0f, dk);
  transposeBlock(dk, padded, shape, s.ownT[0]);
  loadBlock(rowOf<T>(args.v, kRow) + kvColumn, args.v.stride, task.count, padded, shape, 1.0f, dk);
  transposeBlock(dk, padded, shape, s.ownT[1]);
  __builtin_memset(dk, 0, static_cast<size_t>(kBlock * pitch) * sizeof(float));
  __builtin_memset(dv, 0, static_cast<size_t>(kBlock * pitch) * sizeof(float));

  // The queries of this sequence that see any key of this block.
  const int64_t firstQuery = seen.causal ? maxOf(0, k0 - seen.offset) : 0;
  const int64_t endQuery = seen.window > 0 ? minOf(task.qCount, k1 - seen.offset + seen.window - 1) : task.qCount;
  for (int64_t head = kvHead * shape.group; head < (kvHead + 1) * shape.group; ++head) {
    const int64_t column = head * shape.headDim;
    for (int64_t q0 = firstQuery; q0 < endQuery; q0 += kBlock) {
      const int64_t queries = minOf(kBlock, endQuery - q0), row = task.qBegin + q0;
      loadBlock(rowOf<T>(args.q, row) + column, args.q.stride, queries, queries, shape, options.scale, s.other[0]);
      loadBlock(rowOf<T>(args.dy, row) + column, args.dy.stride, queries, queries, shape, 1.0f, s.other[1]);
      multiply<false>(queries, vectors, shape.headDim, s.other[0], pitch, s.ownT[0], kBlock, s.p, kBlock, false);
      multiply<false>(queries, vectors, shape.headDim, s.other[1], pitch, s.ownT[1], kBlock, s.ds, kBlock, false);
      const bool masked = !allVisible(seen, q0, q0 + queries, k0, k1);
      const float* lse = rowOf<float>(args.lse, head) + row;
      for (int64_t i = 0; i < queries; ++i) {
        const int32_t first = static_cast<int32_t>(firstKey(seen, q0 + i) - k0);
        const int32_t end = static_cast<int32_t>(endKey(seen, q0 + i) - k0);
        const Vec shift = splat(finiteLse(lse[i])), dot = splat(dots[head * args.q.rows + row + i]);
        for (int64_t j = 0; j < padded; j += kLanes) {
          const IntVec key = laneIndex() + static_cast<int32_t>(j);
          const IntVec visible = (key >= splatInt(first)) & (key < splatInt(end));
          probabilities(s.p + i * kBlock + j, s.ds + i * kBlock + j, shift, dot, options.softcap, masked, visible);
        }
      }
      multiply<true>(task.count, pitch / kLanes, queries, s.p, kBlock, s.other[1], pitch, dv, pitch, true);
      multiply<true>(task.count, pitch / kLanes, queries, s.ds, kBlock, s.other[0], pitch, dk, pitch, true);
    }
  }

  for (int64_t i = 0; i < task.count; ++i) {
    T* toK = rowOf<T>(args.dk, kRow + i) + kvColumn;
    T* toV = rowOf<T>(args.dv, kRow + i) + kvColumn;
    forLanes(shape.headDim, [&](int64_t j, int lanes) {
      storeLanes(toK + j, load(dk + i * pitch + j), lanes);
      storeLanes(toV + j, load(dv + i * pitch + j), lanes);
    });
  }
}

template <class T>
void backwardAs(const AttentionBackwardArgs& args, Context& context) {
  const AttentionShape shape = attentionShape(args.q, args.k, args.options);
  int64_t queryBlocks = 0, keyBlocks = 0;
  const BlockTask* queryTasks = blockTasks(args.cuSeqlensQ, args.cuSeqlensK, false, queryBlocks, context);
  const BlockTask* keyTasks = blockTasks(args.cuSeqlensQ, args.cuSeqlensK, true, keyBlocks, context);
  const int64_t block = kBlock * shape.pitch, square = kBlock * kBlock, perThread = 6 * block + 2 * square + 4 * kBlock;
  float* dots = scratch<float>(context, shape.heads * args.q.rows);
  float* memory = scratch<float>(context, perThread * context.threads());
  if (queryTasks == nullptr || keyTasks == nullptr || dots == nullptr || memory == nullptr) return;

  const auto scratchOf = [&](int thread) {
    float* at = memory + thread * perThread;
    float* squares = at + 6 * block;
    float* rows = squares + 2 * square;
    return BackwardScratch{{at, at + block},
                           {at + 2 * block, at + 3 * block},
                           {at + 4 * block, at + 5 * block},
                           squares,
                           squares + square,
                           {rows, rows + kBlock, rows + 2 * kBlock, rows + 3 * kBlock}};
  };
  dotProducts<T>(args, shape, dots, context);
  parallelFor(context, queryBlocks * shape.heads, [&](int64_t index, int thread) {
    const BlockTask& task = queryTasks[queryBlocks - 1 - index / shape.heads];
    queryTask<T>(args, shape, task, index % shape.heads, dots, scratchOf(thread));
  });
  parallelFor(context, keyBlocks * shape.kvHeads, [&](int64_t index, int thread) {
    keyTask<T>(args, shape, keyTasks[index / shape.kvHeads], index % shape.kvHeads, dots, scratchOf(thread));
  });
  const int64_t sequences = elementCount(args.cuSeqlensK) - 1;
  const int64_t used = static_cast<const int32_t*>(args.cuSeqlensK.data)[sequences];
  for (int64_t row = used; row < args.k.rows; ++row) {
    __builtin_memset(rowOf<T>(args.dk, row), 0, static_cast<size_t>(args.dk.cols) * sizeof(T));
    __builtin_memset(rowOf<T>(args.dv, row), 0, static_cast<size_t>(args.dv.cols) * sizeof(T));
  }
}

}  // namespace

void attentionBackward(const AttentionBackwardArgs& args, Context& context) {
  if (!checkSequences(args.cuSeqlensQ, args.cuSeqlensK, args.q.rows, args.k.rows, context)) return;
  if (args.q.dtype == DType::kBFloat16) return backwardAs<BFloat16>(args, context);
  backwardAs<float>(args, context);
}

}  // namespace lowrank::cpu::LOWRANK_ISA
