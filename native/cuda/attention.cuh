// What attention's forward and backward share: blocks of sequences, masks, and tiles of a head in shared memory.
//
// 1. Query i of a sequence sees the keys [firstKey(i), endKey(i)); the interval may be empty.
// 2. A tile has rows of one head, padded with zeros to kDim columns, and 16 bytes more from one row to the next: the
//    eight rows of an ldmatrix then lie in different banks.
// 3. Scores are kept times log2(e), so that exponentials are powers of two.
#pragma once

#include "sequence_tasks.h"

namespace lowrank::LOWRANK_BACKEND {

inline constexpr int kAttentionWarps = 4;
inline constexpr int kAttentionThreads = kAttentionWarps * kWarp;
inline constexpr int kBlockRows = 16 * kAttentionWarps;  // queries of a forward block
inline constexpr int kMostHeadDim = 256;
inline constexpr float kLog2E = 1.44269504f;
inline constexpr float kLn2 = 0.693147181f;
inline constexpr uint32_t kMinusInfinityBits = 0xff800000u;

struct Visibility {
  int32_t offset;  // lenK - lenQ: the last query sees the last key
  int32_t keys;
  int32_t window;
  bool causal;

  __device__ __forceinline__ int32_t firstKey(int32_t query) const {
    if (window <= 0) return 0;
    return static_cast<int32_t>(minOf(keys, maxOf(0, static_cast<int64_t>(query) + offset - window + 1)));
  }
  __device__ __forceinline__ int32_t endKey(int32_t query) const {
    if (!causal) return keys;
    const int32_t end = query + offset + 1;
    return end < 0 ? 0 : end < keys ? end : keys;
  }
  // True when every query of [q0, q1) sees every key of [k0, k1).
  __device__ __forceinline__ bool all(int32_t q0, int32_t q1, int32_t k0, int32_t k1) const {
    return firstKey(q1 - 1) <= k0 && k1 <= endKey(q0);
  }
  // The queries of a sequence that see any key of [k0, k1) are within [firstQuery(k0), endQuery(k1, queries)).
  __device__ __forceinline__ int32_t firstQuery(int32_t k0) const { return causal && k0 > offset ? k0 - offset : 0; }
  __device__ __forceinline__ int32_t endQuery(int32_t k1, int32_t queries) const {
    if (window <= 0) return queries;
    return static_cast<int32_t>(maxOf(0, minOf(queries, static_cast<int64_t>(k1) + window - 1 - offset)));
  }
};

__device__ __forceinline__ Visibility visibilityOf(const SequenceTask& task, const AttentionOptions& options) {
  return Visibility{task.kCount - task.qCount, task.kCount, options.window, options.causal != 0};
}

struct Score {
  float value;  // times log2(e)
  float slope;  // of the softcap
};

__device__ __forceinline__ Score plainScore(float product, const AttentionOptions& options) {
  return Score{product * (options.scale * kLog2E), 1.0f};
}
__device__ __forceinline__ Score cappedScore(float product, const AttentionOptions& options) {
  const float t = tanh(product * options.scale / options.softcap);
  return Score{options.softcap * kLog2E * t, 1.0f - t * t};
}
__device__ __forceinline__ Score scoreOf(float product, const AttentionOptions& options) {
  return options.softcap > 0.0f ? cappedScore(product, options) : plainScore(product, options);
}

// The column of element e of this thread's n-th tile of 8 columns, as mma has it. The row is lane / 4, and 8 more for
// the last two elements.
__device__ __forceinline__ int columnOf(int n, int e) {
  return 8 * n + static_cast<int>(threadIdx.x) % 4 * 2 + e % 2;
}

// From products to scores. What is decided once per tile is not decided for each element.
template <int kTiles>
__device__ __forceinline__ void scoreAll(float (&scores)[kTiles][4], const AttentionOptions& options) {
  const auto all = [&](const auto& scored) {
    LOWRANK_UNROLL for (int n = 0; n < kTiles; ++n) {
      LOWRANK_UNROLL for (int e = 0; e < 4; ++e) scores[n][e] = scored(scores[n][e]).value;
    }
  };
  if (options.softcap > 0.0f) {
    all([&](float product) { return cappedScore(product, options); });
  } else {
    all([&](float product) { return plainScore(product, options); });
  }
}

// `by` instead of the values whose pairs are not visible(half, column).
template <int kTiles, class Visible>
__device__ __forceinline__ void hide(float (&values)[kTiles][4], float by, const Visible& visible) {
  LOWRANK_UNROLL for (int n = 0; n < kTiles; ++n) {
    LOWRANK_UNROLL for (int e = 0; e < 4; ++e) {
      if (!visible(e / 2, columnOf(n, e))) values[n][e] = by;
    }
  }
}

// Softmax of this thread's two rows, whose scores come tile by tile.
struct RowSoftmax {
  float maximum[2];
  float sum[2];  // of this thread's elements
};

__device__ __forceinline__ RowSoftmax beginSoftmax() {
  const float none = bitsToFloat(kMinusInfinityBits);
  return RowSoftmax{{none, none}, {0.0f, 0.0f}};
}

// From a tile's scores to e^(score - maximum); `sums`, of the tiles before, are brought to the same maximum.
template <int kTiles, int kSums>
__device__ __forceinline__ void addTile(RowSoftmax& rows, float (&scores)[kTiles][4], float (&sums)[kSums][4]) {
  float largest[2] = {rows.maximum[0], rows.maximum[1]};
  LOWRANK_UNROLL for (int n = 0; n < kTiles; ++n) {
    LOWRANK_UNROLL for (int e = 0; e < 4; ++e) largest[e / 2] = fmax(largest[e / 2], scores[n][e]);
  }
  LOWRANK_UNROLL for (int half = 0; half < 2; ++half) {
    largest[half] = fmax(largest[half], shuffleXor(largest[half], 1));
    largest[half] = fmax(largest[half], shuffleXor(largest[half], 2));
    // Where nothing was visible yet the maximum is -infinity; subtracting 0 instead keeps the exponentials at 0.
    const float shift = largest[half] == bitsToFloat(kMinusInfinityBits) ? 0.0f : largest[half];
    const float rescale = exp2Fast(rows.maximum[half] - shift);
    rows.maximum[half] = largest[half];
    largest[half] = shift;
    rows.sum[half] *= rescale;
    LOWRANK_UNROLL for (int n = 0; n < kSums; ++n) {
      sums[n][2 * half] *= rescale;
      sums[n][2 * half + 1] *= rescale;
    }
  }
  LOWRANK_UNROLL for (int n = 0; n < kTiles; ++n) {
    LOWRANK_UNROLL for (int e = 0; e < 4; ++e) {
      scores[n][e] = exp2Fast(scores[n][e] - largest[e / 2]);
      rows.sum[e / 2] += scores[n][e];
    }
  }
}

// What sums are to be multiplied by, and to `lse` the rows lane / 4 and lane / 4 + 8 that are there.
__device__ __forceinline__ void endSoftmax(RowSoftmax& rows, float (&factors)[2], float* lse, int count) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  LOWRANK_UNROLL for (int half = 0; half < 2; ++half) {
    float sum = rows.sum[half];
    sum += shuffleXor(sum, 1);
    sum += shuffleXor(sum, 2);
    const bool any = sum > 0.0f;
    factors[half] = any ? 1.0f / sum : 0.0f;
    const int row = lane / 4 + 8 * half;
    if (lane % 4 == 0 && row < count)
      lse[row] = any ? rows.maximum[half] * kLn2 + log(sum) : bitsToFloat(kMinusInfinityBits);
  }
}

// False, with the fault recorded, for heads that are wider than registers hold.
inline bool checkHeadDim(const AttentionOptions& options, Context& context) {
  if (options.headDim <= kMostHeadDim) return true;
  context.fail("expected heads of at most %d columns on a GPU, got %d; use device 'cpu', which takes any width",
               kMostHeadDim, options.headDim);
  return false;
}

// Where attention's keys lie in blocks (AttentionArgs); without them `table` is null.
struct KeyBlocks {
  const int32_t* table;
  int64_t stride;  // of the table
  int32_t bits;    // 1 << bits keys per block
  __device__ __forceinline__ const int32_t* of(const SequenceTask& task) const {
    return table + task.sequence * stride;
  }
};

inline KeyBlocks keyBlocksOf(const AttentionArgs& args) {
  int32_t bits = 0;
  while (1 << bits < args.blockSize) ++bits;
  return KeyBlocks{static_cast<const int32_t*>(args.blockTable.data), args.blockTable.stride, bits};
}

// The row of a sequence's key whose blocks are `blocks`.
__device__ __forceinline__ int64_t rowInBlocks(const int32_t* blocks, int32_t bits, int64_t key) {
  return (static_cast<int64_t>(blocks[key >> bits]) << bits) + (key & ((int64_t{1} << bits) - 1));
}

// Rows of a tensor that are one head of one sequence; in blocks with kInBlocks.
template <class T, bool kInBlocks = false>
struct HeadRows {
  const T* at;
  int64_t stride;
  int32_t headDim;
  bool whole;  // may be copied 16 bytes at a time
  const int32_t* blocks = nullptr;
  int32_t bits = 0;
  __device__ __forceinline__ const T* row(int64_t index) const {
    if constexpr (kInBlocks) return at + rowInBlocks(blocks, bits, index) * stride;
    return at + index * stride;
  }
};

// The head at `column` of a task's keys, or of their values.
template <bool kInBlocks, class T>
__device__ __forceinline__ HeadRows<T, kInBlocks> keyRowsOf(const Matrix<const T>& x, const SequenceTask& task,
                                                            const KeyBlocks& blocks, int column, int headDim,
                                                            bool whole) {
  if constexpr (kInBlocks) return {x.data + column, x.stride, headDim, whole, blocks.of(task), blocks.bits};
  return {x.row(task.kBegin) + column, x.stride, headDim, whole};
}

inline bool wholeHeads(const Tensor& tensor, const AttentionOptions& options) {
  return rowsAligned(tensor, 16) && options.headDim * sizeOf(tensor.dtype) % 16 == 0;
}

template <int kDim>
inline constexpr int kPitch = kDim + 8;

// `count` rows from `first` on, zeros in the others; on their way until waited for. The columns past the head's width
// are left as they are.
template <int kDim, int kRows, class T, bool kInBlocks>
__device__ __forceinline__ void loadTile(T* tile, const HeadRows<T, kInBlocks>& rows, int64_t first, int count) {
  // A tile of keys begins at a multiple of its rows and lies in one block.
  const T* const from = rows.row(first);
  if (rows.whole) {
    constexpr int kPieces = kDim / 8;
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kPieces; i += kAttentionThreads) {
      const int row = i / kPieces, col = i % kPieces * 8;
      if (col < rows.headDim) cpAsync16(tile + row * kPitch<kDim> + col, from + row * rows.stride + col, row < count);
    }
  } else {
    for (int i = static_cast<int>(threadIdx.x); i < kRows * kDim; i += kAttentionThreads) {
      const int row = i / kDim, col = i % kDim;
      if (col >= rows.headDim) continue;
      tile[row * kPitch<kDim> + col] = row < count ? from[row * rows.stride + col] : fromFloat<T>(0.0f);
    }
  }
  cpAsyncCommit();
}

// The columns of consecutive tiles past the head's width.
template <int kDim, class T>
__device__ __forceinline__ void clearPadding(T* tiles, int rows, int headDim) {
  const int padding = kDim - headDim;
  for (int i = static_cast<int>(threadIdx.x); i < rows * padding; i += kAttentionThreads) {
    tiles[i / padding * kPitch<kDim> + headDim + i % padding] = fromFloat<T>(0.0f);
  }
}

// products[n] += 16 rows of `left` times the rows [8 n, 8 n + 8) of `right`, over the head's width.
template <int kDim, int kTiles, class T>
__device__ __forceinline__ void multiplyRows(float (&products)[kTiles][4], const T* left, const T* right) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const T* const leftAt = left + lane % 16 * kPitch<kDim> + lane / 16 * 8;
  const T* const rightAt = right + (lane % 8 + lane / 16 * 8) * kPitch<kDim> + lane / 8 % 2 * 8;
  LOWRANK_UNROLL for (int col = 0; col < kDim; col += 16) {
    uint32_t a[4];
    ldmatrix(a, leftAt + col);
    LOWRANK_UNROLL for (int n = 0; n < kTiles; n += 2) {
      uint32_t b[4];
      ldmatrix(b, rightAt + n * 8 * kPitch<kDim> + col);
      mma<T>(products[n], a, {b[0], b[1]});
      mma<T>(products[n + 1], a, {b[2], b[3]});
    }
  }
}

// Two tiles of weights, 16 by 8 each, as a left operand over their 16 columns; rounded to T.
template <class T>
__device__ __forceinline__ void packLeft(uint32_t (&a)[4], const float (&first)[4], const float (&second)[4]) {
  a[0] = packPair<T>(first[0], first[1]);
  a[1] = packPair<T>(first[2], first[3]);
  a[2] = packPair<T>(second[0], second[1]);
  a[3] = packPair<T>(second[2], second[3]);
}

// sums[n] += weights, 16 by 8 kSteps * 2, times the columns [8 n, 8 n + 8) of `right`, over its rows. Weights are
// rounded to T.
template <int kDim, int kWeights, int kTiles, class T>
__device__ __forceinline__ void multiplyColumns(float (&sums)[kTiles][4], const float (&weights)[kWeights][4],
                                                const T* right) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const T* const rightAt = right + lane % 16 * kPitch<kDim> + lane / 16 * 8;
  LOWRANK_UNROLL for (int w = 0; w < kWeights; w += 2) {
    uint32_t a[4];
    packLeft<T>(a, weights[w], weights[w + 1]);
    LOWRANK_UNROLL for (int n = 0; n < kTiles; n += 2) {
      uint32_t b[4];
      ldmatrix<true>(b, rightAt + w * 8 * kPitch<kDim> + n * 8);
      mma<T>(sums[n], a, {b[0], b[1]});
      mma<T>(sums[n + 1], a, {b[2], b[3]});
    }
  }
}

// A warp's 16 rows, times `factors` of rows lane / 4 and lane / 4 + 8, to the columns from `firstCol` on.
template <int kTiles, class T>
__device__ __forceinline__ void storeRows(const float (&sums)[kTiles][4], const float (&factors)[2], T* to,
                                          int64_t stride, int rows, int firstCol, int headDim, bool whole) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  LOWRANK_UNROLL for (int half = 0; half < 2; ++half) {
    const int row = lane / 4 + 8 * half;
    if (row >= rows) continue;
    T* const at = to + row * stride;
    LOWRANK_UNROLL for (int n = 0; n < kTiles; ++n) {
      const int col = firstCol + 8 * n + lane % 4 * 2;
      const float first = sums[n][2 * half] * factors[half], second = sums[n][2 * half + 1] * factors[half];
      if (whole) {
        if (col < headDim) storeVector(at + col, packPair<T>(first, second));
      } else {
        if (col < headDim) at[col] = fromFloat<T>(first);
        if (col + 1 < headDim) at[col + 1] = fromFloat<T>(second);
      }
    }
  }
}

}  // namespace lowrank::LOWRANK_BACKEND
