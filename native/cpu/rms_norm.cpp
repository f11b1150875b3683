// rmsNorm (Zhang & Sennrich 2019), with the residual addition that precedes it. r = 1 / sqrt(mean(s^2) + eps), n = s r:
//   forward   s = x + residual, rounded to compute;  y = n weight
//   backward  g = dy weight;  dx = r (g - n mean(g n)) + dSum;  dWeight += sum over rows and heads of dy n
// D elements at a time: a row may be several heads, each normalised by itself.
//
// x, residual, s, y, dy, dSum, dx: [N, H D] compute, any row stride; weight [D]; dWeight [D] float32. Float32 inside,
// one rounding. Bytes per element of compute dtype: 2 to 4 elements forward, 3 to 4 backward. Roof: memory bandwidth. r
// is computed again in backward instead of stored: it costs one pass over a row that is in cache anyway. dx may be dy
// or dSum. Deterministic: rows are independent; dWeight goes through fixed chunks of rows.
#include "kernels.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

LOWRANK_INLINE float reciprocalRms(Vec squares, int64_t width, float eps) {
  return 1.0f / __builtin_sqrtf(reduceAdd(squares) / static_cast<float>(width) + eps);
}

template <class T>
void forwardAs(const RmsNormArgs& args, Context& context) {
  const int64_t cols = args.x.cols, width = args.weight.cols;
  const T* weight = rowOf<T>(args.weight, 0);
  forRowBlocks(context, args.x.rows, cols, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* s = rowOf<T>(args.x, row);
      if (present(args.residual)) {
        const T* x = s;
        const T* residual = rowOf<T>(args.residual, row);
        T* sum = rowOf<T>(args.sum, row);
        forLanes(cols, [&](int64_t i, int lanes) {
          storeLanes(sum + i, loadLanes(x + i, lanes) + loadLanes(residual + i, lanes), lanes);
        });
        s = sum;
      }
      T* y = rowOf<T>(args.y, row);
      for (int64_t head = 0; head < cols; head += width, s += width, y += width) {
        Vec squares = zero();
        forLanes(width, [&](int64_t i, int lanes) {
          const Vec value = loadLanes(s + i, lanes);
          squares = fma(value, value, squares);
        });
        const float scale = reciprocalRms(squares, width, args.eps);
        forLanes(width, [&](int64_t i, int lanes) {
          storeLanes(y + i, loadLanes(s + i, lanes) * scale * loadLanes(weight + i, lanes), lanes);
        });
      }
    }
  });
}

template <class T>
void backwardAs(const RmsNormBackwardArgs& args, Context& context) {
  const int64_t rows = args.x.rows, cols = args.x.cols, width = args.weight.cols;
  const int64_t step = rowsPerPartial(rows), chunks = ceilDiv(rows, step);
  const T* weight = rowOf<T>(args.weight, 0);
  float* partials = nullptr;
  if (present(args.dWeight)) {
    partials = scratch<float>(context, chunks * width);
    if (partials == nullptr) return;
  }
  parallelFor(context, chunks, [&](int64_t chunk, int) {
    float* partial = partials == nullptr ? nullptr : partials + chunk * width;
    if (partial != nullptr) __builtin_memset(partial, 0, static_cast<size_t>(width) * sizeof(float));
    for (int64_t at = chunk * step * cols; at < minOf(rows, (chunk + 1) * step) * cols; at += width) {
      const int64_t row = at / cols, head = at % cols;
      const T* x = rowOf<T>(args.x, row) + head;
      const T* dy = rowOf<T>(args.dy, row) + head;
      const T* dSum = present(args.dSum) ? rowOf<T>(args.dSum, row) + head : nullptr;
      T* dx = rowOf<T>(args.dx, row) + head;
      Vec squares = zero(), products = zero();
      forLanes(width, [&](int64_t i, int lanes) {
        const Vec value = loadLanes(x + i, lanes);
        squares = fma(value, value, squares);
        products = fma(value, loadLanes(dy + i, lanes) * loadLanes(weight + i, lanes), products);
      });
      const float scale = reciprocalRms(squares, width, args.eps);
      const float mean = reduceAdd(products) * scale / static_cast<float>(width);
      forLanes(width, [&](int64_t i, int lanes) {
        const Vec n = loadLanes(x + i, lanes) * scale, upstream = loadLanes(dy + i, lanes);
        Vec gradient = (upstream * loadLanes(weight + i, lanes) - n * mean) * scale;
        if (dSum != nullptr) gradient = gradient + loadLanes(dSum + i, lanes);
        if (partial != nullptr) storeLanes(partial + i, fma(upstream, n, loadLanes(partial + i, lanes)), lanes);
        storeLanes(dx + i, gradient, lanes);
      });
    }
  });
  if (partials != nullptr) addPartials(context, partials, chunks, width, rowOf<float>(args.dWeight, 0));
}

}  // namespace

void rmsNorm(const RmsNormArgs& args, Context& context) {
  withStorage(args.x.dtype, [&]<class T>(T) { forwardAs<T>(args, context); });
}

void rmsNormBackward(const RmsNormBackwardArgs& args, Context& context) {
  withStorage(args.x.dtype, [&]<class T>(T) { backwardAs<T>(args, context); });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
