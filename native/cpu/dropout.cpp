// y = x * factor(e), factor = 1 / (1 - p) or 0 by Philox (philox.h), e = row * cols + col. Its backward is itself,
// applied to dy.
//
// x, y: [N, D] in one dtype, any row stride; y may be x. Roof: about 3 instructions per element of Philox at 16 lanes,
// close to memory bandwidth. Deterministic: a factor depends on its element alone.
#include "kernels.h"
#include "philox.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

template <class T>
void dropoutAs(const DropoutArgs& args, Context& context) {
  const DropoutMask mask = makeDropoutMask(args.dropout);
  const bool flat = contiguous(args.x) && contiguous(args.y);
  forRuns(context, args.x.rows, args.x.cols, flat, [&](int64_t row, int64_t col, int64_t count) {
    const T* x = rowOf<T>(args.x, row) + col;
    T* y = rowOf<T>(args.y, row) + col;
    constexpr int64_t kRun = 512;
    float factors[kRun];
    for (int64_t begin = 0; begin < count; begin += kRun) {
      const int64_t width = minOf(kRun, count - begin);
      dropoutFactors(mask, row * args.x.cols + col + begin, width, factors);
      forLanes(width, [&](int64_t i, int lanes) {
        // A dropped infinity or NaN is dropped too.
        const Vec factor = loadLanes(factors + i, lanes);
        const Vec kept = loadLanes(x + begin + i, lanes) * factor;
        storeLanes(y + begin + i, (factor != zero()) ? kept : zero(), lanes);
      });
    }
  });
}

}  // namespace

void dropout(const DropoutArgs& args, Context& context) {
  if (args.dropout.p <= 0.0f) return copy(CopyArgs{args.x, args.y}, context);
  withStorage(args.x.dtype, [&]<class T>(T) { dropoutAs<T>(args, context); });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
