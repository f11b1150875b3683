// What attention's forward and backward share: blocks of sequences, masks, and their operands packed for gemm's tiles.
//
// 1. A block has up to kBlock tokens of one sequence and one head. It is packed in words (gemm_tile.h): floats, or with
//    kDot pairs of bfloat16 along the axis that a product sums over.
//      rows     [token][rowPitch]              left operand, sums over the head's width
//      columns  [panel of tokens][step][...]   right operand, sums over the head's width
//      straight [panel of width][step][...]    right operand, sums over tokens
// 2. Results lie in panels: [panel][row][kPanel] float32.
// 3. Scores and their gradients are held transposed, keys by queries: queries are the lanes, so that maxima and sums
//    over keys need no horizontal step.
#pragma once

#include "gemm_pack.h"

namespace lowrank::cpu::LOWRANK_ISA {

// Whether rows of T are multiplied as pairs.
template <class T>
inline constexpr bool kHasPairs = kHasDot && kIsBFloat16<T>;

inline constexpr int64_t kBlock = 64;
static_assert(kBlock % kPanel == 0);

struct AttentionShape {
  int64_t headDim;
  int64_t heads;
  int64_t group;  // query heads per key/value head
  int64_t kvHeads;
  int64_t widthPanels;  // panels over the head's width
  int64_t steps;        // words over the head's width
  int64_t rowPitch;     // words from one packed row to the next
};

template <bool kDot>
LOWRANK_INLINE AttentionShape attentionShape(const Tensor& q, const Tensor& k, const AttentionOptions& options) {
  const int64_t headDim = options.headDim, heads = q.cols / headDim, kvHeads = k.cols / headDim;
  const int64_t steps = ceilDiv(headDim, kWordDepth<kDot>);
  return AttentionShape{
      headDim, heads, heads / kvHeads, kvHeads, ceilDiv(headDim, kPanel), steps, roundUp(steps, kLanes) + kLanes};
}

// Words of a block in each form, and floats of a result whose columns are the head's width.
LOWRANK_INLINE int64_t rowsWords(const AttentionShape& shape) {
  return kBlock * shape.rowPitch;
}
LOWRANK_INLINE int64_t columnsWords(const AttentionShape& shape) {
  return kBlock * shape.steps;
}
LOWRANK_INLINE int64_t widthWords(const AttentionShape& shape) {
  return kBlock * shape.widthPanels * kPanel;
}

// Where the keys of sequences lie (AttentionArgs).
struct KeyPlaces {
  Tensor cuSeqlensK;  // or blockTable
  Tensor seqUsedK{};  // may be left out
  Tensor blockTable{};
  int32_t blockSize = 0;
};

// One block of one sequence. Tokens are rows of the ragged matrices.
struct BlockTask {
  int64_t qBegin;  // the sequence's first query
  int64_t qCount;
  int64_t kBegin;
  int64_t kCount;
  int64_t first;  // of this block, counted inside the sequence
  int64_t count;
  const int32_t* pages;  // the sequence's row of blockTable, or nullptr
  int64_t pageRows;      // blockSize
};

// The row of a key. Those up to the next multiple of kBlock follow it.
LOWRANK_INLINE int64_t rowOfKey(const BlockTask& task, int64_t key) {
  if (task.pages == nullptr) return task.kBegin + key;
  return task.pages[key / task.pageRows] * task.pageRows + key % task.pageRows;
}

// False, with the fault recorded, where the boundaries do not ascend from 0 to the rows that there are.
LOWRANK_INLINE bool checkBoundaries(const Tensor& boundaries, int64_t rows, bool all, const char* name,
                                    Context& context) {
  const int32_t* at = static_cast<const int32_t*>(boundaries.data);
  const int64_t last = elementCount(boundaries) - 1;
  for (int64_t i = 0; i <= last; ++i) {
    const bool ascends = i == 0 ? at[0] == 0 : at[i] >= at[i - 1];
    if (ascends && (i < last || (all ? at[i] == rows : at[i] <= rows))) continue;
    context.fail("expected %s to ascend from 0 to %s%lld, got %d at position %lld", name, all ? "" : "at most ",
                 static_cast<long long>(rows), at[i], static_cast<long long>(i));
    return false;
  }
  return true;
}

// False, with the fault recorded, where a sequence would use more keys than it has.
LOWRANK_INLINE bool checkUsed(const Tensor& seqUsedK, const Tensor& cuK, Context& context) {
  const int32_t* used = static_cast<const int32_t*>(seqUsedK.data);
  const int32_t* k = static_cast<const int32_t*>(cuK.data);
  for (int64_t s = 0; s + 1 < elementCount(cuK); ++s) {
    if (used[s] >= 0 && used[s] <= k[s + 1] - k[s]) continue;
    context.fail("expected seqUsedK in [0, %d], the keys of sequence %lld, got %d", k[s + 1] - k[s],
                 static_cast<long long>(s), used[s]);
    return false;
  }
  return true;
}

// False, with the fault recorded, where a sequence would use keys of blocks that are not there.
LOWRANK_INLINE bool checkBlocks(const KeyPlaces& places, int64_t keys, Context& context) {
  const int32_t* used = static_cast<const int32_t*>(places.seqUsedK.data);
  const int64_t size = places.blockSize, most = places.blockTable.cols * size;
  for (int64_t s = 0; s < places.blockTable.rows; ++s) {
    if (used[s] < 0 || used[s] > most) {
      context.fail("expected seqUsedK in [0, %lld], the keys of sequence %lld, got %d", static_cast<long long>(most),
                   static_cast<long long>(s), used[s]);
      return false;
    }
    const int32_t* blocks = rowOf<int32_t>(places.blockTable, s);
    for (int64_t b = 0; b < ceilDiv(used[s], size); ++b) {
      if (blocks[b] >= 0 && blocks[b] < keys / size) continue;
      context.fail("expected blocks in [0, %lld), those of k, got %d for sequence %lld",
                   static_cast<long long>(keys / size), blocks[b], static_cast<long long>(s));
      return false;
    }
  }
  return true;
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

// All blocks of queries of all sequences. Returns nullptr when scratch is out.
LOWRANK_INLINE BlockTask* blockTasks(const Tensor& cuQ, const KeyPlaces& places, int64_t& count, Context& context) {
  const int32_t* q = static_cast<const int32_t*>(cuQ.data);
  const int32_t* k = static_cast<const int32_t*>(places.cuSeqlensK.data);
  const int32_t* used = static_cast<const int32_t*>(places.seqUsedK.data);
  const bool inBlocks = places.blockTable.data != nullptr;
  const int64_t sequences = elementCount(cuQ) - 1;
  count = 0;
  for (int64_t s = 0; s < sequences; ++s) count += ceilDiv(q[s + 1] - q[s], kBlock);
  BlockTask* tasks = scratch<BlockTask>(context, count);
  if (tasks == nullptr) return nullptr;
  int64_t next = 0;
  for (int64_t s = 0; s < sequences; ++s) {
    const int64_t queries = q[s + 1] - q[s], keys = used != nullptr ? used[s] : k[s + 1] - k[s];
    for (int64_t first = 0; first < queries; first += kBlock) {
      tasks[next++] = BlockTask{q[s],
                                queries,
                                inBlocks ? 0 : k[s],
                                keys,
                                first,
                                minOf(kBlock, queries - first),
                                inBlocks ? rowOf<int32_t>(places.blockTable, s) : nullptr,
                                places.blockSize};
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

LOWRANK_INLINE Visibility visibility(int64_t queries, int64_t keys, const AttentionOptions& options) {
  return Visibility{keys - queries, keys, options.window, options.causal != 0};
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

// Vectors that `columns` columns of panel `panel` need.
LOWRANK_INLINE int64_t panelVectors(int64_t columns, int64_t panel) {
  return ceilDiv(minOf(kPanel, columns - panel * kPanel), kLanes);
}

template <bool kDot, class T>
LOWRANK_INLINE void packBlockColumns(const T* x, int64_t stride, int64_t count, const AttentionShape& shape,
                                     float* columns) {
  for (int64_t panel = 0; panel * kPanel < count; ++panel) {
    packTransposed<kDot>(x + panel * kPanel * stride, stride, minOf(kPanel, count - panel * kPanel), shape.headDim,
                         columns + panel * shape.steps * kPanel, panelVectors(count, panel));
  }
}

template <bool kDot, class T>
LOWRANK_INLINE void packBlockStraight(const T* x, int64_t stride, int64_t count, const AttentionShape& shape,
                                      float* straight) {
  for (int64_t panel = 0; panel < shape.widthPanels; ++panel) {
    packStraight<kDot>(x + panel * kPanel, stride, minOf(kPanel, shape.headDim - panel * kPanel), count,
                       straight + panel * kBlock * kPanel, panelVectors(shape.headDim, panel));
  }
}

// A left operand: word (row, step) is at words[row * rowStep + step * stepStep].
struct LeftOperand {
  const float* words;
  int64_t rowStep;
  int64_t stepStep;
};

// c[row][kPanel] (+)= sum over steps of left(row, step) * b[step], one panel.
template <bool kDot>
LOWRANK_INLINE void multiplyPanel(const LeftOperand& left, int64_t rows, int64_t steps, const float* b, int64_t vectors,
                                  float* c, bool resume) {
  for (int64_t row = 0; row < rows; row += kTileRows) {
    const char* a = reinterpret_cast<const char*>(left.words + row * left.rowStep);
    sumTileFor<kDot>(minOf(kTileRows, rows - row), vectors)(a, left.rowStep * 4, left.stepStep * 4, b, steps,
                                                            c + row * kPanel, resume);
  }
}

// A product with a straight right operand. Panels of c are `panelStep` floats apart.
template <bool kDot>
LOWRANK_INLINE void multiplyStraight(const LeftOperand& left, int64_t rows, int64_t steps, const float* straight,
                                     const AttentionShape& shape, float* c, int64_t panelStep, bool resume) {
  for (int64_t panel = 0; panel < shape.widthPanels; ++panel) {
    multiplyPanel<kDot>(left, rows, steps, straight + panel * kBlock * kPanel, panelVectors(shape.headDim, panel),
                        c + panel * panelStep, resume);
  }
}

// Two rows as words of bfloat16 pairs, the earlier in the low half.
LOWRANK_INLINE Vec pairWords(Vec earlier, Vec later) {
  return reinterpret_cast<Vec>(roundToBFloat16(earlier) | roundToBFloat16(later) << 16);
}

// body(j, lanes) for each vector of one row of a result in panels: columns [j, j + lanes) are at body's third argument.
template <class Body>
LOWRANK_INLINE void forWidth(const AttentionShape& shape, const float* row, int64_t panelStep, const Body& body) {
  forLanes(shape.headDim, [&](int64_t j, int lanes) { body(j, lanes, row + j / kPanel * panelStep + j % kPanel); });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
