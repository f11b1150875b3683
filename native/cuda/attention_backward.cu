// Attention's backward. With D = dy.y, s_j = scale q.k_j or c tanh(scale q.k_j / c), p_j = e^(s_j - lse), recomputed:
//   dv_j = sum over queries of p_j dy;  ds_j = p_j (dy.v_j - D), times 1 - (s_j / c)^2 under softcap
//   dq = scale sum over keys of ds_j k_j;  dk_j = scale sum over queries of ds_j q
//
// Shapes, dtypes and masks as in attention.cu; dk and dv rows that belong to no sequence are zero. Products and sums
// are float32; each output is rounded once. With 16-bit types p and ds are rounded for the products that they enter.
// Work: 14 hd FLOP per visible pair and head, 4 of them for products that both passes make: the price of sums that need
// no atomics. Roof: mma.sync.
//
// D comes first, then two passes of the same form, on Hopper those of attention_wgmma.cu for most heads of 16-bit
// types. A block has some rows of its own and goes through those of the other side that see them, 32 at a time (8 in
// float32), the next ones on their way:
//   dq      own rows are queries of one head (Q, dy), the others keys (K, V): the weights ds times K
//   dk, dv  own rows are keys of one key/value head (K, V), the others queries (Q, dy) of each of its query heads in
//           turn: ds times Q, p times dy
//
//                  threads  blocks                                    shared memory
//   D              128      Nq H / 4                                  0
//   plan           256      1                                         32 bytes
//   tensor cores   128      (N / 64 + S, heads, 1 or 2 column parts)  36 KB, 68 KB, 99 KB by the padded head
//   plain          256      (N / 32 + S, heads)                       80 rows of 4 (hd + 1) bytes, and 2 KB
// Heads of 256 columns make dk and dv in two parts of 128, each with all of the products before: registers hold no
// more.
// Deterministic: every sum is one thread's, in an order that the sequences give.
#include "attention_backward.cuh"
#include "attention_wgmma.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kOtherRows = 32;
// Tiles of the other side: the next one is on its way while one is used, where two fit 99 KB.
template <int kDim>
constexpr int kBuffers = kDim <= 128 ? 2 : 1;

// D for every query and head: a warp each.
template <class T>
__global__ void __launch_bounds__(kAttentionThreads) dotsKernel(Matrix<const T> dy,  // [Nq, H hd]
                                                                Matrix<const T> y,   // [Nq, H hd]
                                                                int32_t headDim,
                                                                float* dots) {  // [H, Nq]
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int32_t heads = dy.cols / headDim;
  const int64_t index = static_cast<int64_t>(blockIdx.x) * kAttentionWarps + warp, row = index / heads;
  if (row >= dy.rows) return;
  const int64_t head = index % heads;
  const T* const gradients = dy.row(row) + head * headDim;
  const T* const values = y.row(row) + head * headDim;
  float sum = 0.0f;
  for (int col = lane; col < headDim; col += kWarp)
    sum = multiplyAdd(toFloat(gradients[col]), toFloat(values[col]), sum);
  sum = warpSum(sum);
  if (lane == 0) dots[head * dy.rows + row] = sum;
}

// kOut columns of the gradients, those from blockIdx.z * kOut on. `second` is dv; the dq pass has none.
// Left to itself the compiler would rather spill a few registers of narrow heads than give up a third block per
// multiprocessor.
template <class T, int kDim, int kOut, bool kKeys>
__global__ void __launch_bounds__(kAttentionThreads, 2)
    attentionBackwardKernel(const SequenceTask* tasks, int32_t slots, Sides<T> sides, Matrix<T> first, Matrix<T> second,
                            AttentionOptions options, bool whole) {
  const SequenceTask task = tasks[slots - 1 - static_cast<int32_t>(blockIdx.x)];
  if (task.count == 0) return;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int headDim = options.headDim, group = sides.q.cols / sides.k.cols;
  const int kvHead = kKeys ? static_cast<int>(blockIdx.y) : static_cast<int>(blockIdx.y) / group;
  const int firstHead = kKeys ? kvHead * group : static_cast<int>(blockIdx.y);
  const int firstCol = static_cast<int>(blockIdx.z) * kOut;
  const Visibility seen = visibilityOf(task, options);
  const auto queriesOf = [&](const Matrix<const T>& x, int head) {
    return HeadRows<T>{x.row(task.qBegin) + head * headDim, x.stride, headDim, whole};
  };
  const auto keysOf = [&](const Matrix<const T>& x) {
    return HeadRows<T>{x.row(task.kBegin) + kvHead * headDim, x.stride, headDim, whole};
  };
  T* const own = sharedMemory<T>();                           // Q or K
  T* const ownUpstream = own + kBlockRows * kPitch<kDim>;     // dy or V
  T* const others = ownUpstream + kBlockRows * kPitch<kDim>;  // per buffer: K or Q, then V or dy
  if (headDim < kDim) clearPadding<kDim>(own, 2 * (kBlockRows + kBuffers<kDim> * kOtherRows), headDim);
  loadTile<kDim, kBlockRows>(own, kKeys ? keysOf(sides.k) : queriesOf(sides.q, firstHead), task.first, task.count);
  loadTile<kDim, kBlockRows>(ownUpstream, kKeys ? keysOf(sides.v) : queriesOf(sides.dy, firstHead), task.first,
                             task.count);

  // What belongs to this thread's two rows, where they are queries.
  OfQuery ofRows[2] = {};
  if constexpr (!kKeys) {
    LOWRANK_UNROLL for (int half = 0; half < 2; ++half) {
      const int row = 16 * warp + lane / 4 + 8 * half;
      if (row < task.count) ofRows[half] = ofQuery(sides, firstHead, task.qBegin + task.first + row);
    }
  }
  float sums[kOut / 8][4] = {}, upstreamSums[kKeys ? kOut / 8 : 1][4] = {};
  const OtherSide side = otherSideOf<kKeys>(task, seen, firstHead, group, kOtherRows);
  const auto load = [&](int32_t tile) {
    const OtherSide::Place to = side.placeOf(tile);
    T* const other = others + tile % kBuffers<kDim> * 2 * kOtherRows * kPitch<kDim>;
    loadTile<kDim, kOtherRows>(other, kKeys ? queriesOf(sides.q, to.head) : keysOf(sides.k), to.at, to.end - to.at);
    loadTile<kDim, kOtherRows>(other + kOtherRows * kPitch<kDim>,
                               kKeys ? queriesOf(sides.dy, to.head) : keysOf(sides.v), to.at, to.end - to.at);
  };
  // What belongs to the columns of a tile where they are queries. The next tile's come while one is used.
  constexpr bool kStaged = kKeys && kBuffers<kDim> == 2;
  OfQuery* const ofColumns = reinterpret_cast<OfQuery*>(others + kBuffers<kDim> * 2 * kOtherRows * kPitch<kDim>);
  const int thread = static_cast<int>(threadIdx.x);
  const auto ofColumn = [&](int32_t tile) {
    const OtherSide::Place of = side.placeOf(tile);
    return of.at + thread < of.end ? ofQuery(sides, of.head, task.qBegin + of.at + thread) : OfQuery{};
  };
  const bool stages = kStaged && thread < kOtherRows;
  if (kBuffers<kDim> == 2 && side.tiles > 0) {
    load(0);
    if (stages) ofColumns[thread] = ofColumn(0);
  }
  for (int32_t tile = 0; tile < side.tiles; ++tile) {
    const OtherSide::Place place = side.placeOf(tile);
    if constexpr (kBuffers<kDim> == 1) {
      syncThreads();  // the tile before is no longer used
      load(tile);
    }
    cpAsyncWait<0>();
    syncThreads();  // this tile is there, and the one before is no longer used
    OfQuery next{};
    if (kBuffers<kDim> == 2 && tile + 1 < side.tiles) {
      load(tile + 1);
      if (stages) next = ofColumn(tile + 1);
    }
    const OfQuery* const columns = ofColumns + tile % 2 * kOtherRows;
    const T* const other = others + tile % kBuffers<kDim> * 2 * kOtherRows * kPitch<kDim>;
    const T* const otherUpstream = other + kOtherRows * kPitch<kDim>;
    float ds[kOtherRows / 8][4] = {}, p[kOtherRows / 8][4] = {};
    multiplyRows<kDim>(ds, own + 16 * warp * kPitch<kDim>, other);
    multiplyRows<kDim>(p, ownUpstream + 16 * warp * kPitch<kDim>, otherUpstream);
    const auto of = [&](int half, int col) {
      if constexpr (!kKeys) return ofRows[half];
      if constexpr (kStaged) return columns[col];
      return place.at + col < place.end ? ofQuery(sides, place.head, task.qBegin + place.at + col) : OfQuery{};
    };
    weigh(ds, p, of, options);
    hidePairs<kKeys>(ds, p, task, kBlockRows, 16 * warp + lane / 4, place, seen);
    multiplyColumns<kDim>(sums, ds, other + firstCol);
    if constexpr (kKeys) multiplyColumns<kDim>(upstreamSums, p, otherUpstream + firstCol);
    if (stages) ofColumns[(tile + 1) % 2 * kOtherRows + thread] = next;
  }
  cpAsyncWait<0>();

  const int64_t row = (kKeys ? task.kBegin : task.qBegin) + task.first + 16 * warp;
  const int column = static_cast<int>(blockIdx.y) * headDim, rows = task.count - 16 * warp;
  const float scales[2] = {options.scale, options.scale};
  storeRows(sums, scales, first.row(row) + column, first.stride, rows, firstCol, headDim, whole);
  if constexpr (kKeys) {
    const float ones[2] = {1.0f, 1.0f};
    storeRows(upstreamSums, ones, second.row(row) + column, second.stride, rows, firstCol, headDim, whole);
  }
}

constexpr int kPlainThreads = 256;
constexpr int kPlainRows = 32;
constexpr int kPlainOthers = 8;  // also the threads of a row
constexpr int kPlainCols = kMostHeadDim / kPlainOthers;

// Rows of float32 heads, headDim + 1 apart; zeros in those past `count`.
__device__ __forceinline__ void loadPlain(float* tile, int rows, const float* from, int64_t stride, int count,
                                          int headDim) {
  for (int i = static_cast<int>(threadIdx.x); i < rows * headDim; i += kPlainThreads) {
    const int row = i / headDim, col = i % headDim;
    tile[row * (headDim + 1) + col] = row < count ? from[row * stride + col] : 0.0f;
  }
}

// The same in float32, one pair of an own row and another per thread and tile.
template <bool kKeys>
__global__ void __launch_bounds__(kPlainThreads)
    attentionBackwardPlainKernel(const SequenceTask* tasks, int32_t slots, Sides<float> sides, Matrix<float> first,
                                 Matrix<float> second, AttentionOptions options) {
  const SequenceTask task = tasks[slots - 1 - static_cast<int32_t>(blockIdx.x)];
  if (task.count == 0) return;
  const int thread = static_cast<int>(threadIdx.x), part = thread % kPlainOthers;
  const int headDim = options.headDim, pitch = headDim + 1, group = sides.q.cols / sides.k.cols;
  const int kvHead = kKeys ? static_cast<int>(blockIdx.y) : static_cast<int>(blockIdx.y) / group;
  const int firstHead = kKeys ? kvHead * group : static_cast<int>(blockIdx.y);
  const Visibility seen = visibilityOf(task, options);
  float* const own = sharedMemory<float>();                                                              // Q or K
  float* const ownUpstream = own + kPlainRows * pitch;                                                   // dy or V
  float* const other = ownUpstream + kPlainRows * pitch;                                                 // K or Q
  float* const otherUpstream = other + kPlainOthers * pitch;                                             // V or dy
  float* const ofRow = otherUpstream + kPlainOthers * pitch + thread / kPlainOthers * 2 * kPlainOthers;  // ds, then p
  const auto load = [&](float* tile, int rows, const Matrix<const float>& x, bool keys, int head, int32_t from,
                        int count) {
    loadPlain(tile, rows, x.row((keys ? task.kBegin : task.qBegin) + from) + (keys ? kvHead : head) * headDim, x.stride,
              count, headDim);
  };
  load(own, kPlainRows, kKeys ? sides.k : sides.q, kKeys, firstHead, task.first, task.count);
  load(ownUpstream, kPlainRows, kKeys ? sides.v : sides.dy, kKeys, firstHead, task.first, task.count);

  const int32_t ownEnd = task.first + task.count, row = task.first + thread / kPlainOthers;
  const int32_t begin = kKeys ? seen.firstQuery(task.first) : seen.firstKey(task.first);
  const int32_t end = kKeys ? seen.endQuery(ownEnd, task.qCount) : seen.endKey(ownEnd - 1);
  const float* const ownAt = own + (row - task.first) * pitch;
  const float* const ownUpstreamAt = ownUpstream + (row - task.first) * pitch;
  float sums[kPlainCols] = {}, upstreamSums[kKeys ? kPlainCols : 1] = {};
  for (int head = firstHead; head < firstHead + (kKeys ? group : 1); ++head) {
    for (int32_t at = begin; at < end; at += kPlainOthers) {
      const int count = static_cast<int>(minOf(kPlainOthers, end - at));
      syncThreads();  // the tiles are no longer used
      load(other, kPlainOthers, kKeys ? sides.q : sides.k, !kKeys, head, at, count);
      load(otherUpstream, kPlainOthers, kKeys ? sides.dy : sides.v, !kKeys, head, at, count);
      syncThreads();
      float product = 0.0f, upstream = 0.0f;
      for (int col = 0; col < headDim; ++col) {
        product = multiplyAdd(ownAt[col], other[part * pitch + col], product);
        upstream = multiplyAdd(ownUpstreamAt[col], otherUpstream[part * pitch + col], upstream);
      }
      const int32_t query = kKeys ? at + part : row, key = kKeys ? row : at + part;
      const bool visible = row < ownEnd && at + part < end && key >= seen.firstKey(query) && key < seen.endKey(query);
      float p = 0.0f, ds = 0.0f;
      if (visible) {
        const OfQuery of = ofQuery(sides, head, task.qBegin + query);
        const Score score = scoreOf(product, options);
        p = exp2Fast(score.value - of.lse);
        ds = p * (upstream - of.dot) * score.slope;
      }
      ofRow[part] = ds;
      ofRow[kPlainOthers + part] = p;
      syncWarp();  // a row's threads are of one warp
      LOWRANK_UNROLL for (int j = 0; j < kPlainOthers; ++j) {
        const float dsOfPair = ofRow[j], pOfPair = ofRow[kPlainOthers + j];
        LOWRANK_UNROLL for (int i = 0; i < kPlainCols; ++i) {
          const int col = part + kPlainOthers * i;
          if (col >= headDim) continue;
          sums[i] = multiplyAdd(dsOfPair, other[j * pitch + col], sums[i]);
          if constexpr (kKeys) upstreamSums[i] = multiplyAdd(pOfPair, otherUpstream[j * pitch + col], upstreamSums[i]);
        }
      }
    }
  }
  if (row >= ownEnd) return;
  const int64_t to = (kKeys ? task.kBegin : task.qBegin) + row;
  LOWRANK_UNROLL for (int i = 0; i < kPlainCols; ++i) {
    const int col = part + kPlainOthers * i;
    if (col >= headDim) continue;
    first.row(to)[static_cast<int>(blockIdx.y) * headDim + col] = sums[i] * options.scale;
    if constexpr (kKeys) second.row(to)[static_cast<int>(blockIdx.y) * headDim + col] = upstreamSums[i];
  }
}

template <class T, int kDim, int kOut, bool kKeys>
void passAs(const AttentionBackwardArgs& args, const Sides<T>& sides, const SequenceTasks& tasks, Queue& queue) {
  const AttentionOptions& options = args.options;
  const int64_t heads = (kKeys ? args.k.cols : args.q.cols) / options.headDim;
  const dim3 grid(static_cast<unsigned>(tasks.slots), static_cast<unsigned>(heads),
                  static_cast<unsigned>(ceilDiv(options.headDim, kOut)));
  const size_t staged = kKeys && kBuffers<kDim> == 2 ? 2 * kOtherRows * sizeof(OfQuery) : 0;
  const size_t shared = 2 * (kBlockRows + kBuffers<kDim> * kOtherRows) * kPitch<kDim> * sizeof(T) + staged;
  launch<attentionBackwardKernel<T, kDim, kOut, kKeys>>(
      queue, grid, kAttentionThreads, shared, tasks.at, tasks.slots, sides, matrixOf<T>(kKeys ? args.dk : args.dq),
      matrixOf<T>(kKeys ? args.dv : Tensor{}), options, wholeHeads(args));
}

// dk and dv, or dq.
template <class T, bool kKeys>
void pass(const AttentionBackwardArgs& args, const Sides<T>& sides, Context& context) {
  constexpr bool kPlain = sizeof(T) == 4;
  Queue& queue = queueOf(context);
  const SequenceTasks tasks = planTasks(args.cuSeqlensQ, KeyPlaces{args.cuSeqlensK}, args.q.rows, args.k.rows,
                                        kPlain ? kPlainRows : kBlockRows, kKeys, false, context);
  if (tasks.at == nullptr) return;
  const int headDim = args.options.headDim;
  if constexpr (kPlain) {
    const dim3 grid(static_cast<unsigned>(tasks.slots),
                    static_cast<unsigned>((kKeys ? args.k.cols : args.q.cols) / headDim));
    const size_t shared = 2 * ((kPlainRows + kPlainOthers) * (headDim + 1) + kPlainRows * kPlainOthers) * sizeof(float);
    launch<attentionBackwardPlainKernel<kKeys>>(queue, grid, kPlainThreads, shared, tasks.at, tasks.slots, sides,
                                                matrixOf<float>(kKeys ? args.dk : args.dq),
                                                matrixOf<float>(kKeys ? args.dv : Tensor{}), args.options);
  } else {
    if (headDim <= 64) return passAs<T, 64, 64, kKeys>(args, sides, tasks, queue);
    if (headDim <= 128) return passAs<T, 128, 128, kKeys>(args, sides, tasks, queue);
    passAs<T, 256, kKeys ? 128 : 256, kKeys>(args, sides, tasks, queue);
  }
}

}  // namespace

void attentionBackward(const AttentionBackwardArgs& args, Context& context) {
  if (!checkHeadDim(args.options, context)) return;
  float* dots = scratch<float>(context, args.lse.rows * args.q.rows);
  if (dots == nullptr) return;
  withComputeType(args.q.dtype, [&](auto type) {
    using T = decltype(type);
    const unsigned blocks = static_cast<unsigned>(ceilDiv(args.lse.rows * args.q.rows, kAttentionWarps));
    launch<dotsKernel<T>>(queueOf(context), blocks, kAttentionThreads, 0, matrixOf<const T>(args.dy),
                          matrixOf<const T>(args.y), args.options.headDim, dots);
    if (attentionBackwardByWgmma(args, dots, context)) return;
    const Sides<T> sides = sidesOf<T>(args, dots);
    pass<T, false>(args, sides, context);
    pass<T, true>(args, sides, context);
  });
}

}  // namespace lowrank::LOWRANK_BACKEND
