// Softmax attention inside each sequence, FlashAttention-2 style (Dao 2023, arXiv:2307.08691). For a query row q, over the keys j that it sees:
//   forward   s_j = scale q.k_j (softcap: c tanh(s_j / c));  lse = log sum e^s_j;  y = sum e^(s_j - lse) v_j
//   backward  attention_backward.cu
//
// q, y: [Nq, H hd]; k, v: [Nk, Hkv hd], compute dtype, any row stride; lse: [H, Nq] float32. Softmax and sums are float32; e^(s - max) is rounded to
// compute for its product with v, its sum is taken before; y is rounded once. A query without any key gives y = 0, lse = -infinity.
// Work: 4 hd FLOP per visible pair and head. Roof: the multiply-add rate of mma.sync; exponentials next.
//
//   kernel            a block                 threads   shared memory (hd 64, 128)   which
//   tensor cores      64 queries of a head    128       46 KiB, 87 KiB               bfloat16, float16, heads up to 128 wide
//   by rows           8 queries of a head     256       264 hd bytes and 1.3 KiB     float32, wider heads, few queries (attention_rows.cu)
//
// Keys and values of the next 64 are copied while those of this step are multiplied. With few queries per sequence, as in decoding, the keys are
// split over blocks, by shapes alone, and a second kernel puts the parts together.
// Deterministic: a block visits its key tiles in order. Alignment: heads at multiples of 16 bytes are copied in pieces, others by elements.
#include "attention.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kThreads = 128;
constexpr int kTile = 64;  // of queries, and of keys
constexpr int kTiles = kTile / 8;
constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;

constexpr int kCheckThreads = 256;

__global__ void __launch_bounds__(kCheckThreads)
    checkSequencesKernel(const int32_t* cuQ, const int32_t* cuK, const int32_t* used, int32_t sequences,
                         int32_t queries, int32_t keys, FaultSink faults) {
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i <= sequences; i += kCheckThreads) {
    const int32_t q = cuQ[i], k = cuK[i];
    const bool goodQ = i == 0 ? q == 0 : q >= cuQ[i - 1];
    const bool goodK = i == 0 ? k == 0 : k >= cuK[i - 1];
    if (!goodQ || (i == sequences && q != queries)) reportFault(faults, FaultCode::kSequencesQ, i, q, queries);
    if (!goodK || (i == sequences && k > keys)) reportFault(faults, FaultCode::kSequencesK, i, k, keys);
    if (used != nullptr && i < sequences && goodK) {
      const int64_t most = static_cast<int64_t>(cuK[i + 1]) - k;
      if (used[i] < 0 || used[i] > most) reportFault(faults, FaultCode::kUsedKeys, i, used[i], most);
    }
  }
}

struct ForwardTensors {
  const void* q;
  const void* k;
  const void* v;
  void* y;
  float* lse;
  int64_t qStride;
  int64_t kStride;
  int64_t vStride;
  int64_t yStride;
  int64_t lseStride;
};

template <class T, int kWidth, bool kVectors>
__global__ void __launch_bounds__(kThreads)
    attentionKernel(const ForwardTensors tensors, const AttentionArguments args) {
  constexpr int kTileSize = kTile * kPitch<kWidth>;
  T* const queries = sharedMemory<T>();
  T* const stages = queries + kTileSize;  // keys and values, twice
  const SequenceBlock block = blockOf<kTile, false>(args, static_cast<int32_t>(blockIdx.x));
  if (block.count == 0) return;

  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int32_t head = static_cast<int32_t>(blockIdx.y), hd = args.headDim;
  const T* const q = static_cast<const T*>(tensors.q) + (block.qBegin + block.first) * tensors.qStride + head * hd;
  const T* const k = static_cast<const T*>(tensors.k) + block.kBegin * tensors.kStride + head / args.group * hd;
  const T* const v = static_cast<const T*>(tensors.v) + block.kBegin * tensors.vStride + head / args.group * hd;
  const int32_t keyEnd = endKey(args, block, block.first + block.count - 1);
  const int32_t keyBegin = firstKey(args, block, block.first) / kTile * kTile;

  const auto loadKeys = [&](int32_t key, int stage) {
    if (key < keyEnd) {
      T* const tile = stages + stage * 2 * kTileSize;
      const int32_t rows = block.kCount - key;
      loadTile<T, kTile, kWidth, kThreads, kVectors>(tile, k + key * tensors.kStride, tensors.kStride, rows, hd);
      loadTile<T, kTile, kWidth, kThreads, kVectors>(tile + kTileSize, v + key * tensors.vStride, tensors.vStride, rows,
                                                     hd);
    }
    cpAsyncCommit();
  };
  loadTile<T, kTile, kWidth, kThreads, kVectors>(queries, q, tensors.qStride, block.count, hd);
  loadKeys(keyBegin, 0);

  float sums[kWidth / 8][4] = {};
  float maximum[2] = {-INFINITY, -INFINITY},
        total[2] = {0.0f, 0.0f};  // of rows lane / 4 and lane / 4 + 8 of the warp's
  const int32_t row = block.first + warp * 16 + lane / 4;
  int stage = 0;
  for (int32_t key = keyBegin; key < keyEnd; key += kTile, stage ^= 1) {
    cpAsyncWait<0>();
    syncThreads();
    loadKeys(key + kTile, stage ^ 1);  // over the tile before this one, which no warp reads any more
    const T* const tile = stages + stage * 2 * kTileSize;
    float scores[kTiles][4] = {};
    multiplyRows<T, kWidth, kTiles>(scores, queries + warp * 16 * kPitch<kWidth>, tile, lane);

    LOWRANK_UNROLL for (int half = 0; half < 2; ++half) {
      const int32_t begin = firstKey(args, block, row + 8 * half), end = endKey(args, block, row + 8 * half);
      float largest = maximum[half];
      LOWRANK_UNROLL for (int j = 0; j < kTiles; ++j) {
        LOWRANK_UNROLL for (int e = 2 * half; e < 2 * half + 2; ++e) {
          const int32_t at = key + 8 * j + 2 * (lane % 4) + e % 2;
          const bool visible = at >= begin && at < end;
          scores[j][e] = visible ? scored(args, scores[j][e]) * kLog2E : -INFINITY;
          largest = fmax(largest, scores[j][e]);
        }
      }
      largest = fmax(largest, shuffleXor(largest, 1));
      largest = fmax(largest, shuffleXor(largest, 2));
      // Where nothing was visible yet the maximum is -infinity; subtracting 0 instead keeps the exponentials at 0.
      const float shift = largest == -INFINITY ? 0.0f : largest, rescale = exp2Fast(maximum[half] - shift);
      float sum = 0.0f;
      LOWRANK_UNROLL for (int j = 0; j < kTiles; ++j) {
        LOWRANK_UNROLL for (int e = 2 * half; e < 2 * half + 2; ++e) {
          scores[j][e] = exp2Fast(scores[j][e] - shift);
          sum += scores[j][e];
        }
      }
      total[half] = total[half] * rescale + sum;
      maximum[half] = largest;
      LOWRANK_UNROLL for (int j = 0; j < kWidth / 8; ++j) {
        sums[j][2 * half] *= rescale;
        sums[j][2 * half + 1] *= rescale;
      }
    }
    multiplyByRows<T, kWidth, kTiles>(sums, scores, tile + kTileSize, lane);
  }
  cpAsyncWait<0>();

  LOWRANK_UNROLL for (int half = 0; half < 2; ++half) {
    float sum = total[half];
    sum += shuffleXor(sum, 1);
    sum += shuffleXor(sum, 2);
    const int32_t query = row + 8 * half;
    if (query >= block.first + block.count) continue;
    const bool any = maximum[half] != -INFINITY;
    const float inverse = any ? 1.0f / sum : 0.0f;
    if (lane % 4 == 0) {
      tensors.lse[head * tensors.lseStride + block.qBegin + query] = any ? maximum[half] * kLn2 + log(sum) : -INFINITY;
    }
    T* const y = static_cast<T*>(tensors.y) + (block.qBegin + query) * tensors.yStride + head * hd;
    LOWRANK_UNROLL for (int j = 0; j < kWidth / 8; ++j) {
      storeTwo<T, kVectors>(y, 8 * j + 2 * (lane % 4), hd, sums[j][2 * half] * inverse,
                            sums[j][2 * half + 1] * inverse);
    }
  }
}

template <class T, int kWidth, bool kVectors>
void launchTensor(const AttentionArgs& args, const AttentionArguments& shape, Queue& queue) {
  const ForwardTensors tensors{
      args.q.data,   args.k.data,   args.v.data,   args.y.data,   static_cast<float*>(args.lse.data),
      args.q.stride, args.k.stride, args.v.stride, args.y.stride, args.lse.stride};
  const dim3 grid(blockSlots<kTile>(args.q.rows, shape.sequences), static_cast<unsigned>(args.lse.rows));
  launch<attentionKernel<T, kWidth, kVectors>>(queue, grid, kThreads, 5 * kTile * kPitch<kWidth> * sizeof(T), tensors,
                                               shape);
}

template <class T>
void attentionTensor(const AttentionArgs& args, const AttentionArguments& shape, Queue& queue) {
  const bool vectors = headsAligned(args.q, shape.headDim) && headsAligned(args.k, shape.headDim) &&
                       headsAligned(args.v, shape.headDim) && headsAligned(args.y, shape.headDim);
  if (shape.headDim <= 64) {
    vectors ? launchTensor<T, 64, true>(args, shape, queue) : launchTensor<T, 64, false>(args, shape, queue);
  } else {
    vectors ? launchTensor<T, 128, true>(args, shape, queue) : launchTensor<T, 128, false>(args, shape, queue);
  }
}

// Blocks that share the keys of one query: so many that each has some hundred, and the device something to do.
int32_t keySplits(const AttentionArgs& args, const AttentionArguments& shape) {
  constexpr int64_t kKeys = 256, kMost = 32;
  if (args.q.rows > 2 * int64_t{shape.sequences}) return 1;
  return static_cast<int32_t>(maxOf(1, minOf(kMost, args.k.rows / (kKeys * shape.sequences))));
}

}  // namespace

bool headDimFits(const AttentionOptions& options, Context& context) {
  if (options.headDim <= kMostHeadDim) return true;
  context.fail("expected heads of at most %d columns on a GPU, got %d", static_cast<int>(kMostHeadDim),
               options.headDim);
  return false;
}

AttentionArguments beginAttention(const Tensor& q, const Tensor& k, const Tensor& cuSeqlensQ, const Tensor& cuSeqlensK,
                                  const Tensor& seqUsedK, const AttentionOptions& options, Queue& queue) {
  const FaultSink faults = queue.faults();
  const AttentionArguments shape{options.headDim,
                                 static_cast<int32_t>(q.cols / k.cols),
                                 static_cast<int32_t>(elementCount(cuSeqlensQ) - 1),
                                 options.window,
                                 options.causal != 0,
                                 options.scale,
                                 options.softcap,
                                 static_cast<const int32_t*>(cuSeqlensQ.data),
                                 static_cast<const int32_t*>(cuSeqlensK.data),
                                 static_cast<const int32_t*>(seqUsedK.data),
                                 faults.record};
  launch<checkSequencesKernel>(queue, 1, kCheckThreads, 0, shape.cuQ, shape.cuK, shape.used, shape.sequences,
                               static_cast<int32_t>(q.rows), static_cast<int32_t>(k.rows), faults);
  return shape;
}

void attention(const AttentionArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  if (!headDimFits(args.options, context)) return;
  const AttentionArguments shape =
      beginAttention(args.q, args.k, args.cuSeqlensQ, args.cuSeqlensK, args.seqUsedK, args.options, queue);
  const int32_t splits = keySplits(args, shape);
  const bool few = args.q.rows <= 2 * int64_t{shape.sequences};
  if (few || args.q.dtype == DType::kFloat32 || shape.headDim > kMostTensorHeadDim)
    return attentionByRows(args, shape, splits, context);
  args.q.dtype == DType::kBFloat16 ? attentionTensor<BFloat16>(args, shape, queue)
                                   : attentionTensor<Float16>(args, shape, queue);
}

}  // namespace lowrank::LOWRANK_BACKEND
