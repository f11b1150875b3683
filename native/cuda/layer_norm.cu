// layerNorm (Ba, Kiros & Hinton 2016), with the residual addition that precedes it.
// m = mean(s), r = 1 / sqrt(mean((s - m)^2) + eps), n = (s - m) r:
//   forward   s = x + residual, rounded to compute;  y = n weight + bias
//   backward  g = dy weight;  dx = r (g - mean(g) - n mean(g n)) + dSum
//             dWeight += sum over rows of dy n;  dBias += sum over rows of dy
//
// x, residual, s, y, dy, dSum, dx: [N, D] compute, any row stride; weight, bias [D]; dWeight, dBias [D] float32.
// Float32 inside, one rounding. Bytes per element of compute dtype: 2 to 4 elements forward, 3 to 4 backward; later
// passes over a row find it in the cache.
// Roof: memory bandwidth. m and r are computed again in backward. The variance is taken around the mean, in a second
// pass: E[s^2] - m^2 would cancel. dx may be dy or dSum.
//
// Launch: 256 threads; a warp per row, or a block where D > 1024 and rows are aligned to 16 bytes. Shared memory: 128
// bytes per sum.
// Deterministic: rows are independent; dWeight and dBias go through fixed runs of rows, each added up by one group in
// float32 partials.
#include "row_norm.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

struct Moments {
  float mean;
  float scale;  // 1 / sqrt(variance + eps)
};

// `slots` has room for two sums.
template <int kRun, int kGroup, class T>
__device__ __forceinline__ Moments momentsOf(const T* s, int32_t width, float eps, float* slots) {
  float total = 0.0f, squares = 0.0f;
  forGroup<kRun, kGroup>(width, [&](int32_t col) {
    float values[kRun];
    loadRun(s + col, values);
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) total += values[i];
  });
  const float mean = groupSum<kGroup>(total, slots) / static_cast<float>(width);
  forGroup<kRun, kGroup>(width, [&](int32_t col) {
    float values[kRun];
    loadRun(s + col, values);
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
      squares = multiplyAdd(values[i] - mean, values[i] - mean, squares);
    }
  });
  return Moments{mean, rsqrt(groupSum<kGroup>(squares, slots + kWarp) / static_cast<float>(width) + eps)};
}

template <class T, int kRun, int kGroup>
__global__ void __launch_bounds__(kPointwiseThreads) layerNormKernel(Matrix<const T> x,         // [N, D]
                                                                     Matrix<const T> residual,  // [N, D], or null
                                                                     const T* weight,           // [D]
                                                                     const T* bias,             // [D]
                                                                     Matrix<T> sum,             // [N, D], with residual
                                                                     Matrix<T> y,               // [N, D]
                                                                     float eps) {
  float* const slots = sharedMemory<float>();
  const int64_t row = groupNumber<kGroup>();
  if (row >= x.rows) return;
  const T* s = x.row(row);
  if (residual.data != nullptr) {
    const T* const from = s;
    T* const to = sum.row(row);
    forGroup<kRun, kGroup>(x.cols, [&](int32_t col) {
      float values[kRun], others[kRun];
      loadRun(from + col, values);
      loadRun(residual.row(row) + col, others);
      LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) values[i] += others[i];
      storeRun(to + col, values);
    });
    s = to;
  }
  const Moments moments = momentsOf<kRun, kGroup>(s, x.cols, eps, slots);
  forGroup<kRun, kGroup>(x.cols, [&](int32_t col) {
    float values[kRun], weights[kRun], biases[kRun];
    loadRun(s + col, values);
    loadRun(weight + col, weights);
    loadRun(bias + col, biases);
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
      values[i] = multiplyAdd((values[i] - moments.mean) * moments.scale, weights[i], biases[i]);
    }
    storeRun(y.row(row) + col, values);
  });
}

template <class T, int kRun, int kGroup>
__global__ void __launch_bounds__(kPointwiseThreads)
    layerNormBackwardKernel(Matrix<const T> dy,     // [N, D]
                            Matrix<const T> dSum,   // [N, D], or null
                            Matrix<const T> x,      // [N, D]
                            const T* weight,        // [D]
                            Matrix<T> dx,           // [N, D]
                            float* weightPartials,  // [groups, D], or null
                            float* biasPartials,    // [groups, D], or null
                            int32_t perGroup, float eps) {
  float* const slots = sharedMemory<float>();
  const int32_t width = x.cols;
  const int64_t group = groupNumber<kGroup>(), begin = group * perGroup, end = minOf(x.rows, begin + perGroup);
  for (int64_t row = begin; row < end; ++row) {
    const T* const from = x.row(row);
    const T* const upstream = dy.row(row);
    const Moments moments = momentsOf<kRun, kGroup>(from, width, eps, slots);
    float gradientSum = 0.0f, productSum = 0.0f;
    forGroup<kRun, kGroup>(width, [&](int32_t col) {
      float values[kRun], gradients[kRun], weights[kRun];
      loadRun(from + col, values);
      loadRun(upstream + col, gradients);
      loadRun(weight + col, weights);
      LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
        const float g = gradients[i] * weights[i];
        gradientSum += g;
        productSum = multiplyAdd(g, (values[i] - moments.mean) * moments.scale, productSum);
      }
    });
    const float meanGradient = groupSum<kGroup>(gradientSum, slots + 2 * kWarp) / static_cast<float>(width);
    const float meanProduct = groupSum<kGroup>(productSum, slots + 3 * kWarp) / static_cast<float>(width);
    forGroup<kRun, kGroup>(width, [&](int32_t col) {
      float values[kRun], gradients[kRun], weights[kRun];
      loadRun(from + col, values);
      loadRun(upstream + col, gradients);
      loadRun(weight + col, weights);
      LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) values[i] = (values[i] - moments.mean) * moments.scale;
      if (weightPartials != nullptr) {
        float* const weightAt = weightPartials + group * width + col;
        float* const biasAt = biasPartials + group * width + col;
        LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
          weightAt[i] = multiplyAdd(gradients[i], values[i], row == begin ? 0.0f : weightAt[i]);
          biasAt[i] = gradients[i] + (row == begin ? 0.0f : biasAt[i]);
        }
      }
      LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
        values[i] = (gradients[i] * weights[i] - meanGradient - values[i] * meanProduct) * moments.scale;
      }
      if (dSum.data != nullptr) {
        loadRun(dSum.row(row) + col, gradients);
        LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) values[i] += gradients[i];
      }
      storeRun(dx.row(row) + col, values);
    });
  }
}

}  // namespace

void layerNorm(const LayerNormArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  const bool whole = wholeRuns(args.x) && absentOrWholeRuns(args.residual) && wholeRuns(args.weight) &&
                     wholeRuns(args.bias) && absentOrWholeRuns(args.sum) && wholeRuns(args.y);
  withGroups(args.x.dtype, whole, args.x.cols, [&](auto type, auto run, auto group) {
    using T = decltype(type);
    constexpr int kRun = decltype(run)::value, kGroup = decltype(group)::value;
    launch<layerNormKernel<T, kRun, kGroup>>(
        queue, groupGrid(args.x.rows, kGroup), kPointwiseThreads, 2 * kWarp * sizeof(float), matrixOf<const T>(args.x),
        matrixOf<const T>(args.residual), static_cast<const T*>(args.weight.data),
        static_cast<const T*>(args.bias.data), matrixOf<T>(args.sum), matrixOf<T>(args.y), args.eps);
  });
}

void layerNormBackward(const LayerNormBackwardArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  const bool sums = present(args.dWeight) || present(args.dBias);
  const int64_t width = args.x.cols, perGroup = partsPerGroup(args.x.rows, sums);
  const int64_t groups = ceilDiv(args.x.rows, perGroup);
  float* weightPartials = nullptr;
  float* biasPartials = nullptr;
  if (sums) {
    weightPartials = scratch<float>(context, 2 * groups * width);
    if (weightPartials == nullptr) return;
    biasPartials = weightPartials + groups * width;
  }
  const bool whole = wholeRuns(args.x) && wholeRuns(args.dy) && absentOrWholeRuns(args.dSum) &&
                     wholeRuns(args.weight) && wholeRuns(args.dx);
  withGroups(args.x.dtype, whole, width, [&](auto type, auto run, auto group) {
    using T = decltype(type);
    constexpr int kRun = decltype(run)::value, kGroup = decltype(group)::value;
    launch<layerNormBackwardKernel<T, kRun, kGroup>>(
        queue, groupGrid(groups, kGroup), kPointwiseThreads, 4 * kWarp * sizeof(float), matrixOf<const T>(args.dy),
        matrixOf<const T>(args.dSum), matrixOf<const T>(args.x), static_cast<const T*>(args.weight.data),
        matrixOf<T>(args.dx), weightPartials, biasPartials, perGroup, args.eps);
  });
  if (present(args.dWeight)) addPartials(queue, weightPartials, groups, args.dWeight);
  if (present(args.dBias)) addPartials(queue, biasPartials, groups, args.dBias);
}

}  // namespace lowrank::LOWRANK_BACKEND
