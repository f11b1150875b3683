// Between gemm.cu, which cuts products into blocks, and the kernels that it launches.
#pragma once

#include "gemm.h"
#include "nf4.h"

namespace lowrank::LOWRANK_BACKEND {

// A launch's argument holds so many: 4 KB is what every driver takes.
inline constexpr int kMaxProducts = 8;
inline constexpr int kMaxTerms = 48;
inline constexpr int kMaxReaders = 8;

struct TermArguments {
  const void* a;
  const void* b;
  int64_t aStride;
  int64_t bStride;
  int32_t k;
  bool aTransposed;
  bool bTransposed;
  bool vectors;   // all rows of both begin at multiples of 16 bytes
  int8_t reader;  // of the batch, for an NF4 B in place of b; -1: none
};

struct ProductArguments {
  void* c;
  const void* bias;
  const float* addend;
  float* partials;       // [splits, M, N] when K is split
  const int32_t* count;  // RowLimit
  int64_t cStride;
  int64_t addendStride;
  float alpha;
  int32_t m;
  int32_t n;
  int32_t firstTerm;
  int32_t termCount;
  int32_t splits;
  int32_t splitSteps;  // steps per split
  int32_t firstBlock;
  int32_t rowTiles;
  int32_t colTiles;
  int32_t firstRow;  // RowLimit
  bool limitsDepth;
  bool floatC;
  bool runs;  // all rows of C begin at multiples of 16 bytes
};

struct BatchArguments {
  ProductArguments products[kMaxProducts];
  TermArguments terms[kMaxTerms];
  Nf4Reader readers[kMaxReaders];
  int32_t productCount;
  int32_t readerCount;
};
static_assert(sizeof(BatchArguments) <= 4000);

// K is walked in steps of so many; each term begins a new one.
inline constexpr int kDepthStep = 32;
inline constexpr int kWgmmaDepthStep = 64;

// How a tile's operands lie in memory. kAny: by elements, whatever the layout and alignment.
enum class Layout { kAlongBoth, kAlongAcross, kAcrossBoth, kAny };

// Tiles of C. An element of C has the same bits from each of the first three, and the same from each of the last two,
// which are of wgmma.
enum class TileSize { kFlat, kSmall, kLarge, kWgmma, kWideWgmma };
constexpr int64_t tileRows(TileSize size) {
  return size == TileSize::kFlat ? 16 : size == TileSize::kSmall ? 64 : 128;
}
constexpr int64_t tileCols(TileSize size) {
  return size == TileSize::kWideWgmma ? 256 : size == TileSize::kLarge || size == TileSize::kWgmma ? 128 : 64;
}
constexpr bool usesWgmma(TileSize size) {
  return size == TileSize::kWgmma || size == TileSize::kWideWgmma;
}

struct BatchLaunch {
  Layout layout;
  TileSize tile;   // kFlat, of wgmma: kAlongBoth or kAlongAcross; kAny: kSmall
  bool quantised;  // some terms have readers; kFlat or kSmall, kAlongBoth or kAlongAcross
  int64_t blocks;
};

void launchTensorGemm(const BatchArguments& batch, const BatchLaunch& how, DType compute,
                      Queue& queue);  // 16-bit dtypes
void launchWgmmaGemm(const BatchArguments& batch, const BatchLaunch& how, DType compute, Queue& queue);
void launchFloatGemm(const BatchArguments& batch, int64_t blocks, Queue& queue);
inline constexpr int kFloatTile = 64;

inline constexpr int64_t kFewRows = 8;
inline constexpr int64_t kFewRowsColumns = 4;  // of C per block

// C of at most kFewRows rows. Every A is stored straight, every B transposed; the first B of all products is NF4, or
// none is.
void launchFewRows(const BatchArguments& batch, bool quantised, int64_t blocks, DType compute, Queue& queue);

// Which part of a product a block has.
struct BlockTask {
  int32_t product;
  int32_t split;
  int32_t row;  // of tiles
  int32_t col;
};

// Blocks that run at the same time share rows and columns: tiles go down kGroup rows, then to the next column.
__device__ __forceinline__ BlockTask taskOf(const BatchArguments& batch, int32_t block) {
  constexpr int32_t kGroup = 8;
  BlockTask task;
  task.product = 0;
  while (task.product + 1 < batch.productCount && batch.products[task.product + 1].firstBlock <= block) ++task.product;
  const int32_t rowTiles = batch.products[task.product].rowTiles, colTiles = batch.products[task.product].colTiles;
  const int32_t local = block - batch.products[task.product].firstBlock;
  task.split = local / (rowTiles * colTiles);
  const int32_t tile = local % (rowTiles * colTiles);
  const int32_t group = tile / (kGroup * colTiles), rest = tile % (kGroup * colTiles);
  const int32_t rows = rowTiles - group * kGroup < kGroup ? rowTiles - group * kGroup : kGroup;
  task.row = group * kGroup + rest % rows;
  task.col = rest / rows;
  return task;
}

// How many of `size` tokens are there.
__device__ __forceinline__ int32_t liveTokens(const ProductArguments& product, int32_t size) {
  if (product.count == nullptr) return size;
  const int32_t left = *product.count - product.firstRow;
  return left < 0 ? 0 : left < size ? left : size;
}

// An element of C from its sum.
template <class T>
__device__ __forceinline__ float finished(const ProductArguments& product, int64_t row, int32_t col, float sum) {
  float value = product.alpha * sum;
  if (product.bias != nullptr) value += toFloat(static_cast<const T*>(product.bias)[col]);
  if (product.addend != nullptr) value += product.addend[row * product.addendStride + col];
  return value;
}
template <class T>
__device__ __forceinline__ void storeFinished(const ProductArguments& product, int64_t row, int32_t col, float value) {
  const int64_t at = row * product.cStride + col;
  if (product.floatC) {
    static_cast<float*>(product.c)[at] = value;
  } else {
    static_cast<T*>(product.c)[at] = fromFloat<T>(value);
  }
}
template <class T>
__device__ __forceinline__ void storeSum(const ProductArguments& product, int32_t split, int64_t row, int32_t col,
                                         float sum) {
  if (product.splits > 1) {
    product.partials[(static_cast<int64_t>(split) * product.m + row) * product.n + col] = sum;
  } else {
    storeFinished<T>(product, row, col, finished<T>(product, row, col, sum));
  }
}

// The place in K of a block that walks over its product's terms step by step.
struct DepthCursor {
  int32_t term;   // in the batch
  int32_t depth;  // in the term
  int32_t end;    // of the term
};

template <int kStep>
__device__ __forceinline__ int32_t stepsOf(int32_t depth) {
  return (depth + kStep - 1) / kStep;
}
__device__ __forceinline__ int32_t depthOf(const BatchArguments& batch, const ProductArguments& product, int32_t term) {
  const int32_t k = batch.terms[term].k;
  return product.limitsDepth ? liveTokens(product, k) : k;
}

// The cursor at step `step` of the product, and in `left` the steps from there on.
template <int kStep = kDepthStep>
__device__ __forceinline__ DepthCursor cursorAt(const BatchArguments& batch, const ProductArguments& product,
                                                int32_t step, int32_t& left) {
  DepthCursor cursor{product.firstTerm, 0, 0};
  left = -step;
  bool found = false;
  for (int32_t term = product.firstTerm; term < product.firstTerm + product.termCount; ++term) {
    const int32_t depth = depthOf(batch, product, term), steps = stepsOf<kStep>(depth);
    if (!found && left + steps > 0) {
      cursor = DepthCursor{term, -left * kStep, depth};
      found = true;
    }
    left += steps;
  }
  return cursor;
}

template <int kStep = kDepthStep>
__device__ __forceinline__ void advance(DepthCursor& cursor, const BatchArguments& batch,
                                        const ProductArguments& product) {
  cursor.depth += kStep;
  while (cursor.depth >= cursor.end && cursor.term + 1 < product.firstTerm + product.termCount) {
    cursor.depth = 0;
    cursor.end = depthOf(batch, product, ++cursor.term);
  }
}

}  // namespace lowrank::LOWRANK_BACKEND
