// Attention forward (attention.cu) without tensor cores: a warp has one query, and 32 keys at a time, one per lane; then each lane has every 32nd column
// of the result. Tiles of keys and values lie in shared memory as float32, with one column of padding. For float32, heads of more than 128 columns, and
// few queries: with splits, block z of a query has the z-th part of its sequence's keys, and leaves maximum, sum and unscaled result to combineKernel.
#include "attention.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kTileKeys = kWarp;

struct RowTensors {
  const void* q;
  const void* k;
  const void* v;
  void* y;
  float* lse;
  float* parts;  // [splits, H, Nq, hd + 2]: result, maximum, sum
  int64_t qStride;
  int64_t kStride;
  int64_t vStride;
  int64_t yStride;
  int64_t lseStride;
  int32_t queries;  // Nq
  int32_t splits;
};

__device__ __forceinline__ float* partOf(const RowTensors& tensors, int32_t split, int32_t heads, int32_t head,
                                         int64_t query, int32_t headDim) {
  return tensors.parts + ((static_cast<int64_t>(split) * heads + head) * tensors.queries + query) * (headDim + 2);
}

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    attentionRowsKernel(const RowTensors tensors, const AttentionArguments args) {
  const SequenceBlock block = blockOf<kRowWarps, false>(args, static_cast<int32_t>(blockIdx.x));
  if (block.count == 0) return;
  const int32_t hd = args.headDim, pitch = hd + 1;
  float* const keys = sharedMemory<float>();
  float* const values = keys + kTileKeys * pitch;
  float* const queries = values + kTileKeys * pitch;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  float* const own = queries + warp * hd;
  float* const weights = queries + kRowWarps * hd + warp * kWarp;

  const int32_t head = static_cast<int32_t>(blockIdx.y), split = static_cast<int32_t>(blockIdx.z);
  const T* const q = static_cast<const T*>(tensors.q) + (block.qBegin + block.first) * tensors.qStride + head * hd;
  const T* const k = static_cast<const T*>(tensors.k) + block.kBegin * tensors.kStride + head / args.group * hd;
  const T* const v = static_cast<const T*>(tensors.v) + block.kBegin * tensors.vStride + head / args.group * hd;
  loadFloats<T, kRowThreads>(queries, hd, q, tensors.qStride, kRowWarps, block.count, hd);

  const bool there = warp < block.count;
  const int32_t query = block.first + (there ? warp : 0);
  const int32_t part = (block.kCount + tensors.splits - 1) / tensors.splits;
  int32_t keyBegin = firstKey(args, block, block.first), keyEnd = endKey(args, block, block.first + block.count - 1);
  if (keyBegin < split * part) keyBegin = split * part;
  if (keyEnd > (split + 1) * part) keyEnd = (split + 1) * part;

  float sums[kColumnsPerLane] = {};
  float maximum = -INFINITY, total = 0.0f;
  for (int32_t key = keyBegin; key < keyEnd; key += kTileKeys) {
    const int32_t rows = keyEnd - key;
    syncThreads();  // the tile before this one is not read any more
    loadFloats<T, kRowThreads>(keys, pitch, k + key * tensors.kStride, tensors.kStride, kTileKeys, rows, hd);
    loadFloats<T, kRowThreads>(values, pitch, v + key * tensors.vStride, tensors.vStride, kTileKeys, rows, hd);
    syncThreads();
    if (!there) continue;
    float product = 0.0f;
    for (int32_t d = 0; d < hd; ++d) product = multiplyAdd(own[d], keys[lane * pitch + d], product);
    const bool visible = lane < rows && sees(args, block, query, key + lane);
    const float score = visible ? scored(args, product) : -INFINITY;
    const float largest = fmax(maximum, warpMax(score)), shift = largest == -INFINITY ? 0.0f : largest;
    const float weight = exp(score - shift), rescale = exp(maximum - shift);
    total = total * rescale + warpSum(weight);
    maximum = largest;
    weights[lane] = weight;
    syncWarp();
    LOWRANK_UNROLL for (int c = 0; c < kColumnsPerLane; ++c) {
      const int32_t d = lane + c * kWarp;
      if (d >= hd) break;
      float sum = sums[c] * rescale;
      for (int j = 0; j < kTileKeys; ++j) sum = multiplyAdd(weights[j], values[j * pitch + d], sum);
      sums[c] = sum;
    }
    syncWarp();  // before the next weights
  }
  if (!there) return;

  const int64_t row = block.qBegin + query;
  if (tensors.splits > 1) {
    float* const to = partOf(tensors, split, static_cast<int32_t>(gridDim.y), head, row, hd);
    LOWRANK_UNROLL for (int c = 0; c < kColumnsPerLane; ++c) {
      if (lane + c * kWarp < hd) to[lane + c * kWarp] = sums[c];
    }
    if (lane == 0) {
      to[hd] = maximum;
      to[hd + 1] = total;
    }
    return;
  }
  const bool any = maximum != -INFINITY;
  const float inverse = any ? 1.0f / total : 0.0f;
  if (lane == 0) tensors.lse[head * tensors.lseStride + row] = any ? maximum + log(total) : -INFINITY;
  T* const y = static_cast<T*>(tensors.y) + row * tensors.yStride + head * hd;
  LOWRANK_UNROLL for (int c = 0; c < kColumnsPerLane; ++c) {
    if (lane + c * kWarp < hd) y[lane + c * kWarp] = fromFloat<T>(sums[c] * inverse);
  }
}

// One warp per query and head: its parts, in their order.
template <class T>
__global__ void __launch_bounds__(kWarp) combineKernel(const RowTensors tensors, const AttentionArguments args) {
  if (args.faults->serial != 0) return;
  const int lane = static_cast<int>(threadIdx.x);
  const int64_t row = blockIdx.x;
  const int32_t head = static_cast<int32_t>(blockIdx.y), heads = static_cast<int32_t>(gridDim.y), hd = args.headDim;
  float maximum = -INFINITY;
  for (int32_t split = 0; split < tensors.splits; ++split)
    maximum = fmax(maximum, partOf(tensors, split, heads, head, row, hd)[hd]);
  const bool any = maximum != -INFINITY;
  const float shift = any ? maximum : 0.0f;
  float total = 0.0f;
  for (int32_t split = 0; split < tensors.splits; ++split) {
    const float* const part = partOf(tensors, split, heads, head, row, hd);
    total += exp(part[hd] - shift) * part[hd + 1];
  }
  const float inverse = any ? 1.0f / total : 0.0f;
  T* const y = static_cast<T*>(tensors.y) + row * tensors.yStride + head * hd;
  for (int32_t d = lane; d < hd; d += kWarp) {
    float sum = 0.0f;
    for (int32_t split = 0; split < tensors.splits; ++split) {
      const float* const part = partOf(tensors, split, heads, head, row, hd);
      sum = multiplyAdd(exp(part[hd] - shift), part[d], sum);
    }
    y[d] = fromFloat<T>(sum * inverse);
  }
  if (lane == 0) tensors.lse[head * tensors.lseStride + row] = any ? maximum + log(total) : -INFINITY;
}

template <class T>
void attentionRowsAs(const AttentionArgs& args, const AttentionArguments& shape, int32_t splits, Context& context) {
  Queue& queue = queueOf(context);
  const int64_t hd = shape.headDim, heads = args.lse.rows, queries = args.q.rows;
  float* parts = nullptr;
  if (splits > 1) {
    parts = scratch<float>(context, splits * heads * queries * (hd + 2));
    if (parts == nullptr) return;
  }
  const RowTensors tensors{args.q.data,
                           args.k.data,
                           args.v.data,
                           args.y.data,
                           static_cast<float*>(args.lse.data),
                           parts,
                           args.q.stride,
                           args.k.stride,
                           args.v.stride,
                           args.y.stride,
                           args.lse.stride,
                           static_cast<int32_t>(queries),
                           splits};
  const size_t sharedBytes = static_cast<size_t>(2 * kTileKeys * (hd + 1) + kRowWarps * (hd + kWarp)) * sizeof(float);
  const dim3 grid(blockSlots<kRowWarps>(queries, shape.sequences), static_cast<unsigned>(heads),
                  static_cast<unsigned>(splits));
  launch<attentionRowsKernel<T>>(queue, grid, kRowThreads, sharedBytes, tensors, shape);
  if (splits > 1) {
    launch<combineKernel<T>>(queue, dim3(static_cast<unsigned>(queries), static_cast<unsigned>(heads)), kWarp, 0,
                             tensors, shape);
  }
}

}  // namespace

void attentionByRows(const AttentionArgs& args, const AttentionArguments& shape, int32_t splits, Context& context) {
  withComputeType(args.q.dtype, [&](auto type) { attentionRowsAs<decltype(type)>(args, shape, splits, context); });
}

}  // namespace lowrank::LOWRANK_BACKEND
