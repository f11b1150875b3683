// Output head and loss in one pass; logits live for one chunk of labelled rows at a time. With z = softcap(h W^T + s
// B^T), softcap(l) = c tanh(l / c), w the row's weight (1 without weights), D the divisor (or the sum of w) and L the
// loss scale:
//   forward   p_v = e^(z_v - max) / sum_u e^(z_u - max);  loss = sum over labelled rows of -w log p_label / D
//   backward  dl_v = (p_v - [v = label]) w L / D * (1 - (z_v / c)^2);  dh = dl W + mask(ds A);  dW += dl^T h;
//             LoRA pairs as linear
// linearLogProbs stops at log p_label of each row; linearLogProbsBackward makes the logits again, and with them the
// same gradients with a row's -dLogProbs in the place of w L / D.
//
// h, dh [N, D], W [V, D], compute; labels int32 [N]; w float32 [N]; loss float32 [1]; dW, dA, dB float32, accumulated.
// Logits, maxima and exponentials are float32, sums of a row float32 in runs of eight and float64 over runs, the loss
// float64 by rows. dl is rounded to compute once, over the logits it is made from. Rows without a label, or of weight
// 0, are left out before the head and get dh = 0.
//
//   collectKernel    one block of 1024: labelled rows in their order, and how many there are; 128 bytes of shared
//                    memory
//   gatherKernel     rows of h into a chunk; scatterKernel: rows of dh out of one
//   softmaxKernel    a block of kRowThreads per row: twice over its logits; 4 KiB + 64 bytes of shared memory
//   lossKernel       one warp; weightsKernel: the sum of w likewise, where it is D; logProbsKernel: -loss of each
//                    labelled row to its place
//
// How many rows are labelled only the device knows: the host launches the chunks of kChunkRows rows that all N rows
// would need, and what lies beyond the labelled ones ends at once. Memory: one chunk of logits, of h and of dh.
// Roof: the multiply-add rate, 6 D V per labelled row with gradients (8 with dW); the logits are written once and read
// twice, and dl once written and read, 12 to 20 bytes per logit with gradients.
// Determinism: sums have one order; products are gemm's.
#include <vector>

#include "linear.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int32_t kIgnored = -100;
constexpr int64_t kChunkRows = 256;
constexpr int kThreads = 256;
constexpr int kCollectThreads = 1024;
constexpr int kRowThreads = 512;
constexpr int kRun = 8;
constexpr float kInfinity = __builtin_huge_valf();

// rowIds = the rows with a label and no weight of 0, *count = how many. What is wrong is reported and left out.
__global__ void __launch_bounds__(kCollectThreads)
    collectKernel(const int32_t* labels, const float* weights, int32_t rows, int32_t vocabulary, int32_t* rowIds,
                  int32_t* count, FaultSink faults) {
  constexpr int kWarps = kCollectThreads / kWarp;
  int32_t* const starts = sharedMemory<int32_t>();  // of the warps, then of the next round
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  int32_t found = 0;
  for (int32_t first = 0; first < rows; first += kCollectThreads) {
    const int32_t row = first + static_cast<int32_t>(threadIdx.x);
    const int32_t label = row < rows ? labels[row] : kIgnored;
    const bool wrong = label != kIgnored && (label < 0 || label >= vocabulary);
    if (wrong) reportFault(faults, FaultCode::kLabels, row, label, vocabulary);
    bool isLabelled = label != kIgnored && !wrong;
    if (weights != nullptr && isLabelled) {
      const float weight = weights[row];
      if (!(weight >= 0.0f && weight < kInfinity))
        reportFault(faults, FaultCode::kWeights, row, static_cast<int32_t>(floatToBits(weight)), 0);
      isLabelled = weight > 0.0f && weight < kInfinity;
    }
    const uint32_t labelled = ballot(isLabelled);
    if (lane == 0) starts[warp] = bitCount(labelled);
    syncThreads();
    int32_t before = 0, all = 0;
    for (int i = 0; i < kWarps; ++i) {
      if (i == warp) before = all;
      all += starts[i];
    }
    if ((labelled >> lane & 1) != 0) rowIds[found + before + bitCount(labelled & ((1u << lane) - 1))] = row;
    found += all;
    syncThreads();
  }
  if (threadIdx.x == 0) *count = found;
}

dim3 gridForElements(const Queue& queue, int64_t elements) {
  return dim3(
      static_cast<unsigned>(maxOf(1, minOf(ceilDiv(elements, kThreads), int64_t{8} * queue.multiprocessors()))));
}

__device__ __forceinline__ int64_t rowsThere(const RowLimit& limit, int64_t rows) {
  return minOf(rows, *limit.count - limit.first);
}

// to[i] = from[rowIds[i]]
template <class T>
__global__ void __launch_bounds__(kThreads)
    gatherKernel(Matrix<const T> from, const int32_t* rowIds, RowLimit limit, Matrix<T> to) {
  const int64_t rows = rowsThere(limit, to.rows), step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < rows * to.cols; i += step) {
    const int64_t row = i / to.cols, col = i % to.cols;
    to.row(row)[col] = from.row(rowIds[row])[col];
  }
}

// to[rowIds[i]] = from[i]
template <class T>
__global__ void __launch_bounds__(kThreads)
    scatterKernel(Matrix<const T> from, const int32_t* rowIds, RowLimit limit, Matrix<T> to) {
  const int64_t rows = rowsThere(limit, from.rows), step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < rows * to.cols; i += step) {
    const int64_t row = i / to.cols, col = i % to.cols;
    to.row(rowIds[row])[col] = from.row(row)[col];
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads) zeroKernel(Matrix<T> y) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads, size = static_cast<int64_t>(y.rows) * y.cols;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < size; i += step) {
    y.row(i / y.cols)[i % y.cols] = fromFloat<T>(0.0f);
  }
}

// What a sum over the labelled rows is divided by.
struct Divisor {
  double given;             // 0: what follows
  const double* weightSum;  // of these rows; null: their number
};

__device__ __forceinline__ double valueOf(const Divisor& divisor, int32_t count) {
  if (divisor.given > 0.0) return divisor.given;
  return divisor.weightSum != nullptr ? *divisor.weightSum : static_cast<double>(count);
}

struct SoftmaxArguments {
  float* logits;  // [rows, stride]; a row's dl, of the compute dtype, lies over its begin
  int64_t stride;
  int32_t vocabulary;
  const int32_t* labels;
  const int32_t* rowIds;
  RowLimit limit;
  double* losses;
  float softcap;
  bool gradients;
  double scale;  // of the gradients
  Divisor divisor;
  const float* rowFactors;  // [N], further ones; null: none
};

__device__ __forceinline__ float capped(float logit, float softcap) {
  return softcap > 0.0f ? softcap * tanh(logit / softcap) : logit;
}

// The loss of a row, and its gradient over its logits.
template <class T>
__global__ void __launch_bounds__(kRowThreads) softmaxKernel(SoftmaxArguments args) {
  const int64_t row = blockIdx.x;
  if (args.limit.first + row >= *args.limit.count) return;
  double* const sums = sharedMemory<double>();
  float* const slots = reinterpret_cast<float*>(sums + kRowThreads);
  float* const logits = args.logits + row * args.stride;
  const int32_t label = args.labels[args.rowIds[row]], size = args.vocabulary;
  const int thread = static_cast<int>(threadIdx.x);

  // The label's share is held apart: p - 1 would cancel where the model is sure. A thread's sum refers to the largest
  // logit that it has seen.
  float largest = -kInfinity;
  double sum = 0.0;
  for (int32_t begin = thread; begin < size; begin += kRun * kRowThreads) {
    float z[kRun], runLargest = largest, run = 0.0f;
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
      const int32_t v = begin + i * kRowThreads;
      z[i] = v < size ? capped(logits[v], args.softcap) : -kInfinity;
      runLargest = fmax(runLargest, z[i]);
    }
    const float reference = runLargest > -kInfinity ? runLargest : 0.0f;  // e^(-infinity) is 0, a NaN stays one
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
      const int32_t v = begin + i * kRowThreads;
      if (v < size && v != label) run += exp(z[i] - reference);
    }
    if (runLargest > largest) sum *= static_cast<double>(exp(largest - runLargest));
    largest = runLargest;
    sum += static_cast<double>(run);
  }
  const float maximum = blockMax<kRowThreads>(largest, slots);
  const float labelLogit = capped(logits[label], args.softcap);
  if (sum != 0.0) sum *= static_cast<double>(exp(largest - maximum));
  sums[thread] = sum;
  syncThreads();
  for (int half = kRowThreads / 2; half > 0; half /= 2) {
    if (thread < half) sums[thread] += sums[thread + half];
    syncThreads();
  }
  const double others = sums[0], atLabel = static_cast<double>(exp(labelLogit - maximum)), total = others + atLabel;
  if (thread == 0) {
    args.losses[args.limit.first + row] =
        others < atLabel ? log1p(others / atLabel)
                         : static_cast<double>(maximum) - static_cast<double>(labelLogit) + log(total);
  }
  if (!args.gradients) return;

  const float shared = static_cast<float>(args.scale / valueOf(args.divisor, *args.limit.count));
  const float factor = args.rowFactors != nullptr ? shared * args.rowFactors[args.rowIds[row]] : shared;
  const float inverse = static_cast<float>(1.0 / total), share = static_cast<float>(others / total);
  const float inverseCap = args.softcap > 0.0f ? 1.0f / args.softcap : 0.0f;
  T* const to = reinterpret_cast<T*>(logits);
  for (int32_t begin = 0; begin < size; begin += kRun * kRowThreads) {
    float dl[kRun];
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
      const int32_t v = begin + i * kRowThreads + thread;
      if (v >= size) continue;
      const float z = capped(logits[v], args.softcap), t = z * inverseCap;
      const float slope = factor * (1.0f - t * t);
      dl[i] = v == label ? -share * slope : exp(z - maximum) * inverse * slope;
    }
    syncThreads();  // what is overwritten now has been read: dl is no wider than logits, so later logits lie beyond
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
      const int32_t v = begin + i * kRowThreads + thread;
      if (v < size) to[v] = fromFloat<T>(dl[i]);
    }
  }
}

// The sum of valueOfRow(i) over rows, in their order but for 32 partial sums; of the first thread alone.
template <class ValueOfRow>
__device__ __forceinline__ double sumOverRows(int32_t rows, ValueOfRow valueOfRow) {
  double* const sums = sharedMemory<double>();
  double sum = 0.0;
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < rows; i += kWarp) sum += valueOfRow(i);
  sums[threadIdx.x] = sum;
  syncThreads();
  if (threadIdx.x != 0) return 0.0;
  for (int i = 1; i < kWarp; ++i) sum += sums[i];
  return sum;
}

// The sum of the labelled rows' weights.
__global__ void __launch_bounds__(kWarp)
    weightsKernel(const float* weights, const int32_t* rowIds, const int32_t* count, double* weightSum) {
  const double sum = sumOverRows(*count, [&](int32_t i) { return static_cast<double>(weights[rowIds[i]]); });
  if (threadIdx.x == 0) *weightSum = sum;
}

// The loss of all rows.
__global__ void __launch_bounds__(kWarp) lossKernel(const double* losses, const float* weights, const int32_t* rowIds,
                                                    const int32_t* count, Divisor divisor, float* loss) {
  const int32_t rows = *count;
  const double sum = sumOverRows(rows, [&](int32_t i) {
    return weights != nullptr ? static_cast<double>(weights[rowIds[i]]) * losses[i] : losses[i];
  });
  if (threadIdx.x == 0) *loss = rows > 0 ? static_cast<float>(sum / valueOf(divisor, rows)) : 0.0f;
}

// logProbs[rowIds[i]] = -losses[i]
__global__ void __launch_bounds__(kThreads)
    logProbsKernel(const double* losses, const int32_t* rowIds, const int32_t* count, float* logProbs) {
  const int32_t rows = *count, step = static_cast<int32_t>(gridDim.x) * kThreads;
  for (int32_t i = static_cast<int32_t>(blockIdx.x) * kThreads + static_cast<int32_t>(threadIdx.x); i < rows; i += step)
    logProbs[rowIds[i]] = static_cast<float>(0.0 - losses[i]);
}

Tensor chunkOf(void* data, DType dtype, int64_t rows, int64_t cols, int64_t stride) {
  return Tensor{data, rows, cols, stride, 0, kNoBuffer, dtype};
}

Tensor absent(DType dtype) {
  return chunkOf(nullptr, dtype, 0, 0, 0);
}

// What a pass over the labelled rows is made of.
struct HeadPass {
  Tensor h;
  Tensor labels;
  Tensor dh;  // absent: no gradients
  const Projection& head;
  float softcap;
  double scale;             // of the gradients
  double divisor;           // of the gradients; 0: the sum of the labelled rows' weights
  const float* weights;     // [N]; null: 1 each
  const float* rowFactors;  // [N], further ones of the gradients; null: none
};

// On the device.
struct RowLosses {
  double* losses;   // of the labelled rows, in their order, without their weights
  int32_t* rowIds;  // which these are
  int32_t* count;   // how many
  Divisor divisor;
};

// Launches the losses of the labelled rows and, with dh, the gradients; rows of dh without a label become 0. False: out
// of memory.
bool passHead(const HeadPass& pass, RowLosses& found, Context& context) {
  Queue& queue = queueOf(context);
  const Projection& head = pass.head;
  const int64_t total = pass.h.rows, width = pass.h.cols, vocabulary = head.weight.rows;
  const DType compute = pass.h.dtype;
  const bool gradients = present(pass.dh);
  const int32_t* const labels = static_cast<const int32_t*>(pass.labels.data);

  const int64_t chunkRows = minOf(kChunkRows, total), pitch = roundUp(width, 8), stride = roundUp(vocabulary, 8);
  int32_t* const rowIds = scratch<int32_t>(context, total + 1);
  double* const losses = scratch<double>(context, total);
  float* const logits = scratch<float>(context, chunkRows * stride);
  char* const h = scratch<char>(context, chunkRows * pitch * sizeOf(compute));
  char* const dh = scratch<char>(context, gradients ? chunkRows * pitch * sizeOf(compute) : 0);
  if (rowIds == nullptr || losses == nullptr || logits == nullptr || h == nullptr || dh == nullptr) return false;
  int32_t* const count = rowIds + total;
  const bool sumsWeights = pass.weights != nullptr && pass.divisor == 0.0;
  double* const weightSum = sumsWeights ? scratch<double>(context, 1) : nullptr;
  if (sumsWeights && weightSum == nullptr) return false;
  found = RowLosses{losses, rowIds, count, Divisor{pass.divisor, weightSum}};
  std::vector<LoraPair> pairs(head.pairs, head.pairs + head.pairCount);
  for (LoraPair& pair : pairs) {
    const int64_t rank = pair.a.rows, pairPitch = roundUp(rank, 8);
    pair.s =
        chunkOf(scratch<char>(context, chunkRows * pairPitch * sizeOf(compute)), compute, chunkRows, rank, pairPitch);
    if (pair.s.data == nullptr) return false;
  }
  Projection part = head;
  part.pairs = pairs.data();
  part.bias = part.dBias = absent(compute);
  part.inOut = 0;

  launch<collectKernel>(queue, dim3(1), kCollectThreads, kCollectThreads / kWarp * sizeof(int32_t), labels,
                        pass.weights, static_cast<int32_t>(total), static_cast<int32_t>(vocabulary), rowIds, count,
                        queue.faults());
  if (sumsWeights)
    launch<weightsKernel>(queue, dim3(1), kWarp, kWarp * sizeof(double), pass.weights, rowIds, count, weightSum);
  LinearScratch linearScratch{};
  bool enough = true;
  withComputeType(compute, [&](auto type) {
    using T = decltype(type);
    const dim3 chunkGrid = gridForElements(queue, chunkRows * width);
    if (gradients && contiguous(pass.dh)) {
      queue.fillBytes(pass.dh.data, 0, static_cast<size_t>(total * width * sizeOf(compute)));
    } else if (gradients) {
      launch<zeroKernel<T>>(queue, gridForElements(queue, total * width), kThreads, 0, matrixOf<T>(pass.dh));
    }
    for (int64_t first = 0; first < total && enough; first += chunkRows) {
      const int64_t rows = minOf(chunkRows, total - first);
      const int32_t* const ids = rowIds + first;
      const RowLimit limit{count, static_cast<int32_t>(first)};
      const Tensor hChunk = chunkOf(h, compute, rows, width, pitch), dhChunk = chunkOf(dh, compute, rows, width, pitch);
      const Tensor logitChunk = chunkOf(logits, DType::kFloat32, rows, vocabulary, stride);
      for (LoraPair& pair : pairs) pair.s.rows = rows;
      launch<gatherKernel<T>>(queue, chunkGrid, kThreads, 0, matrixOf<const T>(pass.h), ids, limit,
                              matrixOf<T>(hChunk));
      enough = linearForward(LinearArgs{hChunk, logitChunk, &part, 1, 0}, limit, ids, linearScratch, context);
      if (!enough) return;
      launch<softmaxKernel<T>>(
          queue, dim3(static_cast<unsigned>(rows)), kRowThreads,
          kRowThreads * sizeof(double) + kRowThreads / kWarp * sizeof(float),
          SoftmaxArguments{logits, stride, static_cast<int32_t>(vocabulary), labels, ids, limit, losses, pass.softcap,
                           gradients, pass.scale, found.divisor, pass.rowFactors});
      if (!gradients) continue;
      const Tensor dLogits = chunkOf(logits, compute, rows, vocabulary, stride * 4 / sizeOf(compute));
      enough =
          linearGradients(LinearBackwardArgs{dLogits, hChunk, dhChunk, &part, 1}, limit, ids, linearScratch, context);
      if (!enough) return;
      launch<scatterKernel<T>>(queue, chunkGrid, kThreads, 0, matrixOf<const T>(dhChunk), ids, limit,
                               matrixOf<T>(pass.dh));
    }
  });
  return enough;
}

}  // namespace

void linearCrossEntropy(const LinearCrossEntropyArgs& args, Context& context) {
  RowLosses rows;
  const float* const weights = static_cast<const float*>(args.weights.data);
  const HeadPass pass{args.h,         args.labels,  args.dh, args.head[0], args.softcap,
                      args.lossScale, args.divisor, weights, weights};
  if (!passHead(pass, rows, context)) return;
  launch<lossKernel>(queueOf(context), dim3(1), kWarp, kWarp * sizeof(double), rows.losses, weights, rows.rowIds,
                     rows.count, rows.divisor, static_cast<float*>(args.loss.data));
}

void linearLogProbs(const LinearLogProbsArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  float* const logProbs = static_cast<float*>(args.logProbs.data);
  queue.fillBytes(logProbs, 0, static_cast<size_t>(args.logProbs.cols) * sizeof(float));
  RowLosses rows;
  const HeadPass pass{args.h,  args.labels, absent(args.h.dtype), args.head[0], args.softcap, 1.0, 1.0,
                      nullptr, nullptr};
  if (!passHead(pass, rows, context)) return;
  launch<logProbsKernel>(queue, gridForElements(queue, args.logProbs.cols), kThreads, 0, rows.losses, rows.rowIds,
                         rows.count, logProbs);
}

void linearLogProbsBackward(const LinearLogProbsBackwardArgs& args, Context& context) {
  RowLosses rows;
  const float* const dLogProbs = static_cast<const float*>(args.dLogProbs.data);
  passHead(HeadPass{args.h, args.labels, args.dh, args.head[0], args.softcap, -1.0, 1.0, nullptr, dLogProbs}, rows,
           context);
}

}  // namespace lowrank::LOWRANK_BACKEND
