// quantizeNf4 and dequantizeNf4. For a block of B elements x with m = max |x|:
//   quantise    q = number of thresholds t_j = (code_j + code_{j+1}) / 2 with x * (1 / m) > t_j;  absmax = m
//   twice       offset = mean(absmax); d = absmax - offset becomes 8 bits against 256 codes, n = max |d| of a nested
//               block
//   dequantise  code[q] * absmax, or code[q] * (nestedCode[q8] * n + offset), rounded to y's dtype
//
// x [O, K] float32, bfloat16 or float16, any row stride; blocks run over the elements row-major, whatever K is. All
// arithmetic is float32; the mean is summed in float64. Bytes are those of bitsandbytes 0.50 on the CPU: the reciprocal
// is of 1e-38 at least, so that zeros get the code 0.0, and a nested value is rounded to one of 2^16 numbers in [-1, 1]
// before its code is chosen. (It divides in a last block that is not whole; here all blocks are alike.) A NaN makes its
// block NaN.
// Roof: 15 comparisons per element, about the time of reading a float32. Determinism: blocks do not meet; partial sums
// are cut by the shape. Reference: Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs",
// arXiv:2305.14314.
#include "nf4.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

constexpr int64_t kLargestBlock = 4096;
constexpr int64_t kRun = 32768;  // elements per task: whole blocks
constexpr int kNestedCodes = 256;

typedef uint64_t PairVec __attribute__((vector_size(kLanes * 4)));
typedef uint8_t ByteVec __attribute__((vector_size(kLanes / 2)));

// Elements [first, first + count) of x in row-major order, then zeros up to a whole vector.
template <class T>
void gather(const Tensor& x, int64_t first, int64_t count, float* to) {
  int64_t row = first / x.cols, col = first % x.cols;
  for (int64_t done = 0; done < count; ++row, col = 0) {
    const int64_t run = minOf(count - done, x.cols - col);
    const T* from = rowOf<T>(x, row) + col;
    forLanes(run, [&](int64_t i, int lanes) { storeLanes(to + done + i, loadLanes(from + i, lanes), lanes); });
    done += run;
  }
  for (int64_t i = count; i % kLanes != 0; ++i) to[i] = 0.0f;
}

void gather(const Tensor& x, int64_t first, int64_t count, float* to) {
  withStorage(x.dtype, [&]<class T>(T) { gather<T>(x, first, count, to); });
}

// The bits of magnitudes are ordered as the numbers are, a NaN above all. x goes on with zeros up to a whole vector.
float largestMagnitude(const float* x, int64_t count) {
  IntVec largest{};
  for (int64_t i = 0; i < count; i += kLanes) {
    const IntVec bits = reinterpret_cast<IntVec>(abs(load(x + i)));
    largest = (bits > largest) ? bits : largest;
  }
  int32_t bits = 0;
  for (int i = 0; i < kLanes; ++i) bits = largest[i] > bits ? largest[i] : bits;
  float result;
  __builtin_memcpy(&result, &bits, sizeof result);
  return result == result ? result : __builtin_nanf("");
}

// The codes of x * factor, two to a byte; whole vectors.
void packCodes(const float* x, int64_t count, float factor, const float* thresholds, uint8_t* to) {
  for (int64_t i = 0; i < count; i += kLanes, to += kLanes / 2) {
    const Vec scaled = load(x + i) * factor;
    IntVec codes{};
#pragma GCC unroll 15
    for (int j = 0; j < kCodes - 1; ++j) codes -= (scaled > splat(thresholds[j]));
    const PairVec pairs = reinterpret_cast<PairVec>(codes);  // the earlier code is the low half
    const ByteVec bytes = __builtin_convertvector((pairs << 4) | (pairs >> 32), ByteVec);
    __builtin_memcpy(to, &bytes, sizeof bytes);
  }
}

// The code of x in [-1, 1], after rounding to i / 65535 of that range (once, as by a fused multiply-add).
uint8_t nestedCodeOf(float x, const float* thresholds) {
  x = x > -1.0f ? (x < 1.0f ? x : 1.0f) : -1.0f;
  const int32_t place = static_cast<int32_t>(static_cast<float>((x + 1.0f) * 0.5f * 65535.0 + 0.5));
  const float value = -1.0f + static_cast<float>(2 * place) / 65535.0f;
  int low = 0;
  for (int half = kNestedCodes / 2; half > 0; half /= 2) {
    if (thresholds[low + half - 1] < value) low += half;
  }
  return static_cast<uint8_t>(low);
}

void makeThresholds(const Tensor& code, int64_t count, float* thresholds) {
  const float* codes = static_cast<const float*>(code.data);
  for (int64_t j = 0; j + 1 < count; ++j) thresholds[j] = (codes[j] + codes[j + 1]) * 0.5f;
}

// absmax becomes bytes against nestedCode, one nested block per task.
void quantizeScales(const QuantizeNf4Args& args, const float* absmax, Context& context) {
  const float offset = *static_cast<const float*>(args.offset.data);
  float thresholds[kNestedCodes];
  makeThresholds(args.nestedCode, kNestedCodes, thresholds);
  parallelFor(context, args.nestedAbsmax.cols, [&](int64_t nested, int) {
    const int64_t first = nested * args.nestedBlockSize;
    const int64_t count = minOf(args.nestedBlockSize, args.absmax.cols - first);
    float differences[kLargestBlock];
    for (int64_t i = 0; i < count; ++i) differences[i] = absmax[first + i] - offset;
    for (int64_t i = count; i % kLanes != 0; ++i) differences[i] = 0.0f;
    const float largest = largestMagnitude(differences, count), factor = 1.0f / largest;
    static_cast<float*>(args.nestedAbsmax.data)[nested] = largest;
    uint8_t* to = static_cast<uint8_t*>(args.absmax.data) + first;
    for (int64_t i = 0; i < count; ++i) to[i] = nestedCodeOf(differences[i] * factor, thresholds);
  });
}

}  // namespace

void quantizeNf4(const QuantizeNf4Args& args, Context& context) {
  const int64_t elements = elementCount(args.x), tasks = ceilDiv(elements, kRun);
  const bool twice = present(args.nestedAbsmax);
  float* absmax = twice ? scratch<float>(context, args.absmax.cols) : static_cast<float*>(args.absmax.data);
  double* sums = scratch<double>(context, tasks);
  if (absmax == nullptr || sums == nullptr) return;
  float thresholds[kCodes];
  makeThresholds(args.code, kCodes, thresholds);
  parallelFor(context, tasks, [&](int64_t task, int) {
    const int64_t end = minOf(elements, (task + 1) * kRun);
    double sum = 0.0;
    for (int64_t first = task * kRun; first < end; first += args.blockSize) {
      const int64_t count = minOf(args.blockSize, end - first);
      float values[kLargestBlock];
      uint8_t bytes[kLargestBlock / 2];
      gather(args.x, first, count, values);
      const float largest = largestMagnitude(values, count);
      packCodes(values, count, 1.0f / (largest < 1e-38f ? 1e-38f : largest), thresholds, bytes);
      __builtin_memcpy(static_cast<uint8_t*>(args.packed.data) + first / 2, bytes,
                       static_cast<size_t>(ceilDiv(count, 2)));
      absmax[first / args.blockSize] = largest;
      sum += largest;
    }
    sums[task] = sum;
  });
  if (!twice) return;
  double sum = 0.0;
  for (int64_t task = 0; task < tasks; ++task) sum += sums[task];
  *static_cast<float*>(args.offset.data) = static_cast<float>(sum / static_cast<double>(args.absmax.cols));
  quantizeScales(args, absmax, context);
}

void dequantizeNf4(const DequantizeNf4Args& args, Context& context) {
  const Nf4Reader from = readerOf(args.nf4);
  forRowBlocks(context, args.y.rows, args.y.cols, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t first = row * args.y.cols;
      withStorage(args.y.dtype, [&]<class T>(T) { dequantizeRun(from, first, args.y.cols, rowOf<T>(args.y, row)); });
    }
  });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
