// Softmax attention inside each sequence, FlashAttention-2 style (Dao 2023). For a query row q, over the keys j that it
// sees:
//   forward   s_j = scale q.k_j (softcap: c tanh(s_j / c));  lse = log sum e^s_j;  y = sum e^(s_j - lse) v_j
//   backward  attention_backward.cpp
//
// q, y: [Nq, H hd]; k, v: [Nk, Hkv hd], compute dtype, any row stride; lse: [H, Nq] float32. Products, softmax and sums
// are float32; y is rounded once. Work: 4 hd FLOP per visible pair and head. Roof: float32 FMA; K and V are converted
// once per query block (5 % at 64 queries a block). Memory: scratch of a few blocks per thread; nothing grows with Nq
// Nk. A task is (sequence, head, 64 queries). Scores are held transposed, [key][query]: queries are the lanes, so that
// the maximum and the sum over keys need no horizontal step, and the score block is the left operand of P V as it lies.
// Blocks that no query sees are never visited. A query without any key gives y = 0, lse = -infinity.
// Deterministic: a task is one thread's, and visits its key blocks in order.
#include "attention_blocks.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

struct ForwardScratch {
  float* qT;       // [hd][kBlock]
  float* k;        // [kBlock][pitch]
  float* v;        // [kBlock][pitch]
  float* y;        // [kBlock][pitch]
  float* scores;   // [key][query]
  float* maximum;  // [kBlock] from here on, one value per query
  float* sum;
  float* rescale;
  float* firstKeys;  // as float: exact to 2^24, which is above any sequence here
  float* endKeys;
};

// One vector of queries against a block of `keys` keys: softcap and mask, new maxima, exponentials, sums.
LOWRANK_INLINE void softmaxColumn(const ForwardScratch& s, int64_t column, int64_t keys, int64_t firstOfBlock,
                                  float softcap, bool masked) {
  float* scores = s.scores + column;
  const Vec oldMaximum = load(s.maximum + column);
  const Vec first = load(s.firstKeys + column), end = load(s.endKeys + column);
  Vec largest = oldMaximum;
  for (int64_t j = 0; j < keys; ++j) {
    Vec score = load(scores + j * kBlock);
    if (softcap > 0.0f) score = softcap * tanh(score / softcap);
    if (masked) {
      const Vec key = splat(static_cast<float>(firstOfBlock + j));
      score = ((key >= first) & (key < end)) ? score : splat(-kInfinity);
    }
    if (softcap > 0.0f || masked) store(scores + j * kBlock, score);
    largest = max(largest, score);
  }
  // Where nothing was visible yet the maximum is -infinity; subtracting 0 instead keeps the exponentials at 0.
  const Vec shift = (largest == splat(-kInfinity)) ? zero() : largest;
  Vec sum = zero();
  for (int64_t j = 0; j < keys; ++j) {
    const Vec p = exp(load(scores + j * kBlock) - shift);
    store(scores + j * kBlock, p);
    sum = sum + p;
  }
  const Vec rescale = exp(oldMaximum - shift);
  store(s.sum + column, fma(load(s.sum + column), rescale, sum));
  store(s.rescale + column, rescale);
  store(s.maximum + column, largest);
}

template <class T>
void forwardTask(const AttentionArgs& args, const AttentionShape& shape, const BlockTask& task, int64_t head,
                 const ForwardScratch& s) {
  const AttentionOptions& options = args.options;
  const Visibility seen = visibility(task, options);
  const int64_t vectors = ceilDiv(task.count, kLanes), padded = vectors * kLanes, pitch = shape.pitch;
  const int64_t q0 = task.first, q1 = task.first + task.count;

  // The y block is free until the products start: q's row-major form is made there.
  loadBlock(rowOf<T>(args.q, task.qBegin + q0) + head * shape.headDim, args.q.stride, task.count, padded, shape,
            options.scale, s.y);
  transposeBlock(s.y, padded, shape, s.qT);
  __builtin_memset(s.y, 0, static_cast<size_t>(kBlock * pitch) * sizeof(float));
  for (int64_t i = 0; i < padded; ++i) {
    s.maximum[i] = -kInfinity;
    s.sum[i] = 0.0f;
    s.firstKeys[i] = static_cast<float>(firstKey(seen, q0 + i));
    s.endKeys[i] = static_cast<float>(endKey(seen, q0 + i));
  }

  const int64_t keyEnd = endKey(seen, q1 - 1), kvColumn = head / shape.group * shape.headDim;
  for (int64_t k0 = firstKey(seen, q0); k0 < keyEnd; k0 += kBlock) {
    const int64_t keys = minOf(kBlock, keyEnd - k0), row = task.kBegin + k0;
    loadBlock(rowOf<T>(args.k, row) + kvColumn, args.k.stride, keys, keys, shape, 1.0f, s.k);
    loadBlock(rowOf<T>(args.v, row) + kvColumn, args.v.stride, keys, keys, shape, 1.0f, s.v);
    multiply<false>(keys, vectors, shape.headDim, s.k, pitch, s.qT, kBlock, s.scores, kBlock, false);
    const bool masked = !allVisible(seen, q0, q1, k0, k0 + keys);
    for (int64_t column = 0; column < padded; column += kLanes) {
      softmaxColumn(s, column, keys, k0, options.softcap, masked);
    }
    for (int64_t i = 0; i < task.count; ++i) {
      if (s.rescale[i] == 1.0f) continue;
      float* y = s.y + i * pitch;
      for (int64_t j = 0; j < pitch; j += kLanes) store(y + j, load(y + j) * s.rescale[i]);
    }
    multiply<true>(task.count, pitch / kLanes, keys, s.scores, kBlock, s.v, pitch, s.y, pitch, true);
  }

  float* lse = rowOf<float>(args.lse, head) + task.qBegin + q0;
  for (int64_t i = 0; i < task.count; ++i) {
    const bool any = s.maximum[i] != -kInfinity;
    lse[i] = any ? s.maximum[i] + __builtin_logf(s.sum[i]) : -kInfinity;
    const float inverse = any ? 1.0f / s.sum[i] : 0.0f;
    T* y = rowOf<T>(args.y, task.qBegin + q0 + i) + head * shape.headDim;
    forLanes(shape.headDim,
             [&](int64_t j, int lanes) { storeLanes(y + j, load(s.y + i * pitch + j) * inverse, lanes); });
  }
}

template <class T>
void attentionAs(const AttentionArgs& args, Context& context) {
  const AttentionShape shape = attentionShape(args.q, args.k, args.options);
  int64_t blocks = 0;
  const BlockTask* tasks = blockTasks(args.cuSeqlensQ, args.cuSeqlensK, false, blocks, context);
  const int64_t block = kBlock * shape.pitch, perThread = 4 * block + kBlock * kBlock + 5 * kBlock;
  float* memory = scratch<float>(context, perThread * context.threads());
  if (tasks == nullptr || memory == nullptr) return;
  parallelFor(context, blocks * shape.heads, [&](int64_t index, int thread) {
    float* at = memory + thread * perThread;
    float* lanes = at + 4 * block + kBlock * kBlock;
    const ForwardScratch s{at,    at + block,     at + 2 * block,     at + 3 * block,     at + 4 * block,
                           lanes, lanes + kBlock, lanes + 2 * kBlock, lanes + 3 * kBlock, lanes + 4 * kBlock};
    // Causal blocks grow towards the end of a sequence: the long ones first leaves the short ones to fill the gaps.
    forwardTask<T>(args, shape, tasks[blocks - 1 - index / shape.heads], index % shape.heads, s);
  });
}

}  // namespace

void attention(const AttentionArgs& args, Context& context) {
  if (!checkSequences(args.cuSeqlensQ, args.cuSeqlensK, args.q.rows, args.k.rows, context)) return;
  if (args.q.dtype == DType::kBFloat16) return attentionAs<BFloat16>(args, context);
  attentionAs<float>(args, context);
}

}  // namespace lowrank::cpu::LOWRANK_ISA
