// layerNorm (Ba, Kiros & Hinton 2016), with the residual addition that precedes it.
// m = mean(s), r = 1 / sqrt(mean((s - m)^2) + eps), n = (s - m) r:
//   forward   s = x + residual, rounded to compute;  y = n weight + bias
//   backward  g = dy weight;  dx = r (g - mean(g) - n mean(g n)) + dSum
//             dWeight += sum over rows of dy n;  dBias += sum over rows of dy
//
// x, residual, s, y, dy, dSum, dx: [N, D] compute, any row stride; weight, bias [D]; dWeight, dBias [D] float32.
// Float32 inside, one rounding. Bytes per element of compute dtype: 2 to 4 elements forward, 3 to 4 backward. Roof:
// memory bandwidth. m and r are computed again in backward. The variance is taken around the mean, in a second pass
// over the cached row: E[s^2] - m^2 would cancel. dx may be dy or dSum. Deterministic: rows are independent; dWeight
// and dBias go through fixed chunks of rows.
#include "kernels.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

struct Moments {
  float mean;
  float scale;  // 1 / sqrt(variance + eps)
};

template <class T>
LOWRANK_INLINE Moments momentsOf(const T* s, int64_t width, float eps) {
  Vec total = zero();
  forLanes(width, [&](int64_t i, int lanes) { total = total + loadLanes(s + i, lanes); });
  const float mean = reduceAdd(total) / static_cast<float>(width);
  Vec squares = zero();
  int64_t i = 0;
  for (; i + kLanes <= width; i += kLanes) {
    const Vec centred = load(s + i) - mean;
    squares = fma(centred, centred, squares);
  }
  float sum = reduceAdd(squares);
  for (; i < width; ++i) {
    const float centred = toFloat(s[i]) - mean;
    sum += centred * centred;
  }
  return Moments{mean, 1.0f / __builtin_sqrtf(sum / static_cast<float>(width) + eps)};
}

template <class T>
void forwardAs(const LayerNormArgs& args, Context& context) {
  const int64_t width = args.x.cols;
  const T* weight = rowOf<T>(args.weight, 0);
  const T* bias = rowOf<T>(args.bias, 0);
  forRowBlocks(context, args.x.rows, width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* s = rowOf<T>(args.x, row);
      if (present(args.residual)) {
        const T* x = s;
        const T* residual = rowOf<T>(args.residual, row);
        T* sum = rowOf<T>(args.sum, row);
        forLanes(width, [&](int64_t i, int lanes) {
          storeLanes(sum + i, loadLanes(x + i, lanes) + loadLanes(residual + i, lanes), lanes);
        });
        s = sum;
      }
      const Moments moments = momentsOf(s, width, args.eps);
      T* y = rowOf<T>(args.y, row);
      forLanes(width, [&](int64_t i, int lanes) {
        const Vec n = (loadLanes(s + i, lanes) - moments.mean) * moments.scale;
        storeLanes(y + i, fma(n, loadLanes(weight + i, lanes), loadLanes(bias + i, lanes)), lanes);
      });
    }
  });
}

template <class T>
void backwardAs(const LayerNormBackwardArgs& args, Context& context) {
  const int64_t rows = args.x.rows, width = args.x.cols, step = rowsPerPartial(rows), chunks = ceilDiv(rows, step);
  const T* weight = rowOf<T>(args.weight, 0);
  const bool sums = present(args.dWeight) || present(args.dBias);
  float* weightPartials = nullptr;
  float* biasPartials = nullptr;
  if (sums) {
    weightPartials = scratch<float>(context, 2 * chunks * width);
    if (weightPartials == nullptr) return;
    biasPartials = weightPartials + chunks * width;
  }
  parallelFor(context, chunks, [&](int64_t chunk, int) {
    float* weightPartial = sums ? weightPartials + chunk * width : nullptr;
    float* biasPartial = sums ? biasPartials + chunk * width : nullptr;
    if (sums) {
      __builtin_memset(weightPartial, 0, static_cast<size_t>(width) * sizeof(float));
      __builtin_memset(biasPartial, 0, static_cast<size_t>(width) * sizeof(float));
    }
    for (int64_t row = chunk * step; row < minOf(rows, (chunk + 1) * step); ++row) {
      const T* x = rowOf<T>(args.x, row);
      const T* dy = rowOf<T>(args.dy, row);
      const T* dSum = present(args.dSum) ? rowOf<T>(args.dSum, row) : nullptr;
      T* dx = rowOf<T>(args.dx, row);
      const Moments moments = momentsOf(x, width, args.eps);
      Vec gradients = zero(), products = zero();
      forLanes(width, [&](int64_t i, int lanes) {
        // Lanes past the end have weight 0, so that their n does not count.
        const Vec g = loadLanes(dy + i, lanes) * loadLanes(weight + i, lanes);
        const Vec n = (loadLanes(x + i, lanes) - moments.mean) * moments.scale;
        gradients = gradients + g;
        products = fma(g, n, products);
      });
      const float meanGradient = reduceAdd(gradients) / static_cast<float>(width);
      const float meanProduct = reduceAdd(products) / static_cast<float>(width);
      forLanes(width, [&](int64_t i, int lanes) {
        const Vec n = (loadLanes(x + i, lanes) - moments.mean) * moments.scale, upstream = loadLanes(dy + i, lanes);
        Vec gradient = (upstream * loadLanes(weight + i, lanes) - meanGradient - n * meanProduct) * moments.scale;
        if (dSum != nullptr) gradient = gradient + loadLanes(dSum + i, lanes);
        if (sums) {
          storeLanes(weightPartial + i, fma(upstream, n, loadLanes(weightPartial + i, lanes)), lanes);
          storeLanes(biasPartial + i, upstream + loadLanes(biasPartial + i, lanes), lanes);
        }
        storeLanes(dx + i, gradient, lanes);
      });
    }
  });
  if (present(args.dWeight)) addPartials(context, weightPartials, chunks, width, rowOf<float>(args.dWeight, 0));
  if (present(args.dBias)) addPartials(context, biasPartials, chunks, width, rowOf<float>(args.dBias, 0));
}

}  // namespace

void layerNorm(const LayerNormArgs& args, Context& context) {
  withStorage(args.x.dtype, [&]<class T>(T) { forwardAs<T>(args, context); });
}

void layerNormBackward(const LayerNormBackwardArgs& args, Context& context) {
  withStorage(args.x.dtype, [&]<class T>(T) { backwardAs<T>(args, context); });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
