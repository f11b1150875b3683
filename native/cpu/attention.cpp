// Softmax attention inside each sequence, FlashAttention-2 style (Dao 2023, arXiv:2307.08691). For a query row q, over
// the keys j that it sees:
//   forward   s_j = scale q.k_j (softcap: c tanh(s_j / c));  lse = log sum e^s_j;  y = sum e^(s_j - lse) v_j
//   backward  attention_backward.cpp
//
// q, y: [Nq, H hd]; k, v: [Nk, Hkv hd], compute dtype, any row stride; lse: [H, Nq] float32. Products, softmax and sums
// are float32; y is rounded once. With bfloat16 dot products e^(s - max) is rounded to bfloat16 for its product with v,
// as GPU kernels do; its sum is taken before. Work: 4 hd FLOP per visible pair and head. Roof: the multiply-add rate;
// packing K and V once per query block costs 6 %, exponentials 15 %. Memory: scratch of a few blocks per thread;
// nothing grows with Nq Nk. A task is (sequence, head, 64 queries); blocks of one or two queries are
// attention_few_queries.h's. Blocks that no query sees are never visited. A query without any key gives y = 0, lse =
// -infinity.
// Deterministic: a task is one thread's, and visits its key blocks, which begin at multiples of 64, in order. So a
// query's bits depend on its keys alone, and on whether its 64 queries, counted from its sequence's first, are up to
// two.
#include "attention_few_queries.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

struct ForwardScratch {
  float* q;        // columns
  float* k;        // rows
  float* v;        // straight
  float* y;        // [panel of width][kBlock][kPanel]
  float* scores;   // [panel of queries][key][kPanel]; become e^(s - max), with kDot as words [panel][key / 2][kPanel]
  float* maximum;  // [kBlock] from here on, one value per query
  float* sum;
  float* rescale;
  float* firstKeys;  // as float: exact to 2^24, which is above any sequence here
  float* endKeys;
};

// One vector of queries against a block of `keys` keys: scale, softcap and mask, new maxima, exponentials, sums.
template <bool kDot>
LOWRANK_INLINE void softmaxColumn(const ForwardScratch& s, int64_t query, float* scores, int64_t keys,
                                  int64_t firstOfBlock, const AttentionOptions& options, bool masked) {
  const Vec oldMaximum = load(s.maximum + query);
  const Vec first = load(s.firstKeys + query), end = load(s.endKeys + query);
  const float scale = options.scale, softcap = options.softcap;
  Vec largest = oldMaximum;
  for (int64_t j = 0; j < keys; ++j) {
    Vec score = load(scores + j * kPanel) * scale;
    if (softcap > 0.0f) score = softcap * tanh(score / softcap);
    if (masked) {
      const Vec key = splat(static_cast<float>(firstOfBlock + j));
      score = ((key >= first) & (key < end)) ? score : splat(-kInfinity);
    }
    store(scores + j * kPanel, score);
    largest = max(largest, score);
  }
  // Where nothing was visible yet the maximum is -infinity; subtracting 0 instead keeps the exponentials at 0.
  const Vec shift = (largest == splat(-kInfinity)) ? zero() : largest;
  Vec sum = zero();
  if constexpr (kDot) {
    for (int64_t j = 0; j < keys; j += 2) {
      const Vec earlier = exp(load(scores + j * kPanel) - shift);
      const Vec later = j + 1 < keys ? exp(load(scores + (j + 1) * kPanel) - shift) : zero();
      sum = sum + earlier + later;
      store(scores + j / 2 * kPanel, pairWords(earlier, later));
    }
  } else {
    for (int64_t j = 0; j < keys; ++j) {
      const Vec p = exp(load(scores + j * kPanel) - shift);
      store(scores + j * kPanel, p);
      sum = sum + p;
    }
  }
  const Vec rescale = exp(oldMaximum - shift);
  store(s.sum + query, fma(load(s.sum + query), rescale, sum));
  store(s.rescale + query, rescale);
  store(s.maximum + query, largest);
}

template <bool kDot, class T>
void forwardTask(const AttentionArgs& args, const AttentionShape& shape, const BlockTask& task, int64_t head,
                 const ForwardScratch& s) {
  const AttentionOptions& options = args.options;
  const Visibility seen = visibility(task.qCount, task.kCount, options);
  constexpr int64_t kPanelStep = kBlock * kPanel;
  const int64_t q0 = task.first, q1 = task.first + task.count;

  packBlockColumns<kDot>(rowOf<T>(args.q, task.qBegin + q0) + head * shape.headDim, args.q.stride, task.count, shape,
                         s.q);
  __builtin_memset(s.y, 0, static_cast<size_t>(widthWords(shape)) * sizeof(float));
  for (int64_t i = 0; i < roundUp(task.count, kLanes); ++i) {
    s.maximum[i] = -kInfinity;
    s.sum[i] = 0.0f;
    s.firstKeys[i] = static_cast<float>(firstKey(seen, q0 + i));
    s.endKeys[i] = static_cast<float>(endKey(seen, q0 + i));
  }

  const int64_t keyEnd = endKey(seen, q1 - 1), kvColumn = head / shape.group * shape.headDim;
  for (int64_t k0 = firstKey(seen, q0) / kBlock * kBlock; k0 < keyEnd; k0 += kBlock) {
    const int64_t keys = minOf(kBlock, keyEnd - k0), row = rowOfKey(task, k0);
    packRows<kDot>(rowOf<T>(args.k, row) + kvColumn, args.k.stride, keys, shape.headDim, s.k, shape.rowPitch);
    packBlockStraight<kDot>(rowOf<T>(args.v, row) + kvColumn, args.v.stride, keys, shape, s.v);
    const bool masked = !allVisible(seen, q0, q1, k0, k0 + keys);
    for (int64_t panel = 0; panel * kPanel < task.count; ++panel) {
      const int64_t query = panel * kPanel, queries = minOf(kPanel, task.count - query);
      const int64_t vectors = panelVectors(task.count, panel);
      const int64_t panelKeys = minOf(keys, endKey(seen, q0 + query + queries - 1) - k0);
      if (panelKeys <= 0) continue;
      float* scores = s.scores + panel * kPanelStep;
      multiplyPanel<kDot>(LeftOperand{s.k, shape.rowPitch, 1}, panelKeys, shape.steps, s.q + query * shape.steps,
                          vectors, scores, false);
      for (int64_t v = 0; v < vectors; ++v) {
        softmaxColumn<kDot>(s, query + v * kLanes, scores + v * kLanes, panelKeys, k0, options, masked);
      }
      for (int64_t i = query; i < query + queries; ++i) {
        if (s.rescale[i] == 1.0f) continue;
        for (int64_t width = 0; width < shape.widthPanels; ++width) {
          float* y = s.y + width * kPanelStep + i * kPanel;
          for (int64_t j = 0; j < kPanel; j += kLanes) store(y + j, load(y + j) * s.rescale[i]);
        }
      }
      multiplyStraight<kDot>(LeftOperand{scores, 1, kPanel}, queries, ceilDiv(panelKeys, kWordDepth<kDot>), s.v, shape,
                             s.y + query * kPanel, kPanelStep, true);
    }
  }

  float* lse = rowOf<float>(args.lse, head) + task.qBegin + q0;
  for (int64_t i = 0; i < task.count; ++i) {
    const bool any = s.maximum[i] != -kInfinity;
    lse[i] = any ? s.maximum[i] + __builtin_logf(s.sum[i]) : -kInfinity;
    const float inverse = any ? 1.0f / s.sum[i] : 0.0f;
    T* to = rowOf<T>(args.y, task.qBegin + q0 + i) + head * shape.headDim;
    forWidth(shape, s.y + i * kPanel, kPanelStep,
             [&](int64_t j, int lanes, const float* y) { storeLanes(to + j, load(y) * inverse, lanes); });
  }
}

template <bool kDot, class T>
void attentionAs(const AttentionArgs& args, Context& context) {
  const AttentionShape shape = attentionShape<kDot>(args.q, args.k, args.options);
  int64_t blocks = 0;
  const KeyPlaces places{args.cuSeqlensK, args.seqUsedK, args.blockTable, args.blockSize};
  const BlockTask* tasks = blockTasks(args.cuSeqlensQ, places, blocks, context);
  if (tasks == nullptr) return;
  if (attendFewQueries<kDot, T>(args, shape, tasks, blocks, context) == blocks) return;

  const int64_t columns = columnsWords(shape), rows = rowsWords(shape), width = widthWords(shape);
  const int64_t perThread = columns + rows + 2 * width + kBlock * kBlock + 5 * kBlock;
  float* memory = scratch<float>(context, perThread * context.threads());
  if (memory == nullptr) return;
  parallelFor(context, blocks * shape.heads, [&](int64_t index, int thread) {
    float* q = memory + thread * perThread;
    float* v = q + columns + rows;
    float* scores = v + 2 * width;
    float* lanes = scores + kBlock * kBlock;
    const ForwardScratch s{q,
                           q + columns,
                           v,
                           v + width,
                           scores,
                           lanes,
                           lanes + kBlock,
                           lanes + 2 * kBlock,
                           lanes + 3 * kBlock,
                           lanes + 4 * kBlock};
    // Causal blocks grow towards the end of a sequence: the long ones first leaves the short ones to fill the gaps.
    const BlockTask& task = tasks[blocks - 1 - index / shape.heads];
    if (task.count <= kFewQueries) return;
    forwardTask<kDot, T>(args, shape, task, index % shape.heads, s);
  });
}

}  // namespace

void attention(const AttentionArgs& args, Context& context) {
  if (args.blockTable.data != nullptr) {
    const KeyPlaces places{args.cuSeqlensK, args.seqUsedK, args.blockTable, args.blockSize};
    if (!checkBoundaries(args.cuSeqlensQ, args.q.rows, true, "cuSeqlensQ", context)) return;
    if (!checkBlocks(places, args.k.rows, context)) return;
  } else {
    if (!checkSequences(args.cuSeqlensQ, args.cuSeqlensK, args.q.rows, args.k.rows, context)) return;
    if (args.seqUsedK.data != nullptr && !checkUsed(args.seqUsedK, args.cuSeqlensK, context)) return;
  }
  withStorage(args.q.dtype, [&]<class T>(T) { attentionAs<kHasPairs<T>, T>(args, context); });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
