// AdamW (Loshchilov & Hutter 2019) over every parameter in one call, with the gradient norm and its clipping:
//   norms[i] = |g_i| / lossScale, norms[P] = sqrt(sum of |g_i|^2) / lossScale;
//   c = min(1, maxGradNorm / (norms[P] + 1e-6)) / lossScale, g = c g_i
//   p *= 1 - lr wd;  m += (1 - b1) (g - m);  v = b2 v + (1 - b2) g^2;
//   p -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + eps)
// in PyTorch's order of operations. It has no backward.
//
// parameter, grad, m, v: float32; copy: compute dtype, rounded from the new parameter. All contiguous. Bytes per
// element: the norm reads 4; the update reads 16 and writes 12 and the copy. Roof: memory bandwidth. Atomic, decided on
// the device: where the norm is not finite, or an earlier command of the stream found a fault, nothing but norms is
// written.
//
// Three launches of 256 threads, 64 bytes of shared memory at most; 4 bytes per access, which neighbouring threads make
// whole lines:
//   squares  a block per chunk of kChunk elements of one parameter; finds it in a table of the parameters by halving
//   norms    one block, a warp per parameter
//   update   a block per chunk
// Deterministic: squares are summed in float64, in an order that shapes give.
#include <vector>

#include "../core/adamw_rates.h"
#include "float64.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int64_t kChunk = 16384;

struct Parameter {
  float* parameter;
  const float* grad;
  float* m;
  float* v;
  void* copy;
  int64_t count;
  int64_t firstChunk;
  DType copyType;
  float keep;  // 1 - lr wd
};

// What the norms decide.
struct Verdict {
  float clip;  // and 1 / lossScale
  int32_t apply;
};

// The last of the parameters that begin at or before the chunk: those without elements have no chunk.
__device__ __forceinline__ const Parameter& parameterOf(const Parameter* table, int32_t count, int64_t chunk) {
  int32_t low = 0, high = count;
  while (high - low > 1) {
    const int32_t middle = (low + high) / 2;
    if (table[middle].firstChunk <= chunk) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return table[low];
}

__global__ void __launch_bounds__(kThreads) squaresKernel(const Parameter* table,  // [P]
                                                          int32_t parameters,
                                                          double* squares) {  // [chunks]
  double* const slots = sharedMemory<double>();
  const int64_t chunk = blockIdx.x;
  const Parameter& target = parameterOf(table, parameters, chunk);
  const int64_t begin = (chunk - target.firstChunk) * kChunk, end = minOf(target.count, begin + kChunk);
  double sum = 0.0;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    const double value = static_cast<double>(target.grad[i]);
    sum += value * value;
  }
  sum = warpSum(sum);
  if (threadIdx.x % kWarp == 0) slots[threadIdx.x / kWarp] = sum;
  syncThreads();
  if (threadIdx.x != 0) return;
  sum = 0.0;
  for (int warp = 0; warp < kWarps; ++warp) sum += slots[warp];
  squares[chunk] = sum;
}

__global__ void __launch_bounds__(kThreads)
    normsKernel(const Parameter* table,  // [P]
                int32_t parameters, int64_t chunks,
                const double* squares,  // [chunks]
                double* sums,           // [P]
                float* norms,           // [P + 1]
                Verdict* verdict, double maxGradNorm, double lossScale, FaultSink faults) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int32_t i = static_cast<int32_t>(threadIdx.x) / kWarp; i < parameters; i += kWarps) {
    const int64_t end = i + 1 < parameters ? table[i + 1].firstChunk : chunks;
    double sum = 0.0;
    for (int64_t chunk = table[i].firstChunk + lane; chunk < end; chunk += kWarp) sum += squares[chunk];
    sum = warpSum(sum);
    if (lane != 0) continue;
    sums[i] = sum;
    norms[i] = static_cast<float>(sqrt(sum) / lossScale);
  }
  syncThreads();
  if (threadIdx.x >= kWarp) return;
  double total = 0.0;
  for (int32_t i = lane; i < parameters; i += kWarp) total += sums[i];
  total = warpSum(total);
  if (lane != 0) return;
  const double norm = sqrt(total) / lossScale;
  norms[parameters] = static_cast<float>(norm);
  const double clip = maxGradNorm > 0.0 ? maxGradNorm / (norm + 1e-6) : 1.0;
  verdict->clip = static_cast<float>((clip < 1.0 ? clip : 1.0) / lossScale);
  verdict->apply = isfinite(norms[parameters]) && faults.record->serial == 0 ? 1 : 0;
}

__global__ void __launch_bounds__(kThreads) updateKernel(const Parameter* table,  // [P]
                                                         int32_t parameters, const Verdict* verdict, AdamwRates rates) {
  if (verdict->apply == 0) return;
  const int64_t chunk = blockIdx.x;
  const Parameter target = parameterOf(table, parameters, chunk);
  const int64_t begin = (chunk - target.firstChunk) * kChunk, end = minOf(target.count, begin + kChunk);
  const float clip = verdict->clip;
  for (int64_t i = begin + threadIdx.x; i < end; i += kThreads) {
    const float gradient = target.grad[i] * clip, oldFirst = target.m[i];
    const float first = multiplyAdd(rates.b1Rest, gradient - oldFirst, oldFirst);
    const float second = multiplyAdd(gradient * gradient, rates.b2Rest, target.v[i] * rates.b2);
    const float denominator = multiplyAdd(sqrt(second), rates.rootScale, rates.eps);
    const float parameter = target.parameter[i] * target.keep - rates.step * first / denominator;
    target.m[i] = first;
    target.v[i] = second;
    target.parameter[i] = parameter;
    if (target.copy == nullptr) continue;
    if (target.copyType == DType::kBFloat16) {
      static_cast<BFloat16*>(target.copy)[i] = fromFloat<BFloat16>(parameter);
    } else if (target.copyType == DType::kFloat16) {
      static_cast<Float16*>(target.copy)[i] = fromFloat<Float16>(parameter);
    } else {
      static_cast<float*>(target.copy)[i] = parameter;
    }
  }
}

}  // namespace

void adamw(const AdamwArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  const int32_t count = args.parameterCount;
  std::vector<Parameter> host(static_cast<size_t>(count));
  int64_t chunks = 0;
  for (int32_t i = 0; i < count; ++i) {
    const AdamwParameter& p = args.parameters[i];
    const int64_t elements = elementCount(p.parameter);
    host[static_cast<size_t>(i)] = Parameter{static_cast<float*>(p.parameter.data),
                                             static_cast<const float*>(p.grad.data),
                                             static_cast<float*>(p.m.data),
                                             static_cast<float*>(p.v.data),
                                             p.copy.data,
                                             elements,
                                             chunks,
                                             p.copy.dtype,
                                             static_cast<float>(1.0 - args.lr * static_cast<double>(p.weightDecay))};
    chunks += ceilDiv(elements, kChunk);
  }
  Parameter* table = scratch<Parameter>(context, count);
  double* squares = scratch<double>(context, chunks);
  double* sums = scratch<double>(context, count);
  Verdict* verdict = scratch<Verdict>(context, 1);
  if (table == nullptr || squares == nullptr || sums == nullptr || verdict == nullptr) return;
  if (count > 0) queue.copyToDevice(table, host.data(), host.size() * sizeof(Parameter));

  const dim3 grid(static_cast<unsigned>(chunks));
  if (chunks > 0) launch<squaresKernel>(queue, grid, kThreads, kWarps * sizeof(double), table, count, squares);
  launch<normsKernel>(queue, 1, kThreads, 0, table, count, chunks, squares, sums, static_cast<float*>(args.norms.data),
                      verdict, args.maxGradNorm, args.lossScale, queue.faults());
  if (chunks > 0) launch<updateKernel>(queue, grid, kThreads, 0, table, count, verdict, adamwRates(args));
}

}  // namespace lowrank::LOWRANK_BACKEND
