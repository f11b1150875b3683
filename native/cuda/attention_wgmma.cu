// Attention by Hopper's warpgroups: heads of 16-bit types of up to 128 columns that begin at multiples of 16 bytes,
// more than two queries per sequence on average.
// Formulas, masks, roundings and the order of the two backward passes are those of attention.cu and
// attention_backward.cu.
//
// A block is two warpgroups with 64 rows of one head each (queries; for dk and dv keys), which stay in shared memory,
// and goes through the rows of the other side a tile at a time. wgmma multiplies both as they lie there to scores and
// dy.v; the weights, in registers and rounded, are then multiplied by the same tiles across (device.h, wgmmaOperand).
// Tiles are panels of 64 columns, in rows of 128 bytes; heads are padded to 64 or 128 columns.
// There is room for three tiles: one is used, the next one is on its way, and the one before is still read by products
// that were not waited for, so that those of the next tile follow them without a pause.
//
//            own rows  tile  blocks                shared memory, heads of 64 and 128  registers, at most
//   forward  128       128   (Nq / 128 + S, H)     112 KB, 224 KB                      255 (one block a multiprocessor)
//   dq       128       64    (Nq / 128 + S, H)     80 KB, 160 KB                       255
//   dk, dv   128       64    (Nk / 128 + S, Hkv)   and 1 KB                            255
//
// Roof: the rate of wgmma. A tile of 64 takes a warpgroup with heads of 128 columns 1,024 clocks of it for dk and dv,
// and its operands 768 of shared memory.
// Deterministic: a sum is one block's, in the order of the tiles.
#include "attention_backward.cuh"
#include "attention_wgmma.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kThreads = 256;
constexpr int kOwnRows = kWgmmaRows;
constexpr int kGroupRows = 64;
constexpr int kKeyTile = 128;   // of the forward
constexpr int kOtherTile = 64;  // of the backward
constexpr int kBuffers = 3;
constexpr int kMostDim = 128;
constexpr int kPanelCols = 64;
constexpr int kPieceCols = 8;                   // 16 bytes
constexpr int kAtomBytes = 8 * kPanelCols * 2;  // eight rows
constexpr int kDepthUnits = 16 * 2 / 16;        // from 16 columns to the next, in a descriptor's units of 16 bytes
constexpr int kRowsUnits = 16 / 8 * kAtomBytes / 16;  // from 16 rows to the next

// Rows [first, + count) of a head as panels of kRows rows, zeros in rows and columns that are not there; on their way
// until waited for.
template <int kDim, int kRows, class T, bool kInBlocks>
__device__ __forceinline__ void loadPanels(T* panels, const HeadRows<T, kInBlocks>& head, int64_t first, int count) {
  constexpr int kPieces = kDim / kPieceCols, kAtOnce = kThreads / kPieces;
  static_assert(kRows % kAtOnce == 0 && kAtOnce % 8 == 0);  // the swizzled place is the same for all rows of a thread
  const int row = static_cast<int>(threadIdx.x) / kPieces, piece = static_cast<int>(threadIdx.x) % kPieces;
  T* const to = panels + piece / 8 * (kRows * kPanelCols) + row * kPanelCols + (piece % 8 ^ (row & 7)) * kPieceCols;
  const bool inside = piece * kPieceCols < head.headDim;
  if constexpr (kInBlocks) {
    LOWRANK_UNROLL for (int i = 0; i < kRows; i += kAtOnce) {
      const bool valid = inside && row + i < count;
      cpAsync16(to + i * kPanelCols, valid ? head.row(first + row + i) + piece * kPieceCols : head.at, valid);
    }
  } else {
    const T* const from = head.row(first + row) + piece * kPieceCols;
    LOWRANK_UNROLL for (int i = 0; i < kRows; i += kAtOnce) {
      const bool valid = inside && row + i < count;
      cpAsync16(to + i * kPanelCols, valid ? from + i * head.stride : head.at, valid);
    }
  }
}

// products = the warpgroup's 64 rows of `own` times the kTile rows of `tile`, over the head's width.
template <int kDim, int kTile, class T>
__device__ __forceinline__ void multiplyRowsWide(float (&products)[kTile / 8][4], const T* own, const T* tile) {
  LOWRANK_UNROLL for (int panel = 0; panel < kDim / kPanelCols; ++panel) {
    const uint64_t a = wgmmaOperand(own + panel * kOwnRows * kPanelCols, 16, kAtomBytes);
    const uint64_t b = wgmmaOperand(tile + panel * kTile * kPanelCols, 16, kAtomBytes);
    LOWRANK_UNROLL for (int k = 0; k < kPanelCols / 16; ++k) {
      if (panel + k == 0) {
        wgmma<T, kTile, false, true>(products, a, b);
      } else {
        wgmma<T, kTile, false>(products, a + k * kDepthUnits, b + k * kDepthUnits);
      }
    }
  }
}

// A warpgroup's weights, 64 by kTile, as the left operands of products over the tile's rows.
template <class T, int kTiles>
__device__ __forceinline__ void packWeights(uint32_t (&packed)[kTiles / 2][4], const float (&weights)[kTiles][4]) {
  LOWRANK_UNROLL for (int k = 0; k < kTiles / 2; ++k) packLeft<T>(packed[k], weights[2 * k], weights[2 * k + 1]);
}

// sums += weights times the rows of `tile`.
template <int kDim, int kSteps, class T>
__device__ __forceinline__ void multiplyColumnsWide(float (&sums)[kDim / 8][4], const uint32_t (&weights)[kSteps][4],
                                                    const T* tile) {
  const uint64_t b = wgmmaOperand(tile, kSteps * 16 * kPanelCols * 2, kAtomBytes);
  LOWRANK_UNROLL for (int k = 0; k < kSteps; ++k) wgmma<T, kDim, true>(sums, weights[k], b + k * kRowsUnits);
}

template <class T, int kDim, bool kInBlocks>
__global__ void __launch_bounds__(kThreads, 1)
    wgmmaAttentionKernel(const SequenceTask* tasks, int32_t slots, int32_t skipped,
                         Matrix<const T> q,  // [Nq, H hd]
                         Matrix<const T> k,  // [Nk, Hkv hd]
                         Matrix<const T> v,  // [Nk, Hkv hd]
                         KeyBlocks blocks,
                         Matrix<T> y,        // [Nq, H hd]
                         Matrix<float> lse,  // [H, Nq]
                         AttentionOptions options) {
  // Causal blocks grow towards the end of a sequence: the long ones first leaves the short ones to fill the gaps.
  const SequenceTask task = tasks[slots - 1 - static_cast<int32_t>(blockIdx.x)];
  if (task.count <= skipped) return;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, group = thread / 128;
  const int groupRow = group * kGroupRows, warpRow = groupRow + thread % 128 / kWarp * 16;
  const int headDim = options.headDim, head = static_cast<int>(blockIdx.y);
  const int kvColumn = head / (q.cols / k.cols) * headDim;
  const Visibility seen = visibilityOf(task, options);
  const HeadRows<T> queries{q.row(task.qBegin + task.first) + head * headDim, q.stride, headDim, true};
  const auto keys = keyRowsOf<kInBlocks>(k, task, blocks, kvColumn, headDim, true);
  const auto values = keyRowsOf<kInBlocks>(v, task, blocks, kvColumn, headDim, true);
  T* const own = sharedMemory<T>();
  T* const others = own + kOwnRows * kDim;  // per buffer: K, then V

  // The keys that this thread's two rows see.
  int32_t first[2], end[2];
  RowSoftmax softmax = beginSoftmax();
  LOWRANK_UNROLL for (int half = 0; half < 2; ++half) {
    const int32_t query = task.first + warpRow + lane / 4 + 8 * half;
    first[half] = seen.firstKey(query);
    end[half] = seen.endKey(query);
  }
  float sums[kDim / 8][4] = {};

  const int32_t keyBegin = seen.firstKey(task.first) / kKeyTile * kKeyTile;
  const int32_t keyEnd = seen.endKey(task.first + task.count - 1);
  const auto tileAt = [&](int32_t k0) {
    return others + (k0 - keyBegin) / kKeyTile % kBuffers * (2 * kKeyTile * kDim);
  };
  const auto load = [&](int32_t k0) {
    const int count = static_cast<int>(minOf(kKeyTile, keyEnd - k0));
    loadPanels<kDim, kKeyTile>(tileAt(k0), keys, k0, count);
    loadPanels<kDim, kKeyTile>(tileAt(k0) + kKeyTile * kDim, values, k0, count);
    cpAsyncCommit();
  };
  loadPanels<kDim, kOwnRows>(own, queries, 0, task.count);
  cpAsyncCommit();
  if (keyBegin < keyEnd) load(keyBegin);
  for (int32_t k0 = keyBegin; k0 < keyEnd; k0 += kKeyTile) {
    cpAsyncWait<0>();
    wgmmaFence();
    syncThreads();  // this tile is there, and nobody reads the one before the last
    const T* const tile = tileAt(k0);
    float scores[kKeyTile / 8][4];
    wgmmaBegin();
    multiplyRowsWide<kDim, kKeyTile>(scores, own + groupRow * kPanelCols, tile);
    wgmmaCommit();
    if (k0 + kKeyTile < keyEnd) load(k0 + kKeyTile);
    wgmmaWait<0>();  // for the sums of the tile before as well

    scoreAll(scores, options);
    if (!seen.all(task.first, task.first + task.count, k0, k0 + kKeyTile)) {
      hide(scores, bitsToFloat(kMinusInfinityBits),
           [&](int half, int col) { return k0 + col >= first[half] && k0 + col < end[half]; });
    }
    addTile(softmax, scores, sums);
    uint32_t weights[kKeyTile / 16][4];
    packWeights<T>(weights, scores);
    wgmmaBegin();
    multiplyColumnsWide<kDim>(sums, weights, tile + kKeyTile * kDim);
    wgmmaCommit();
  }
  cpAsyncWait<0>();
  wgmmaWait<0>();

  float factors[2];
  endSoftmax(softmax, factors, lse.row(head) + task.qBegin + task.first + warpRow, task.count - warpRow);
  storeRows(sums, factors, y.row(task.qBegin + task.first + warpRow) + head * headDim, y.stride, task.count - warpRow,
            0, headDim, true);
}

// `second` is dv; the dq pass has none.
template <class T, int kDim, bool kKeys>
__global__ void __launch_bounds__(kThreads, 1)
    wgmmaAttentionBackwardKernel(const SequenceTask* tasks, int32_t slots, Sides<T> sides, Matrix<T> first,
                                 Matrix<T> second, AttentionOptions options) {
  const SequenceTask task = tasks[slots - 1 - static_cast<int32_t>(blockIdx.x)];
  if (task.count == 0) return;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warpgroup = thread / 128;
  const int groupRow = warpgroup * kGroupRows, warpRow = groupRow + thread % 128 / kWarp * 16;
  const int headDim = options.headDim, group = sides.q.cols / sides.k.cols;
  const int kvHead = kKeys ? static_cast<int>(blockIdx.y) : static_cast<int>(blockIdx.y) / group;
  const int firstHead = kKeys ? kvHead * group : static_cast<int>(blockIdx.y);
  const Visibility seen = visibilityOf(task, options);
  const auto queriesOf = [&](const Matrix<const T>& x, int head) {
    return HeadRows<T>{x.row(task.qBegin) + head * headDim, x.stride, headDim, true};
  };
  const auto keysOf = [&](const Matrix<const T>& x) {
    return HeadRows<T>{x.row(task.kBegin) + kvHead * headDim, x.stride, headDim, true};
  };
  T* const own = sharedMemory<T>();                 // Q or K
  T* const ownUpstream = own + kOwnRows * kDim;     // dy or V
  T* const others = ownUpstream + kOwnRows * kDim;  // per buffer: K or Q, then V or dy
  OfQuery* const ofColumns = reinterpret_cast<OfQuery*>(others + kBuffers * 2 * kOtherTile * kDim);  // two tiles'

  const OtherSide side = otherSideOf<kKeys>(task, seen, firstHead, group, kOtherTile);
  const auto tileAt = [&](int32_t tile) { return others + tile % kBuffers * (2 * kOtherTile * kDim); };
  const auto load = [&](int32_t tile) {
    const OtherSide::Place to = side.placeOf(tile);
    loadPanels<kDim, kOtherTile>(tileAt(tile), kKeys ? queriesOf(sides.q, to.head) : keysOf(sides.k), to.at,
                                 to.end - to.at);
    loadPanels<kDim, kOtherTile>(tileAt(tile) + kOtherTile * kDim,
                                 kKeys ? queriesOf(sides.dy, to.head) : keysOf(sides.v), to.at, to.end - to.at);
    cpAsyncCommit();
  };
  // What belongs to the columns of a tile where they are queries, of the first threads one each.
  const bool stages = kKeys && thread < kOtherTile;
  const auto ofColumn = [&](int32_t tile) {
    const OtherSide::Place of = side.placeOf(tile);
    return of.at + thread < of.end ? ofQuery(sides, of.head, task.qBegin + of.at + thread) : OfQuery{};
  };
  OfQuery ofRows[2] = {};
  if constexpr (!kKeys) {
    LOWRANK_UNROLL for (int half = 0; half < 2; ++half) {
      const int row = warpRow + lane / 4 + 8 * half;
      if (row < task.count) ofRows[half] = ofQuery(sides, firstHead, task.qBegin + task.first + row);
    }
  }
  loadPanels<kDim, kOwnRows>(own, kKeys ? keysOf(sides.k) : queriesOf(sides.q, firstHead), task.first, task.count);
  loadPanels<kDim, kOwnRows>(ownUpstream, kKeys ? keysOf(sides.v) : queriesOf(sides.dy, firstHead), task.first,
                             task.count);
  cpAsyncCommit();
  if (side.tiles > 0) {
    load(0);
    if (stages) ofColumns[thread] = ofColumn(0);
  }
  float sums[kDim / 8][4] = {}, upstreamSums[kKeys ? kDim / 8 : 1][4] = {};
  for (int32_t tile = 0; tile < side.tiles; ++tile) {
    cpAsyncWait<0>();
    wgmmaFence();
    syncThreads();  // this tile is there, and nobody reads the one before the last
    OfQuery next{};
    if (tile + 1 < side.tiles) {
      load(tile + 1);
      if (stages) next = ofColumn(tile + 1);
    }
    const T* const other = tileAt(tile);
    const T* const otherUpstream = other + kOtherTile * kDim;
    float ds[kOtherTile / 8][4], p[kOtherTile / 8][4];
    wgmmaBegin();
    multiplyRowsWide<kDim, kOtherTile>(ds, own + groupRow * kPanelCols, other);
    multiplyRowsWide<kDim, kOtherTile>(p, ownUpstream + groupRow * kPanelCols, otherUpstream);
    wgmmaCommit();
    if (stages) ofColumns[(tile + 1) % 2 * kOtherTile + thread] = next;
    wgmmaWait<0>();  // for the sums of the tile before as well

    const OtherSide::Place place = side.placeOf(tile);
    const OfQuery* const columns = ofColumns + tile % 2 * kOtherTile;
    weigh(ds, p, [&](int half, int col) { return kKeys ? columns[col] : ofRows[half]; }, options);
    hidePairs<kKeys>(ds, p, task, kOwnRows, warpRow + lane / 4, place, seen);
    uint32_t packed[kOtherTile / 16][4];
    if constexpr (kKeys) {
      uint32_t upstreamPacked[kOtherTile / 16][4];
      packWeights<T>(upstreamPacked, p);
      packWeights<T>(packed, ds);
      wgmmaBegin();
      multiplyColumnsWide<kDim>(upstreamSums, upstreamPacked, otherUpstream);
      wgmmaCommit();
      multiplyColumnsWide<kDim>(sums, packed, other);
      wgmmaCommit();
      // survives: it is about registers, which the next scores need; the wait for those scores is for this product too
      wgmmaWait<1>();
    } else {
      packWeights<T>(packed, ds);
      wgmmaBegin();
      multiplyColumnsWide<kDim>(sums, packed, other);
      wgmmaCommit();
    }
  }
  cpAsyncWait<0>();
  wgmmaWait<0>();

  const int64_t row = (kKeys ? task.kBegin : task.qBegin) + task.first + warpRow;
  const int column = static_cast<int>(blockIdx.y) * headDim, rows = task.count - warpRow;
  const float scales[2] = {options.scale, options.scale};
  storeRows(sums, scales, first.row(row) + column, first.stride, rows, 0, headDim, true);
  if constexpr (kKeys) {
    const float ones[2] = {1.0f, 1.0f};
    storeRows(upstreamSums, ones, second.row(row) + column, second.stride, rows, 0, headDim, true);
  }
}

bool suits(const AttentionOptions& options, DType dtype, Queue& queue) {
  return queue.runsWgmma() && dtype != DType::kFloat32 && options.headDim <= kMostDim;
}

dim3 gridOf(const SequenceTasks& tasks, const Tensor& own, const AttentionOptions& options) {
  return dim3(static_cast<unsigned>(tasks.slots), static_cast<unsigned>(own.cols / options.headDim));
}

template <class T, int kDim, bool kInBlocks>
void attendAs(const AttentionArgs& args, const SequenceTasks& tasks, Queue& queue) {
  constexpr size_t kShared = (kOwnRows + kBuffers * 2 * kKeyTile) * kDim * sizeof(T);
  launchOnSm90<wgmmaAttentionKernel<T, kDim, kInBlocks>>(
      queue, gridOf(tasks, args.q, args.options), kThreads, kShared, tasks.at, tasks.slots,
      tasks.shares != nullptr ? 2 : 0, matrixOf<const T>(args.q), matrixOf<const T>(args.k), matrixOf<const T>(args.v),
      keyBlocksOf(args), matrixOf<T>(args.y), matrixOf<float>(args.lse), args.options);
}

template <class T, bool kInBlocks>
void attend(const AttentionArgs& args, const SequenceTasks& tasks, Queue& queue) {
  args.options.headDim <= 64 ? attendAs<T, 64, kInBlocks>(args, tasks, queue)
                             : attendAs<T, 128, kInBlocks>(args, tasks, queue);
}

template <class T, int kDim, bool kKeys>
void passAs(const AttentionBackwardArgs& args, const float* dots, Context& context) {
  constexpr size_t kShared =
      (2 * kOwnRows + kBuffers * 2 * kOtherTile) * kDim * sizeof(T) + (kKeys ? 2 * kOtherTile * sizeof(OfQuery) : 0);
  const SequenceTasks tasks =
      planTasks(args.cuSeqlensQ, KeyPlaces{args.cuSeqlensK}, args.q.rows, args.k.rows, kOwnRows, kKeys, false, context);
  if (tasks.at == nullptr) return;
  launchOnSm90<wgmmaAttentionBackwardKernel<T, kDim, kKeys>>(
      queueOf(context), gridOf(tasks, kKeys ? args.k : args.q, args.options), kThreads, kShared, tasks.at, tasks.slots,
      sidesOf<T>(args, dots), matrixOf<T>(kKeys ? args.dk : args.dq), matrixOf<T>(kKeys ? args.dv : Tensor{}),
      args.options);
}

template <class T, int kDim>
void passesAs(const AttentionBackwardArgs& args, const float* dots, Context& context) {
  passAs<T, kDim, false>(args, dots, context);
  passAs<T, kDim, true>(args, dots, context);
}

// call(T{}) with the 16-bit dtype as a type.
template <class Call>
void withHalfType(DType dtype, const Call& call) {
  if (dtype == DType::kBFloat16) return call(BFloat16{});
  call(Float16{});
}

}  // namespace

bool suitsWgmma(const AttentionArgs& args, Context& context) {
  const AttentionOptions& options = args.options;
  return suits(options, args.q.dtype, queueOf(context)) && wholeHeads(args.q, options) && wholeHeads(args.k, options) &&
         wholeHeads(args.v, options) && wholeHeads(args.y, options);
}

void attentionByWgmma(const AttentionArgs& args, const SequenceTasks& tasks, Context& context) {
  Queue& queue = queueOf(context);
  withHalfType(args.q.dtype, [&](auto type) {
    using T = decltype(type);
    present(args.blockTable) ? attend<T, true>(args, tasks, queue) : attend<T, false>(args, tasks, queue);
  });
}

bool attentionBackwardByWgmma(const AttentionBackwardArgs& args, const float* dots, Context& context) {
  if (!suits(args.options, args.q.dtype, queueOf(context)) || !wholeHeads(args)) return false;
  withHalfType(args.q.dtype, [&](auto type) {
    using T = decltype(type);
    args.options.headDim <= 64 ? passesAs<T, 64>(args, dots, context) : passesAs<T, 128>(args, dots, context);
  });
  return true;
}

}  // namespace lowrank::LOWRANK_BACKEND
