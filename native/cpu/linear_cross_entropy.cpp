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
// Logits, maxima and exponentials are float32, sums of a row float32 in runs and float64 over runs, the loss float64 by
// rows. dl is rounded to compute once. Rows without a label, or of weight 0, are left out before the head: dh = 0.
//
// Chunks are equal parts of the labelled rows, of 128 to 256 rows: as many as take about kLogitBytes. Memory: one chunk
// of logits, of h and of dh.
// Roof: the multiply-add rate, 6 D V per labelled row with gradients (8 with dW); the pass over the logits is about 3
// %.
// Determinism: the chunk depends on shapes and labels alone, each row's sums are one thread's, products are gemm's.
#include "linear.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

constexpr int32_t kIgnored = -100;
constexpr int64_t kLogitBytes = int64_t{25} << 20;
constexpr int64_t kFewestRows = 128;  // fewer would not pay for packing the head
constexpr int64_t kMostRows = 256;
constexpr int64_t kRowMultiple = 12;  // whole tiles

LOWRANK_INLINE Vec roundTo(Vec value, DType dtype) {
  if (dtype == DType::kFloat32) return value;
  if (dtype == DType::kFloat16) return roundToFloat16(value);
  return reinterpret_cast<Vec>(roundToBFloat16(value) << 16);
}

// What a row's gradient needs of its softmax. The label's share is held apart: p - 1 would cancel where the model is
// sure.
struct RowSoftmax {
  float maximum;
  float inverse;  // 1 / sum of e^(z - maximum)
  float others;   // share of all but the label: 1 - p of the label
};

LOWRANK_INLINE float exponential(float value) {
  float lanes[kLanes];
  store(lanes, exp(splat(value)));
  return lanes[0];
}

// The loss of one row of logits, which become softcapped.
double rowLoss(float* logits, int64_t count, int32_t label, float softcap, RowSoftmax& softmax) {
  Vec largest = splat(-kInfinity);
  forLanes(count, [&](int64_t v, int lanes) {
    Vec z = loadLanes(logits + v, lanes);
    if (softcap > 0.0f) {
      z = softcap * tanh(z / softcap);
      storeLanes(logits + v, z, lanes);
    }
    if (lanes < kLanes) z = (laneIndex() < splatInt(lanes)) ? z : splat(-kInfinity);
    largest = max(z, largest);
  });
  const float maximum = reduceMax(largest), labelLogit = logits[label];
  logits[label] = -kInfinity;  // e^ of it is 0
  // Float32 by lanes, float64 from run to run: a lane that adds thousands of equal terms would drift.
  constexpr int64_t kRun = 64 * kLanes;
  double others = 0.0;
  for (int64_t begin = 0; begin < count; begin += kRun) {
    Vec sum = zero();
    forLanes(minOf(kRun, count - begin), [&](int64_t v, int lanes) {
      const Vec e = exp(loadLanes(logits + begin + v, lanes) - maximum);
      sum += lanes < kLanes ? ((laneIndex() < splatInt(lanes)) ? e : zero()) : e;
    });
    others += static_cast<double>(reduceAdd(sum));
  }
  logits[label] = labelLogit;
  const double atLabel = static_cast<double>(exponential(labelLogit - maximum)), total = others + atLabel;
  softmax = RowSoftmax{maximum, static_cast<float>(1.0 / total), static_cast<float>(others / total)};
  if (others < atLabel) return __builtin_log1p(others / atLabel);
  return static_cast<double>(maximum) - static_cast<double>(labelLogit) + __builtin_log(total);
}

// dl of one row over its softcapped logits. T is how dl is stored; a store never overtakes the loads it overwrites.
template <class T>
void rowGradient(const float* logits, int64_t count, int32_t label, float softcap, const RowSoftmax& softmax,
                 float factor, DType compute, T* to) {
  const float inverseCap = softcap > 0.0f ? 1.0f / softcap : 0.0f;
  const auto slope = [&](Vec z) {
    const Vec t = z * inverseCap;
    return factor * (1.0f - t * t);
  };
  const Vec atLabel = roundTo(-softmax.others * slope(splat(logits[label])), compute);
  forLanes(count, [&](int64_t v, int lanes) {
    const Vec z = loadLanes(logits + v, lanes);
    storeLanes(to + v, roundTo(exp(z - softmax.maximum) * softmax.inverse * slope(z), compute), lanes);
  });
  store(to + label, atLabel, 1);
}

void gatherRows(const Tensor& from, const int32_t* rowIds, const Tensor& to, Context& context) {
  const size_t bytes = static_cast<size_t>(to.cols * elementSize(to.dtype));
  forRowBlocks(context, to.rows, to.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      __builtin_memcpy(static_cast<char*>(to.data) + i * to.stride * elementSize(to.dtype),
                       static_cast<const char*>(from.data) + rowIds[i] * from.stride * elementSize(from.dtype), bytes);
    }
  });
}

void scatterChunk(const Tensor& from, const int32_t* rowIds, const Tensor& to, Context& context) {
  const size_t bytes = static_cast<size_t>(to.cols * elementSize(to.dtype));
  forRowBlocks(context, from.rows, to.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      __builtin_memcpy(static_cast<char*>(to.data) + rowIds[i] * to.stride * elementSize(to.dtype),
                       static_cast<const char*>(from.data) + i * from.stride * elementSize(from.dtype), bytes);
    }
  });
}

void zeroRows(const Tensor& tensor, Context& context) {
  forRowBlocks(context, tensor.rows, tensor.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      __builtin_memset(static_cast<char*>(tensor.data) + i * tensor.stride * elementSize(tensor.dtype), 0,
                       static_cast<size_t>(tensor.cols * elementSize(tensor.dtype)));
    }
  });
}

// Rows that have a label and no weight of 0, in their order.
struct LabelledRows {
  int32_t* ids;
  int64_t count;
};

// False: out of memory, or a label that is none.
bool findLabelled(const Tensor& labels, int64_t vocabulary, LabelledRows& found, Context& context) {
  const int32_t* const values = static_cast<const int32_t*>(labels.data);
  found = LabelledRows{scratch<int32_t>(context, labels.cols), 0};
  if (found.ids == nullptr) return false;
  for (int64_t i = 0; i < labels.cols; ++i) {
    if (values[i] == kIgnored) continue;
    if (values[i] < 0 || values[i] >= vocabulary) {
      context.fail("expected labels in [0, %lld) or -100, got %d at row %lld", static_cast<long long>(vocabulary),
                   values[i], static_cast<long long>(i));
      return false;
    }
    found.ids[found.count++] = static_cast<int32_t>(i);
  }
  return true;
}

// Leaves out rows of weight 0. False: a weight that is none. A dry run has the labels but not the weights, which only
// bodies of parallel() may look at: it keeps all rows.
bool keepWeighted(const float* weights, LabelledRows& rows, Context& context) {
  bool sound = true;
  parallelFor(context, 1, [&](int64_t, int) {
    int64_t kept = 0;
    for (int64_t i = 0; i < rows.count && sound; ++i) {
      const int32_t row = rows.ids[i];
      sound = weights[row] >= 0.0f && weights[row] < kInfinity;
      if (!sound) {
        context.fail("expected finite weights that are not below 0, got %g at row %lld",
                     static_cast<double>(weights[row]), static_cast<long long>(row));
      }
      if (weights[row] != 0.0f) rows.ids[kept++] = row;
    }
    rows.count = kept;
  });
  return sound;
}

double sumOfWeights(const LabelledRows& rows, const float* weights) {
  if (weights == nullptr) return static_cast<double>(rows.count);
  double sum = 0.0;
  for (int64_t i = 0; i < rows.count; ++i) sum += static_cast<double>(weights[rows.ids[i]]);
  return sum;
}

Tensor absent(DType dtype) {
  return Tensor{nullptr, 0, 0, 0, 0, kNoBuffer, dtype};
}

// What a pass over the labelled rows is made of.
struct HeadPass {
  Tensor h;
  Tensor labels;
  Tensor dh;  // absent: no gradients
  const Projection& head;
  float softcap;
  float factor;             // of the gradients
  const float* rowFactors;  // [N], further ones; null: none
};

// The losses of the labelled rows, of which there is at least one; nullptr: out of memory. With dh also the gradients
// times their factors. Rows of dh without a label are left as they are.
const double* passHead(const HeadPass& pass, const LabelledRows& labelledRows, Context& context) {
  const int64_t width = pass.h.cols, vocabulary = pass.head.weight.rows, labelled = labelledRows.count;
  const int32_t* const labels = static_cast<const int32_t*>(pass.labels.data);
  const DType compute = pass.h.dtype;
  const bool gradients = present(pass.dh);

  // A stride that is no multiple of 4 KB keeps the rows of a tile in different sets of the cache.
  const int64_t stride = roundUp(vocabulary, 16) + 16;
  const int64_t mostRows = minOf(kMostRows, maxOf(kFewestRows, kLogitBytes / (stride * 4)));
  const int64_t chunkRows = minOf(labelled, roundUp(ceilDiv(labelled, ceilDiv(labelled, mostRows)), kRowMultiple));
  // But for bfloat16 dot products gemm would only widen dl again: it stays float32, holding values of the compute
  // dtype.
  const bool narrow = kHasDot && compute == DType::kBFloat16;
  float* logits = scratch<float>(context, chunkRows * stride);
  char* h = scratch<char>(context, chunkRows * width * elementSize(compute));
  char* dh = scratch<char>(context, gradients ? chunkRows * width * elementSize(compute) : 0);
  double* losses = scratch<double>(context, labelled);
  LoraPair* pairs = scratch<LoraPair>(context, pass.head.pairCount);
  if (logits == nullptr || h == nullptr || dh == nullptr || losses == nullptr || pairs == nullptr) return nullptr;
  for (int64_t i = 0; i < pass.head.pairCount; ++i) {
    pairs[i] = pass.head.pairs[i];
    const int64_t rank = pairs[i].a.rows;
    pairs[i].s = Tensor{
        scratch<char>(context, chunkRows * rank * elementSize(compute)), chunkRows, rank, rank, 0, kNoBuffer, compute};
    if (pairs[i].s.data == nullptr) return nullptr;
  }
  Projection part = pass.head;
  part.pairs = pairs;
  part.bias = part.dBias = absent(compute);
  part.inOut = 0;

  LinearScratch linearScratch{};
  for (int64_t first = 0; first < labelled; first += chunkRows) {
    const int64_t rows = minOf(chunkRows, labelled - first);
    const int32_t* ids = labelledRows.ids + first;
    const Tensor hChunk{h, rows, width, width, 0, kNoBuffer, compute};
    const Tensor logitChunk{logits, rows, vocabulary, stride, 0, kNoBuffer, DType::kFloat32};
    const Tensor dLogits{logits,
                         rows,
                         vocabulary,
                         narrow ? 2 * stride : stride,
                         0,
                         kNoBuffer,
                         narrow ? DType::kBFloat16 : DType::kFloat32};
    for (int64_t i = 0; i < part.pairCount; ++i) pairs[i].s.rows = rows;
    gatherRows(pass.h, ids, hChunk, context);
    if (!linearForward(LinearArgs{hChunk, logitChunk, &part, 1, 0}, ids, linearScratch, context)) return nullptr;
    parallelFor(context, rows, [&](int64_t i, int) {
      float* row = rowOf<float>(logitChunk, i);
      const int32_t label = labels[ids[i]];
      RowSoftmax softmax;
      losses[first + i] = rowLoss(row, vocabulary, label, pass.softcap, softmax);
      if (!gradients) return;
      const float factor = pass.rowFactors == nullptr ? pass.factor : pass.factor * pass.rowFactors[ids[i]];
      if (narrow) {
        rowGradient(row, vocabulary, label, pass.softcap, softmax, factor, compute, rowOf<BFloat16>(dLogits, i));
      } else {
        rowGradient(row, vocabulary, label, pass.softcap, softmax, factor, compute, row);
      }
    });
    if (!gradients) continue;
    const Tensor dhChunk{dh, rows, width, width, 0, kNoBuffer, compute};
    if (!linearGradients(LinearBackwardArgs{dLogits, hChunk, dhChunk, &part, 1}, compute, ids, linearScratch, context))
      return nullptr;
    scatterChunk(dhChunk, ids, pass.dh, context);
  }
  return losses;
}

}  // namespace

void linearCrossEntropy(const LinearCrossEntropyArgs& args, Context& context) {
  const float* const weights = static_cast<const float*>(args.weights.data);
  LabelledRows rows;
  if (!findLabelled(args.labels, args.head[0].weight.rows, rows, context)) return;
  if (weights != nullptr && !keepWeighted(weights, rows, context)) return;
  if (present(args.dh)) zeroRows(args.dh, context);
  float* loss = static_cast<float*>(args.loss.data);
  *loss = 0.0f;
  if (rows.count == 0) return;
  const double divisor = args.divisor > 0.0 ? args.divisor : sumOfWeights(rows, weights);
  const float factor = static_cast<float>(args.lossScale / divisor);
  const double* losses =
      passHead(HeadPass{args.h, args.labels, args.dh, args.head[0], args.softcap, factor, weights}, rows, context);
  if (losses == nullptr) return;
  double sum = 0.0;
  for (int64_t i = 0; i < rows.count; ++i)
    sum += weights == nullptr ? losses[i] : static_cast<double>(weights[rows.ids[i]]) * losses[i];
  *loss = static_cast<float>(sum / divisor);
}

void linearLogProbs(const LinearLogProbsArgs& args, Context& context) {
  LabelledRows rows;
  if (!findLabelled(args.labels, args.head[0].weight.rows, rows, context)) return;
  float* logProbs = static_cast<float*>(args.logProbs.data);
  for (int64_t i = 0; i < args.logProbs.cols; ++i) logProbs[i] = 0.0f;
  if (rows.count == 0) return;
  const Tensor noDh = absent(args.h.dtype);
  const double* losses =
      passHead(HeadPass{args.h, args.labels, noDh, args.head[0], args.softcap, 0.0f, nullptr}, rows, context);
  if (losses == nullptr) return;
  for (int64_t i = 0; i < rows.count; ++i) logProbs[rows.ids[i]] = static_cast<float>(0.0 - losses[i]);
}

void linearLogProbsBackward(const LinearLogProbsBackwardArgs& args, Context& context) {
  LabelledRows rows;
  if (!findLabelled(args.labels, args.head[0].weight.rows, rows, context)) return;
  zeroRows(args.dh, context);
  if (rows.count == 0) return;
  const float* gradients = static_cast<const float*>(args.dLogProbs.data);
  passHead(HeadPass{args.h, args.labels, args.dh, args.head[0], args.softcap, -1.0f, gradients}, rows, context);
}

}  // namespace lowrank::cpu::LOWRANK_ISA
