// ids[i] = the first index of the largest value of row i. A row with a NaN, or with nothing above -infinity, is a
// fault.
//
// x: [N, V] float32, bfloat16 or float16; ids: int32 [N]. One read of x, a second one of the part up to the answer,
// which is in cache. Roof: memory bandwidth. Deterministic: the maximum has no rounding.
#include "kernels.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

template <class T>
void argmaxAs(const ArgmaxArgs& args, Context& context) {
  const int64_t width = args.x.cols;
  int32_t* ids = static_cast<int32_t*>(args.ids.data);
  forRowBlocks(context, args.x.rows, width, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* x = rowOf<T>(args.x, row);
      Vec largest = splat(-kInfinity), nans = zero();
      int64_t i = 0;
      for (; i + kLanes <= width; i += kLanes) {
        const Vec value = load(x + i);
        largest = max(value, largest);
        nans = (value == value) ? nans : splat(1.0f);
      }
      float best = reduceMax(largest);
      bool hasNan = reduceMax(nans) > 0.0f;
      for (; i < width; ++i) {
        const float value = toFloat(x[i]);
        best = value > best ? value : best;
        hasNan = hasNan || value != value;
      }
      if (best == -kInfinity) {
        context.fail("expected a logit above -infinity for sequence %lld, got none", static_cast<long long>(row));
        return;
      }
      if (hasNan) {
        context.fail("expected logits that are numbers for sequence %lld, got NaN", static_cast<long long>(row));
        return;
      }
      int64_t index = 0;
      while (toFloat(x[index]) != best) ++index;
      ids[row] = static_cast<int32_t>(index);
    }
  });
}

}  // namespace

void argmax(const ArgmaxArgs& args, Context& context) {
  withStorage(args.x.dtype, [&]<class T>(T) { argmaxAs<T>(args, context); });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
