// Hendrycks & Gimpel 2016; the tanh form is GPT-2's gelu_new.
//
// erf form   y = x Phi(x), Phi(x) = (1 + erf(x / sqrt 2)) / 2
//            dx = dy (Phi(x) + x phi(x)), phi(x) = e^(-x^2 / 2) / sqrt(2 pi)
// tanh form  y = x h, h = (1 + tanh u) / 2, u = sqrt(2 / pi) (x + 0.044715 x^3)
//            dx = dy (h + x (1 - tanh^2 u) / 2 * du/dx)
//
// x, y, dy, dx: [N, F] compute dtype, float32 inside, one rounding. Bytes per element: 2 elements forward, 3 backward.
// Roof: memory bandwidth; 25 to 40 instructions per vector. y may be x, dx may be dy or x. No reduction.
#include "kernels.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

constexpr float kSqrt2OverPi = 0.797884561f;
constexpr float kCubic = 0.044715f;

LOWRANK_INLINE Vec cdf(Vec x) {
  return 0.5f * (1.0f + erf(x * 0.707106781f));
}

LOWRANK_INLINE Vec tanhInner(Vec x) {
  return tanh(kSqrt2OverPi * x * fma(splat(kCubic), x * x, splat(1.0f)));
}

LOWRANK_INLINE Vec erfSlope(Vec x) {
  return fma(x * 0.398942280f, exp(-0.5f * x * x), cdf(x));
}

LOWRANK_INLINE Vec tanhSlope(Vec x) {
  const Vec t = tanhInner(x);
  const Vec inner = kSqrt2OverPi * fma(splat(3.0f * kCubic), x * x, splat(1.0f));
  // 1 - t^2 is 0 long before x * inner overflows; 0 * infinity must stay 0.
  const Vec bend = 1.0f - t * t;
  return 0.5f * (1.0f + t) + ((bend > zero()) ? 0.5f * x * bend * inner : zero());
}

template <class T, bool kTanh>
void forwardAs(const GeluArgs& args, Context& context) {
  forRuns(context, args.x.rows, args.x.cols, contiguous(args.x) && contiguous(args.y),
          [&](int64_t row, int64_t col, int64_t count) {
            const T* xs = rowOf<T>(args.x, row) + col;
            T* y = rowOf<T>(args.y, row) + col;
            forLanes(count, [&](int64_t i, int lanes) {
              const Vec x = loadLanes(xs + i, lanes);
              storeLanes(y + i, x * (kTanh ? 0.5f * (1.0f + tanhInner(x)) : cdf(x)), lanes);
            });
          });
}

template <class T, bool kTanh>
void backwardAs(const GeluBackwardArgs& args, Context& context) {
  forRuns(context, args.x.rows, args.x.cols, contiguous(args.x) && contiguous(args.dy) && contiguous(args.dx),
          [&](int64_t row, int64_t col, int64_t count) {
            const T* xs = rowOf<T>(args.x, row) + col;
            const T* dy = rowOf<T>(args.dy, row) + col;
            T* dx = rowOf<T>(args.dx, row) + col;
            forLanes(count, [&](int64_t i, int lanes) {
              const Vec x = loadLanes(xs + i, lanes);
              storeLanes(dx + i, loadLanes(dy + i, lanes) * (kTanh ? tanhSlope(x) : erfSlope(x)), lanes);
            });
          });
}

}  // namespace

void gelu(const GeluArgs& args, Context& context) {
  withStorage(args.x.dtype,
              [&]<class T>(T) { args.tanh ? forwardAs<T, true>(args, context) : forwardAs<T, false>(args, context); });
}

void geluBackward(const GeluBackwardArgs& args, Context& context) {
  withStorage(args.x.dtype, [&]<class T>(T) {
    args.tanh ? backwardAs<T, true>(args, context) : backwardAs<T, false>(args, context);
  });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
