// x = [gate | up], s = sigmoid(gate):
//   forward   y = gate s up
//   backward  dGate = dy up s (1 + gate (1 - s));  dUp = dy gate s
//
// x, dx: [N, 2F]; y, dy: [N, F]; compute dtype, any row stride, float32 inside, one rounding. Bytes per output element:
// 3 elements forward, 5 backward. Roof: memory bandwidth. dx may be x: a thread reads the elements that it writes, and
// no others.
//
// Launch: 256 threads, up to 8 blocks per multiprocessor, no shared memory. 16 bytes per access where rows, and the
// halves of x, are aligned to that, else single elements. Deterministic: elements are independent.
#include "pointwise.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

__device__ __forceinline__ float sigmoid(float x) {
  return 1.0f / (1.0f + exp(-x));
}

template <class T, int kRun>
__global__ void __launch_bounds__(kPointwiseThreads) swigluKernel(Matrix<const T> x,  // [N, 2F]
                                                                  Matrix<T> y) {      // [N, F]
  forRuns(y.rows, y.cols / kRun, [&](int64_t row, int64_t run) {
    const T* const gates = x.row(row) + run * kRun;
    float gate[kRun], up[kRun];
    loadRun(gates, gate);
    loadRun(gates + y.cols, up);
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) up[i] *= gate[i] * sigmoid(gate[i]);
    storeRun(y.row(row) + run * kRun, up);
  });
}

template <class T, int kRun>
__global__ void __launch_bounds__(kPointwiseThreads) swigluBackwardKernel(Matrix<const T> dy,  // [N, F]
                                                                          Matrix<const T> x,   // [N, 2F]
                                                                          Matrix<T> dx) {      // [N, 2F]
  forRuns(dy.rows, dy.cols / kRun, [&](int64_t row, int64_t run) {
    const T* const gates = x.row(row) + run * kRun;
    float gate[kRun], up[kRun], upstream[kRun];
    loadRun(gates, gate);
    loadRun(gates + dy.cols, up);
    loadRun(dy.row(row) + run * kRun, upstream);
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
      const float s = sigmoid(gate[i]);
      const float dGate = upstream[i] * up[i] * s * multiplyAdd(gate[i], 1.0f - s, 1.0f);
      up[i] = upstream[i] * gate[i] * s;
      gate[i] = dGate;
    }
    T* const dGates = dx.row(row) + run * kRun;
    storeRun(dGates, gate);
    storeRun(dGates + dy.cols, up);
  });
}

}  // namespace

void swiglu(const SwigluArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  withRuns(args.y.dtype, wholeRuns(args.y) && wholeRuns(args.x), [&](auto type, auto run) {
    using T = decltype(type);
    constexpr int kRun = decltype(run)::value;
    launch<swigluKernel<T, kRun>>(queue, pointwiseGrid(queue, elementCount(args.y) / kRun), kPointwiseThreads, 0,
                                  matrixOf<const T>(args.x), matrixOf<T>(args.y));
  });
}

void swigluBackward(const SwigluBackwardArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  withRuns(args.dy.dtype, wholeRuns(args.dy) && wholeRuns(args.x) && wholeRuns(args.dx), [&](auto type, auto run) {
    using T = decltype(type);
    constexpr int kRun = decltype(run)::value;
    launch<swigluBackwardKernel<T, kRun>>(queue, pointwiseGrid(queue, elementCount(args.dy) / kRun), kPointwiseThreads,
                                          0, matrixOf<const T>(args.dy), matrixOf<const T>(args.x),
                                          matrixOf<T>(args.dx));
  });
}

}  // namespace lowrank::LOWRANK_BACKEND
