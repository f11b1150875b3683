// The driver of gemm: blocking, packing and the store.
//
// A task owns one panel of kPanel columns, or kWide of them where A does not stay in the second-level cache, and one
// block of at most kBlockRows rows. It packs the panels of B for at most kDepth words of k, of one term or several,
// into its thread's buffer (at most kDepth * kPanel * 4 bytes = 128 KB a panel with AVX-512: they stay in L2), runs the
// tiles down the rows, and keeps the block's sums beside it; with the last words of k the sums are rounded into C from
// the registers.
// Rows of A that are words already are read in place. Others (float16, bfloat16 without dot products, transposed, odd k
// with dot products) are packed: once for all panels into shared scratch of at most kSharedBytes, or by the task when
// panels are few.
//
// Roofs: the multiply-add rate. Packing a panel costs as much as multiplying it with about 20 rows, so M >= 512 comes
// near the roof and a small M does not: a product of few rows (a LoRA gradient) packs little at a time, so that its
// panels are in L1.
// Determinism: kDepth, kBlockRows and the tile are constants of a level; a sum never meets another task.
#include "gemm.h"

#include "gemm_amx.h"
#include "gemm_few_rows.h"
#include "gemm_nf4.h"
#include "gemm_tile.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

constexpr int64_t kDepth = 1024;
constexpr int64_t kBlockRows = 528;  // a multiple of every kTileRows
constexpr int64_t kBatch = 16;       // products, or runs of terms, that are worked on together
constexpr int64_t kTileWords = kTallRows * (kDepth + kBatch * 2 * kLanes);
constexpr int64_t kPanelWords = kDepth * kPanel;
constexpr int64_t kSumWords = kBlockRows * kPanel;
constexpr int64_t kWide = 3;  // panels of a task whose A does not stay in the second-level cache
constexpr int64_t kThreadWords = kTileWords + kWide * (kPanelWords + kSumWords);
constexpr int64_t kLowRows = 64;   // products of so few rows
constexpr int64_t kLowDepth = 64;  // pack so many words of k at a time
constexpr int64_t kCacheBytes = int64_t{1} << 20;
constexpr int64_t kSharedBytes = int64_t{32} << 20;
constexpr int64_t kWideTasks = 6;
constexpr int64_t kTasks = 16;  // a product is cut into at least so many tasks where its rows allow it
constexpr int64_t kTilesPerPackTask = 4;

static_assert(kBlockRows % kTileRows == 0);
static_assert(kDepth % kNf4Run == 0 && kLowDepth % kNf4Run == 0);
#if defined(__AVX512BF16__)
static_assert(2 * kDepth <= kNf4PackRuns * kNf4Run);
#endif
static_assert(kTileWords >= kFewRowsWords && kPanelWords >= kMostRows * kFewRowsColumns);

struct Plan {
  bool dot;
  bool few;
  bool shared;       // A's packed terms lie in shared scratch
  int64_t lastTerm;  // the last that is not empty; -1: none
  int64_t panels;
  int64_t wide;      // panels per task
  int64_t depth;     // words of k that are packed at a time
  int64_t groups;    // tasks per block of rows
  int64_t tileRows;  // tiles are of one height, the last may be lower
  int64_t blockRows;
  int64_t blocks;
  int64_t firstTask;
  int64_t firstPackTask;
  float* packed;
};

LOWRANK_INLINE int64_t stepsOf(const Plan& plan, const GemmTerm& term) {
  return plan.dot ? ceilDiv(term.k, 2) : term.k;
}

// Whether the tiles can read A where it is. Rows a multiple of 4 KB apart would share one set of the cache, so they are
// moved.
LOWRANK_INLINE bool inPlace(const Plan& plan, const GemmTerm& term) {
  if (term.a.transposed) return false;
  if (plan.dot) return term.k % 2 == 0 && term.a.stride * 2 % 4096 != 0;
  return term.a.dtype == DType::kFloat32 && term.a.stride * 4 % 4096 != 0;
}

LOWRANK_INLINE int64_t pitchOf(int64_t steps) {
  return roundUp(steps, kLanes) + kLanes;
}

LOWRANK_INLINE int64_t packedTileWords(const Plan& plan, const GemmTerm& term, int64_t steps) {
  return term.a.transposed ? steps * kLanes : plan.tileRows * pitchOf(steps);
}

int64_t sharedWords(const Gemm& product, const Plan& plan) {
  if (plan.few || !plan.shared) return 0;
  int64_t words = 0;
  for (int64_t t = 0; t < product.termCount; ++t) {
    const GemmTerm& term = product.terms[t];
    if (inPlace(plan, term)) continue;
    words += ceilDiv(product.m, plan.tileRows) * packedTileWords(plan, term, stepsOf(plan, term));
  }
  return roundUp(words, 16);
}

Plan makePlan(const Gemm& product) {
  Plan plan{};
  plan.dot = kHasDot;
  plan.lastTerm = -1;
  bool transposed = false;
  for (int64_t t = 0; t < product.termCount; ++t) {
    const GemmTerm& term = product.terms[t];
    if (term.a.dtype != DType::kBFloat16 || term.b.dtype != DType::kBFloat16) plan.dot = false;
    transposed = transposed || term.a.transposed;
    if (term.k > 0) plan.lastTerm = t;
  }
  plan.few =
      !transposed && product.order != SumOrder::kMany && (product.m <= kFewRows || product.order == SumOrder::kFew);
  if (plan.few) {
    plan.panels = plan.groups = ceilDiv(product.n, kFewRowsColumns);
    plan.blocks = 1;
    return plan;
  }
  plan.panels = ceilDiv(product.n, kPanel);
  plan.shared = plan.panels > 2;
  int64_t steps = 0;
  for (int64_t t = 0; t < product.termCount; ++t) steps += stepsOf(plan, product.terms[t]);
  const bool low = product.m <= kLowRows;
  plan.wide =
      plan.panels >= kWideTasks * kWide && (low || minOf(product.m, kBlockRows) * steps * 4 > kCacheBytes) ? kWide : 1;
  plan.depth = low ? kLowDepth : kDepth;
  plan.groups = ceilDiv(plan.panels, plan.wide);
  int64_t blocks = ceilDiv(product.m, kBlockRows);
  const int64_t wanted = ceilDiv(kTasks, plan.panels);
  if (blocks < wanted) blocks = maxOf(blocks, minOf(wanted, product.m / 64));
  const int64_t rows = ceilDiv(product.m, blocks);
  const int64_t most = product.n > kLanes || transposed ? kTileRows : kTallRows;
  plan.tileRows = ceilDiv(rows, ceilDiv(rows, most));
  plan.blockRows = roundUp(rows, plan.tileRows);
  plan.blocks = ceilDiv(product.m, plan.blockRows);
  return plan;
}

// The sums of a tile into C transposed.
void finishTransposed(const Gemm& product, int64_t row, int64_t rows, int64_t column, int64_t columns,
                      const float* sums, int64_t pitch) {
  for (int64_t i = 0; i < rows; i += kLanes) {
    const int64_t height = minOf(kLanes, rows - i);
    for (int64_t j = 0; j < columns; j += kLanes) {
      Vec block[kLanes];
      for (int64_t r = 0; r < kLanes; ++r) block[r] = r < height ? load(sums + (i + r) * pitch + j) : zero();
      transpose(block);
      for (int64_t r = 0; r < minOf(kLanes, columns - j); ++r) {
        float* to = static_cast<float*>(product.c) + (column + j + r) * product.cStride + row + i;
        Vec value = block[r] * product.alpha;
        if (product.accumulate) value += load(to, height);
        store(to, value, height);
      }
    }
  }
}

// Rounds rows of sums, `pitch` apart, into C.
void finish(const Gemm& product, int64_t row, int64_t rows, int64_t column, int64_t columns, const float* sums,
            int64_t pitch) {
  if (product.cTransposed) return finishTransposed(product, row, rows, column, columns, sums, pitch);
  for (int64_t i = 0; i < rows; ++i) {
    forLanes(columns, [&](int64_t at, int lanes) {
      finishVector(product, loadLanes(sums + i * pitch + at, lanes), row + i, column + at, lanes);
    });
  }
}

template <bool kDot>
void packTiles(const Gemm& product, const Plan& plan, int64_t task) {
  const int64_t tiles = ceilDiv(product.m, plan.tileRows);
  float* to = plan.packed;
  for (int64_t t = 0; t < product.termCount; ++t) {
    const GemmTerm& term = product.terms[t];
    if (inPlace(plan, term)) continue;
    const int64_t steps = stepsOf(plan, term), words = packedTileWords(plan, term, steps);
    const int64_t end = minOf(tiles, (task + 1) * kTilesPerPackTask);
    for (int64_t i = task * kTilesPerPackTask; i < end; ++i) {
      const int64_t row = i * plan.tileRows;
      packTile<kDot>(term.a, 0, term.k, row, minOf(plan.tileRows, product.m - row), product.m, to + i * words,
                     pitchOf(steps));
    }
    to += tiles * words;
  }
}

// Whether B is a panel as it lies in memory.
template <bool kDot>
LOWRANK_INLINE bool isPanel(const Gemm& product, const GemmOperand& b) {
  return !kDot && product.n == b.stride && (b.stride == kLanes || b.stride == kPanel) && !b.transposed &&
         b.dtype == DType::kFloat32 && b.nf4 == nullptr;
}

// A run of steps of one term.
struct Segment {
  const GemmTerm* term;
  int64_t step;
  int64_t count;
  const float* shared;  // A's packed tiles of the whole term
  bool packed;          // B is read where it is
};

// The tile of A that a segment multiplies, packed into `tileWords` where nobody has packed it.
struct TileOfA {
  const char* words;
  int64_t rowBytes;
  int64_t stepBytes;
};

template <bool kDot>
LOWRANK_INLINE TileOfA tileOf(const Gemm& product, const Plan& plan, const Segment& segment, int64_t row, int64_t rows,
                              float* tileWords) {
  const GemmTerm& term = *segment.term;
  const int64_t first = segment.step * kWordDepth<kDot>, steps = stepsOf(plan, term);
  if (inPlace(plan, term)) {
    const int64_t elementBytes = kDot ? 2 : 4, strideBytes = term.a.stride * elementBytes;
    const char* data = static_cast<const char*>(term.a.data);
    return TileOfA{data + row * strideBytes + first * elementBytes, strideBytes, 4};
  }
  const float* a = tileWords;
  int64_t pitch = pitchOf(steps);
  if (plan.shared) {
    a = segment.shared + row / plan.tileRows * packedTileWords(plan, term, steps) +
        segment.step * (term.a.transposed ? kLanes : 1);
  } else {
    pitch = pitchOf(segment.count);
    const int64_t k = minOf(segment.count * kWordDepth<kDot>, term.k - first);
    packTile<kDot>(term.a, first, k, row, rows, product.m, tileWords, pitch);
  }
  const char* words = reinterpret_cast<const char*>(a);
  return term.a.transposed ? TileOfA{words, 4, kLanes * 4} : TileOfA{words, pitch * 4, 4};
}

// Words that tileOf may write.
LOWRANK_INLINE int64_t tileWordsOf(const Plan& plan, const Segment& segment) {
  return segment.term->a.transposed ? segment.count * kLanes : plan.tileRows * pitchOf(segment.count);
}

// Multiplies by the segments, whose panels of B have room side by side: a tile's sums stay in registers from one
// segment to the next, and after the last they are rounded into C from there.
template <bool kDot>
void multiplySegments(const Gemm& product, const Plan& plan, int64_t firstColumn, int64_t endColumn, int64_t firstRow,
                      int64_t endRow, const Segment* segments, int64_t count, bool resume, bool last, float* buffer) {
  float* tileWords = buffer;
  float* panels = tileWords + kTileWords;
  float* sums = panels + kWide * kPanelWords;
  int64_t offset = 0;
  for (int64_t i = 0; i < count; ++i) {
    const Segment& segment = segments[i];
    const int64_t first = segment.step * kWordDepth<kDot>;
    const int64_t k = minOf(segment.count * kWordDepth<kDot>, segment.term->k - first);
    float* panel = panels + offset;
    for (int64_t column = firstColumn; column < endColumn && !segment.packed; column += kPanel, panel += kPanelWords) {
      const int64_t columns = minOf(kPanel, product.n - column);
      packPanel<kDot>(segment.term->b, first, k, column, columns, panel, ceilDiv(columns, kLanes));
    }
    offset += segment.count * kPanel;
  }
  for (int64_t row = firstRow; row < endRow; row += plan.tileRows) {
    const int64_t rows = minOf(plan.tileRows, endRow - row);
    TileRun runs[kBatch];
    float* words = tileWords;
    offset = 0;
    for (int64_t i = 0; i < count; ++i) {
      const Segment& segment = segments[i];
      const TileOfA a = tileOf<kDot>(product, plan, segment, row, rows, words);
      if (!plan.shared) words += tileWordsOf(plan, segment);
      const float* b = segment.packed
                           ? static_cast<const float*>(segment.term->b.data) + segment.step * segment.term->b.stride
                           : panels + offset;
      runs[i] = TileRun{a.words, a.rowBytes, a.stepBytes, b, segment.count};
      offset += segment.count * kPanel;
    }
    float* rowSums = sums + (row - firstRow) * kPanel;
    for (int64_t column = firstColumn; column < endColumn; column += kPanel, rowSums += kSumWords) {
      const int64_t columns = minOf(kPanel, product.n - column), vectors = ceilDiv(columns, kLanes);
      // A third store in every tile would be more code than float16 is worth.
      const bool whole = last && columns == vectors * kLanes && !product.cTransposed && !product.accumulate &&
                         product.cDType != DType::kFloat16;
      tileFor<kDot>(rows, vectors)(runs, count, TileResult{rowSums, resume, whole ? &product : nullptr, row, column});
      if (last && !whole) finish(product, row, rows, column, columns, rowSums, kPanel);
      for (int64_t i = 0; i < count; ++i) runs[i].b += kPanelWords;
    }
  }
}

template <bool kDot>
void multiplyBlock(const Gemm& product, const Plan& plan, int64_t task, float* buffer) {
  // Neighbouring tasks share a block of A, which is what the cache is asked to keep.
  const int64_t firstColumn = task % plan.groups * plan.wide * kPanel;
  const int64_t endColumn = minOf(product.n, firstColumn + plan.wide * kPanel);
  const int64_t firstRow = task / plan.groups * plan.blockRows;
  const int64_t endRow = minOf(product.m, firstRow + plan.blockRows);
  Segment segments[kBatch];
  int64_t count = 0, depth = 0;
  bool resume = false;
  const auto run = [&](bool last) {
    multiplySegments<kDot>(product, plan, firstColumn, endColumn, firstRow, endRow, segments, count, resume, last,
                           buffer);
    resume = true;
    count = depth = 0;
  };
  const float* shared = plan.packed;
  for (int64_t t = 0; t <= plan.lastTerm; ++t) {
    const GemmTerm& term = product.terms[t];
    const int64_t steps = stepsOf(plan, term);
    const int64_t chunks = ceilDiv(steps, plan.depth), chunk = roundUp(ceilDiv(steps, maxOf(1, chunks)), kNf4Run);
    for (int64_t step = 0; step < steps; step += chunk) {
      const int64_t length = minOf(chunk, steps - step);
      if (count == kBatch || depth + length > plan.depth) run(false);
      segments[count++] = Segment{&term, step, length, shared, isPanel<kDot>(product, term.b)};
      depth += length;
    }
    if (!inPlace(plan, term) && plan.shared) {
      shared += ceilDiv(product.m, plan.tileRows) * packedTileWords(plan, term, steps);
    }
  }
  if (count > 0) return run(true);
  // No term has any depth: C is the bias, or 0.
  float* sums = buffer;
  __builtin_memset(sums, 0, sizeof(float) * kPanel);
  for (int64_t row = firstRow; row < endRow; ++row) {
    for (int64_t column = firstColumn; column < endColumn; column += kPanel) {
      const int64_t columns = minOf(kPanel, product.n - column);
      finish(product, row, 1, column, columns, sums, kPanel);
    }
  }
}

// Tasks are taken in turn from both halves of B: two threads that alternate then each read on where they prefetched.
void multiplyFew(const Gemm& product, const Plan& plan, int64_t task, float* buffer) {
  const int64_t half = ceilDiv(plan.groups, 2);
  const int64_t column = (task % 2 == 0 ? task / 2 : half + task / 2) * kFewRowsColumns,
                columns = minOf(kFewRowsColumns, product.n - column);
  float* sums = buffer + kTileWords;
  for (int64_t row = 0; row < product.m; row += kMostRows) {
    const int64_t rows = minOf(kMostRows, product.m - row);
    fewRows(product, plan.dot, row, rows, column, columns, buffer, sums);
    finish(product, row, rows, column, columns, sums, kFewRowsColumns);
  }
}

bool runBatch(const Gemm* products, Plan* plans, int64_t count, Workspace& workspace, Context& context) {
  int64_t tasks = 0, packTasks = 0, words = kThreadWords * context.threads();
  for (int64_t p = 0; p < count; ++p) {
    plans[p].firstTask = tasks;
    plans[p].firstPackTask = packTasks;
    tasks += plans[p].groups * plans[p].blocks;
    const int64_t shared = sharedWords(products[p], plans[p]);
    if (shared > 0) packTasks += ceilDiv(ceilDiv(products[p].m, plans[p].tileRows), kTilesPerPackTask);
    words += shared;
  }
  float* buffers = static_cast<float*>(reserve(workspace, static_cast<size_t>(words) * 4, context));
  if (buffers == nullptr) return false;
  float* packed = buffers + kThreadWords * context.threads();
  for (int64_t p = 0; p < count; ++p) {
    plans[p].packed = packed;
    packed += sharedWords(products[p], plans[p]);
  }
  parallelFor(context, packTasks, [&](int64_t task, int) {
    int64_t p = count - 1;
    while (plans[p].firstPackTask > task) --p;
    while (sharedWords(products[p], plans[p]) == 0) --p;  // those without pack tasks start where the one before ends
    task -= plans[p].firstPackTask;
    plans[p].dot ? packTiles<kHasDot>(products[p], plans[p], task) : packTiles<false>(products[p], plans[p], task);
  });
  parallelFor(context, tasks, [&](int64_t task, int thread) {
    int64_t p = count - 1;
    while (plans[p].firstTask > task) --p;
    task -= plans[p].firstTask;
    float* buffer = buffers + kThreadWords * thread;
    if (plans[p].few) {
      multiplyFew(products[p], plans[p], task, buffer);
    } else if (plans[p].dot) {
      multiplyBlock<kHasDot>(products[p], plans[p], task, buffer);
    } else {
      multiplyBlock<false>(products[p], plans[p], task, buffer);
    }
  });
  return true;
}

// One product whose packed A would exceed kSharedBytes: block by block of rows.
bool runByRows(const Gemm& product, Plan plan, Workspace& workspace, Context& context) {
  const int64_t bytesPerRow = sharedWords(product, plan) * 4 / product.m + 1;
  const int64_t step = maxOf(kTileRows, minOf(kBlockRows, kSharedBytes / bytesPerRow) / kTileRows * kTileRows);
  GemmTerm terms[kBatch];
  if (product.termCount > kBatch) return runBatch(&product, &plan, 1, workspace, context);
  for (int64_t row = 0; row < product.m; row += step) {
    Gemm part = product;
    part.m = minOf(step, product.m - row);
    part.terms = terms;
    for (int64_t t = 0; t < product.termCount; ++t) {
      terms[t] = product.terms[t];
      const int64_t offset = terms[t].a.transposed ? row : row * terms[t].a.stride;
      terms[t].a.data = static_cast<const char*>(terms[t].a.data) + offset * elementSize(terms[t].a.dtype);
    }
    part.c = static_cast<char*>(product.c) + row * product.cStride * elementSize(product.cDType);
    Plan partPlan = makePlan(part);
    if (!runBatch(&part, &partPlan, 1, workspace, context)) return false;
  }
  return true;
}

#if defined(__AMX_BF16__)

// Those of the products that tiles multiply.
bool runTiles(const Gemm* products, int64_t count, Workspace& workspace, Context& context) {
  const Gemm* batch[kAmxTerms];
  int64_t size = 0, terms = 0, bytes = 0;
  for (int64_t p = 0; p < count; ++p) {
    const Gemm& product = products[p];
    if (product.m == 0 || product.n == 0 || !fitsTiles(product)) continue;
    const int64_t own = packedElements(product) * 2;
    if (size > 0 && (terms + product.termCount > kAmxTerms || bytes + own > kSharedBytes)) {
      if (!multiplyTiles(batch, size, workspace, context)) return false;
      size = terms = bytes = 0;
    }
    if (own <= kSharedBytes) {
      batch[size++] = &product;
      terms += product.termCount;
      bytes += own;
      continue;
    }
    // Block by block of rows.
    const int64_t step = maxOf(1, kSharedBytes / (own / product.m) / kAmxBlockRows) * kAmxBlockRows;
    GemmTerm parts[kAmxTerms];
    for (int64_t row = 0; row < product.m; row += step) {
      Gemm part = product;
      part.m = minOf(step, product.m - row);
      part.terms = parts;
      for (int64_t t = 0; t < product.termCount; ++t) {
        parts[t] = product.terms[t];
        parts[t].a.data = static_cast<const BFloat16*>(parts[t].a.data) + row * parts[t].a.stride;
      }
      part.c = static_cast<char*>(product.c) + row * product.cStride * elementSize(product.cDType);
      const Gemm* only = &part;
      if (!multiplyTiles(&only, 1, workspace, context)) return false;
    }
  }
  return size == 0 || multiplyTiles(batch, size, workspace, context);
}

#endif

}  // namespace

bool gemm(const Gemm* products, int64_t count, Workspace& workspace, Context& context) {
#if defined(__AMX_BF16__)
  if (!runTiles(products, count, workspace, context)) return false;
#endif
  Gemm batch[kBatch];
  Plan plans[kBatch];
  int64_t size = 0, words = 0;
  for (int64_t p = 0; p < count; ++p) {
    if (products[p].m == 0 || products[p].n == 0 || fitsTiles(products[p])) continue;
    const Plan plan = makePlan(products[p]);
    const int64_t shared = sharedWords(products[p], plan);
    if (shared * 4 > kSharedBytes) {
      if (!runByRows(products[p], plan, workspace, context)) return false;
      continue;
    }
    if (size == kBatch || (words + shared) * 4 > kSharedBytes) {
      if (!runBatch(batch, plans, size, workspace, context)) return false;
      size = words = 0;
    }
    batch[size] = products[p];
    plans[size++] = plan;
    words += shared;
  }
  return size == 0 || runBatch(batch, plans, size, workspace, context);
}

}  // namespace lowrank::cpu::LOWRANK_ISA
