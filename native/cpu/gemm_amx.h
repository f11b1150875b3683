// gemm with AMX: bfloat16 products A B with A straight and B transposed, as every linear layer's forward has them.
//
// 1. The transpose of C is computed: 16 rows of B, which are columns of C, are a tile as they lie in memory, so that no
//    weight is packed. A is packed, once for all products that share it: [tile of 16 rows][32 elements of k] become
//    [pair of k][row], 1 KB each.
// 2. A step multiplies 2 tiles of B (32 columns of C) by 2 of A (32 rows): 4 tiles of sums, 4 products per 4 loads.
// 3. B is copied, with zeros behind it, where k or its rows do not fill the tiles. NF4 is dequantised in place of being
//    copied, once for each block of rows of A: the bits are those of the product with the dequantised weight. Where a
//    block is one step high, a copy is used once: it is made piece by piece along k, in the first-level cache.
// 4. A sum is that of its row and column alone, whatever M is: pairs of k in order, each as AMX adds it, which flushes
//    denormals and rounds once per product of a pair. Terms follow each other in the same sums.
//
// Roof: 1024 operations per cycle, which loads from the second-level cache keep up with; for few rows the bytes of B.
// Scratch: A once more; per thread 64 K bytes where B is copied.
#pragma once

#include "gemm_pack.h"
#include "nf4.h"

namespace lowrank::cpu::LOWRANK_ISA {

#if defined(__AMX_BF16__)
inline constexpr bool kHasTiles = true;
#else
inline constexpr bool kHasTiles = false;
#endif

inline constexpr int64_t kAmxTerms = 64;  // of all products that are worked on together

// Whether a product is this file's.
LOWRANK_INLINE bool fitsTiles(const Gemm& product) {
  if (!kHasTiles || product.cTransposed || product.termCount == 0 || product.termCount > kAmxTerms) return false;
  for (int64_t t = 0; t < product.termCount; ++t) {
    const GemmTerm& term = product.terms[t];
    if (term.a.dtype != DType::kBFloat16 || term.b.dtype != DType::kBFloat16) return false;
    if (term.a.transposed || !term.b.transposed || term.k == 0) return false;
  }
  return true;
}

#if defined(__AMX_BF16__)

inline constexpr int64_t kTileSide = 16;                      // rows of a tile; also its pairs of k
inline constexpr int64_t kTileK = 32;                         // elements of k in a tile
inline constexpr int64_t kTileElements = kTileSide * kTileK;  // 1 KB
inline constexpr int64_t kSliceColumns = 2 * kTileSide;       // of C that are computed together
inline constexpr int64_t kAmxBlockRows = 512;                 // of A that a task multiplies: they stay in L2

struct TileConfig {
  uint8_t palette;
  uint8_t startRow;
  uint8_t reserved[14];
  uint16_t columnBytes[16];
  uint8_t rows[16];
};

// The compiler does not know what the tile instructions read.
LOWRANK_INLINE void settleMemory() {
  __asm__ volatile("" ::: "memory");
}

LOWRANK_INLINE void startTiles() {
  TileConfig config{};
  config.palette = 1;
  for (int i = 0; i < 8; ++i) {
    config.columnBytes[i] = 64;
    config.rows[i] = kTileSide;
  }
  settleMemory();
  _tile_loadconfig(&config);
}

LOWRANK_INLINE int64_t tilesOfK(int64_t k) {
  return ceilDiv(k, kTileK);
}

// 32 elements, those after `count` zero.
LOWRANK_INLINE Vec loadTileRow(const BFloat16* from, int64_t count) {
  if (count >= kTileK) return _mm512_loadu_ps(from);
  const __mmask32 there = static_cast<__mmask32>((uint64_t{1} << maxOf(0, count)) - 1);
  return _mm512_castsi512_ps(_mm512_maskz_loadu_epi16(there, from));
}

// 16 rows of A, `rows` of them there, as tiles.
static void packRowTile(const GemmOperand& a, int64_t row, int64_t rows, int64_t k, BFloat16* to) {
  const BFloat16* from = static_cast<const BFloat16*>(a.data) + row * a.stride;
  for (int64_t first = 0; first < k; first += kTileK, to += kTileElements) {
    Vec words[kTileSide];
    for (int64_t i = 0; i < kTileSide; ++i) {
      words[i] = i < rows ? loadTileRow(from + i * a.stride + first, k - first) : zero();
    }
    transpose(words);
    for (int64_t i = 0; i < kTileSide; ++i) store(reinterpret_cast<float*>(to) + i * kTileSide, words[i]);
  }
}

// Where a slice of B lies, its rows `stride` apart; without data it is copied when it is used.
struct SliceOfB {
  const BFloat16* data;
  int64_t stride;
  bool direct;
};

LOWRANK_INLINE bool copiesB(const GemmTerm& term, int64_t columns) {
  return term.b.nf4 != nullptr || term.k % kTileK != 0 || columns < kSliceColumns;
}

// `runs` runs of a row of NF4, with a scale per run. `codes` of the row that is read next in this place are fetched.
LOWRANK_INLINE void dequantizeRuns(const uint8_t* codes, int64_t next, Vec code, const float* scales, int64_t runs,
                                   BFloat16* to) {
  for (int64_t run = 0; run < runs; ++run, codes += kNf4Run / 2, to += kNf4Run) {
    const __m512i table = pairTable(code, scales[run]);
    __builtin_prefetch(codes + next, 0, 2);
    _mm512_storeu_si512(to, lookUpPairs(codes, table));
    _mm512_storeu_si512(to + kNf4Run / 2, lookUpPairs(codes + kNf4Run / 4, table));
  }
}

inline constexpr int64_t kPieceK = 512;    // elements of k in a piece: 32 KB
inline constexpr int64_t kScalesK = 2048;  // whose scales are looked up at a time
static_assert(kScalesK % kPieceK == 0 && kPieceK % kNf4Run == 0 && kPieceK % kTileK == 0);

// 32 rows of B, `columns` of them there, and k elements from `first` on: to[row][pitch]. NF4 in whole runs has its
// scales in `scales`, [row][scaleStride].
static void copyPiece(const GemmTerm& term, int64_t column, int64_t columns, int64_t first, int64_t k,
                      const float* scales, int64_t scaleStride, int64_t pitch, BFloat16* to) {
  for (int64_t i = 0; i < kSliceColumns; ++i, to += pitch) {
    int64_t there = 0;
    if (i < columns && term.b.nf4 == nullptr) {
      const BFloat16* from = static_cast<const BFloat16*>(term.b.data) + (column + i) * term.b.stride + first;
      for (; there < k; there += kTileK) _mm512_storeu_ps(to + there, loadTileRow(from + there, k - there));
    } else if (i < columns) {
      const Nf4& weight = *term.b.nf4;
      const Nf4Reader from = readerOf(weight);
      const int64_t start = (column + i) * weight.cols + first;
      if (looksUp(weight)) {
        const int64_t nextSlice = kSliceColumns * weight.cols / 2;
        dequantizeRuns(from.packed + start / 2, nextSlice, load(from.code), scales + i * scaleStride, k / kNf4Run, to);
      } else {
        dequantizeRun(from, start, k, to);
      }
      there = k;
    }
    for (; there < tilesOfK(k) * kTileK; ++there) to[there] = BFloat16{};
  }
}

// The same in pieces along k: use(first, k) after each, which lies at `to`, or with `keep` behind the one before.
template <class Use>
LOWRANK_INLINE void copyPieces(const GemmTerm& term, int64_t column, int64_t columns, int64_t pitch, bool keep,
                               BFloat16* to, const Use& use) {
  float scales[kSliceColumns * kScalesK / kNf4Run + kLanes];
  for (int64_t outer = 0; outer < term.k; outer += kScalesK) {
    const int64_t end = minOf(term.k, outer + kScalesK), runs = (end - outer) / kNf4Run;
    if (term.b.nf4 != nullptr && looksUp(*term.b.nf4)) {
      readRowScales(readerOf(*term.b.nf4), *term.b.nf4, column, columns, outer, runs, scales);
    }
    for (int64_t first = outer; first < end; first += kPieceK) {
      const int64_t k = minOf(kPieceK, end - first);
      const float* own = scales + (first - outer) / kNf4Run;
      copyPiece(term, column, columns, first, k, own, runs, pitch, keep ? to + first : to);
      settleMemory();
      use(first, k);
    }
  }
}

// The sums of 32 columns and one or two tiles of rows over a term. Tiles 0 to 3: sums; 4, 5: B; 6, 7: A.
template <int kRowTiles>
LOWRANK_INLINE void addTerm(const SliceOfB& b, const BFloat16* a, const BFloat16* second, int64_t tiles,
                            bool prefetch) {
  const int64_t strideBytes = b.stride * 2;
  for (int64_t i = 0; i < tiles; ++i) {
    const BFloat16* at = b.data + i * kTileK;
    _tile_loadd(6, a + i * kTileElements, 64);
    if constexpr (kRowTiles == 2) _tile_loadd(7, second + i * kTileElements, 64);
    _tile_loadd(4, at, strideBytes);
    _tile_dpbf16ps(0, 4, 6);
    if constexpr (kRowTiles == 2) _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, at + kTileSide * b.stride, strideBytes);
    _tile_dpbf16ps(2, 5, 6);
    if constexpr (kRowTiles == 2) _tile_dpbf16ps(3, 5, 7);
    if (prefetch) {
      for (int64_t r = 0; r < kSliceColumns; ++r) __builtin_prefetch(at + (kSliceColumns + r) * b.stride, 0, 2);
    }
  }
}

// A tile of sums, [column][row], rounded into C.
static void finishTile(const Gemm& product, const float* sums, int64_t row, int64_t rows, int64_t column,
                       int64_t columns) {
  Vec lines[kTileSide];
  for (int64_t i = 0; i < kTileSide; ++i) lines[i] = load(sums + i * kTileSide);
  transpose(lines);
  for (int64_t i = 0; i < rows; ++i) finishVector(product, lines[i], row + i, column, static_cast<int>(columns));
}

struct AmxPlan {
  const Gemm* product;
  int64_t firstSlot;  // of its terms' packed A
  int64_t slices;     // of 32 columns
  int64_t slicesPerTask;
  int64_t groups;  // tasks per block of rows
  int64_t firstTask;
};

static void multiplySlices(const AmxPlan& plan, const BFloat16* const* packed, int64_t task, BFloat16* copy) {
  const Gemm& product = *plan.product;
  const int64_t firstRow = task / plan.groups * kAmxBlockRows, endRow = minOf(product.m, firstRow + kAmxBlockRows);
  const int64_t firstSlice = task % plan.groups * plan.slicesPerTask;
  alignas(64) float sums[4][kTileSide * kTileSide];
  startTiles();
  for (int64_t slice = firstSlice; slice < minOf(plan.slices, firstSlice + plan.slicesPerTask); ++slice) {
    const int64_t column = slice * kSliceColumns, columns = minOf(kSliceColumns, product.n - column);
    SliceOfB b[kAmxTerms];
    BFloat16* free = copy;
    for (int64_t t = 0; t < product.termCount; ++t) {
      const GemmTerm& term = product.terms[t];
      const int64_t pitch = tilesOfK(term.k) * kTileK;
      if (!copiesB(term, columns)) {
        b[t] = SliceOfB{static_cast<const BFloat16*>(term.b.data) + column * term.b.stride, term.b.stride, true};
      } else if (endRow - firstRow <= 2 * kTileSide) {
        b[t] = SliceOfB{nullptr, minOf(kPieceK, pitch), false};
      } else {
        copyPieces(term, column, columns, pitch, true, free, [](int64_t, int64_t) {});
        b[t] = SliceOfB{free, pitch, false};
        free += kSliceColumns * pitch;
      }
    }
    settleMemory();
    for (int64_t row = firstRow; row < endRow; row += 2 * kTileSide) {
      const bool two = row + kTileSide < endRow;
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      for (int64_t t = 0; t < product.termCount; ++t) {
        const int64_t tiles = tilesOfK(product.terms[t].k);
        const BFloat16* a = packed[plan.firstSlot + t] + row / kTileSide * tiles * kTileElements;
        const bool prefetch = row == firstRow && b[t].direct && column + 2 * kSliceColumns <= product.n;
        const auto add = [&](const SliceOfB& slice, int64_t first, int64_t count) {
          const BFloat16* from = a + first * kTileElements;
          if (two) {
            addTerm<2>(slice, from, from + tiles * kTileElements, count, prefetch);
          } else {
            addTerm<1>(slice, from, from, count, prefetch);
          }
        };
        if (b[t].data != nullptr) {
          add(b[t], 0, tiles);
          continue;
        }
        copyPieces(product.terms[t], column, columns, b[t].stride, false, copy, [&](int64_t first, int64_t k) {
          add(SliceOfB{copy, b[t].stride, false}, first / kTileK, tilesOfK(k));
          settleMemory();
        });
      }
      _tile_stored(0, sums[0], 64);
      _tile_stored(2, sums[2], 64);
      if (two) {
        _tile_stored(1, sums[1], 64);
        _tile_stored(3, sums[3], 64);
      }
      settleMemory();
      for (int64_t i = 0; i < 4; ++i) {
        const int64_t r = row + i % 2 * kTileSide, c = column + i / 2 * kTileSide;
        if (r >= endRow || c >= product.n) continue;
        finishTile(product, sums[i], r, minOf(kTileSide, endRow - r), c, minOf(kTileSide, product.n - c));
      }
    }
  }
  _tile_release();
}

// Elements of packed A.
LOWRANK_INLINE int64_t packedElements(const Gemm& product, const GemmTerm& term) {
  return ceilDiv(product.m, kTileSide) * tilesOfK(term.k) * kTileElements;
}

LOWRANK_INLINE int64_t packedElements(const Gemm& product) {
  int64_t elements = 0;
  for (int64_t t = 0; t < product.termCount; ++t) elements += packedElements(product, product.terms[t]);
  return elements;
}

// At most kAmxTerms products, of as many terms altogether. False: out of memory.
static bool multiplyTiles(const Gemm* const* products, int64_t count, Workspace& workspace, Context& context) {
  AmxPlan plans[kAmxTerms];
  struct Slot {
    const Gemm* product;
    const GemmTerm* term;
    int64_t offset;     // of its packed A
    int64_t firstTask;  // that packs it
  } slots[kAmxTerms];
  int64_t slotOfTerm[kAmxTerms], terms = 0, slotCount = 0, elements = 0, packTasks = 0, tasks = 0, copied = 0;
  for (int64_t p = 0; p < count; ++p) {
    const Gemm& product = *products[p];
    const int64_t slices = ceilDiv(product.n, kSliceColumns), each = maxOf(1, minOf(8, slices / 16));
    plans[p] = AmxPlan{&product, terms, slices, each, ceilDiv(slices, each), tasks};
    tasks += plans[p].groups * ceilDiv(product.m, kAmxBlockRows);
    int64_t copy = 0;
    for (int64_t t = 0; t < product.termCount; ++t, ++terms) {
      const GemmTerm& term = product.terms[t];
      if (copiesB(term, product.n % kSliceColumns == 0 ? kSliceColumns : 0))
        copy += kSliceColumns * tilesOfK(term.k) * kTileK;
      int64_t slot = 0;
      while (slot < slotCount &&
             !(slots[slot].term->a.data == term.a.data && slots[slot].term->a.stride == term.a.stride &&
               slots[slot].term->k == term.k && slots[slot].product->m == product.m)) {
        ++slot;
      }
      slotOfTerm[terms] = slot;
      if (slot < slotCount) continue;
      slots[slotCount++] = Slot{&product, &term, elements, packTasks};
      elements += packedElements(product, term);
      packTasks += ceilDiv(product.m, kTileSide);
    }
    copied = maxOf(copied, copy);
  }
  BFloat16* memory = static_cast<BFloat16*>(
      reserve(workspace, static_cast<size_t>(elements + copied * context.threads()) * 2, context));
  if (memory == nullptr) return false;
  parallelFor(context, packTasks, [&](int64_t task, int) {
    int64_t s = slotCount - 1;
    while (slots[s].firstTask > task) --s;
    const int64_t tile = task - slots[s].firstTask, row = tile * kTileSide;
    packRowTile(slots[s].term->a, row, minOf(kTileSide, slots[s].product->m - row), slots[s].term->k,
                memory + slots[s].offset + tile * tilesOfK(slots[s].term->k) * kTileElements);
  });
  const BFloat16* packed[kAmxTerms];
  for (int64_t t = 0; t < terms; ++t) packed[t] = memory + slots[slotOfTerm[t]].offset;
  parallelFor(context, tasks, [&](int64_t task, int thread) {
    int64_t p = count - 1;
    while (plans[p].firstTask > task) --p;
    multiplySlices(plans[p], packed, task - plans[p].firstTask, memory + elements + thread * copied);
  });
  return true;
}

#endif

}  // namespace lowrank::cpu::LOWRANK_ISA
