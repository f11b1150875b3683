// Softmax attention inside each sequence, FlashAttention-2 style (Dao 2023, arXiv:2307.08691). For a query row q, over
// the keys j that it sees:
//   forward   s_j = scale q.k_j (softcap: c tanh(s_j / c));  lse = log sum e^s_j;  y = sum e^(s_j - lse) v_j
//   backward  attention_backward.cu
//
// q, y: [Nq, H hd]; k, v: [Nk, Hkv hd], compute dtype, any row stride, hd up to 256; lse: [H, Nq] float32. Products,
// softmax and sums are float32; y is rounded once. With 16-bit types e^(s - max) is rounded for its product with v; its
// sum is taken before. A query without any key gives y = 0, lse = -infinity. Work: 4 hd FLOP per visible pair and head.
// Roof: mma.sync, beside which exponentials take about a fifth.
//
// Four ways, by the shapes, and by whether the device runs wgmma:
//   warpgroups    16-bit, on Hopper: attention_wgmma.cu.
//   tensor cores  16-bit. A block is (64 queries of a sequence, head): 4 warps of 16 queries. It goes through the keys
//                 64 at a time; K of the next tile is on its way while V of this one is used, and the other way round.
//                 16 bytes per copy where heads are aligned to that, else elements. Heads are padded to 64, 128 or 256
//                 columns.
//   plain         float32. A block is (32 queries, head), 8 threads per query, 8 keys at a time.
//   few queries   with a cache: the last queries of a sequence, where one or two are left of them beyond a multiple of
//                 64, as in decoding. A block is (query, key/value head, 256 keys) with all query heads of that; 4
//                 warps take keys in turn, lanes along the head's width. A second kernel merges the shares. The
//                 other kernels leave those queries out where they have a task of their own. Roof: the bytes of K and
//                 V.
//
//                 threads  blocks                             shared memory
//   plan          256      1                                  32 bytes
//   tensor cores  128      (Nq / 64 + S, H)                   27 KB, 51 KB, 99 KB by the padded head
//   plain         256      (Nq / 32 + S, H)                   48 rows of 4 (hd + 1) bytes, and 1 KB
//   few queries   128      (Nk / 256 + S, Hkv, 2)             4 (hd + 2) bytes per warp and four heads
//   merge         128      (Nq / 64 + S, H, 2)                0
// Deterministic: a query's sums are one block's, keys in order. Tiles of keys and shares begin at multiples of their
// size: bits depend on a query's keys alone, and on whether it is one of few.
#include "attention_wgmma.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kKeyTile = 64;

int32_t skippedOf(const SequenceTasks& tasks) {
  return tasks.shares != nullptr ? 2 : 0;
}

// Heads of 16-bit types on tensor cores. Tasks of up to `skipped` queries are another kernel's.
template <class T, int kDim, bool kInBlocks>
__global__ void __launch_bounds__(kAttentionThreads)
    attentionKernel(const SequenceTask* tasks, int32_t slots, int32_t skipped,
                    Matrix<const T> q,  // [Nq, H hd]
                    Matrix<const T> k,  // [Nk, Hkv hd]
                    Matrix<const T> v,  // [Nk, Hkv hd]
                    KeyBlocks blocks,
                    Matrix<T> y,        // [Nq, H hd]
                    Matrix<float> lse,  // [H, Nq]
                    AttentionOptions options, bool whole) {
  // Causal blocks grow towards the end of a sequence: the long ones first leaves the short ones to fill the gaps.
  const SequenceTask task = tasks[slots - 1 - static_cast<int32_t>(blockIdx.x)];
  if (task.count <= skipped) return;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int headDim = options.headDim, head = static_cast<int>(blockIdx.y);
  const int kvColumn = head / (q.cols / k.cols) * headDim;
  const Visibility seen = visibilityOf(task, options);
  const HeadRows<T> queries{q.row(task.qBegin + task.first) + head * headDim, q.stride, headDim, whole};
  const auto keys = keyRowsOf<kInBlocks>(k, task, blocks, kvColumn, headDim, whole);
  const auto values = keyRowsOf<kInBlocks>(v, task, blocks, kvColumn, headDim, whole);
  T* const qTile = sharedMemory<T>();
  T* const kTile = qTile + kBlockRows * kPitch<kDim>;
  T* const vTile = kTile + kKeyTile * kPitch<kDim>;
  if (headDim < kDim) clearPadding<kDim>(qTile, kBlockRows + 2 * kKeyTile, headDim);

  // The keys that this thread's two rows see.
  int32_t first[2], end[2];
  RowSoftmax softmax = beginSoftmax();
  LOWRANK_UNROLL for (int half = 0; half < 2; ++half) {
    const int32_t query = task.first + 16 * warp + lane / 4 + 8 * half;
    first[half] = seen.firstKey(query);
    end[half] = seen.endKey(query);
  }
  float sums[kDim / 8][4] = {};

  const int32_t keyBegin = seen.firstKey(task.first) / kKeyTile * kKeyTile;
  const int32_t keyEnd = seen.endKey(task.first + task.count - 1);
  const auto tileKeys = [&](int32_t k0) { return static_cast<int>(minOf(kKeyTile, keyEnd - k0)); };
  loadTile<kDim, kBlockRows>(qTile, queries, 0, task.count);
  if (keyBegin < keyEnd) loadTile<kDim, kKeyTile>(kTile, keys, keyBegin, tileKeys(keyBegin));
  for (int32_t k0 = keyBegin; k0 < keyEnd; k0 += kKeyTile) {
    cpAsyncWait<0>();
    syncThreads();  // K is there, and V of the tile before is no longer used
    loadTile<kDim, kKeyTile>(vTile, values, k0, tileKeys(k0));
    float scores[kKeyTile / 8][4] = {};
    multiplyRows<kDim>(scores, qTile + 16 * warp * kPitch<kDim>, kTile);

    scoreAll(scores, options);
    if (!seen.all(task.first, task.first + task.count, k0, k0 + kKeyTile)) {
      hide(scores, bitsToFloat(kMinusInfinityBits),
           [&](int half, int col) { return k0 + col >= first[half] && k0 + col < end[half]; });
    }
    addTile(softmax, scores, sums);

    cpAsyncWait<0>();
    syncThreads();  // V is there, and K is no longer used
    if (k0 + kKeyTile < keyEnd) loadTile<kDim, kKeyTile>(kTile, keys, k0 + kKeyTile, tileKeys(k0 + kKeyTile));
    multiplyColumns<kDim>(sums, scores, vTile);
  }
  cpAsyncWait<0>();

  float factors[2];
  endSoftmax(softmax, factors, lse.row(head) + task.qBegin + task.first + 16 * warp, task.count - 16 * warp);
  storeRows(sums, factors, y.row(task.qBegin + task.first + 16 * warp) + head * headDim, y.stride,
            task.count - 16 * warp, 0, headDim, whole);
}

constexpr int kPlainThreads = 256;
constexpr int kPlainRows = 32;
constexpr int kPlainKeys = 8;  // also the threads of a row
constexpr int kPlainCols = kMostHeadDim / kPlainKeys;

// Rows of float32 heads, headDim + 1 apart; zeros in those past `count`.
__device__ __forceinline__ void loadPlain(float* tile, int rows, const float* from, int64_t stride, int count,
                                          int headDim) {
  for (int i = static_cast<int>(threadIdx.x); i < rows * headDim; i += kPlainThreads) {
    const int row = i / headDim, col = i % headDim;
    tile[row * (headDim + 1) + col] = row < count ? from[row * stride + col] : 0.0f;
  }
}

template <bool kInBlocks>
__global__ void __launch_bounds__(kPlainThreads)
    attentionPlainKernel(const SequenceTask* tasks, int32_t slots, int32_t skipped,
                         Matrix<const float> q,  // [Nq, H hd]
                         Matrix<const float> k,  // [Nk, Hkv hd]
                         Matrix<const float> v,  // [Nk, Hkv hd]
                         KeyBlocks blocks,
                         Matrix<float> y,    // [Nq, H hd]
                         Matrix<float> lse,  // [H, Nq]
                         AttentionOptions options) {
  const SequenceTask task = tasks[slots - 1 - static_cast<int32_t>(blockIdx.x)];
  // Those of the last 64 queries of the sequence count, as on tensor cores.
  const int32_t few = skipped > 0 ? fewOf(task.qCount) : 0, left = task.qCount - task.first;
  if (task.count == 0 || (few > 0 && left == few)) return;
  const int thread = static_cast<int>(threadIdx.x), row = thread / kPlainKeys, part = thread % kPlainKeys;
  const int headDim = options.headDim, pitch = headDim + 1, head = static_cast<int>(blockIdx.y);
  const int kvColumn = head / (q.cols / k.cols) * headDim;
  const int64_t qRow = task.qBegin + task.first;
  const Visibility seen = visibilityOf(task, options);
  const auto keys = keyRowsOf<kInBlocks>(k, task, blocks, kvColumn, headDim, false);
  const auto values = keyRowsOf<kInBlocks>(v, task, blocks, kvColumn, headDim, false);
  float* const qTile = sharedMemory<float>();
  float* const kTile = qTile + kPlainRows * pitch;
  float* const vTile = kTile + kPlainKeys * pitch;
  float* const weights = vTile + kPlainKeys * pitch + row * kPlainKeys;  // of the row
  const int32_t query = task.first + row, first = seen.firstKey(query), end = seen.endKey(query);
  float maximum = bitsToFloat(kMinusInfinityBits), sum = 0.0f, sums[kPlainCols] = {};

  loadPlain(qTile, kPlainRows, q.row(qRow) + head * headDim, q.stride, task.count, headDim);
  const int32_t keyEnd = seen.endKey(task.first + task.count - 1);
  for (int32_t k0 = seen.firstKey(task.first) / kPlainKeys * kPlainKeys; k0 < keyEnd; k0 += kPlainKeys) {
    const int count = static_cast<int>(minOf(kPlainKeys, keyEnd - k0));
    syncThreads();  // the tiles are no longer used
    loadPlain(kTile, kPlainKeys, keys.row(k0), k.stride, count, headDim);
    loadPlain(vTile, kPlainKeys, values.row(k0), v.stride, count, headDim);
    syncThreads();
    float product = 0.0f;
    for (int col = 0; col < headDim; ++col)
      product = multiplyAdd(qTile[row * pitch + col], kTile[part * pitch + col], product);
    float score = scoreOf(product, options).value;
    if (k0 + part < first || k0 + part >= end) score = bitsToFloat(kMinusInfinityBits);
    float largest = fmax(maximum, score);
    LOWRANK_UNROLL for (int mask = 1; mask < kPlainKeys; mask *= 2) {
      largest = fmax(largest, shuffleXor(largest, mask));
    }
    const float shift = largest == bitsToFloat(kMinusInfinityBits) ? 0.0f : largest;
    const float rescale = exp2Fast(maximum - shift), weight = exp2Fast(score - shift);
    maximum = largest;
    sum = sum * rescale + weight;
    weights[part] = weight;
    syncWarp();  // a row's threads are of one warp
    LOWRANK_UNROLL for (int i = 0; i < kPlainCols; ++i) {
      const int col = part + kPlainKeys * i;
      if (col >= headDim) continue;
      float total = sums[i] * rescale;
      LOWRANK_UNROLL for (int j = 0; j < kPlainKeys; ++j) {
        total = multiplyAdd(weights[j], vTile[j * pitch + col], total);
      }
      sums[i] = total;
    }
  }
  LOWRANK_UNROLL for (int mask = 1; mask < kPlainKeys; mask *= 2) sum += shuffleXor(sum, mask);
  if (row >= task.count) return;
  const bool any = sum > 0.0f;
  if (part == 0) lse.row(head)[qRow + row] = any ? maximum * kLn2 + log(sum) : bitsToFloat(kMinusInfinityBits);
  const float inverse = any ? 1.0f / sum : 0.0f;
  LOWRANK_UNROLL for (int i = 0; i < kPlainCols; ++i) {
    const int col = part + kPlainKeys * i;
    if (col < headDim) y.row(qRow + row)[head * headDim + col] = sums[i] * inverse;
  }
}

constexpr int kMostHeads = 4;  // query heads that share a pass over keys
constexpr int kFewQueries = 2;

// One head's result for a share of the keys: y = sum e^(s - maximum) v [hd], maximum, sum e^(s - maximum).
__device__ __forceinline__ float* partialAt(float* partials, int64_t share, int few, int head, int heads, int headDim) {
  return partials + ((share * kFewQueries + few) * heads + head) * (headDim + 2);
}

// kCols columns of the head's width per lane, 32 apart.
template <class T, int kCols>
__global__ void __launch_bounds__(kAttentionThreads) attentionFewKernel(const SequenceTask* shares,
                                                                        Matrix<const T> q,  // [Nq, H hd]
                                                                        Matrix<const T> k,  // [Nk, Hkv hd]
                                                                        Matrix<const T> v,  // [Nk, Hkv hd]
                                                                        KeyBlocks blocks,
                                                                        float* partials,  // [shares, 2, H, hd + 2]
                                                                        AttentionOptions options) {
  const SequenceTask task = shares[blockIdx.x];
  const int32_t few = static_cast<int32_t>(blockIdx.z), query = task.qCount - fewOf(task.qCount) + few;
  if (task.count == 0 || query >= task.qCount) return;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int headDim = options.headDim, kvHead = static_cast<int>(blockIdx.y);
  const int heads = q.cols / headDim, group = q.cols / k.cols;
  const Visibility seen = visibilityOf(task, options);
  const int64_t row = task.qBegin + query;
  const int32_t begin = static_cast<int32_t>(maxOf(seen.firstKey(query), task.first));
  const int32_t end = static_cast<int32_t>(minOf(seen.endKey(query), task.first + task.count));
  const int32_t* const table = blocks.table != nullptr ? blocks.of(task) : nullptr;
  float* const merged = sharedMemory<float>();  // [warp][head of the pass][hd + 2]

  for (int h0 = 0; h0 < group; h0 += kMostHeads) {
    const int count = group - h0 < kMostHeads ? group - h0 : kMostHeads;
    float queries[kMostHeads][kCols], sums[kMostHeads][kCols] = {};
    float maximum[kMostHeads], sum[kMostHeads] = {};
    LOWRANK_UNROLL for (int h = 0; h < kMostHeads; ++h) {
      maximum[h] = bitsToFloat(kMinusInfinityBits);
      LOWRANK_UNROLL for (int i = 0; i < kCols; ++i) {
        const int col = lane + kWarp * i;
        queries[h][i] =
            h < count && col < headDim ? toFloat(q.row(row)[(kvHead * group + h0 + h) * headDim + col]) : 0.0f;
      }
    }
    for (int32_t key = begin + warp; key < end; key += kAttentionWarps) {
      const int64_t at = table != nullptr ? rowInBlocks(table, blocks.bits, key) : task.kBegin + key;
      const T* const kRow = k.row(at) + kvHead * headDim;
      const T* const vRow = v.row(at) + kvHead * headDim;
      float keys[kCols], values[kCols];
      LOWRANK_UNROLL for (int i = 0; i < kCols; ++i) {
        const int col = lane + kWarp * i;
        keys[i] = col < headDim ? toFloat(kRow[col]) : 0.0f;
        values[i] = col < headDim ? toFloat(vRow[col]) : 0.0f;
      }
      LOWRANK_UNROLL for (int h = 0; h < kMostHeads; ++h) {
        if (h >= count) continue;
        float product = 0.0f;
        LOWRANK_UNROLL for (int i = 0; i < kCols; ++i) product = multiplyAdd(queries[h][i], keys[i], product);
        const float score = scoreOf(warpSum(product), options).value;
        const float largest = fmax(maximum[h], score);
        const float rescale = exp2Fast(maximum[h] - largest), weight = exp2Fast(score - largest);
        maximum[h] = largest;
        sum[h] = multiplyAdd(sum[h], rescale, weight);
        LOWRANK_UNROLL for (int i = 0; i < kCols; ++i) {
          sums[h][i] = multiplyAdd(sums[h][i], rescale, weight * values[i]);
        }
      }
    }
    if (h0 > 0) syncThreads();  // the last pass has been merged
    LOWRANK_UNROLL for (int h = 0; h < kMostHeads; ++h) {
      float* const to = merged + (warp * kMostHeads + h) * (headDim + 2);
      LOWRANK_UNROLL for (int i = 0; i < kCols; ++i) {
        if (lane + kWarp * i < headDim) to[lane + kWarp * i] = sums[h][i];
      }
      if (lane == 0) {
        to[headDim] = maximum[h];
        to[headDim + 1] = sum[h];
      }
    }
    syncThreads();
    for (int h = warp; h < count; h += kAttentionWarps) {
      const auto of = [&](int other) { return merged + (other * kMostHeads + h) * (headDim + 2); };
      float* const to =
          partialAt(partials, static_cast<int64_t>(blockIdx.x), few, kvHead * group + h0 + h, heads, headDim);
      float largest = of(0)[headDim];
      for (int other = 1; other < kAttentionWarps; ++other) largest = fmax(largest, of(other)[headDim]);
      const float shift = largest == bitsToFloat(kMinusInfinityBits) ? 0.0f : largest;
      float weights[kAttentionWarps], total = 0.0f;
      LOWRANK_UNROLL for (int other = 0; other < kAttentionWarps; ++other) {
        weights[other] = exp2Fast(of(other)[headDim] - shift);
        total = multiplyAdd(of(other)[headDim + 1], weights[other], total);
      }
      for (int col = lane; col < headDim; col += kWarp) {
        float value = 0.0f;
        LOWRANK_UNROLL for (int other = 0; other < kAttentionWarps; ++other) {
          value = multiplyAdd(of(other)[col], weights[other], value);
        }
        to[col] = value;
      }
      if (lane == 0) {
        to[headDim] = largest;
        to[headDim + 1] = total;
      }
    }
  }
}

// A sequence's few queries are all in its last task.
template <class T>
__global__ void __launch_bounds__(kAttentionThreads) attentionMergeKernel(const SequenceTask* tasks,
                                                                          float* partials,  // [shares, 2, H, hd + 2]
                                                                          int32_t headDim,
                                                                          Matrix<T> y,          // [Nq, H hd]
                                                                          Matrix<float> lse) {  // [H, Nq]
  const SequenceTask task = tasks[blockIdx.x];
  const int32_t few = static_cast<int32_t>(blockIdx.z), query = task.qCount - fewOf(task.qCount) + few;
  if (query < task.first || query >= task.first + task.count) return;
  const int64_t row = task.qBegin + query;
  const int head = static_cast<int>(blockIdx.y), heads = lse.rows;
  const int32_t shares = static_cast<int32_t>(ceilDiv(task.kCount, kShareKeys));
  const auto partial = [&](int32_t share) {
    return partialAt(partials, task.shares + share, few, head, heads, headDim);
  };
  float largest = bitsToFloat(kMinusInfinityBits), sum = 0.0f;
  for (int32_t share = 0; share < shares; ++share) largest = fmax(largest, partial(share)[headDim]);
  const float shift = largest == bitsToFloat(kMinusInfinityBits) ? 0.0f : largest;
  for (int32_t share = 0; share < shares; ++share) {
    const float* const other = partial(share) + headDim;
    sum = multiplyAdd(other[1], exp2Fast(other[0] - shift), sum);
  }
  const float inverse = sum > 0.0f ? 1.0f / sum : 0.0f;
  for (int col = static_cast<int>(threadIdx.x); col < headDim; col += kAttentionThreads) {
    float value = 0.0f;
    for (int32_t share = 0; share < shares; ++share) {
      const float* const other = partial(share);
      value = multiplyAdd(other[col], exp2Fast(other[headDim] - shift), value);
    }
    y.row(row)[head * headDim + col] = fromFloat<T>(value * inverse);
  }
  if (threadIdx.x == 0) lse.row(head)[row] = sum > 0.0f ? largest * kLn2 + log(sum) : largest;
}

template <class T, int kDim, bool kInBlocks>
void attendAs(const AttentionArgs& args, const SequenceTasks& tasks, Queue& queue) {
  const AttentionOptions& options = args.options;
  const dim3 grid(static_cast<unsigned>(tasks.slots), static_cast<unsigned>(args.lse.rows));
  const bool whole = wholeHeads(args.q, options) && wholeHeads(args.k, options) && wholeHeads(args.v, options) &&
                     wholeHeads(args.y, options);
  const size_t shared = (kBlockRows + 2 * kKeyTile) * kPitch<kDim> * sizeof(T);
  launch<attentionKernel<T, kDim, kInBlocks>>(queue, grid, kAttentionThreads, shared, tasks.at, tasks.slots,
                                              skippedOf(tasks), matrixOf<const T>(args.q), matrixOf<const T>(args.k),
                                              matrixOf<const T>(args.v), keyBlocksOf(args), matrixOf<T>(args.y),
                                              matrixOf<float>(args.lse), options, whole);
}

template <class T, bool kInBlocks>
void attend(const AttentionArgs& args, const SequenceTasks& tasks, Queue& queue) {
  if constexpr (sizeof(T) == 4) {
    const dim3 grid(static_cast<unsigned>(tasks.slots), static_cast<unsigned>(args.lse.rows));
    const size_t shared =
        ((kPlainRows + 2 * kPlainKeys) * (args.options.headDim + 1) + kPlainRows * kPlainKeys) * sizeof(float);
    launch<attentionPlainKernel<kInBlocks>>(queue, grid, kPlainThreads, shared, tasks.at, tasks.slots, skippedOf(tasks),
                                            matrixOf<const float>(args.q), matrixOf<const float>(args.k),
                                            matrixOf<const float>(args.v), keyBlocksOf(args), matrixOf<float>(args.y),
                                            matrixOf<float>(args.lse), args.options);
  } else {
    if (args.options.headDim <= 64) return attendAs<T, 64, kInBlocks>(args, tasks, queue);
    if (args.options.headDim <= 128) return attendAs<T, 128, kInBlocks>(args, tasks, queue);
    attendAs<T, 256, kInBlocks>(args, tasks, queue);
  }
}

template <class T, int kCols>
void attendFewAs(const AttentionArgs& args, const SequenceTasks& tasks, float* partials, Queue& queue) {
  const AttentionOptions& options = args.options;
  const unsigned heads = static_cast<unsigned>(args.lse.rows);
  const unsigned kvHeads = static_cast<unsigned>(args.k.cols / options.headDim);
  const size_t shared = kAttentionWarps * kMostHeads * (options.headDim + 2) * sizeof(float);
  launch<attentionFewKernel<T, kCols>>(queue, dim3(static_cast<unsigned>(tasks.shareSlots), kvHeads, kFewQueries),
                                       kAttentionThreads, shared, tasks.shares, matrixOf<const T>(args.q),
                                       matrixOf<const T>(args.k), matrixOf<const T>(args.v), keyBlocksOf(args),
                                       partials, options);
  launch<attentionMergeKernel<T>>(queue, dim3(static_cast<unsigned>(tasks.slots), heads, kFewQueries),
                                  kAttentionThreads, 0, tasks.at, partials, options.headDim, matrixOf<T>(args.y),
                                  matrixOf<float>(args.lse));
}

template <class T>
void attendFew(const AttentionArgs& args, const SequenceTasks& tasks, Context& context) {
  Queue& queue = queueOf(context);
  const int headDim = args.options.headDim;
  float* partials = scratch<float>(context, tasks.shareSlots * kFewQueries * args.lse.rows * (headDim + 2));
  if (partials == nullptr) return;
  if (headDim <= 64) return attendFewAs<T, 2>(args, tasks, partials, queue);
  if (headDim <= 128) return attendFewAs<T, 4>(args, tasks, partials, queue);
  attendFewAs<T, 8>(args, tasks, partials, queue);
}

}  // namespace

void attention(const AttentionArgs& args, Context& context) {
  if (!checkHeadDim(args.options, context)) return;
  const KeyPlaces places{args.cuSeqlensK, args.seqUsedK, args.blockTable, args.blockSize};
  // Keys that are not all there are a cache's, whose queries are few as a rule. All other sequences are trained on.
  const bool few = present(args.seqUsedK) || args.q.rows <= kFewQueries * (args.cuSeqlensQ.cols - 1);
  const bool many = args.q.rows > kFewQueries, wide = many && suitsWgmma(args, context);
  const int rows = wide ? kWgmmaRows : args.q.dtype == DType::kFloat32 ? kPlainRows : kBlockRows;
  const SequenceTasks tasks = planTasks(args.cuSeqlensQ, places, args.q.rows, args.k.rows, rows, false, few, context);
  if (tasks.at == nullptr) return;
  if (wide) attentionByWgmma(args, tasks, context);
  withComputeType(args.q.dtype, [&](auto type) {
    using T = decltype(type);
    if (many && !wide) {
      if (present(args.blockTable)) {
        attend<T, true>(args, tasks, queueOf(context));
      } else {
        attend<T, false>(args, tasks, queueOf(context));
      }
    }
    if (few) attendFew<T>(args, tasks, context);
  });
}

}  // namespace lowrank::LOWRANK_BACKEND
