// Rotary positions (Su et al. 2021) in the half-split layout of Llama. With a = x[j], b = x[j + hd/2], c and s of the
// token's position:
//   forward   a' = a c - b s;  b' = b c + a s
//   backward  inverse = 1, which is s -> -s: a rotation's transpose
//
// x, y: [N, H * hd] compute, any row stride; cosSin: [P, hd] float32; positions: int32 [N]. Float32 inside, one
// rounding. Bytes: x once, y once; a table row serves all heads of a token out of the cache. Roof: memory bandwidth. y
// may be x: a thread writes the elements that it read. hd is even. A position outside [0, P) is a fault; its row is
// left out.
//
// Launch: 256 threads, up to 8 blocks per multiprocessor, no shared memory. 16 bytes of x per access where rows and
// half heads are aligned to that, else single elements. Deterministic: no reduction.
#include "pointwise.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

template <class T, int kRun>
__global__ void __launch_bounds__(kPointwiseThreads) ropeKernel(Matrix<const T> x,           // [N, H * hd]
                                                                Matrix<const float> cosSin,  // [P, hd]
                                                                const int32_t* positions,    // [N]
                                                                Matrix<T> y,                 // [N, H * hd]
                                                                int32_t headDim, float sign, FaultSink faults) {
  const int32_t half = headDim / 2, runsPerHead = half / kRun, heads = x.cols / headDim;
  forRuns(x.rows, heads * runsPerHead, [&](int64_t row, int64_t run) {
    const int32_t position = positions[row];
    if (position < 0 || position >= cosSin.rows) {
      if (run == 0) reportFault(faults, FaultCode::kPositions, row, position, cosSin.rows);
      return;
    }
    const int32_t head = static_cast<int32_t>(run) / runsPerHead;
    const int32_t j = (static_cast<int32_t>(run) - head * runsPerHead) * kRun;
    const T* const from = x.row(row) + head * headDim + j;
    const float* const table = cosSin.row(position) + j;
    float a[kRun], b[kRun], c[kRun], s[kRun];
    loadRun(from, a);
    loadRun(from + half, b);
    loadRun(table, c);
    loadRun(table + half, s);
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
      const float sine = s[i] * sign, turned = multiplyAdd(a[i], c[i], -(b[i] * sine));
      b[i] = multiplyAdd(b[i], c[i], a[i] * sine);
      a[i] = turned;
    }
    T* const to = y.row(row) + head * headDim + j;
    storeRun(to, a);
    storeRun(to + half, b);
  });
}

}  // namespace

void rope(const RopeArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  const bool whole = wholeRuns(args.x) && wholeRuns(args.y) && rowsAligned(args.cosSin, 16) &&
                     args.headDim / 2 * sizeOf(args.x.dtype) % 16 == 0;
  withRuns(args.x.dtype, whole, [&](auto type, auto run) {
    using T = decltype(type);
    constexpr int kRun = decltype(run)::value;
    launch<ropeKernel<T, kRun>>(queue, pointwiseGrid(queue, elementCount(args.x) / 2 / kRun), kPointwiseThreads, 0,
                                matrixOf<const T>(args.x), matrixOf<const float>(args.cosSin),
                                static_cast<const int32_t*>(args.positions.data), matrixOf<T>(args.y), args.headDim,
                                args.inverse ? -1.0f : 1.0f, queue.faults());
  });
}

}  // namespace lowrank::LOWRANK_BACKEND
