// Attention's backward. With D = dy.y, s_j = scale q.k_j or c tanh(scale q.k_j / c), p_j = e^(s_j - lse), recomputed:
//   dv_j = sum over queries of p_j dy;  ds_j = p_j (dy.v_j - D), times 1 - (s_j / c)^2 under softcap
//   dq = scale sum over keys of ds_j k_j;  dk_j = scale sum over queries of ds_j q
//
// Shapes, dtypes and masks as in attention.cu; dk and dv rows that belong to no sequence are zero. Products and sums are float32; p and ds are
// rounded to compute for the products that they enter, each output once. Work: 14 hd FLOP per visible pair and head, as scores and dy.v are made
// once for dq and once for dk and dv: that is the price of sums without atomics. Roof: the multiply-add rate of mma.sync.
//
//   kernel       a block                              threads   shared memory (hd 64, 128)
//   dots         a query and head per warp            256       -
//   dkv          64 keys of a key/value head          128       36 KiB and 0.5 KiB, 68 KiB and 0.5 KiB
//   dq           64 queries of a head                 128       the same
//   by rows      attention_backward_rows.cu: float32, heads of more than 128 columns
//
// dkv walks over the query heads of its group and over their queries, 32 at a time; dq over its keys, 32 at a time; the next 32 rows are copied
// while these are multiplied. Deterministic: every sum has one block and an order.
#include "attention.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kThreads = 128;
constexpr int kOwn = 64;   // rows of a block
constexpr int kStep = 32;  // rows of the others at a time
constexpr int kTiles = kStep / 8;

struct BackwardTensors {
  const void* dy;
  const void* q;
  const void* k;
  const void* v;
  void* dq;
  void* dk;
  void* dv;
  const float* lse;
  const float* dots;  // [H, Nq]: D
  int64_t dyStride;
  int64_t qStride;
  int64_t kStride;
  int64_t vStride;
  int64_t dqStride;
  int64_t dkStride;
  int64_t dvStride;
  int64_t lseStride;
  int32_t queries;
};

constexpr int kDotThreads = 256;

template <class T>
__global__ void __launch_bounds__(kDotThreads)
    dotsKernel(Matrix<const T> dy, Matrix<const T> y, float* dots, int32_t headDim) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * (kDotThreads / kWarp) + threadIdx.x / kWarp;
  const int32_t head = static_cast<int32_t>(blockIdx.y);
  if (row >= dy.rows) return;
  const T* const left = dy.row(row) + head * headDim;
  const T* const right = y.row(row) + head * headDim;
  float sum = 0.0f;
  for (int32_t d = lane; d < headDim; d += kWarp) sum = multiplyAdd(toFloat(left[d]), toFloat(right[d]), sum);
  sum = warpSum(sum);
  if (lane == 0) dots[static_cast<int64_t>(head) * dy.rows + row] = sum;
}

// Rows of dk and dv from the end of the last sequence on.
template <class T>
__global__ void __launch_bounds__(kDotThreads)
    zeroSpareKernel(Matrix<T> dk, Matrix<T> dv, const AttentionArguments args) {
  if (args.faults->serial != 0) return;
  const int64_t step = static_cast<int64_t>(gridDim.x);
  for (int64_t row = args.cuK[args.sequences] + static_cast<int64_t>(blockIdx.x); row < dk.rows; row += step) {
    for (int32_t col = static_cast<int32_t>(threadIdx.x); col < dk.cols; col += kDotThreads)
      dk.row(row)[col] = dv.row(row)[col] = fromFloat<T>(0.0f);
  }
}

// p and ds of a warp's 16 own rows and 32 others, in place of products and dy.v; pairs that see nothing of each other get 0.
template <bool kOwnKeys>
__device__ __forceinline__ void probabilities(const AttentionArguments& args, const SequenceBlock& block,
                                              float (&products)[kTiles][4], float (&dyDotV)[kTiles][4], int32_t own,
                                              int32_t other, int32_t otherEnd, const float* lse, const float* dots,
                                              int lane) {
  LOWRANK_UNROLL for (int j = 0; j < kTiles; ++j) {
    LOWRANK_UNROLL for (int e = 0; e < 4; ++e) {
      const int32_t ownAt = own + lane / 4 + 8 * (e / 2), step = 8 * j + 2 * (lane % 4) + e % 2;
      const int32_t query = kOwnKeys ? other + step : ownAt, key = kOwnKeys ? ownAt : other + step;
      // lse and D belong to the queries: to those of the step, or to the block's own.
      const int at = kOwnKeys ? step : ownAt - block.first;
      const bool there = other + step < otherEnd && query < block.qCount && key < block.kCount;
      const Probability value =
          probability(args, there && sees(args, block, query, key), products[j][e], lse[at], dyDotV[j][e], dots[at]);
      products[j][e] = value.p;
      dyDotV[j][e] = value.ds;
    }
  }
}

// A thread's part of a warp's 16 rows of results.
template <class T, int kWidth, bool kVectors>
__device__ __forceinline__ void storeRows(T* to, int64_t stride, const float (&sums)[kWidth / 8][4], float scale,
                                          int32_t first, int32_t count, int32_t cols, int lane) {
  LOWRANK_UNROLL for (int half = 0; half < 2; ++half) {
    const int32_t row = first + lane / 4 + 8 * half;
    if (row >= count) continue;
    LOWRANK_UNROLL for (int j = 0; j < kWidth / 8; ++j) {
      storeTwo<T, kVectors>(to + row * stride, 8 * j + 2 * (lane % 4), cols, sums[j][2 * half] * scale,
                            sums[j][2 * half + 1] * scale);
    }
  }
}

template <int kWidth>
inline constexpr int kSharedBytes = (2 * kOwn + 4 * kStep) * kPitch<kWidth> * 2 + 4 * kStep * 4;

template <class T, int kWidth, bool kVectors>
__global__ void __launch_bounds__(kThreads)
    attentionKeysKernel(const BackwardTensors tensors, const AttentionArguments args) {
  constexpr int kOwnSize = kOwn * kPitch<kWidth>, kStepSize = kStep * kPitch<kWidth>;
  T* const keys = sharedMemory<T>();
  T* const values = keys + kOwnSize;
  T* const stages = values + kOwnSize;  // queries and dy, twice
  float* const lses = reinterpret_cast<float*>(stages + 4 * kStepSize);
  float* const dots = lses + 2 * kStep;
  const SequenceBlock block = blockOf<kOwn, true>(args, static_cast<int32_t>(blockIdx.x));
  if (block.count == 0) return;

  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int32_t kvHead = static_cast<int32_t>(blockIdx.y), hd = args.headDim;
  const int64_t ownRow = block.kBegin + block.first;
  const Range range = queriesOf(args, block, block.first, block.first + block.count);
  const int32_t steps = range.end > range.first ? (range.end - range.first + kStep - 1) / kStep : 0;

  // Step n: the queries from range.first + n % steps * kStep on, of head n / steps of the group.
  const auto loadQueries = [&](int32_t step, int stage) {
    if (step < args.group * steps) {
      const int32_t head = kvHead * args.group + step / steps, query = range.first + step % steps * kStep;
      const int64_t row = block.qBegin + query;
      T* const tile = stages + stage * 2 * kStepSize;
      const int32_t rows = block.qCount - query;
      loadTile<T, kStep, kWidth, kThreads, kVectors>(
          tile, static_cast<const T*>(tensors.q) + row * tensors.qStride + head * hd, tensors.qStride, rows, hd);
      loadTile<T, kStep, kWidth, kThreads, kVectors>(
          tile + kStepSize, static_cast<const T*>(tensors.dy) + row * tensors.dyStride + head * hd, tensors.dyStride,
          rows, hd);
      const int thread = static_cast<int>(threadIdx.x);
      if (thread < kStep) {
        const bool there = thread < rows;
        lses[stage * kStep + thread] = there ? tensors.lse[head * tensors.lseStride + row + thread] : 0.0f;
        dots[stage * kStep + thread] =
            there ? tensors.dots[static_cast<int64_t>(head) * tensors.queries + row + thread] : 0.0f;
      }
    }
    cpAsyncCommit();
  };
  loadTile<T, kOwn, kWidth, kThreads, kVectors>(
      keys, static_cast<const T*>(tensors.k) + ownRow * tensors.kStride + kvHead * hd, tensors.kStride, block.count,
      hd);
  loadTile<T, kOwn, kWidth, kThreads, kVectors>(
      values, static_cast<const T*>(tensors.v) + ownRow * tensors.vStride + kvHead * hd, tensors.vStride, block.count,
      hd);
  loadQueries(0, 0);

  float dk[kWidth / 8][4] = {}, dv[kWidth / 8][4] = {};
  int stage = 0;
  for (int32_t step = 0; step < args.group * steps; ++step, stage ^= 1) {
    cpAsyncWait<0>();
    syncThreads();
    loadQueries(step + 1, stage ^ 1);  // over the step before this one, which no warp reads any more
    const T* const queries = stages + stage * 2 * kStepSize;
    const T* const dys = queries + kStepSize;
    float p[kTiles][4] = {}, ds[kTiles][4] = {};
    multiplyRows<T, kWidth, kTiles>(p, keys + warp * 16 * kPitch<kWidth>, queries, lane);
    multiplyRows<T, kWidth, kTiles>(ds, values + warp * 16 * kPitch<kWidth>, dys, lane);
    probabilities<true>(args, block, p, ds, block.first + warp * 16, range.first + step % steps * kStep, block.qCount,
                        lses + stage * kStep, dots + stage * kStep, lane);
    multiplyByRows<T, kWidth, kTiles>(dv, p, dys, lane);
    multiplyByRows<T, kWidth, kTiles>(dk, ds, queries, lane);
  }
  cpAsyncWait<0>();
  storeRows<T, kWidth, kVectors>(static_cast<T*>(tensors.dk) + ownRow * tensors.dkStride + kvHead * hd,
                                 tensors.dkStride, dk, args.scale, warp * 16, block.count, hd, lane);
  storeRows<T, kWidth, kVectors>(static_cast<T*>(tensors.dv) + ownRow * tensors.dvStride + kvHead * hd,
                                 tensors.dvStride, dv, 1.0f, warp * 16, block.count, hd, lane);
}

template <class T, int kWidth, bool kVectors>
__global__ void __launch_bounds__(kThreads)
    attentionQueriesKernel(const BackwardTensors tensors, const AttentionArguments args) {
  constexpr int kOwnSize = kOwn * kPitch<kWidth>, kStepSize = kStep * kPitch<kWidth>;
  T* const queries = sharedMemory<T>();
  T* const dys = queries + kOwnSize;
  T* const stages = dys + kOwnSize;  // keys and values, twice
  float* const lses = reinterpret_cast<float*>(stages + 4 * kStepSize);
  float* const dots = lses + kOwn;
  const SequenceBlock block = blockOf<kOwn, false>(args, static_cast<int32_t>(blockIdx.x));
  if (block.count == 0) return;

  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int32_t head = static_cast<int32_t>(blockIdx.y), hd = args.headDim;
  const int64_t ownRow = block.qBegin + block.first;
  const T* const k = static_cast<const T*>(tensors.k) + block.kBegin * tensors.kStride + head / args.group * hd;
  const T* const v = static_cast<const T*>(tensors.v) + block.kBegin * tensors.vStride + head / args.group * hd;
  const int32_t keyBegin = firstKey(args, block, block.first);
  const int32_t keyEnd = endKey(args, block, block.first + block.count - 1);

  const auto loadKeys = [&](int32_t key, int stage) {
    if (key < keyEnd) {
      T* const tile = stages + stage * 2 * kStepSize;
      const int32_t rows = block.kCount - key;
      loadTile<T, kStep, kWidth, kThreads, kVectors>(tile, k + key * tensors.kStride, tensors.kStride, rows, hd);
      loadTile<T, kStep, kWidth, kThreads, kVectors>(tile + kStepSize, v + key * tensors.vStride, tensors.vStride, rows,
                                                     hd);
    }
    cpAsyncCommit();
  };
  loadTile<T, kOwn, kWidth, kThreads, kVectors>(queries,
                                                static_cast<const T*>(tensors.q) + ownRow * tensors.qStride + head * hd,
                                                tensors.qStride, block.count, hd);
  loadTile<T, kOwn, kWidth, kThreads, kVectors>(
      dys, static_cast<const T*>(tensors.dy) + ownRow * tensors.dyStride + head * hd, tensors.dyStride, block.count,
      hd);
  const int thread = static_cast<int>(threadIdx.x);
  if (thread < kOwn) {
    const bool there = thread < block.count;
    lses[thread] = there ? tensors.lse[head * tensors.lseStride + ownRow + thread] : 0.0f;
    dots[thread] = there ? tensors.dots[static_cast<int64_t>(head) * tensors.queries + ownRow + thread] : 0.0f;
  }
  loadKeys(keyBegin, 0);

  float dq[kWidth / 8][4] = {};
  int stage = 0;
  for (int32_t key = keyBegin; key < keyEnd; key += kStep, stage ^= 1) {
    cpAsyncWait<0>();
    syncThreads();
    loadKeys(key + kStep, stage ^ 1);  // over the step before this one, which no warp reads any more
    const T* const tile = stages + stage * 2 * kStepSize;
    float p[kTiles][4] = {}, ds[kTiles][4] = {};
    multiplyRows<T, kWidth, kTiles>(p, queries + warp * 16 * kPitch<kWidth>, tile, lane);
    multiplyRows<T, kWidth, kTiles>(ds, dys + warp * 16 * kPitch<kWidth>, tile + kStepSize, lane);
    probabilities<false>(args, block, p, ds, block.first + warp * 16, key, block.kCount, lses, dots, lane);
    multiplyByRows<T, kWidth, kTiles>(dq, ds, tile, lane);
  }
  cpAsyncWait<0>();
  storeRows<T, kWidth, kVectors>(static_cast<T*>(tensors.dq) + ownRow * tensors.dqStride + head * hd, tensors.dqStride,
                                 dq, args.scale, warp * 16, block.count, hd, lane);
}

template <class T, int kWidth, bool kVectors>
void launchTensor(const BackwardTensors& tensors, const AttentionBackwardArgs& args, const AttentionArguments& shape,
                  Queue& queue) {
  const unsigned heads = static_cast<unsigned>(args.lse.rows);
  launch<attentionKeysKernel<T, kWidth, kVectors>>(
      queue, dim3(blockSlots<kOwn>(args.k.rows, shape.sequences), heads / static_cast<unsigned>(shape.group)), kThreads,
      kSharedBytes<kWidth>, tensors, shape);
  launch<attentionQueriesKernel<T, kWidth, kVectors>>(queue,
                                                      dim3(blockSlots<kOwn>(args.q.rows, shape.sequences), heads),
                                                      kThreads, kSharedBytes<kWidth>, tensors, shape);
}

template <class T>
void backwardTensor(const AttentionBackwardArgs& args, const AttentionArguments& shape, const float* dots,
                    Queue& queue) {
  const BackwardTensors tensors{args.dy.data,
                                args.q.data,
                                args.k.data,
                                args.v.data,
                                args.dq.data,
                                args.dk.data,
                                args.dv.data,
                                static_cast<const float*>(args.lse.data),
                                dots,
                                args.dy.stride,
                                args.q.stride,
                                args.k.stride,
                                args.v.stride,
                                args.dq.stride,
                                args.dk.stride,
                                args.dv.stride,
                                args.lse.stride,
                                static_cast<int32_t>(args.q.rows)};
  bool vectors = true;
  for (const Tensor* tensor : {&args.dy, &args.q, &args.k, &args.v, &args.dq, &args.dk, &args.dv})
    vectors = vectors && headsAligned(*tensor, shape.headDim);
  if (shape.headDim <= 64) {
    vectors ? launchTensor<T, 64, true>(tensors, args, shape, queue)
            : launchTensor<T, 64, false>(tensors, args, shape, queue);
  } else {
    vectors ? launchTensor<T, 128, true>(tensors, args, shape, queue)
            : launchTensor<T, 128, false>(tensors, args, shape, queue);
  }
}

template <class T>
void backwardAs(const AttentionBackwardArgs& args, const AttentionArguments& shape, float* dots, Queue& queue) {
  constexpr int64_t kRows = kDotThreads / kWarp;
  launch<dotsKernel<T>>(queue,
                        dim3(static_cast<unsigned>(ceilDiv(args.q.rows, kRows)), static_cast<unsigned>(args.lse.rows)),
                        kDotThreads, 0, matrixOf<const T>(args.dy), matrixOf<const T>(args.y), dots, shape.headDim);
  launch<zeroSpareKernel<T>>(queue, dim3(static_cast<unsigned>(queue.multiprocessors())), kDotThreads, 0,
                             matrixOf<T>(args.dk), matrixOf<T>(args.dv), shape);
  if constexpr (!std::is_same_v<T, float>) {
    if (shape.headDim <= kMostTensorHeadDim) return backwardTensor<T>(args, shape, dots, queue);
  }
  attentionBackwardByRows(args, shape, dots, queue);
}

}  // namespace

void attentionBackward(const AttentionBackwardArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  if (!headDimFits(args.options, context)) return;
  float* const dots = scratch<float>(context, args.lse.rows * args.q.rows);
  if (dots == nullptr) return;
  const AttentionArguments shape =
      beginAttention(args.q, args.k, args.cuSeqlensQ, args.cuSeqlensK, Tensor{}, args.options, queue);
  withComputeType(args.q.dtype, [&](auto type) { backwardAs<decltype(type)>(args, shape, dots, queue); });
}

}  // namespace lowrank::LOWRANK_BACKEND
