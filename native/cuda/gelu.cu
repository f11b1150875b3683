// Hendrycks & Gimpel 2016; the tanh form is GPT-2's gelu_new.
//
// erf form   y = x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2
//            dx = dy (Phi(x) + x phi(x)), phi(x) = e^(-x^2 / 2) / sqrt(2 pi)
// tanh form  y = x h, h = (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3)
//            dx = dy (h + x (1 - tanh^2 u) / 2 * du/dx)
//
// x, y, dy, dx: [N, F] compute dtype, any row stride, float32 inside, one rounding. Bytes per element: 2 elements
// forward, 3 backward.
// Roof: memory bandwidth. y may be x, dx may be dy or x.
//
// Launch: 256 threads, up to 8 blocks per multiprocessor, no shared memory. 16 bytes per access where rows are aligned
// to that, else single elements. Deterministic: elements are independent.
#include "pointwise.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr float kSqrt2OverPi = 0.797884561f;
constexpr float kCubic = 0.044715f;

__device__ __forceinline__ float tanhInner(float x) {
  return tanh(kSqrt2OverPi * x * multiplyAdd(kCubic, x * x, 1.0f));
}

// What x is multiplied by.
template <bool kTanh>
__device__ __forceinline__ float gate(float x) {
  return kTanh ? 0.5f * (1.0f + tanhInner(x)) : 0.5f * (1.0f + erf(x * 0.707106781f));
}

template <bool kTanh>
__device__ __forceinline__ float slope(float x) {
  if constexpr (!kTanh) return multiplyAdd(x * 0.398942280f, exp(-0.5f * x * x), gate<false>(x));
  const float t = tanhInner(x);
  const float inner = kSqrt2OverPi * multiplyAdd(3.0f * kCubic, x * x, 1.0f);
  // 1 - t^2 is 0 long before x * inner overflows; 0 * infinity must stay 0.
  const float bend = 1.0f - t * t;
  return 0.5f * (1.0f + t) + (bend > 0.0f ? 0.5f * x * bend * inner : 0.0f);
}

template <class T, int kRun, bool kTanh>
__global__ void __launch_bounds__(kPointwiseThreads) geluKernel(Matrix<const T> x,  // [N, F]
                                                                Matrix<T> y) {      // [N, F]
  forRuns(x.rows, x.cols / kRun, [&](int64_t row, int64_t run) {
    float values[kRun];
    loadRun(x.row(row) + run * kRun, values);
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) values[i] *= gate<kTanh>(values[i]);
    storeRun(y.row(row) + run * kRun, values);
  });
}

template <class T, int kRun, bool kTanh>
__global__ void __launch_bounds__(kPointwiseThreads) geluBackwardKernel(Matrix<const T> dy,  // [N, F]
                                                                        Matrix<const T> x,   // [N, F]
                                                                        Matrix<T> dx) {      // [N, F]
  forRuns(x.rows, x.cols / kRun, [&](int64_t row, int64_t run) {
    float values[kRun], upstream[kRun];
    loadRun(x.row(row) + run * kRun, values);
    loadRun(dy.row(row) + run * kRun, upstream);
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) upstream[i] *= slope<kTanh>(values[i]);
    storeRun(dx.row(row) + run * kRun, upstream);
  });
}

template <bool kTanh>
void forwardAs(const GeluArgs& args, Queue& queue) {
  withRuns(args.x.dtype, wholeRuns(args.x) && wholeRuns(args.y), [&](auto type, auto run) {
    using T = decltype(type);
    constexpr int kRun = decltype(run)::value;
    launch<geluKernel<T, kRun, kTanh>>(queue, pointwiseGrid(queue, elementCount(args.x) / kRun), kPointwiseThreads, 0,
                                       matrixOf<const T>(args.x), matrixOf<T>(args.y));
  });
}

template <bool kTanh>
void backwardAs(const GeluBackwardArgs& args, Queue& queue) {
  withRuns(args.x.dtype, wholeRuns(args.x) && wholeRuns(args.dy) && wholeRuns(args.dx), [&](auto type, auto run) {
    using T = decltype(type);
    constexpr int kRun = decltype(run)::value;
    launch<geluBackwardKernel<T, kRun, kTanh>>(queue, pointwiseGrid(queue, elementCount(args.x) / kRun),
                                               kPointwiseThreads, 0, matrixOf<const T>(args.dy),
                                               matrixOf<const T>(args.x), matrixOf<T>(args.dx));
  });
}

}  // namespace

void gelu(const GeluArgs& args, Context& context) {
  if (args.tanh) return forwardAs<true>(args, queueOf(context));
  forwardAs<false>(args, queueOf(context));
}

void geluBackward(const GeluBackwardArgs& args, Context& context) {
  if (args.tanh) return backwardAs<true>(args, queueOf(context));
  backwardAs<false>(args, queueOf(context));
}

}  // namespace lowrank::LOWRANK_BACKEND
