// ids[i] = the first index of the largest value of row i; a NaN is never the largest; a row of NaN gives 0.
//
// x: [N, V] float32, bfloat16 or float16; ids: int32 [N]. One read of x, a second one of the part up to the answer, which is in
// cache. Roof: memory bandwidth. Deterministic: the maximum has no rounding.
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
      Vec largest = splat(-kInfinity);
      int64_t i = 0;
      for (; i + kLanes <= width; i += kLanes) largest = max(load(x + i), largest);
      float best = reduceMax(largest);
      for (; i < width; ++i) best = toFloat(x[i]) > best ? toFloat(x[i]) : best;
      int64_t index = 0;
      while (index < width && toFloat(x[index]) != best) ++index;
      ids[row] = static_cast<int32_t>(index < width ? index : 0);
    }
  });
}

}  // namespace

void argmax(const ArgmaxArgs& args, Context& context) {
  withStorage(args.x.dtype, [&]<class T>(T) { argmaxAs<T>(args, context); });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
