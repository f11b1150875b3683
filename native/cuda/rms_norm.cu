// rmsNorm (Zhang & Sennrich 2019), with the residual addition that precedes it. r = 1 / sqrt(mean(s^2) + eps), n = s r:
//   forward   s = x + residual, rounded to compute;  y = n weight
//   backward  g = dy weight;  dx = r (g - n mean(g n)) + dSum;  dWeight += sum over rows and heads of dy n
// D elements at a time: a row may be several heads, each normalised by itself.
//
// x, residual, s, y, dy, dSum, dx: [N, H D] compute, any row stride; weight [D]; dWeight [D] float32. Float32 inside,
// one rounding. Bytes per element of compute dtype: 2 to 4 elements forward, 3 to 4 backward; a part is read twice, the
// second time out of the cache. Roof: memory bandwidth. r is computed again in backward: it costs that second read. dx
// may be dy or dSum.
//
// Launch: 256 threads; a warp per part, or a block where D > 1024 and rows are aligned to 16 bytes. Shared memory: 128
// bytes per sum.
// Deterministic: parts are independent; dWeight goes through fixed runs of parts, each added up by one group in float32
// partials.
#include "row_norm.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

template <class T, int kRun, int kGroup>
__global__ void __launch_bounds__(kPointwiseThreads) rmsNormKernel(Matrix<const T> x,         // [N, H D]
                                                                   Matrix<const T> residual,  // [N, H D], or null
                                                                   const T* weight,           // [D]
                                                                   Matrix<T> sum,             // [N, H D], with residual
                                                                   Matrix<T> y,               // [N, H D]
                                                                   int32_t width, float eps) {
  float* const slots = sharedMemory<float>();
  const int32_t heads = x.cols / width;
  const int64_t part = groupNumber<kGroup>(), row = part / heads, first = part % heads * width;
  if (row >= x.rows) return;
  const T* s = x.row(row) + first;
  float squares = 0.0f;
  if (residual.data != nullptr) {
    const T* const from = s;
    T* const to = sum.row(row) + first;
    forGroup<kRun, kGroup>(width, [&](int32_t col) {
      float values[kRun], others[kRun];
      loadRun(from + col, values);
      loadRun(residual.row(row) + first + col, others);
      LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
        values[i] += others[i];
        const float rounded = toFloat(fromFloat<T>(values[i]));
        squares = multiplyAdd(rounded, rounded, squares);
      }
      storeRun(to + col, values);
    });
    s = to;
  } else {
    forGroup<kRun, kGroup>(width, [&](int32_t col) {
      float values[kRun];
      loadRun(s + col, values);
      LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) squares = multiplyAdd(values[i], values[i], squares);
    });
  }
  const float scale = rsqrt(groupSum<kGroup>(squares, slots) / static_cast<float>(width) + eps);
  forGroup<kRun, kGroup>(width, [&](int32_t col) {
    float values[kRun], weights[kRun];
    loadRun(s + col, values);
    loadRun(weight + col, weights);
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) values[i] = values[i] * scale * weights[i];
    storeRun(y.row(row) + first + col, values);
  });
}

template <class T, int kRun, int kGroup>
__global__ void __launch_bounds__(kPointwiseThreads) rmsNormBackwardKernel(Matrix<const T> dy,    // [N, H D]
                                                                           Matrix<const T> dSum,  // [N, H D], or null
                                                                           Matrix<const T> x,     // [N, H D]
                                                                           const T* weight,       // [D]
                                                                           Matrix<T> dx,          // [N, H D]
                                                                           float* partials,  // [groups, D], or null
                                                                           int32_t width, int32_t perGroup, float eps) {
  float* const slots = sharedMemory<float>();
  const int32_t heads = x.cols / width;
  const int64_t group = groupNumber<kGroup>(), begin = group * perGroup;
  const int64_t end = minOf(static_cast<int64_t>(x.rows) * heads, begin + perGroup);
  for (int64_t part = begin; part < end; ++part) {
    const int64_t row = part / heads, first = part % heads * width;
    const T* const from = x.row(row) + first;
    const T* const upstream = dy.row(row) + first;
    float squares = 0.0f, products = 0.0f;
    forGroup<kRun, kGroup>(width, [&](int32_t col) {
      float values[kRun], gradients[kRun], weights[kRun];
      loadRun(from + col, values);
      loadRun(upstream + col, gradients);
      loadRun(weight + col, weights);
      LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
        squares = multiplyAdd(values[i], values[i], squares);
        products = multiplyAdd(values[i], gradients[i] * weights[i], products);
      }
    });
    const float scale = rsqrt(groupSum<kGroup>(squares, slots) / static_cast<float>(width) + eps);
    const float mean = groupSum<kGroup>(products, slots + kWarp) * scale / static_cast<float>(width);
    forGroup<kRun, kGroup>(width, [&](int32_t col) {
      float values[kRun], gradients[kRun], weights[kRun];
      loadRun(from + col, values);
      loadRun(upstream + col, gradients);
      loadRun(weight + col, weights);
      if (partials != nullptr) {
        float* const at = partials + group * width + col;
        LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
          at[i] = multiplyAdd(gradients[i], values[i] * scale, part == begin ? 0.0f : at[i]);
        }
      }
      LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
        values[i] = (gradients[i] * weights[i] - values[i] * scale * mean) * scale;
      }
      if (dSum.data != nullptr) {
        loadRun(dSum.row(row) + first + col, gradients);
        LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) values[i] += gradients[i];
      }
      storeRun(dx.row(row) + first + col, values);
    });
  }
}

}  // namespace

void rmsNorm(const RmsNormArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  const int64_t width = args.weight.cols, parts = args.x.rows * (args.x.cols / width);
  const bool whole = wholeRuns(args.x) && absentOrWholeRuns(args.residual) && wholeRuns(args.weight) &&
                     absentOrWholeRuns(args.sum) && wholeRuns(args.y);
  withGroups(args.x.dtype, whole, width, [&](auto type, auto run, auto group) {
    using T = decltype(type);
    constexpr int kRun = decltype(run)::value, kGroup = decltype(group)::value;
    launch<rmsNormKernel<T, kRun, kGroup>>(queue, groupGrid(parts, kGroup), kPointwiseThreads, kWarp * sizeof(float),
                                           matrixOf<const T>(args.x), matrixOf<const T>(args.residual),
                                           static_cast<const T*>(args.weight.data), matrixOf<T>(args.sum),
                                           matrixOf<T>(args.y), width, args.eps);
  });
}

void rmsNormBackward(const RmsNormBackwardArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  const int64_t width = args.weight.cols, parts = args.x.rows * (args.x.cols / width);
  const int64_t perGroup = partsPerGroup(parts, present(args.dWeight)), groups = ceilDiv(parts, perGroup);
  float* partials = nullptr;
  if (present(args.dWeight)) {
    partials = scratch<float>(context, groups * width);
    if (partials == nullptr) return;
  }
  const bool whole = wholeRuns(args.x) && wholeRuns(args.dy) && absentOrWholeRuns(args.dSum) &&
                     wholeRuns(args.weight) && wholeRuns(args.dx);
  withGroups(args.x.dtype, whole, width, [&](auto type, auto run, auto group) {
    using T = decltype(type);
    constexpr int kRun = decltype(run)::value, kGroup = decltype(group)::value;
    launch<rmsNormBackwardKernel<T, kRun, kGroup>>(
        queue, groupGrid(groups, kGroup), kPointwiseThreads, 2 * kWarp * sizeof(float), matrixOf<const T>(args.dy),
        matrixOf<const T>(args.dSum), matrixOf<const T>(args.x), static_cast<const T*>(args.weight.data),
        matrixOf<T>(args.dx), partials, width, perGroup, args.eps);
  });
  if (partials != nullptr) addPartials(queue, partials, groups, args.dWeight);
}

}  // namespace lowrank::LOWRANK_BACKEND
