// Products of 16-bit operands by Hopper's warpgroups (gemm.h): wgmma m64n128k16 or m64n256k16, float32 accumulators,
// cp.async in kStages stages.
//
// A block has one tile of C, a warpgroup 64 rows of it, and walks over the steps of K, of all terms one after the
// other. wgmma reads a step's panels of A and B from shared memory, where they lie in rows of 128 bytes with swizzled
// pieces (device.h, wgmmaOperand):
//   along   K is contiguous: row r of the panel is 64 values of K; groups of eight rows follow each other
//   across  (B) the rows are K: 64 columns wide, groups of eight rows follow each other; then the next 64 columns
// K beyond a term's end, and rows beyond M and N, are zeros. All threads load, kAhead steps ahead, while the step
// before is multiplied.
//
//   tile      warpgroups   per step of 64      shared memory           registers, at most
//   128x256   2            48 KiB              4 * 48 KiB = 192 KiB    255 (one block per multiprocessor)
//   128x128   2            32 KiB              4 * 32 KiB = 128 KiB    255
//
// Roof: the rate of wgmma, 2048 multiply-adds per clock. A step of the wide tile is 2 * 4 * 128 clocks of it, its
// panels are read from shared memory in 640, and loading them takes 12 copies of each thread. Determinism: an element's
// sum runs over the steps in order, whatever the tile.
#include "gemm_tile.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kStages = 4;
constexpr int kAhead =
    kStages - 2;           // a stage is filled again only when both warpgroups have waited for the step after it
constexpr int kPiece = 8;  // elements of 16 bytes
constexpr int kRows = 128;
constexpr int kGroupRows = 64;
constexpr int kThreads = kRows / kGroupRows * 128;
constexpr int kRowBytes = 128;
constexpr int kAtomBytes = 8 * kRowBytes;                       // eight rows
constexpr int kAcrossBytes = kWgmmaDepthStep / 8 * kAtomBytes;  // 64 columns of a panel across

template <int kCols>
constexpr int kStageElements = (kRows + kCols) * kWgmmaDepthStep;

// Rows [first, + kWidth) of an operand along K, from `depth` to at most `end`.
template <class T, int kWidth>
__device__ __forceinline__ void loadAlong(T* panel, const T* from, int64_t stride, int32_t first, int32_t size,
                                          int32_t depth, int32_t end) {
  constexpr int kPieces = kWgmmaDepthStep / kPiece;
  const int row = static_cast<int>(threadIdx.x) / kPieces, piece = static_cast<int>(threadIdx.x) % kPieces;
  constexpr int kRowsAtOnce =
      kThreads / kPieces;  // a multiple of eight: the swizzled place is the same for all of a thread's rows
  T* to = panel + row * kWgmmaDepthStep + (piece ^ (row & 7)) * kPiece;
  const bool inside = depth + piece * kPiece < end;
  const T* source = from + (first + row) * stride + depth + piece * kPiece;
  LOWRANK_UNROLL for (int i = 0; i < kWidth / kRowsAtOnce; ++i) {
    const bool valid = inside && first + row + i * kRowsAtOnce < size;
    cpAsync16(to + i * kRowsAtOnce * kWgmmaDepthStep, valid ? source + i * kRowsAtOnce * stride : from, valid);
  }
}

// Columns [first, + kWidth) of an operand across K.
template <class T, int kWidth>
__device__ __forceinline__ void loadAcross(T* panel, const T* from, int64_t stride, int32_t first, int32_t size,
                                           int32_t depth, int32_t end) {
  constexpr int kPieces = kWidth / kPiece;
  const int row = static_cast<int>(threadIdx.x) / kPieces, piece = static_cast<int>(threadIdx.x) % kPieces;
  constexpr int kRowsAtOnce = kThreads / kPieces;
  static_assert(kRowsAtOnce % 8 == 0);
  T* to = panel + piece / 8 * (kAcrossBytes / 2) + row * (kRowBytes / 2) + (piece % 8 ^ (row & 7)) * kPiece;
  const bool inside = first + piece * kPiece < size;
  const T* source = from + (depth + row) * stride + first + piece * kPiece;
  LOWRANK_UNROLL for (int i = 0; i < kWgmmaDepthStep / kRowsAtOnce; ++i) {
    const bool valid = inside && depth + row + i * kRowsAtOnce < end;
    cpAsync16(to + i * kRowsAtOnce * (kRowBytes / 2), valid ? source + i * kRowsAtOnce * stride : from, valid);
  }
}

template <class T, int kCols, bool kAcross>
__global__ void __launch_bounds__(kThreads, 1) wgmmaGemmKernel(LOWRANK_CONSTANT(BatchArguments) batch) {
  const BlockTask task = taskOf(batch, static_cast<int32_t>(blockIdx.x));
  const ProductArguments& product = batch.products[task.product];
  const int32_t firstRow = task.row * kRows, firstCol = task.col * kCols;
  if (firstRow >= liveTokens(product, product.m)) return;

  int32_t steps;
  DepthCursor next = cursorAt<kWgmmaDepthStep>(batch, product, task.split * product.splitSteps, steps);
  if (product.splits > 1 && steps > product.splitSteps) steps = product.splitSteps;

  T* const shared = sharedMemory<T>();
  const int thread = static_cast<int>(threadIdx.x), group = thread / 128;
  float sums[kCols / 8][4] = {};

  int32_t loaded = 0;
  const auto loadNext = [&] {
    if (loaded < steps) {
      const TermArguments& term = batch.terms[next.term];
      T* const panelA = shared + loaded % kStages * kStageElements<kCols>;
      T* const panelB = panelA + kRows * kWgmmaDepthStep;
      loadAlong<T, kRows>(panelA, static_cast<const T*>(term.a), term.aStride, firstRow, product.m, next.depth,
                          next.end);
      if constexpr (kAcross) {
        loadAcross<T, kCols>(panelB, static_cast<const T*>(term.b), term.bStride, firstCol, product.n, next.depth,
                             next.end);
      } else {
        loadAlong<T, kCols>(panelB, static_cast<const T*>(term.b), term.bStride, firstCol, product.n, next.depth,
                            next.end);
      }
      advance<kWgmmaDepthStep>(next, batch, product);
      ++loaded;
    }
    cpAsyncCommit();
  };
  for (int i = 0; i < kAhead; ++i) loadNext();
  for (int32_t step = 0; step < steps; ++step) {
    cpAsyncWait<kAhead - 1>();
    wgmmaFence();
    syncThreads();
    const T* const panelA = shared + step % kStages * kStageElements<kCols> + group * kGroupRows * kWgmmaDepthStep;
    const T* const panelB = shared + step % kStages * kStageElements<kCols> + kRows * kWgmmaDepthStep;
    const uint64_t a = wgmmaOperand(panelA, 16, kAtomBytes);
    const uint64_t b = wgmmaOperand(panelB, kAcross ? kAcrossBytes : 16, kAtomBytes);
    wgmmaBegin();
    LOWRANK_UNROLL for (int k = 0; k < kWgmmaDepthStep / 16; ++k) {
      // 16 values of K: 32 bytes along, two groups of eight rows across. Descriptors count in units of 16 bytes.
      wgmma<T, kCols, kAcross>(sums, a + k * 2, b + k * (kAcross ? 2 * kAtomBytes / 16 : 2));
    }
    wgmmaCommit();
    loadNext();  // over the step before the last one, which both warpgroups have waited for
    wgmmaWait<1>();
  }
  wgmmaWait<0>();

  syncThreads();  // nobody reads panels any more

  const int lane = thread % kWarp, warp = thread % 128 / kWarp;
  float* const tile = reinterpret_cast<float*>(shared);
  LOWRANK_UNROLL for (int half = 0; half < 2; ++half) {
    const int row = group * kGroupRows + 16 * warp + 8 * half + lane / 4;
    LOWRANK_UNROLL for (int j = 0; j < kCols / 8; ++j) {
      stageSums<kCols>(tile, row, 8 * j + 2 * (lane % 4), sums[j][2 * half], sums[j][2 * half + 1]);
    }
  }
  syncThreads();
  storeTile<T, kRows, kCols, kThreads>(product, task.split, firstRow, firstCol, tile);
}

template <class T, int kCols>
void launchTyped(const BatchArguments& batch, const BatchLaunch& how, Queue& queue) {
  constexpr size_t kSharedBytes = size_t{kStages} * kStageElements<kCols> * 2;
  static_assert(kSharedBytes >= kTileBytes<kRows, kCols>);
  const dim3 grid(static_cast<unsigned>(how.blocks));
  if (how.layout == Layout::kAlongAcross)
    return launchOnSm90<wgmmaGemmKernel<T, kCols, true>>(queue, grid, kThreads, kSharedBytes, batch);
  launchOnSm90<wgmmaGemmKernel<T, kCols, false>>(queue, grid, kThreads, kSharedBytes, batch);
}

template <class T>
void launchSized(const BatchArguments& batch, const BatchLaunch& how, Queue& queue) {
  how.tile == TileSize::kWideWgmma ? launchTyped<T, 256>(batch, how, queue) : launchTyped<T, 128>(batch, how, queue);
}

}  // namespace

void launchWgmmaGemm(const BatchArguments& batch, const BatchLaunch& how, DType compute, Queue& queue) {
  if (compute == DType::kBFloat16) return launchSized<BFloat16>(batch, how, queue);
  launchSized<Float16>(batch, how, queue);
}

}  // namespace lowrank::LOWRANK_BACKEND
