// embedding          y[i] = weight[ids[i]]
// embeddingBackward  dWeight[ids[i]] += dy[i], float32, in the order of i
// scatterRows        y[rows[i]] = x[i]
//
// ids, rows: int32 [N]; weight [V, D]; x, y, dy [N, D] in one dtype, any row stride; dWeight [V, D] float32. An index
// outside of the table is a fault; its row is left out. Bytes moved: each row once in and once out, dWeight of the ids
// that occur twice. Roof: memory bandwidth; the backward also compares every pair of ids, 4 N^2 bytes out of the cache
// for each 1024 columns.
//
// Launch: copies as pointwise.cuh says, in units of 16 bytes or of an element. The backward has a block of 256 threads
// for each i and 1024 columns: it returns where an earlier position has the same id, else adds the rows of all
// positions that have it. Shared memory: 64 bytes. Deterministic: an element sees its additions in the order of i; row
// indices of scatterRows are distinct.
#include "pointwise.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kThreads = kPointwiseThreads;
constexpr int kWarps = kThreads / kWarp;
constexpr int kColsPerThread = 4;
constexpr int kColsPerBlock = kThreads * kColsPerThread;

// With kScatter the index is that of the row in `to`, else of the row in `from`.
template <class Unit, bool kScatter>
__global__ void __launch_bounds__(kThreads) moveRowsKernel(Matrix<const Unit> from,  // in units, as `to`
                                                           const int32_t* indices,   // [N]
                                                           Matrix<Unit> to, int32_t count, FaultSink faults) {
  const int32_t limit = kScatter ? to.rows : from.rows;
  forRuns(count, to.cols, [&](int64_t i, int64_t unit) {
    const int32_t index = indices[i];
    if (index < 0 || index >= limit) {
      if (unit == 0) reportFault(faults, kScatter ? FaultCode::kRows : FaultCode::kIds, i, index, limit);
      return;
    }
    to.row(kScatter ? index : i)[unit] = from.row(kScatter ? i : index)[unit];
  });
}

template <class T>
__global__ void __launch_bounds__(kThreads) embeddingBackwardKernel(const int32_t* ids,     // [N]
                                                                    Matrix<const T> dy,     // [N, D]
                                                                    Matrix<float> dWeight,  // [V, D]
                                                                    FaultSink faults) {
  uint32_t* const matches = sharedMemory<uint32_t>();  // a word per warp: which of its positions have the id
  const int32_t first = static_cast<int32_t>(blockIdx.x), id = ids[first];
  if (id < 0 || id >= dWeight.rows) {
    if (threadIdx.x == 0 && blockIdx.y == 0) reportFault(faults, FaultCode::kIdsOfGradient, first, id, dWeight.rows);
    return;
  }
  const int thread = static_cast<int>(threadIdx.x);
  bool earlier = false;
  for (int32_t i = thread; i < first; i += kThreads) earlier |= ids[i] == id;
  const uint32_t anyEarlier = ballot(earlier);
  if (thread % kWarp == 0) matches[kWarps + thread / kWarp] = anyEarlier;
  syncThreads();
  for (int warp = 0; warp < kWarps; ++warp) {
    if (matches[kWarps + warp] != 0) return;
  }

  const int32_t col = static_cast<int32_t>(blockIdx.y) * kColsPerBlock + thread;
  float sums[kColsPerThread];
  LOWRANK_UNROLL for (int j = 0; j < kColsPerThread; ++j) {
    sums[j] = col + j * kThreads < dy.cols ? dWeight.row(id)[col + j * kThreads] : 0.0f;
  }
  for (int32_t begin = first; begin < dy.rows; begin += kThreads) {
    const uint32_t here = ballot(begin + thread < dy.rows && ids[begin + thread] == id);
    if (thread % kWarp == 0) matches[thread / kWarp] = here;
    syncThreads();
    for (int warp = 0; warp < kWarps; ++warp) {
      const uint32_t word = matches[warp];
      for (int bit = 0; word != 0 && bit < kWarp; ++bit) {
        if ((word >> bit & 1) == 0) continue;
        const T* const row = dy.row(begin + warp * kWarp + bit);
        LOWRANK_UNROLL for (int j = 0; j < kColsPerThread; ++j) {
          if (col + j * kThreads < dy.cols) sums[j] += toFloat(row[col + j * kThreads]);
        }
      }
    }
    syncThreads();
  }
  LOWRANK_UNROLL for (int j = 0; j < kColsPerThread; ++j) {
    if (col + j * kThreads < dy.cols) dWeight.row(id)[col + j * kThreads] = sums[j];
  }
}

// Rows in units of another size than an element's.
template <class Unit>
Matrix<Unit> inUnits(const Tensor& tensor) {
  const int64_t size = sizeOf(tensor.dtype), unit = sizeof(Unit);
  return Matrix<Unit>{static_cast<Unit*>(tensor.data), tensor.stride * size / unit, static_cast<int32_t>(tensor.rows),
                      static_cast<int32_t>(tensor.cols * size / unit)};
}

template <class Unit, bool kScatter>
void moveRowsAs(const Tensor& from, const Tensor& indices, const Tensor& to, Queue& queue) {
  const Matrix<Unit> target = inUnits<Unit>(to);
  const int64_t count = elementCount(indices);
  launch<moveRowsKernel<Unit, kScatter>>(queue, pointwiseGrid(queue, count * target.cols), kThreads, 0,
                                         inUnits<const Unit>(from), static_cast<const int32_t*>(indices.data), target,
                                         count, queue.faults());
}

template <bool kScatter>
void moveRows(const Tensor& from, const Tensor& indices, const Tensor& to, Queue& queue) {
  if (elementCount(indices) == 0 || to.cols == 0) return;
  if (wholeRuns(from) && wholeRuns(to)) return moveRowsAs<uint4, kScatter>(from, indices, to, queue);
  if (sizeOf(to.dtype) == 4) return moveRowsAs<uint32_t, kScatter>(from, indices, to, queue);
  if (sizeOf(to.dtype) == 2) return moveRowsAs<uint16_t, kScatter>(from, indices, to, queue);
  if constexpr (kScatter) moveRowsAs<uint8_t, kScatter>(from, indices, to, queue);  // embeddings are never bytes
}

}  // namespace

void embedding(const EmbeddingArgs& args, Context& context) {
  moveRows<false>(args.weight, args.ids, args.y, queueOf(context));
}

void embeddingBackward(const EmbeddingBackwardArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  const dim3 grid(static_cast<unsigned>(args.dy.rows), static_cast<unsigned>(ceilDiv(args.dy.cols, kColsPerBlock)));
  withComputeType(args.dy.dtype, [&](auto type) {
    using T = decltype(type);
    launch<embeddingBackwardKernel<T>>(queue, grid, kThreads, 2 * kWarps * sizeof(uint32_t),
                                       static_cast<const int32_t*>(args.ids.data), matrixOf<const T>(args.dy),
                                       matrixOf<float>(args.dWeight), queue.faults());
  });
}

void scatterRows(const ScatterRowsArgs& args, Context& context) {
  moveRows<true>(args.x, args.rows, args.y, queueOf(context));
}

}  // namespace lowrank::LOWRANK_BACKEND
