// Rotary positions (Su et al. 2021) in the half-split layout of Llama. With a = x[j], b = x[j + hd/2], c and s of the
// token's position:
//   forward   a' = a c - b s;  b' = b c + a s
//   backward  inverse = 1, which is s -> -s: a rotation's transpose
//
// x, y: [N, H * hd] compute; cosSin: [P, hd] float32; positions: int32 [N]. Float32 inside, one rounding. Bytes: x
// once, y once; a table row serves all heads of a token. Roof: memory bandwidth. y may be x. No reduction. hd is even.
#include "kernels.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

template <class T>
void ropeAs(const RopeArgs& args, Context& context) {
  const int64_t half = args.headDim / 2, heads = args.x.cols / args.headDim;
  const int32_t* positions = static_cast<const int32_t*>(args.positions.data);
  const float sign = args.inverse ? -1.0f : 1.0f;
  forRowBlocks(context, args.x.rows, args.x.cols, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const float* cosines = rowOf<float>(args.cosSin, positions[row]);
      const float* sines = cosines + half;
      for (int64_t head = 0; head < heads; ++head) {
        const T* x = rowOf<T>(args.x, row) + head * args.headDim;
        T* y = rowOf<T>(args.y, row) + head * args.headDim;
        forLanes(half, [&](int64_t j, int lanes) {
          const Vec a = loadLanes(x + j, lanes), b = loadLanes(x + half + j, lanes);
          const Vec c = loadLanes(cosines + j, lanes), s = loadLanes(sines + j, lanes) * sign;
          storeLanes(y + j, fma(a, c, -(b * s)), lanes);
          storeLanes(y + half + j, fma(b, c, a * s), lanes);
        });
      }
    }
  });
}

}  // namespace

void rope(const RopeArgs& args, Context& context) {
  const int32_t* positions = static_cast<const int32_t*>(args.positions.data);
  for (int64_t row = 0; row < args.x.rows; ++row) {
    if (positions[row] >= 0 && positions[row] < args.cosSin.rows) continue;
    context.fail("expected positions in [0, %lld), the rows of cosSin, got %d at position %lld",
                 static_cast<long long>(args.cosSin.rows), positions[row], static_cast<long long>(row));
    return;
  }
  withStorage(args.x.dtype, [&]<class T>(T) { ropeAs<T>(args, context); });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
