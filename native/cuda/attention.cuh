// What the attention kernels share: sequences in ragged rows, which keys a query sees, tiles in shared memory, products of warps.
#pragma once

#include "kernels.h"

namespace lowrank::LOWRANK_BACKEND {

inline constexpr int64_t kMostHeadDim = 256;
inline constexpr int64_t kMostTensorHeadDim = 128;  // of the kernels on tensor cores

struct AttentionArguments {
  int32_t headDim;
  int32_t group;  // query heads of one key/value head
  int32_t sequences;
  int32_t window;  // 0: none
  bool causal;
  float scale;
  float softcap;  // 0: none
  const int32_t* cuQ;
  const int32_t* cuK;
  const int32_t* used;  // keys that are there, by sequence; nullptr: all
  const FaultRecord* faults;
};

// Wrong boundaries are found and reported by a kernel of its own, launched first; those after it look before they trust them.
AttentionArguments beginAttention(const Tensor& q, const Tensor& k, const Tensor& cuSeqlensQ, const Tensor& cuSeqlensK,
                                  const Tensor& seqUsedK, const AttentionOptions& options, Queue& queue);

// Whether heads of this width can be computed at all; else a fault.
bool headDimFits(const AttentionOptions& options, Context& context);

// Rows as tiles of 16-byte pieces: every head of every row begins at a multiple of 16 bytes.
inline bool headsAligned(const Tensor& tensor, int32_t headDim) {
  return rowsAligned(tensor, 16) && headDim * sizeOf(tensor.dtype) % 16 == 0;
}

// Blocks of kSize rows of one sequence each, without a table of them: those of sequence s begin at slot cu[s] / kSize + s, and never reach
// the next one's. There are at most rows / kSize + sequences slots, some of which are empty.
template <int kSize>
unsigned blockSlots(int64_t rows, int32_t sequences) {
  return static_cast<unsigned>(rows / kSize + sequences);
}

struct SequenceBlock {
  int32_t qBegin;
  int32_t qCount;
  int32_t kBegin;
  int32_t kCount;
  int32_t first;  // row of the block, counted inside the sequence
  int32_t count;  // 0: an empty slot
};

// The block of `slot`, of rows of queries or of keys.
template <int kSize, bool kOfKeys>
__device__ __forceinline__ SequenceBlock blockOf(const AttentionArguments& args, int32_t slot) {
  SequenceBlock block{0, 0, 0, 0, 0, 0};
  if (args.faults->serial != 0) return block;
  const int32_t* const own = kOfKeys ? args.cuK : args.cuQ;
  int32_t low = 0, high = args.sequences;  // the last sequence whose slots begin at or before `slot` is in [low, high)
  while (high - low > 1) {
    const int32_t middle = (low + high) / 2;
    if (own[middle] / kSize + middle <= slot) {
      low = middle;
    } else {
      high = middle;
    }
  }
  block.qBegin = args.cuQ[low];
  block.qCount = args.cuQ[low + 1] - block.qBegin;
  block.kBegin = args.cuK[low];
  block.kCount = args.used != nullptr ? args.used[low] : args.cuK[low + 1] - block.kBegin;
  block.first = (slot - own[low] / kSize - low) * kSize;
  const int32_t left = own[low + 1] - own[low] - block.first;
  block.count = left < 0 ? 0 : left < kSize ? left : kSize;
  return block;
}

// Query i of a sequence sees its keys [firstKey, endKey); the last query is aligned with the last key.
__device__ __forceinline__ int32_t firstKey(const AttentionArguments& args, const SequenceBlock& block, int32_t query) {
  if (args.window == 0) return 0;
  const int32_t first = query + block.kCount - block.qCount - args.window + 1;
  return first < 0 ? 0 : first < block.kCount ? first : block.kCount;
}
__device__ __forceinline__ int32_t endKey(const AttentionArguments& args, const SequenceBlock& block, int32_t query) {
  if (!args.causal) return block.kCount;
  const int32_t end = query + block.kCount - block.qCount + 1;
  return end < 0 ? 0 : end < block.kCount ? end : block.kCount;
}
__device__ __forceinline__ bool sees(const AttentionArguments& args, const SequenceBlock& block, int32_t query,
                                     int32_t key) {
  return key >= firstKey(args, block, query) && key < endKey(args, block, query);
}

// The queries [first, end) that may see one of the keys [key, keyEnd).
struct Range {
  int32_t first;
  int32_t end;
};
__device__ __forceinline__ Range queriesOf(const AttentionArguments& args, const SequenceBlock& block, int32_t key,
                                           int32_t keyEnd) {
  const int32_t offset = block.kCount - block.qCount;
  Range range{0, block.qCount};
  if (args.causal && key - offset > 0) range.first = key - offset;
  if (args.window > 0 && keyEnd - 1 - offset + args.window < range.end) range.end = keyEnd - 1 - offset + args.window;
  return range;
}

// The score before softmax.
__device__ __forceinline__ float scored(const AttentionArguments& args, float product) {
  const float score = product * args.scale;
  return args.softcap > 0.0f ? args.softcap * tanh(score / args.softcap) : score;
}

// p and ds of one pair in backward.
struct Probability {
  float p;
  float ds;
};
__device__ __forceinline__ Probability probability(const AttentionArguments& args, bool visible, float product,
                                                   float lse, float dyDotV, float dyDotY) {
  if (!visible) return Probability{0.0f, 0.0f};
  float score = product * args.scale, slope = 1.0f;
  if (args.softcap > 0.0f) {
    const float t = tanh(score / args.softcap);
    score = args.softcap * t;
    slope = 1.0f - t * t;
  }
  const float p = exp(score - lse);
  return Probability{p, p * (dyDotV - dyDotY) * slope};
}

// A tile of 16-bit rows: row r at r * kPitch<kWidth>. The eight elements of padding put the rows of an 8x8 matrix into different banks.
template <int kWidth>
inline constexpr int kPitch = kWidth + 8;

// kRows rows of which `rows` are there and kWidth columns of which `cols` are; zeros beyond. With kVectors by asynchronous copies.
template <class T, int kRows, int kWidth, int kThreads, bool kVectors>
__device__ __forceinline__ void loadTile(T* tile, const T* from, int64_t stride, int32_t rows, int32_t cols) {
  if constexpr (kVectors) {
    constexpr int kPieces = kWidth / 8;
    LOWRANK_UNROLL for (int i = 0; i < kRows * kPieces / kThreads; ++i) {
      const int number = static_cast<int>(threadIdx.x) + i * kThreads, row = number / kPieces;
      const int col = number % kPieces * 8;
      const bool valid = row < rows && col < cols;
      cpAsync16(tile + row * kPitch<kWidth> + col, valid ? from + row * stride + col : from, valid);
    }
  } else {
    for (int number = static_cast<int>(threadIdx.x); number < kRows * kWidth; number += kThreads) {
      const int row = number / kWidth, col = number % kWidth;
      tile[row * kPitch<kWidth> + col] = row < rows && col < cols ? from[row * stride + col] : fromFloat<T>(0.0f);
    }
  }
}

// c[16, 8 kTiles] += a[16 rows] b[8 kTiles rows]^T, both of kWidth columns, c as mma() has it.
template <class T, int kWidth, int kTiles>
__device__ __forceinline__ void multiplyRows(float (&c)[kTiles][4], const T* a, const T* b, int lane) {
  LOWRANK_UNROLL for (int depth = 0; depth < kWidth; depth += 16) {
    uint32_t left[4];
    ldmatrix(left, a + (lane & 15) * kPitch<kWidth> + depth + (lane >> 4) * 8);
    LOWRANK_UNROLL for (int j = 0; j < kTiles; j += 2) {
      uint32_t right[4];
      ldmatrix(right, b + (8 * j + (lane & 7) + (lane >> 4) * 8) * kPitch<kWidth> + depth + (lane >> 3 & 1) * 8);
      const uint32_t first[2] = {right[0], right[1]}, second[2] = {right[2], right[3]};
      mma<T>(c[j], left, first);
      mma<T>(c[j + 1], left, second);
    }
  }
}

// c[16, kWidth] += p[16, 8 kTiles] b[8 kTiles rows of kWidth columns], with p as multiplyRows() leaves its result, rounded to T.
template <class T, int kWidth, int kTiles>
__device__ __forceinline__ void multiplyByRows(float (&c)[kWidth / 8][4], const float (&p)[kTiles][4], const T* b,
                                               int lane) {
  LOWRANK_UNROLL for (int k = 0; k < kTiles; k += 2) {
    const uint32_t left[4] = {packPair<T>(p[k][0], p[k][1]), packPair<T>(p[k][2], p[k][3]),
                              packPair<T>(p[k + 1][0], p[k + 1][1]), packPair<T>(p[k + 1][2], p[k + 1][3])};
    LOWRANK_UNROLL for (int j = 0; j < kWidth / 8; j += 2) {
      uint32_t right[4];
      ldmatrix<true>(right, b + (8 * k + (lane & 15)) * kPitch<kWidth> + 8 * j + (lane >> 4) * 8);
      const uint32_t first[2] = {right[0], right[1]}, second[2] = {right[2], right[3]};
      mma<T>(c[j], left, first);
      mma<T>(c[j + 1], left, second);
    }
  }
}

// Two of the four elements that a thread has of a 16x8 tile of results, in one row.
template <class T, bool kVectors>
__device__ __forceinline__ void storeTwo(T* row, int32_t col, int32_t cols, float first, float second) {
  if constexpr (kVectors) {
    if (col < cols) storeVector(row + col, packPair<T>(first, second));
  } else {
    if (col < cols) row[col] = fromFloat<T>(first);
    if (col + 1 < cols) row[col + 1] = fromFloat<T>(second);
  }
}

// float32 rows of shared memory from rows of T: row r at r * pitch; zeros where there is no row.
template <class T, int kThreads>
__device__ __forceinline__ void loadFloats(float* tile, int pitch, const T* from, int64_t stride, int32_t rows,
                                           int32_t present, int32_t cols) {
  for (int number = static_cast<int>(threadIdx.x); number < rows * cols; number += kThreads) {
    const int row = number / cols, col = number % cols;
    tile[row * pitch + col] = row < present ? toFloat(from[row * stride + col]) : 0.0f;
  }
}

// The kernels without tensor cores: one warp per row of its own, 32 rows of the others at a time. For float32, and for wide heads.
inline constexpr int kRowWarps = 8;
inline constexpr int kRowThreads = kRowWarps * kWarp;
inline constexpr int kColumnsPerLane = static_cast<int>(kMostHeadDim) / kWarp;

void attentionByRows(const AttentionArgs& args, const AttentionArguments& shape, int32_t splits, Context& context);
void attentionBackwardByRows(const AttentionBackwardArgs& args, const AttentionArguments& shape, const float* dots,
                             Queue& queue);

}  // namespace lowrank::LOWRANK_BACKEND
