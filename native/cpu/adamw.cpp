// AdamW (Loshchilov & Hutter 2019) over every parameter in one call, with the gradient norm and its clipping:
//   norms[i] = |g_i| / lossScale, norms[P] = sqrt(sum of |g_i|^2) / lossScale;
//   c = min(1, maxGradNorm / (norms[P] + 1e-6)) / lossScale, g = c g_i
//   p *= 1 - lr wd;  m += (1 - b1) (g - m);  v = b2 v + (1 - b2) g^2;
//   p -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
// in PyTorch's order of operations. It has no backward.
//
// parameter, grad, m, v: float32; copy: compute dtype, rounded from the new parameter. All contiguous. Bytes per
// element: the norm reads 4; the update reads 16 and writes 12 and the copy. Roof: memory bandwidth. Deterministic:
// chunks of kBlockElements of one parameter each; squares are summed in float64, chunk by chunk in order. Atomic: a
// norm that is not finite leaves everything but norms as it was.
#include "../core/adamw_rates.h"
#include "kernels.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

struct Chunk {
  int32_t parameter;
  int64_t begin;
  int64_t end;
};

double sumOfSquares(const float* values, int64_t count) {
  constexpr int kParts = 8;
  double parts[kParts] = {};
  int64_t i = 0;
  for (; i + kParts <= count; i += kParts) {
    for (int j = 0; j < kParts; ++j)
      parts[j] += static_cast<double>(values[i + j]) * static_cast<double>(values[i + j]);
  }
  for (; i < count; ++i) parts[0] += static_cast<double>(values[i]) * static_cast<double>(values[i]);
  for (int half = kParts / 2; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) parts[j] += parts[j + half];
  }
  return parts[0];
}

template <class T>
void update(const AdamwParameter& target, const Chunk& chunk, const AdamwRates& rates, float clip, float keep,
            T* copies) {
  float* parameters = static_cast<float*>(target.parameter.data);
  const float* gradients = static_cast<const float*>(target.grad.data);
  float* firsts = static_cast<float*>(target.m.data);
  float* seconds = static_cast<float*>(target.v.data);
  forLanes(chunk.end - chunk.begin, [&](int64_t offset, int lanes) {
    const int64_t i = chunk.begin + offset;
    const Vec gradient = loadLanes(gradients + i, lanes) * clip;
    const Vec oldFirst = loadLanes(firsts + i, lanes);
    const Vec first = fma(splat(rates.b1Rest), gradient - oldFirst, oldFirst);
    const Vec second = fma(gradient * gradient, splat(rates.b2Rest), loadLanes(seconds + i, lanes) * rates.b2);
    const Vec denominator = fma(sqrt(second), splat(rates.rootScale), splat(rates.eps));
    const Vec parameter = loadLanes(parameters + i, lanes) * keep - rates.step * first / denominator;
    storeLanes(firsts + i, first, lanes);
    storeLanes(seconds + i, second, lanes);
    storeLanes(parameters + i, parameter, lanes);
    if (copies != nullptr) storeLanes(copies + i, parameter, lanes);
  });
}

}  // namespace

void adamw(const AdamwArgs& args, Context& context) {
  int64_t chunkCount = 0;
  for (int32_t i = 0; i < args.parameterCount; ++i) {
    chunkCount += ceilDiv(elementCount(args.parameters[i].parameter), kBlockElements);
  }
  Chunk* chunks = scratch<Chunk>(context, chunkCount);
  double* squares = scratch<double>(context, chunkCount);
  if (chunks == nullptr || squares == nullptr) return;
  int64_t next = 0;
  for (int32_t i = 0; i < args.parameterCount; ++i) {
    const int64_t count = elementCount(args.parameters[i].parameter);
    for (int64_t begin = 0; begin < count; begin += kBlockElements) {
      chunks[next++] = Chunk{i, begin, minOf(count, begin + kBlockElements)};
    }
  }

  parallelFor(context, chunkCount, [&](int64_t index, int) {
    const Chunk& chunk = chunks[index];
    const float* gradient = static_cast<const float*>(args.parameters[chunk.parameter].grad.data);
    squares[index] = sumOfSquares(gradient + chunk.begin, chunk.end - chunk.begin);
  });
  float* norms = static_cast<float*>(args.norms.data);
  double total = 0.0;
  next = 0;
  for (int32_t i = 0; i < args.parameterCount; ++i) {
    double sum = 0.0;
    for (; next < chunkCount && chunks[next].parameter == i; ++next) sum += squares[next];
    norms[i] = static_cast<float>(__builtin_sqrt(sum) / args.lossScale);
    total += sum;
  }
  const double norm = __builtin_sqrt(total) / args.lossScale;
  norms[args.parameterCount] = static_cast<float>(norm);
  if (!__builtin_isfinite(norms[args.parameterCount])) return;

  const AdamwRates rates = adamwRates(args);
  const double whole = args.maxGradNorm > 0.0 ? args.maxGradNorm / (norm + 1e-6) : 1.0;
  const float clip = static_cast<float>((whole < 1.0 ? whole : 1.0) / args.lossScale);
  parallelFor(context, chunkCount, [&](int64_t index, int) {
    const Chunk& chunk = chunks[index];
    const AdamwParameter& target = args.parameters[chunk.parameter];
    const float keep = static_cast<float>(1.0 - args.lr * static_cast<double>(target.weightDecay));
    withStorage(present(target.copy) ? target.copy.dtype : DType::kFloat32,
                [&]<class T>(T) { update(target, chunk, rates, clip, keep, static_cast<T*>(target.copy.data)); });
  });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
