// Attention for the blocks of one or two queries, as in decoding, where a tile would multiply mostly padding.
//
// 1. A task is (query, chunk of kChunk keys): they begin at multiples of kChunk. It goes through the key/value heads,
//    each with all its query heads, at most kMostHeads at a time: a row of K or V is widened once for them.
// 2. Each head leaves a partial: y = sum e^(s - maximum) v, maximum and sum e^(s - maximum). A query with several
//    chunks gets them merged in order by a second pass, one with a single chunk by its task.
// 3. Lanes run along the head's width for both products. kLanes sums, keys times heads, are added up across lanes at a
//    time; the exponentials take them as they then lie, lane = head * kKeys + key.
// 4. bfloat16 dot products serve q.k alone: V would have to be interleaved first, and e^(s - maximum) rounded.
//
// 5. All key/value heads belong to one task because their rows are neighbours: it reads memory without gaps. Rows are
//    fetched while the first of those heads is scored, into the second level: a chunk does not fit the first.
//
// Roof: the bytes of K and V, up to about four query heads per key/value head. Scratch: 4 (hd + 16) bytes per query
// head and chunk.
#pragma once

#include "attention_blocks.h"

namespace lowrank::cpu::LOWRANK_ISA {

inline constexpr int64_t kFewQueries = 2;
inline constexpr int64_t kChunk = 64;
inline constexpr int kMostHeads = 4;
inline constexpr int64_t kKeysAhead = 16;  // of the keys being scored

struct FewQuery {
  int64_t row;    // of q and y
  int64_t block;  // its BlockTask
  int64_t first;  // the keys that it sees
  int64_t end;
  int64_t chunks;     // at least one, which may be empty
  int64_t firstTask;  // of its chunks
  int64_t partials;   // slot of its first chunk, where there are several
};

LOWRANK_INLINE int64_t partialPitch(const AttentionShape& shape) {
  return roundUp(shape.headDim, kLanes) + kLanes;
}

// One head's result for one chunk. Its weight takes the place of its maximum when chunks are merged.
struct Partial {
  float* y;
  float* maximum;
  float* sum;
};

LOWRANK_INLINE Partial partialAt(float* partials, int64_t index, const AttentionShape& shape) {
  float* y = partials + index * partialPitch(shape);
  float* end = y + roundUp(shape.headDim, kLanes);
  return Partial{y, end, end + 1};
}

// Lane i of the result is the sum of the lanes of r[i].
LOWRANK_INLINE Vec sumEach(Vec r[kLanes]) {
#if defined(__AVX512F__)
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    r[i] = _mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]) + _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512d a = _mm512_castps_pd(r[2 * i]), b = _mm512_castps_pd(r[2 * i + 1]);
    r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b)) + _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
  }
#pragma GCC unroll 2
  for (int half = 2; half > 0; half /= 2) {
#pragma GCC unroll 2
    for (int i = 0; i < half; ++i) {
      r[i] = _mm512_shuffle_f32x4(r[2 * i], r[2 * i + 1], 0x88) + _mm512_shuffle_f32x4(r[2 * i], r[2 * i + 1], 0xdd);
    }
  }
  return r[0];
#elif defined(__AVX2__)
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    r[i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]) + _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 2; ++i) {
    r[i] = _mm256_shuffle_ps(r[2 * i], r[2 * i + 1], 0x44) + _mm256_shuffle_ps(r[2 * i], r[2 * i + 1], 0xee);
  }
  return _mm256_permute2f128_ps(r[0], r[1], 0x20) + _mm256_permute2f128_ps(r[0], r[1], 0x31);
#else
  transpose(r);
  return (r[0] + r[1]) + (r[2] + r[3]);
#endif
}

// sum + a b, lane by lane; with kDot both products of a word.
template <bool kDot>
LOWRANK_INLINE Vec multiplyWords(Vec a, Vec b, Vec sum) {
#if defined(__AVX512BF16__)
  if constexpr (kDot) return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(b));
#endif
  return fma(a, b, sum);
}

// Where the keys of a chunk lie, and their values.
template <class T>
struct ChunkRows {
  const T* k;
  const T* v;
  int64_t kStride;
  int64_t vStride;
  int64_t keys;
  int64_t fetched;  // elements from k and v on that scoring a row fetches
};

template <class T>
LOWRANK_INLINE void prefetchRow(const T* row, int64_t count) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t at = 0; at < count; at += kLine) __builtin_prefetch(row + at, 0, 2);
}

// scores[step][head * kKeys + key] = q.k of the keys of a step, not yet scaled. Lanes without a key repeat the last.
template <int kHeads, bool kDot, class T>
LOWRANK_INLINE void scoreChunk(const float* q, const ChunkRows<T>& rows, const AttentionShape& shape, float* scores) {
  constexpr int kKeys = kLanes / kHeads;
  constexpr int64_t kDepth = kLanes * kWordDepth<kDot>;
  for (int64_t key = 0; key < rows.keys; key += kKeys, scores += kLanes) {
    const T* k[kKeys];
    for (int n = 0; n < kKeys; ++n) {
      k[n] = rows.k + minOf(key + n, rows.keys - 1) * rows.kStride;
      prefetchRow(k[n] + kKeysAhead * rows.kStride, rows.fetched);
      prefetchRow(rows.v + (key + n) * rows.vStride, rows.fetched);
    }
    Vec sums[kLanes] = {};
    const auto add = [&](int64_t at, int64_t count) {
      Vec query[kHeads];
#pragma GCC unroll 4
      for (int h = 0; h < kHeads; ++h) query[h] = load(q + h * shape.rowPitch + at / kWordDepth<kDot>);
#pragma GCC unroll 16
      for (int n = 0; n < kKeys; ++n) {
        const Vec words = loadWords<kDot>(k[n] + at, count);
#pragma GCC unroll 4
        for (int h = 0; h < kHeads; ++h) {
          sums[h * kKeys + n] = multiplyWords<kDot>(query[h], words, sums[h * kKeys + n]);
        }
      }
    };
    int64_t at = 0;
    for (; at + kDepth <= shape.headDim; at += kDepth) add(at, kDepth);
    if (at < shape.headDim) add(at, shape.headDim - at);
    store(scores, sumEach(sums));
  }
}

// y[head][columns from `at`] = sum over keys of p v, for kVectors vectors of columns, the last `lanes` wide.
template <int kHeads, int kVectors, class T>
LOWRANK_INLINE void sumValues(const float* p, const ChunkRows<T>& rows, int64_t at, int lanes, float* y,
                              int64_t pitch) {
  constexpr int kKeys = kLanes / kHeads;
  Vec sums[kHeads][kVectors] = {};
  const T* v = rows.v + at;
  for (int64_t key = 0; key < rows.keys; key += kKeys, p += kLanes) {
    const int64_t count = minOf(kKeys, rows.keys - key);
    for (int64_t n = 0; n < count; ++n, v += rows.vStride) {
      Vec values[kVectors];
#pragma GCC unroll 4
      for (int j = 0; j < kVectors; ++j) values[j] = loadLanes(v + j * kLanes, j + 1 < kVectors ? kLanes : lanes);
#pragma GCC unroll 4
      for (int h = 0; h < kHeads; ++h) {
        const Vec weight = splat(p[h * kKeys + n]);
#pragma GCC unroll 4
        for (int j = 0; j < kVectors; ++j) sums[h][j] = fma(weight, values[j], sums[h][j]);
      }
    }
  }
  for (int h = 0; h < kHeads; ++h) {
    for (int j = 0; j < kVectors; ++j) store(y + h * pitch + at + j * kLanes, sums[h][j]);
  }
}

// The partials of kHeads heads. q: their rows as words.
template <int kHeads, bool kDot, class T>
static void attendChunk(const float* q, const ChunkRows<T>& rows, const AttentionShape& shape,
                        const AttentionOptions& options, float* partials) {
  constexpr int kKeys = kLanes / kHeads;
  float scores[(kChunk + kKeys - 1) / kKeys * kLanes];
  scoreChunk<kHeads, kDot>(q, rows, shape, scores);

  int32_t keyOfLane[kLanes];
  for (int i = 0; i < kLanes; ++i) keyOfLane[i] = i % kKeys;
  IntVec keyOf;
  __builtin_memcpy(&keyOf, keyOfLane, sizeof keyOf);
  const int64_t steps = ceilDiv(rows.keys, kKeys);
  Vec largest = splat(-kInfinity);
  for (int64_t step = 0; step < steps; ++step) {
    Vec score = load(scores + step * kLanes) * options.scale;
    if (options.softcap > 0.0f) score = options.softcap * tanh(score / options.softcap);
    const int32_t left = static_cast<int32_t>(rows.keys - step * kKeys);
    if (left < kKeys) score = (keyOf < splatInt(left)) ? score : splat(-kInfinity);
    store(scores + step * kLanes, score);
    largest = max(largest, score);
  }
  float lanes[kLanes], maxima[kHeads];
  float shifts[kLanes] = {};
  store(lanes, largest);
  for (int h = 0; h < kHeads; ++h) {
    float maximum = lanes[h * kKeys];
    for (int n = 1; n < kKeys; ++n) maximum = maximum > lanes[h * kKeys + n] ? maximum : lanes[h * kKeys + n];
    maxima[h] = maximum;
    // Subtracting 0 from -infinity keeps the exponentials at 0.
    for (int n = 0; n < kKeys; ++n) shifts[h * kKeys + n] = maximum == -kInfinity ? 0.0f : maximum;
  }
  const Vec shift = load(shifts);
  Vec total = zero();
  for (int64_t step = 0; step < steps; ++step) {
    const Vec p = exp(load(scores + step * kLanes) - shift);
    store(scores + step * kLanes, p);
    total = total + p;
  }
  store(lanes, total);
  for (int h = 0; h < kHeads; ++h) {
    const Partial partial = partialAt(partials, h, shape);
    float sum = 0.0f;
    for (int n = 0; n < kKeys; ++n) sum += lanes[h * kKeys + n];
    *partial.maximum = maxima[h];
    *partial.sum = sum;
  }

  // As many sums as hide the latency of a multiply-add and fit the registers.
  constexpr int kVectors = kLanes == 16 || kHeads <= 2 ? 4 : 2;
  const int64_t pitch = partialPitch(shape);
  int64_t at = 0;
  for (; at + kVectors * kLanes <= shape.headDim; at += kVectors * kLanes) {
    sumValues<kHeads, kVectors>(scores, rows, at, kLanes, partials, pitch);
  }
  for (; at + kLanes <= shape.headDim; at += kLanes) sumValues<kHeads, 1>(scores, rows, at, kLanes, partials, pitch);
  if (at < shape.headDim) {
    sumValues<kHeads, 1>(scores, rows, at, static_cast<int>(shape.headDim - at), partials, pitch);
  }
}

// y and lse of one head from the partials of its chunks, `step` partials apart.
template <class T>
static void mergeChunks(float* partials, int64_t chunks, int64_t step, const AttentionShape& shape, T* y, float* lse) {
  float maximum = -kInfinity, sum = 0.0f;
  for (int64_t c = 0; c < chunks; ++c) {
    const float other = *partialAt(partials, c * step, shape).maximum;
    maximum = maximum > other ? maximum : other;
  }
  const bool any = maximum != -kInfinity;
  for (int64_t c = 0; c < chunks; ++c) {
    const Partial partial = partialAt(partials, c * step, shape);
    float weight[kLanes];
    store(weight, exp(splat(any ? *partial.maximum - maximum : 0.0f)));
    *partial.maximum = weight[0];
    sum += *partial.sum * weight[0];
  }
  *lse = any ? maximum + __builtin_logf(sum) : -kInfinity;
  const float inverse = any ? 1.0f / sum : 0.0f;
  forLanes(shape.headDim, [&](int64_t at, int lanes) {
    Vec total = zero();
    for (int64_t c = 0; c < chunks; ++c) {
      const Partial partial = partialAt(partials, c * step, shape);
      total = fma(splat(*partial.maximum), load(partial.y + at), total);
    }
    storeLanes(y + at, total * inverse, lanes);
  });
}

// Does the blocks that have up to kFewQueries queries, and returns how many those are; all of them after a fault.
template <bool kDot, class T>
static int64_t attendFewQueries(const AttentionArgs& args, const AttentionShape& shape, const BlockTask* blocks,
                                int64_t blockCount, Context& context) {
  int64_t few = 0;
  for (int64_t b = 0; b < blockCount; ++b) few += blocks[b].count <= kFewQueries;
  if (few == 0) return 0;
  FewQuery* queries = scratch<FewQuery>(context, few * kFewQueries);
  if (queries == nullptr) return blockCount;
  int64_t queryCount = 0, taskCount = 0, slots = 0;
  for (int64_t b = 0; b < blockCount; ++b) {
    const BlockTask& block = blocks[b];
    if (block.count > kFewQueries) continue;
    const Visibility seen = visibility(block.qCount, block.kCount, args.options);
    for (int64_t i = block.first; i < block.first + block.count; ++i) {
      const int64_t first = firstKey(seen, i), end = maxOf(first, endKey(seen, i));
      const int64_t chunks = maxOf(1, ceilDiv(end, kChunk) - first / kChunk);
      queries[queryCount++] = FewQuery{block.qBegin + i, b, first, end, chunks, taskCount, slots};
      taskCount += chunks;
      if (chunks > 1) slots += chunks;
    }
  }
  int64_t* queryOfTask = scratch<int64_t>(context, taskCount);
  const int64_t qWords = kMostHeads * shape.rowPitch, perThread = qWords + shape.group * partialPitch(shape);
  float* memory = scratch<float>(context, context.threads() * perThread + slots * shape.heads * partialPitch(shape));
  if (queryOfTask == nullptr || memory == nullptr) return blockCount;
  for (int64_t q = 0; q < queryCount; ++q) {
    for (int64_t c = 0; c < queries[q].chunks; ++c) queryOfTask[queries[q].firstTask + c] = q;
  }
  float* shared = memory + context.threads() * perThread;
  // The partial result of a key/value head's first head and a query's first chunk. The next chunk's lies shape.heads
  // slots further on.
  const auto sharedPartials = [&](const FewQuery& query, int64_t kvHead) {
    return partialAt(shared, query.partials * shape.heads + kvHead * shape.group, shape).y;
  };
  const auto merge = [&](const FewQuery& query, int64_t kvHead, float* partials) {
    for (int64_t h = 0; h < shape.group; ++h) {
      const int64_t head = kvHead * shape.group + h;
      mergeChunks(partialAt(partials, h, shape).y, query.chunks, shape.heads, shape,
                  rowOf<T>(args.y, query.row) + head * shape.headDim, rowOf<float>(args.lse, head) + query.row);
    }
  };

  const auto attend = [&](const FewQuery& query, int64_t chunk, int64_t kvHead, float* q) {
    const int64_t begin = (query.first / kChunk + chunk) * kChunk, first = maxOf(query.first, begin);
    const int64_t keys = maxOf(0, minOf(begin + kChunk, query.end) - first), column = kvHead * shape.headDim;
    const int64_t key = keys > 0 ? rowOfKey(blocks[query.block], first) : 0;
    const ChunkRows<T> rows{
        rowOf<T>(args.k, key) + column, rowOf<T>(args.v, key) + column, args.k.stride, args.v.stride, keys,
        kvHead == 0 ? args.k.cols : 0};
    float* partials =
        query.chunks == 1 ? q + qWords : partialAt(sharedPartials(query, kvHead), chunk * shape.heads, shape).y;
    for (int64_t h = 0; h < shape.group; h += kMostHeads) {
      const int64_t heads = minOf(kMostHeads, shape.group - h);
      packRows<kDot>(rowOf<T>(args.q, query.row) + (kvHead * shape.group + h) * shape.headDim, shape.headDim, heads,
                     shape.headDim, q, shape.rowPitch);
      float* to = partialAt(partials, h, shape).y;
      switch (heads) {
        case 1:
          attendChunk<1, kDot>(q, rows, shape, args.options, to);
          break;
        case 2:
          attendChunk<2, kDot>(q, rows, shape, args.options, to);
          break;
        case 3:
          attendChunk<3, kDot>(q, rows, shape, args.options, to);
          break;
        default:
          attendChunk<4, kDot>(q, rows, shape, args.options, to);
      }
    }
    if (query.chunks == 1) merge(query, kvHead, partials);
  };

  parallelFor(context, taskCount, [&](int64_t task, int thread) {
    const FewQuery& query = queries[queryOfTask[task]];
    for (int64_t kvHead = 0; kvHead < shape.kvHeads; ++kvHead) {
      attend(query, task - query.firstTask, kvHead, memory + thread * perThread);
    }
  });
  if (slots == 0) return few;
  parallelFor(context, queryCount * shape.kvHeads, [&](int64_t index, int) {
    const FewQuery& query = queries[index / shape.kvHeads];
    if (query.chunks == 1) return;
    merge(query, index % shape.kvHeads, sharedPartials(query, index % shape.kvHeads));
  });
  return few;
}

}  // namespace lowrank::cpu::LOWRANK_ISA
