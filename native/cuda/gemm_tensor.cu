// Products of 16-bit operands on tensor cores (gemm.h): mma.sync m16n8k16, float32 accumulators, cp.async in kStages
// stages.
//
// A block has one tile of C and walks over the steps of K, of all terms one after the other. A step's panels of A and B
// lie in shared memory as they lie in memory, so that both are copied in whole pieces of 16 bytes:
//   along   K is contiguous: [rows][32], read by ldmatrix; piece p of row r at place p ^ (r / 2 % 4)
//   across  the rows of the panel are K: [32][width], read by ldmatrix.trans; piece p of row k at place p ^ (k % 8)
// so that the eight rows of an 8x8 matrix lie in eight different groups of banks. K beyond a term's end, and rows
// beyond M and N, are zeros.
// kAny loads elements one by one, whatever their layout and alignment, into panels along K. NF4 is decoded into B's
// panel (kNf4; small and flat tiles have just as many threads as a panel has runs of 16 codes): the next step's codes
// wait in registers while a step is multiplied.
//
//   tile      warps      per warp   shared memory           registers (sm_80, sm_90a), at most
//   128x128   8 (2 x 4)  64x32      68 KiB (of C)           128 (two blocks per multiprocessor)
//   64x64     4 (2 x 2)  32x32      4 *  8 KiB = 32 KiB     128
//   16x64     4 (1 x 4)  16x16      4 *  5 KiB = 20 KiB     64 (eight blocks)
//
// Roof: the multiply-add rate of mma.sync. Per step of 32 a block of the large tile reads 16 KiB for 1 MFLOP: 64 FLOP
// per byte, from the second-level cache where neighbouring blocks share panels (taskOf). Determinism: an element's sum
// runs over the steps in order, whatever the tile.
#include "gemm_tile.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kStages = 4;
constexpr int kPiece = 8;  // elements of 16 bytes

// kBlocks: that a multiprocessor shall hold.
template <TileSize kSize, int kWarpRows, int kWarpCols, int kBlocksAtOnce>
struct TileOf {
  static constexpr int kRows = tileRows(kSize);
  static constexpr int kCols = tileCols(kSize);
  static constexpr int kRowsOfWarp = kRows / kWarpRows;
  static constexpr int kColsOfWarp = kCols / kWarpCols;
  static constexpr int kWarpsDown = kWarpRows;
  static constexpr int kThreads = kWarpRows * kWarpCols * kWarp;
  static constexpr int kBlocks = kBlocksAtOnce;
  static constexpr int kStage = (kRows + kCols) * kDepthStep;  // elements
  static constexpr int kPanelBytes = kStages * kStage * 2;
  static constexpr int kSharedBytes = kPanelBytes > kTileBytes<kRows, kCols> ? kPanelBytes : kTileBytes<kRows, kCols>;
};
using LargeTile = TileOf<TileSize::kLarge, 2, 4, 2>;
using SmallTile = TileOf<TileSize::kSmall, 2, 2, 4>;
using FlatTile = TileOf<TileSize::kFlat, 1, 4, 8>;

// Where a panel's pieces are, in elements.
__device__ __forceinline__ int placeAlong(int row, int piece) {
  return row * kDepthStep + ((piece ^ (row >> 1 & 3)) * kPiece);
}
template <int kWidth>
__device__ __forceinline__ int placeAcross(int depth, int piece) {
  return depth * kWidth + ((piece ^ (depth & 7)) * kPiece);
}

// One operand's panel of a step: rows [first, + kWidth) of it (of A, or of B transposed), K from `depth` to at most
// `end`.
template <class T, int kWidth, int kThreads>
__device__ __forceinline__ void loadAlong(T* panel, const T* from, int64_t stride, int32_t first, int32_t size,
                                          int32_t depth, int32_t end) {
  constexpr int kPieces = kDepthStep / kPiece;
  LOWRANK_UNROLL for (int i = 0; i < (kWidth * kPieces + kThreads - 1) / kThreads; ++i) {
    const int number = static_cast<int>(threadIdx.x) + i * kThreads, row = number / kPieces, piece = number % kPieces;
    if (kWidth * kPieces < kThreads && row >= kWidth) break;
    const bool valid = first + row < size && depth + piece * kPiece < end;
    const T* source = from + (first + row) * stride + depth + piece * kPiece;
    cpAsync16(panel + placeAlong(row, piece), valid ? source : from, valid);
  }
}
template <class T, int kWidth, int kThreads>
__device__ __forceinline__ void loadAcross(T* panel, const T* from, int64_t stride, int32_t first, int32_t size,
                                           int32_t depth, int32_t end) {
  constexpr int kPieces = kWidth / kPiece;
  LOWRANK_UNROLL for (int i = 0; i < kDepthStep * kPieces / kThreads; ++i) {
    const int number = static_cast<int>(threadIdx.x) + i * kThreads, row = number / kPieces, piece = number % kPieces;
    const bool valid = depth + row < end && first + piece * kPiece < size;
    const T* source = from + (depth + row) * stride + first + piece * kPiece;
    cpAsync16(panel + placeAcross<kWidth>(row, piece), valid ? source : from, valid);
  }
}
template <class T, int kWidth, int kThreads>
__device__ __forceinline__ void loadAny(T* panel, const T* from, int64_t stride, bool across, int32_t first,
                                        int32_t size, int32_t depth, int32_t end) {
  constexpr int kPieces = kDepthStep / kPiece;
  for (int i = 0; i < kWidth * kPieces / kThreads; ++i) {
    // Neighbouring threads read neighbouring elements as far as that goes.
    const int number = static_cast<int>(threadIdx.x) + i * kThreads;
    const int row = across ? number % kWidth : number / kPieces;
    const int piece = across ? number / kWidth : number % kPieces;
    float values[kPiece];
    LOWRANK_UNROLL for (int e = 0; e < kPiece; ++e) {
      const int64_t k = depth + piece * kPiece + e, r = first + row;
      values[e] = 0.0f;
      if (r < size && k < end) values[e] = toFloat(across ? from[k * stride + r] : from[r * stride + k]);
    }
    storeVector(panel + placeAlong(row, piece),
                uint4{packPair<T>(values[0], values[1]), packPair<T>(values[2], values[3]),
                      packPair<T>(values[4], values[5]), packPair<T>(values[6], values[7])});
  }
}

// A thread's share of a step's panel of NF4: sixteen codes of one block and its scale; zeros where there is nothing.
struct Nf4Codes {
  uint2 bits;
  float scale;
};

// Where they lie: `row` counts the panel's rows, `piece` pieces of kPiece elements, two to a run.
template <class Tile, Layout kLayout>
__device__ __forceinline__ void placeOfRun(int& row, int& piece) {
  constexpr int kRuns = (kLayout == Layout::kAlongBoth ? kDepthStep : Tile::kCols) / (2 * kPiece);
  static_assert(Tile::kThreads == Tile::kCols * kDepthStep / (2 * kPiece));
  row = static_cast<int>(threadIdx.x) / kRuns;
  piece = static_cast<int>(threadIdx.x) % kRuns * 2;
}

template <class Tile, Layout kLayout>
__device__ __forceinline__ Nf4Codes loadCodes(const Nf4Reader& from, int32_t first, int32_t size,
                                              const DepthCursor& at) {
  int row, piece;
  placeOfRun<Tile, kLayout>(row, piece);
  const bool along = kLayout == Layout::kAlongBoth;
  const int32_t weightRow = along ? first + row : at.depth + row;
  const int32_t weightCol = (along ? at.depth : first) + piece * kPiece;
  Nf4Codes codes{uint2{0, 0}, 0.0f};
  if (weightRow < (along ? size : at.end) && weightCol < (along ? at.end : size)) {
    const int64_t element = weightRow * from.cols + weightCol;
    codes.bits = loadVector<uint2>(from.packed + element / 2);
    codes.scale = scaleOf(from, element >> from.shift);
  }
  return codes;
}

// The sixteen weights of a block by their bytes: weight i is byte i % 4 of low[i / 4] and of high[i / 4].
struct Nf4Bytes {
  uint32_t low[4];
  uint32_t high[4];
};
template <class T>
__device__ __forceinline__ Nf4Bytes bytesOf(const float* code, float scale) {
  Nf4Bytes bytes;
  LOWRANK_UNROLL for (int i = 0; i < 4; ++i) {
    const float4 four = loadVector<float4>(code + 4 * i);
    const uint32_t first = packPair<T>(four.x * scale, four.y * scale);
    const uint32_t second = packPair<T>(four.z * scale, four.w * scale);
    bytes.low[i] = prmt(first, second, 0x6420);
    bytes.high[i] = prmt(first, second, 0x7531);
  }
  return bytes;
}

// Weights of the four codes in the lower half of `codes`, by 7 byte permutations (one of them the caller's) and 3
// logical operations. The lower three bits of a code select within each half of the table; `upper`, bytes of ones where
// the fourth is set, between the halves.
__device__ __forceinline__ void fourWeights(const Nf4Bytes& bytes, uint32_t codes, uint32_t upper, uint32_t& first,
                                            uint32_t& second) {
  const uint32_t selector = codes & 0x7777;
  const uint32_t low =
      (prmt(bytes.low[0], bytes.low[1], selector) & ~upper) | (prmt(bytes.low[2], bytes.low[3], selector) & upper);
  const uint32_t high =
      (prmt(bytes.high[0], bytes.high[1], selector) & ~upper) | (prmt(bytes.high[2], bytes.high[3], selector) & upper);
  first = prmt(low, high, 0x4051);  // the earlier code of a byte is its high nibble
  second = prmt(low, high, 0x6273);
}
__device__ __forceinline__ uint4 eightWeights(const Nf4Bytes& bytes, uint32_t codes) {
  const uint32_t shifted = codes << 4;  // the fourth bit of every low nibble is the sign of a byte here
  uint4 weights;
  fourWeights(bytes, codes, prmt(shifted, codes, 0xd9c8), weights.x, weights.y);
  fourWeights(bytes, codes >> 16, prmt(shifted, codes, 0xfbea), weights.z, weights.w);
  return weights;
}

template <class T, class Tile, Layout kLayout>
__device__ __forceinline__ void decode(T* panel, const Nf4Codes& codes, const float* code) {
  int row, piece;
  placeOfRun<Tile, kLayout>(row, piece);
  const Nf4Bytes bytes = bytesOf<T>(code, codes.scale);
  const auto place = [&](int at) {
    return kLayout == Layout::kAlongBoth ? placeAlong(row, at) : placeAcross<Tile::kCols>(row, at);
  };
  storeVector(panel + place(piece), eightWeights(bytes, codes.bits.x));
  storeVector(panel + place(piece + 1), eightWeights(bytes, codes.bits.y));
}

template <class T, class Tile, Layout kLayout, bool kNf4>
__device__ __forceinline__ void loadStep(T* stage, const BatchArguments& batch, const ProductArguments& product,
                                         const DepthCursor& at, int32_t row, int32_t col) {
  const T* a = static_cast<const T*>(batch.terms[at.term].a);
  const T* b = static_cast<const T*>(batch.terms[at.term].b);
  const int64_t aStride = batch.terms[at.term].aStride, bStride = batch.terms[at.term].bStride;
  const int32_t m = product.m, n = product.n;
  T* const panelB = stage + Tile::kRows * kDepthStep;
  if constexpr (kLayout == Layout::kAny) {
    loadAny<T, Tile::kRows, Tile::kThreads>(stage, a, aStride, batch.terms[at.term].aTransposed, row, m, at.depth,
                                            at.end);
    loadAny<T, Tile::kCols, Tile::kThreads>(panelB, b, bStride, !batch.terms[at.term].bTransposed, col, n, at.depth,
                                            at.end);
    return;
  }
  if constexpr (kLayout == Layout::kAcrossBoth) {
    loadAcross<T, Tile::kRows, Tile::kThreads>(stage, a, aStride, row, m, at.depth, at.end);
  } else {
    loadAlong<T, Tile::kRows, Tile::kThreads>(stage, a, aStride, row, m, at.depth, at.end);
  }
  if (kNf4 && batch.terms[at.term].reader >= 0) return;
  if constexpr (kLayout == Layout::kAlongBoth) {
    loadAlong<T, Tile::kCols, Tile::kThreads>(panelB, b, bStride, col, n, at.depth, at.end);
  } else {
    loadAcross<T, Tile::kCols, Tile::kThreads>(panelB, b, bStride, col, n, at.depth, at.end);
  }
}

// The 16x16 tile of A at (row, depth) of its panel, as mma() takes it.
template <class T, class Tile, Layout kLayout>
__device__ __forceinline__ void loadA(uint32_t (&a)[4], const T* panel, int row, int depth, int lane) {
  if constexpr (kLayout == Layout::kAcrossBoth) {
    ldmatrix<true>(
        a, panel + placeAcross<Tile::kRows>(depth + (lane >> 4) * 8 + (lane & 7), row / kPiece + (lane >> 3 & 1)));
  } else {
    ldmatrix(a, panel + placeAlong(row + (lane & 15), depth / kPiece + (lane >> 4)));
  }
}

// The two 16x8 tiles of B at (depth, col) and (depth, col + 8).
template <class T, class Tile, Layout kLayout>
__device__ __forceinline__ void loadB(uint32_t (&b)[4], const T* panel, int col, int depth, int lane) {
  if constexpr (kLayout == Layout::kAlongAcross || kLayout == Layout::kAcrossBoth) {
    ldmatrix<true>(b, panel + placeAcross<Tile::kCols>(depth + (lane & 15), col / kPiece + (lane >> 4)));
  } else {
    ldmatrix(b, panel + placeAlong(col + (lane & 7) + (lane >> 4) * 8, depth / kPiece + (lane >> 3 & 1)));
  }
}

template <class T, class Tile, Layout kLayout, bool kNf4>
__global__ void __launch_bounds__(Tile::kThreads, Tile::kBlocks)
    tensorGemmKernel(LOWRANK_CONSTANT(BatchArguments) batch) {
  constexpr int kDown = Tile::kRowsOfWarp / 16, kAside = Tile::kColsOfWarp / 16;
  const BlockTask task = taskOf(batch, static_cast<int32_t>(blockIdx.x));
  const ProductArguments& product = batch.products[task.product];
  const int32_t firstRow = task.row * Tile::kRows, firstCol = task.col * Tile::kCols;
  if (product.limitsDepth ? liveTokens(product, 1) == 0 : firstRow >= liveTokens(product, product.m)) return;

  int32_t steps;
  DepthCursor next = cursorAt(batch, product, task.split * product.splitSteps, steps);
  if (product.splits > 1 && steps > product.splitSteps) steps = product.splitSteps;

  T* const shared = sharedMemory<T>();
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int warpRow = warp % Tile::kWarpsDown * Tile::kRowsOfWarp;
  const int warpCol = warp / Tile::kWarpsDown * Tile::kColsOfWarp;
  float sums[kDown][2 * kAside][4] = {};

  float* const tables = reinterpret_cast<float*>(shared + kStages * Tile::kStage);
  Nf4Codes codes{};
  const auto loadNextCodes = [&] {
    const int8_t reader = batch.terms[next.term].reader;
    if (reader >= 0) codes = loadCodes<Tile, kLayout>(batch.readers[reader], firstCol, product.n, next);
  };
  if constexpr (kNf4) {
    const int thread = static_cast<int>(threadIdx.x);
    static_assert(Tile::kThreads >= kMaxReaders * kNf4Codes);
    if (thread < batch.readerCount * kNf4Codes)
      tables[thread] = batch.readers[thread / kNf4Codes].code[thread % kNf4Codes];
    if (steps > 0) loadNextCodes();
    syncThreads();
  }

  int32_t loaded = 0;
  const auto loadNext = [&] {
    if (loaded < steps) {
      T* const stage = shared + loaded % kStages * Tile::kStage;
      loadStep<T, Tile, kLayout, kNf4>(stage, batch, product, next, firstRow, firstCol);
      if constexpr (kNf4) {
        const int8_t reader = batch.terms[next.term].reader;
        if (reader >= 0) {
          decode<T, Tile, kLayout>(stage + Tile::kRows * kDepthStep, codes, tables + reader * kNf4Codes);
        }
      }
      advance(next, batch, product);
      if (++loaded < steps && kNf4) loadNextCodes();
    }
    cpAsyncCommit();
  };
  for (int stage = 0; stage + 1 < kStages; ++stage) loadNext();
  for (int32_t step = 0; step < steps; ++step) {
    cpAsyncWait<kStages - 2>();
    syncThreads();
    loadNext();  // over the step before this one, which no warp reads any more
    const T* const panelA = shared + step % kStages * Tile::kStage;
    const T* const panelB = panelA + Tile::kRows * kDepthStep;
    LOWRANK_UNROLL for (int depth = 0; depth < kDepthStep; depth += 16) {
      uint32_t a[kDown][4], b[kAside][4];
      LOWRANK_UNROLL for (int i = 0; i < kDown; ++i) {
        loadA<T, Tile, kLayout>(a[i], panelA, warpRow + 16 * i, depth, lane);
      }
      LOWRANK_UNROLL for (int j = 0; j < kAside; ++j) {
        loadB<T, Tile, kLayout>(b[j], panelB, warpCol + 16 * j, depth, lane);
      }
      LOWRANK_UNROLL for (int i = 0; i < kDown; ++i) {
        LOWRANK_UNROLL for (int j = 0; j < kAside; ++j) {
          const uint32_t left[2] = {b[j][0], b[j][1]}, right[2] = {b[j][2], b[j][3]};
          mma<T>(sums[i][2 * j], a[i], left);
          mma<T>(sums[i][2 * j + 1], a[i], right);
        }
      }
    }
  }

  syncThreads();  // nobody reads panels any more
  float* const tile = reinterpret_cast<float*>(shared);
  LOWRANK_UNROLL for (int i = 0; i < kDown; ++i) {
    LOWRANK_UNROLL for (int half = 0; half < 2; ++half) {
      const int row = warpRow + 16 * i + 8 * half + lane / 4;
      LOWRANK_UNROLL for (int j = 0; j < 2 * kAside; ++j) {
        stageSums<Tile::kCols>(tile, row, warpCol + 8 * j + 2 * (lane % 4), sums[i][j][2 * half],
                               sums[i][j][2 * half + 1]);
      }
    }
  }
  syncThreads();
  storeTile<T, Tile::kRows, Tile::kCols, Tile::kThreads>(product, task.split, firstRow, firstCol, tile);
}

template <class T, class Tile, Layout kLayout, bool kNf4>
void launchTile(const BatchArguments& batch, int64_t blocks, Queue& queue) {
  constexpr size_t kSharedBytes = Tile::kSharedBytes + (kNf4 ? kMaxReaders * kNf4Codes * sizeof(float) : 0);
  launch<tensorGemmKernel<T, Tile, kLayout, kNf4>>(queue, dim3(static_cast<unsigned>(blocks)), Tile::kThreads,
                                                   kSharedBytes, batch);
}

template <class T, Layout kLayout>
void launchLayout(const BatchArguments& batch, const BatchLaunch& how, Queue& queue) {
  if constexpr (kLayout != Layout::kAcrossBoth) {
    const bool flat = how.tile == TileSize::kFlat;
    if (how.quantised && flat) return launchTile<T, FlatTile, kLayout, true>(batch, how.blocks, queue);
    if (how.quantised) return launchTile<T, SmallTile, kLayout, true>(batch, how.blocks, queue);
    if (flat) return launchTile<T, FlatTile, kLayout, false>(batch, how.blocks, queue);
  }
  how.tile == TileSize::kLarge ? launchTile<T, LargeTile, kLayout, false>(batch, how.blocks, queue)
                               : launchTile<T, SmallTile, kLayout, false>(batch, how.blocks, queue);
}

template <class T>
void launchTyped(const BatchArguments& batch, const BatchLaunch& how, Queue& queue) {
  switch (how.layout) {
    case Layout::kAlongBoth:
      return launchLayout<T, Layout::kAlongBoth>(batch, how, queue);
    case Layout::kAlongAcross:
      return launchLayout<T, Layout::kAlongAcross>(batch, how, queue);
    case Layout::kAcrossBoth:
      return launchLayout<T, Layout::kAcrossBoth>(batch, how, queue);
    case Layout::kAny:
      return launchTile<T, SmallTile, Layout::kAny, false>(batch, how.blocks, queue);
  }
}

}  // namespace

void launchTensorGemm(const BatchArguments& batch, const BatchLaunch& how, DType compute, Queue& queue) {
  if (compute == DType::kBFloat16) return launchTyped<BFloat16>(batch, how, queue);
  launchTyped<Float16>(batch, how, queue);
}

}  // namespace lowrank::LOWRANK_BACKEND
