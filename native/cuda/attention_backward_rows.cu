// Attention's backward (attention_backward.cu) without tensor cores, in float32: a warp has one key, or one query, and 32 of the others at a time, one
// per lane; then each lane has every 32nd column of the sums. Tiles of the others lie in shared memory with one column of padding.
//
//   kernel   a block                          threads   shared memory
//   keys     8 keys of a key/value head       256       320 hd bytes and 2.5 KiB
//   queries  8 queries of a head              256       the same
#include "attention.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kTileRows = kWarp;

struct RowTensors {
  const void* dy;
  const void* q;
  const void* k;
  const void* v;
  void* dq;
  void* dk;
  void* dv;
  const float* lse;
  const float* dots;
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

// Two tiles of the others, two rows of each warp's own, and two weights per lane.
struct RowMemory {
  float* first;
  float* second;
  float* ownFirst;
  float* ownSecond;
  float* p;
  float* ds;
  int pitch;
};

__device__ __forceinline__ RowMemory rowMemory(int32_t hd, int warp) {
  RowMemory memory;
  memory.pitch = hd + 1;
  memory.first = sharedMemory<float>();
  memory.second = memory.first + kTileRows * memory.pitch;
  memory.ownFirst = memory.second + kTileRows * memory.pitch;
  memory.ownSecond = memory.ownFirst + kRowWarps * hd;
  memory.p = memory.ownSecond + kRowWarps * hd + warp * 2 * kWarp;
  memory.ds = memory.p + kWarp;
  return memory;
}

size_t rowSharedBytes(int64_t hd) {
  return static_cast<size_t>(2 * kTileRows * (hd + 1) + 2 * kRowWarps * hd + 2 * kRowWarps * kWarp) * sizeof(float);
}

// Of this warp's own row and this lane's row of the tiles.
struct Products {
  float first;
  float second;
};
__device__ __forceinline__ Products productsOf(const RowMemory& memory, int32_t hd, int warp, int lane) {
  Products sums{0.0f, 0.0f};
  for (int32_t d = 0; d < hd; ++d) {
    sums.first = multiplyAdd(memory.ownFirst[warp * hd + d], memory.first[lane * memory.pitch + d], sums.first);
    sums.second = multiplyAdd(memory.ownSecond[warp * hd + d], memory.second[lane * memory.pitch + d], sums.second);
  }
  return sums;
}

// sums += weights of the tile's rows times those rows.
__device__ __forceinline__ void addRows(float (&sums)[kColumnsPerLane], const float* weights, const float* rows,
                                        int pitch, int32_t hd, int lane) {
  LOWRANK_UNROLL for (int c = 0; c < kColumnsPerLane; ++c) {
    const int32_t d = lane + c * kWarp;
    if (d >= hd) break;
    float sum = sums[c];
    for (int j = 0; j < kTileRows; ++j) sum = multiplyAdd(weights[j], rows[j * pitch + d], sum);
    sums[c] = sum;
  }
}

template <class T>
__device__ __forceinline__ void storeColumns(T* to, const float (&sums)[kColumnsPerLane], float scale, int32_t hd,
                                             int lane) {
  LOWRANK_UNROLL for (int c = 0; c < kColumnsPerLane; ++c) {
    if (lane + c * kWarp < hd) to[lane + c * kWarp] = fromFloat<T>(sums[c] * scale);
  }
}

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    attentionKeysRowsKernel(const RowTensors tensors, const AttentionArguments args) {
  const SequenceBlock block = blockOf<kRowWarps, true>(args, static_cast<int32_t>(blockIdx.x));
  if (block.count == 0) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int32_t hd = args.headDim, kvHead = static_cast<int32_t>(blockIdx.y);
  const RowMemory memory = rowMemory(hd, warp);
  const int64_t ownRow = block.kBegin + block.first;
  const T* const k = static_cast<const T*>(tensors.k) + ownRow * tensors.kStride + kvHead * hd;
  const T* const v = static_cast<const T*>(tensors.v) + ownRow * tensors.vStride + kvHead * hd;
  loadFloats<T, kRowThreads>(memory.ownFirst, hd, k, tensors.kStride, kRowWarps, block.count, hd);
  loadFloats<T, kRowThreads>(memory.ownSecond, hd, v, tensors.vStride, kRowWarps, block.count, hd);
  const Range range = queriesOf(args, block, block.first, block.first + block.count);
  const bool there = warp < block.count;
  const int32_t key = block.first + warp;

  float dk[kColumnsPerLane] = {}, dv[kColumnsPerLane] = {};
  for (int32_t head = kvHead * args.group; head < (kvHead + 1) * args.group; ++head) {
    for (int32_t first = range.first; first < range.end; first += kTileRows) {
      const int64_t row = block.qBegin + first;
      const int32_t rows = range.end - first;
      syncThreads();  // the tile before this one is not read any more
      loadFloats<T, kRowThreads>(memory.first, memory.pitch,
                                 static_cast<const T*>(tensors.q) + row * tensors.qStride + head * hd, tensors.qStride,
                                 kTileRows, rows, hd);
      loadFloats<T, kRowThreads>(memory.second, memory.pitch,
                                 static_cast<const T*>(tensors.dy) + row * tensors.dyStride + head * hd,
                                 tensors.dyStride, kTileRows, rows, hd);
      syncThreads();
      if (!there) continue;
      const Products products = productsOf(memory, hd, warp, lane);
      const bool visible = lane < rows && sees(args, block, first + lane, key);
      const float lse = visible ? tensors.lse[head * tensors.lseStride + row + lane] : 0.0f;
      const float dot = visible ? tensors.dots[static_cast<int64_t>(head) * tensors.queries + row + lane] : 0.0f;
      const Probability value = probability(args, visible, products.first, lse, products.second, dot);
      memory.p[lane] = value.p;
      memory.ds[lane] = value.ds;
      syncWarp();
      addRows(dv, memory.p, memory.second, memory.pitch, hd, lane);
      addRows(dk, memory.ds, memory.first, memory.pitch, hd, lane);
      syncWarp();  // before the next weights
    }
  }
  if (!there) return;
  storeColumns(static_cast<T*>(tensors.dk) + (ownRow + warp) * tensors.dkStride + kvHead * hd, dk, args.scale, hd,
               lane);
  storeColumns(static_cast<T*>(tensors.dv) + (ownRow + warp) * tensors.dvStride + kvHead * hd, dv, 1.0f, hd, lane);
}

template <class T>
__global__ void __launch_bounds__(kRowThreads)
    attentionQueriesRowsKernel(const RowTensors tensors, const AttentionArguments args) {
  const SequenceBlock block = blockOf<kRowWarps, false>(args, static_cast<int32_t>(blockIdx.x));
  if (block.count == 0) return;
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int32_t hd = args.headDim, head = static_cast<int32_t>(blockIdx.y);
  const RowMemory memory = rowMemory(hd, warp);
  const int64_t ownRow = block.qBegin + block.first;
  loadFloats<T, kRowThreads>(memory.ownFirst, hd,
                             static_cast<const T*>(tensors.q) + ownRow * tensors.qStride + head * hd, tensors.qStride,
                             kRowWarps, block.count, hd);
  loadFloats<T, kRowThreads>(memory.ownSecond, hd,
                             static_cast<const T*>(tensors.dy) + ownRow * tensors.dyStride + head * hd,
                             tensors.dyStride, kRowWarps, block.count, hd);
  const T* const k = static_cast<const T*>(tensors.k) + block.kBegin * tensors.kStride + head / args.group * hd;
  const T* const v = static_cast<const T*>(tensors.v) + block.kBegin * tensors.vStride + head / args.group * hd;
  const bool there = warp < block.count;
  const int32_t query = block.first + warp;
  const float lse = there ? tensors.lse[head * tensors.lseStride + ownRow + warp] : 0.0f;
  const float dot = there ? tensors.dots[static_cast<int64_t>(head) * tensors.queries + ownRow + warp] : 0.0f;
  const int32_t keyEnd = endKey(args, block, block.first + block.count - 1);

  float dq[kColumnsPerLane] = {};
  for (int32_t first = firstKey(args, block, block.first); first < keyEnd; first += kTileRows) {
    const int32_t rows = keyEnd - first;
    syncThreads();  // the tile before this one is not read any more
    loadFloats<T, kRowThreads>(memory.first, memory.pitch, k + first * tensors.kStride, tensors.kStride, kTileRows,
                               rows, hd);
    loadFloats<T, kRowThreads>(memory.second, memory.pitch, v + first * tensors.vStride, tensors.vStride, kTileRows,
                               rows, hd);
    syncThreads();
    if (!there) continue;
    const Products products = productsOf(memory, hd, warp, lane);
    const bool visible = lane < rows && sees(args, block, query, first + lane);
    memory.ds[lane] = probability(args, visible, products.first, lse, products.second, dot).ds;
    syncWarp();
    addRows(dq, memory.ds, memory.first, memory.pitch, hd, lane);
    syncWarp();  // before the next weights
  }
  if (there)
    storeColumns(static_cast<T*>(tensors.dq) + (ownRow + warp) * tensors.dqStride + head * hd, dq, args.scale, hd,
                 lane);
}

template <class T>
void backwardRowsAs(const AttentionBackwardArgs& args, const AttentionArguments& shape, const float* dots,
                    Queue& queue) {
  const RowTensors tensors{args.dy.data,
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
  const unsigned heads = static_cast<unsigned>(args.lse.rows);
  const size_t sharedBytes = rowSharedBytes(shape.headDim);
  launch<attentionKeysRowsKernel<T>>(
      queue, dim3(blockSlots<kRowWarps>(args.k.rows, shape.sequences), heads / static_cast<unsigned>(shape.group)),
      kRowThreads, sharedBytes, tensors, shape);
  launch<attentionQueriesRowsKernel<T>>(queue, dim3(blockSlots<kRowWarps>(args.q.rows, shape.sequences), heads),
                                        kRowThreads, sharedBytes, tensors, shape);
}

}  // namespace

void attentionBackwardByRows(const AttentionBackwardArgs& args, const AttentionArguments& shape, const float* dots,
                             Queue& queue) {
  withComputeType(args.q.dtype, [&](auto type) { backwardRowsAs<decltype(type)>(args, shape, dots, queue); });
}

}  // namespace lowrank::LOWRANK_BACKEND
