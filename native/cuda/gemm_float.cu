// Products of float32 operands (gemm.h), on the multiply-add units: tiles of 64x64, of which each of 256 threads has
// 4x4 in registers.
//
// A step of kDepthStep columns of A and rows of B lies in shared memory by depth, [32][64 + 4], twice: the next step is
// loaded while this one is multiplied. Operands are read element by element, so that any layout and alignment will do.
// Roof: the multiply-add rate; two loads of 16 bytes from shared memory serve 16 multiply-adds. 256 threads, 34 KiB of
// shared memory, 128 registers at most. Determinism: an element's sum runs over k ascending.
#include "gemm_kernels.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kThreads = 256;
constexpr int kPitch = kFloatTile + 4;
constexpr int kPanel = kDepthStep * kPitch;
constexpr int kSharedBytes = 4 * kPanel * static_cast<int>(sizeof(float));

// One operand's panel of a step. across: its stored rows are K.
__device__ __forceinline__ void loadPanel(float* panel, const float* from, int64_t stride, bool across, int32_t first,
                                          int32_t size, int32_t depth, int32_t end) {
  LOWRANK_UNROLL for (int i = 0; i < kFloatTile * kDepthStep / kThreads; ++i) {
    const int number = static_cast<int>(threadIdx.x) + i * kThreads;
    const int row = across ? number % kFloatTile : number / kDepthStep;
    const int k = across ? number / kFloatTile : number % kDepthStep;
    float value = 0.0f;
    if (first + row < size && depth + k < end) {
      const int64_t r = first + row, d = depth + k;
      value = across ? from[d * stride + r] : from[r * stride + d];
    }
    panel[k * kPitch + row] = value;
  }
}

__global__ void __launch_bounds__(kThreads, 2) floatGemmKernel(LOWRANK_CONSTANT(BatchArguments) batch) {
  const BlockTask task = taskOf(batch, static_cast<int32_t>(blockIdx.x));
  const ProductArguments& product = batch.products[task.product];
  const int32_t firstRow = task.row * kFloatTile, firstCol = task.col * kFloatTile;
  if (product.limitsDepth ? liveTokens(product, 1) == 0 : firstRow >= liveTokens(product, product.m)) return;

  int32_t steps;
  DepthCursor next = cursorAt(batch, product, task.split * product.splitSteps, steps);
  if (product.splits > 1 && steps > product.splitSteps) steps = product.splitSteps;

  float* const shared = sharedMemory<float>();
  const int down = static_cast<int>(threadIdx.x) / 16 * 4, aside = static_cast<int>(threadIdx.x) % 16 * 4;
  float sums[4][4] = {};

  int32_t loaded = 0;
  const auto loadNext = [&] {
    if (loaded >= steps) return;
    const TermArguments& term = batch.terms[next.term];
    float* const panel = shared + loaded % 2 * 2 * kPanel;
    loadPanel(panel, static_cast<const float*>(term.a), term.aStride, term.aTransposed, firstRow, product.m, next.depth,
              next.end);
    loadPanel(panel + kPanel, static_cast<const float*>(term.b), term.bStride, !term.bTransposed, firstCol, product.n,
              next.depth, next.end);
    advance(next, batch, product);
    ++loaded;
  };
  loadNext();
  for (int32_t step = 0; step < steps; ++step) {
    syncThreads();
    loadNext();
    const float* const panel = shared + step % 2 * 2 * kPanel;
    LOWRANK_UNROLL for (int k = 0; k < kDepthStep; ++k) {
      const float4 a = loadVector<float4>(panel + k * kPitch + down);
      const float4 b = loadVector<float4>(panel + kPanel + k * kPitch + aside);
      const float as[4] = {a.x, a.y, a.z, a.w}, bs[4] = {b.x, b.y, b.z, b.w};
      LOWRANK_UNROLL for (int i = 0; i < 4; ++i) {
        LOWRANK_UNROLL for (int j = 0; j < 4; ++j) sums[i][j] = multiplyAdd(as[i], bs[j], sums[i][j]);
      }
    }
  }

  LOWRANK_UNROLL for (int i = 0; i < 4; ++i) {
    const int32_t row = firstRow + down + i;
    if (row >= product.m) continue;
    LOWRANK_UNROLL for (int j = 0; j < 4; ++j) {
      if (firstCol + aside + j < product.n) {
        storeSum<float>(product, task.split, row, firstCol + aside + j, sums[i][j]);
      }
    }
  }
}

}  // namespace

void launchFloatGemm(const BatchArguments& batch, int64_t blocks, Queue& queue) {
  launch<floatGemmKernel>(queue, dim3(static_cast<unsigned>(blocks)), kThreads, kSharedBytes, batch);
}

}  // namespace lowrank::LOWRANK_BACKEND
