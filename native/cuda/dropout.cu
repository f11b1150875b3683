// y = x * factor(e), factor = 1 / (1 - p) or 0 by Philox (philox.cuh), e = row * cols + col. Its backward is itself,
// applied to dy.
//
// x, y: [N, D] in one compute dtype, any row stride; y may be x. Bytes: each element once in and once out; about 20
// integer instructions per element, hidden behind memory. Roof: memory bandwidth.
//
// Launch: 256 threads, up to 8 blocks per multiprocessor, no shared memory. 16 bytes per access where rows are aligned
// to that; else single elements, each with the Philox call that four could share. Deterministic: a factor depends on
// its element alone.
#include "philox.cuh"
#include "pointwise.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

template <class T, int kRun>
__global__ void __launch_bounds__(kPointwiseThreads) dropoutKernel(Matrix<const T> x,  // [N, D]
                                                                   Matrix<T> y,        // [N, D]
                                                                   DropoutMask mask) {
  forRuns(x.rows, x.cols / kRun, [&](int64_t row, int64_t run) {
    const int64_t element = row * x.cols + run * kRun;
    float values[kRun];
    loadRun(x.row(row) + run * kRun, values);
    if constexpr (kRun == 1) {
      values[0] = dropped(values[0], dropoutFactor(mask, element));
    } else {
      LOWRANK_UNROLL for (int i = 0; i < kRun; i += 4) {
        const float4 factors = dropoutFactors(mask, element + i);
        values[i] = dropped(values[i], factors.x);
        values[i + 1] = dropped(values[i + 1], factors.y);
        values[i + 2] = dropped(values[i + 2], factors.z);
        values[i + 3] = dropped(values[i + 3], factors.w);
      }
    }
    storeRun(y.row(row) + run * kRun, values);
  });
}

}  // namespace

void dropout(const DropoutArgs& args, Context& context) {
  if (args.dropout.p <= 0.0f) return copy(CopyArgs{args.x, args.y}, context);
  Queue& queue = queueOf(context);
  withRuns(args.x.dtype, wholeRuns(args.x) && wholeRuns(args.y), [&](auto type, auto run) {
    using T = decltype(type);
    constexpr int kRun = decltype(run)::value;
    launch<dropoutKernel<T, kRun>>(queue, pointwiseGrid(queue, elementCount(args.x) / kRun), kPointwiseThreads, 0,
                                   matrixOf<const T>(args.x), matrixOf<T>(args.y), makeDropoutMask(args.dropout));
  });
}

}  // namespace lowrank::LOWRANK_BACKEND
