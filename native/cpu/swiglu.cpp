// x = [gate | up], s = sigmoid(gate):
//   forward   y = gate s up
//   backward  dGate = dy up s (1 + gate (1 - s));  dUp = dy gate s
//
// x, dx: [N, 2F]; y, dy: [N, F]; compute dtype, float32 inside, one rounding. Bytes per output element: 3 elements
// forward, 5 backward. Roof: memory bandwidth; the exponential is about 12 instructions per vector. dx may be x. No
// reduction.
#include "kernels.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

template <class T>
void forwardAs(const SwigluArgs& args, Context& context) {
  const int64_t width = args.y.cols;
  forRowBlocks(context, args.y.rows, width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* gates = rowOf<T>(args.x, row);
      const T* ups = gates + width;
      T* y = rowOf<T>(args.y, row);
      forLanes(width, [&](int64_t i, int lanes) {
        const Vec gate = loadLanes(gates + i, lanes), up = loadLanes(ups + i, lanes);
        storeLanes(y + i, gate * sigmoid(gate) * up, lanes);
      });
    }
  });
}

template <class T>
void backwardAs(const SwigluBackwardArgs& args, Context& context) {
  const int64_t width = args.dy.cols;
  forRowBlocks(context, args.dy.rows, width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* gates = rowOf<T>(args.x, row);
      const T* ups = gates + width;
      const T* dys = rowOf<T>(args.dy, row);
      T* dGate = rowOf<T>(args.dx, row);
      T* dUp = dGate + width;
      forLanes(width, [&](int64_t i, int lanes) {
        const Vec gate = loadLanes(gates + i, lanes), up = loadLanes(ups + i, lanes), dy = loadLanes(dys + i, lanes);
        const Vec s = sigmoid(gate);
        storeLanes(dGate + i, dy * up * s * fma(gate, 1.0f - s, splat(1.0f)), lanes);
        storeLanes(dUp + i, dy * gate * s, lanes);
      });
    }
  });
}

}  // namespace

void swiglu(const SwigluArgs& args, Context& context) {
  withStorage(args.x.dtype, [&]<class T>(T) { forwardAs<T>(args, context); });
}

void swigluBackward(const SwigluBackwardArgs& args, Context& context) {
  withStorage(args.x.dtype, [&]<class T>(T) { backwardAs<T>(args, context); });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
