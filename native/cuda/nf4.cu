// quantizeNf4 and dequantizeNf4. For a block of B elements x with m = max |x|:
//   quantise    q = number of thresholds t_j = (code_j + code_{j+1}) / 2 with x * (1 / m) > t_j;  absmax = m
//   twice       offset = mean(absmax); d = absmax - offset becomes 8 bits against 256 codes, n = max |d| of a nested
//               block
//   dequantise  code[q] * absmax, or code[q] * (nestedCode[q8] * n + offset), rounded to y's dtype
//
// x [O, K] float32, bfloat16 or float16, any row stride; blocks run over the elements row-major, whatever K is. All
// arithmetic is float32; the mean is summed in float64, by runs of kRun elements. The bytes are those of the CPU
// (native/cpu/nf4.cpp) and of bitsandbytes.
// Quantising: a warp per block, 8 warps; a thread per run, then one, for the mean; a warp per nested block.
// Dequantising: 256 threads of eight elements, the codes in 64 bytes of shared memory. Roof: the bandwidth of the
// matrix in x's or y's dtype, which is 4 to 8 times that of the codes.
// Deterministic: blocks do not meet; the mean's order depends on the shape.
// Reference: Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs", arXiv:2305.14314.
#include "nf4.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kThreads = 256;
constexpr int64_t kRun = 32768;  // elements
constexpr int kNestedCodes = 256;
constexpr int kEight = 8;

template <class T>
__device__ __forceinline__ float elementAt(const Matrix<const T>& x, int64_t element) {
  if (x.stride == x.cols) return toFloat(x.data[element]);
  return toFloat(x.row(element / x.cols)[element % x.cols]);
}

// The bits of magnitudes are ordered as the numbers are, a NaN above all.
__device__ __forceinline__ float warpLargest(uint32_t magnitude) {
  LOWRANK_UNROLL for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const uint32_t other = shuffleXor(magnitude, mask);
    magnitude = other > magnitude ? other : magnitude;
  }
  return bitsToFloat(magnitude > 0x7f800000u ? 0x7fc00000u : magnitude);
}

// A warp per block.
template <class T>
__global__ void __launch_bounds__(kThreads)
    quantizeKernel(Matrix<const T> x, const float* code, int32_t blockSize, uint8_t* packed, float* absmax) {
  float* const thresholds = sharedMemory<float>();
  if (threadIdx.x + 1 < kNf4Codes) thresholds[threadIdx.x] = (code[threadIdx.x] + code[threadIdx.x + 1]) * 0.5f;
  syncThreads();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t block = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  const int64_t elements = static_cast<int64_t>(x.rows) * x.cols, first = block * blockSize;
  if (first >= elements) return;
  const int32_t count = static_cast<int32_t>(minOf(blockSize, elements - first));
  uint32_t magnitude = 0;
  for (int32_t i = lane; i < count; i += kWarp) {
    const uint32_t bits = floatToBits(elementAt(x, first + i)) & 0x7fffffffu;
    magnitude = bits > magnitude ? bits : magnitude;
  }
  const float largest = warpLargest(magnitude), factor = 1.0f / (largest < 1e-38f ? 1e-38f : largest);
  if (lane == 0) absmax[block] = largest;
  for (int32_t i = 2 * lane; i < count; i += 2 * kWarp) {
    uint32_t byte = 0;
    for (int e = 0; e < 2; ++e) {
      // Past the last element a zero takes its place.
      const float scaled = i + e < count ? elementAt(x, first + i + e) * factor : 0.0f * factor;
      uint32_t index = 0;
      LOWRANK_UNROLL for (int j = 0; j + 1 < kNf4Codes; ++j) index += scaled > thresholds[j] ? 1 : 0;
      byte = byte << 4 | index;
    }
    packed[(first + i) / 2] = static_cast<uint8_t>(byte);
  }
}

// sums[run] of the scales of kRun elements; then offset = their mean.
__global__ void __launch_bounds__(kThreads)
    sumScalesKernel(const float* absmax, int64_t blocks, int64_t blocksPerRun, double* sums, int64_t runs) {
  const int64_t run = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (run >= runs) return;
  double sum = 0.0;
  for (int64_t i = run * blocksPerRun; i < minOf(blocks, (run + 1) * blocksPerRun); ++i) sum += absmax[i];
  sums[run] = sum;
}
__global__ void __launch_bounds__(kWarp) meanKernel(const double* sums, int64_t runs, int64_t blocks, float* offset) {
  if (threadIdx.x != 0) return;
  double sum = 0.0;
  for (int64_t run = 0; run < runs; ++run) sum += sums[run];
  *offset = static_cast<float>(sum / static_cast<double>(blocks));
}

// The code of x in [-1, 1], after rounding to i / 65535 of that range.
__device__ __forceinline__ uint32_t nestedCodeOf(float x, const float* thresholds) {
  x = x > -1.0f ? (x < 1.0f ? x : 1.0f) : -1.0f;
  const int32_t place = static_cast<int32_t>(static_cast<float>((x + 1.0f) * 0.5f * 65535.0 + 0.5));
  const float value = -1.0f + static_cast<float>(2 * place) / 65535.0f;
  int low = 0;
  for (int half = kNestedCodes / 2; half > 0; half /= 2) {
    if (thresholds[low + half - 1] < value) low += half;
  }
  return static_cast<uint32_t>(low);
}

// A warp per nested block.
__global__ void __launch_bounds__(kThreads)
    quantizeScalesKernel(const float* absmax, int64_t blocks, const float* offset, const float* nestedCode,
                         int32_t nestedBlockSize, uint8_t* codes, float* nestedAbsmax) {
  float* const thresholds = sharedMemory<float>();
  if (threadIdx.x + 1 < kNestedCodes) {
    thresholds[threadIdx.x] = (nestedCode[threadIdx.x] + nestedCode[threadIdx.x + 1]) * 0.5f;
  }
  syncThreads();
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t nested = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / kWarp;
  const int64_t first = nested * nestedBlockSize;
  if (first >= blocks) return;
  const int32_t count = static_cast<int32_t>(minOf(nestedBlockSize, blocks - first));
  const float mean = *offset;
  uint32_t magnitude = 0;
  for (int32_t i = lane; i < count; i += kWarp) {
    const uint32_t bits = floatToBits(absmax[first + i] - mean) & 0x7fffffffu;
    magnitude = bits > magnitude ? bits : magnitude;
  }
  const float largest = warpLargest(magnitude), factor = 1.0f / largest;
  if (lane == 0) nestedAbsmax[nested] = largest;
  for (int32_t i = lane; i < count; i += kWarp) {
    codes[first + i] = static_cast<uint8_t>(nestedCodeOf((absmax[first + i] - mean) * factor, thresholds));
  }
}

// Eight columns per thread. kVectors: from.vectors, and y's rows and firstCol begin at multiples of eight elements.
template <class T, bool kVectors>
__global__ void __launch_bounds__(kThreads)
    dequantizeKernel(Nf4Reader from, int64_t firstRow, int64_t firstCol, Matrix<T> y) {
  float* const code = sharedMemory<float>();
  if (threadIdx.x < kNf4Codes) code[threadIdx.x] = from.code[threadIdx.x];
  syncThreads();
  const int64_t perRow = ceilDiv(y.cols, kEight), index = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (index >= y.rows * perRow) return;
  const int64_t row = index / perRow, col = index % perRow * kEight;
  const int64_t element = (firstRow + row) * from.cols + firstCol + col;
  T* const to = y.row(row) + col;
  if constexpr (kVectors) {
    T values[kEight];
    eightOf<T>(from, code, element, values);
    if constexpr (sizeof(T) == 4) {
      storeVector(to, float4{values[0], values[1], values[2], values[3]});
      storeVector(to + 4, float4{values[4], values[5], values[6], values[7]});
    } else {
      uint32_t pairs[4];
      LOWRANK_UNROLL for (int i = 0; i < 4; ++i) {
        pairs[i] = packPair<T>(toFloat(values[2 * i]), toFloat(values[2 * i + 1]));
      }
      storeVector(to, uint4{pairs[0], pairs[1], pairs[2], pairs[3]});
    }
  } else {
    for (int i = 0; i < kEight && col + i < y.cols; ++i) to[i] = elementOf<T>(from, code, element + i);
  }
}

template <class T>
void quantizeAs(const QuantizeNf4Args& args, int64_t blocks, float* absmax, Queue& queue) {
  launch<quantizeKernel<T>>(queue, dim3(static_cast<unsigned>(ceilDiv(blocks, kThreads / kWarp))), kThreads,
                            kNf4Codes * sizeof(float), matrixOf<const T>(args.x),
                            static_cast<const float*>(args.code.data), args.blockSize,
                            static_cast<uint8_t*>(args.packed.data), absmax);
}

}  // namespace

void dequantize(const Nf4& nf4, int64_t firstRow, int64_t firstCol, const Tensor& y, Queue& queue) {
  const Nf4Reader from = readerOf(nf4);
  const bool vectors = from.vectors && firstCol % kEight == 0 && y.cols % kEight == 0 && rowsAligned(y, 16);
  const dim3 grid(static_cast<unsigned>(ceilDiv(y.rows * ceilDiv(y.cols, kEight), kThreads)));
  withComputeType(y.dtype, [&](auto type) {
    using T = decltype(type);
    constexpr size_t kBytes = kNf4Codes * sizeof(float);
    if (vectors)
      return launch<dequantizeKernel<T, true>>(queue, grid, kThreads, kBytes, from, firstRow, firstCol, matrixOf<T>(y));
    launch<dequantizeKernel<T, false>>(queue, grid, kThreads, kBytes, from, firstRow, firstCol, matrixOf<T>(y));
  });
}

void quantizeNf4(const QuantizeNf4Args& args, Context& context) {
  Queue& queue = queueOf(context);
  const int64_t blocks = args.absmax.cols, runs = ceilDiv(elementCount(args.x), kRun);
  const bool twice = present(args.nestedAbsmax);
  float* absmax = twice ? scratch<float>(context, blocks) : static_cast<float*>(args.absmax.data);
  double* sums = scratch<double>(context, runs);
  if (absmax == nullptr || sums == nullptr) return;
  withComputeType(args.x.dtype, [&](auto type) { quantizeAs<decltype(type)>(args, blocks, absmax, queue); });
  if (!twice) return;
  float* const offset = static_cast<float*>(args.offset.data);
  launch<sumScalesKernel>(queue, dim3(static_cast<unsigned>(ceilDiv(runs, kThreads))), kThreads, 0, absmax, blocks,
                          kRun / args.blockSize, sums, runs);
  launch<meanKernel>(queue, dim3(1), kWarp, 0, sums, runs, blocks, offset);
  launch<quantizeScalesKernel>(queue, dim3(static_cast<unsigned>(ceilDiv(args.nestedAbsmax.cols, kThreads / kWarp))),
                               kThreads, kNestedCodes * sizeof(float), absmax, blocks, offset,
                               static_cast<const float*>(args.nestedCode.data), args.nestedBlockSize,
                               static_cast<uint8_t*>(args.absmax.data), static_cast<float*>(args.nestedAbsmax.data));
}

void dequantizeNf4(const DequantizeNf4Args& args, Context& context) {
  dequantize(args.nf4, 0, 0, args.y, queueOf(context));
}

}  // namespace lowrank::LOWRANK_BACKEND
