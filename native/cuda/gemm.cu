// How products (gemm.h) become launches.
//
//   M <= 8, all of A straight and of B transposed     a warp per column (gemm_few_rows.cu); eight rows at a time where
//                                                     rows are to be summed as few are
//   float32                                           64x64 tiles (gemm_float.cu)
//   16-bit, M > 64, N > 64, A straight, on Hopper     128x256 tiles, 128x128 where those are few, by wgmma
//                                                     (gemm_wgmma.cu)
//   16-bit                                            16x64 tiles for M <= 16, 128x128 where they fill the device, else
//                                                     64x64 (gemm_tensor.cu)
//
// Tensor cores want one layout for all terms, and pieces of 16 bytes. An operand that does not fit, as a LoRA pair of
// an odd rank or the other layout, is copied into scratch with its rows filled up by zeros; where the copy would be
// large or hardly used, elements are loaded one by one instead. A product of few tiles and a long K is split along K:
// float32 partial sums, added in order by reduceKernel. NF4 weights are decoded by the kernels for few rows and, in 16
// bits, for one row of tiles; else they are dequantised for so many columns of C at a time that they stay in the
// second-level cache. Products that follow each other and are of one kind share a launch of at most kMaxProducts
// products and kMaxTerms terms.
#include "gemm.h"
#include "gemm_kernels.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int64_t kWantedBlocks =
    264;  // that fill a large device twice; a constant, so that sums do not depend on the device
constexpr int64_t kFewestDepth = 256;  // of a split
constexpr int64_t kPartialBytes = int64_t{64} << 20;
constexpr int64_t kPackedBytes = int64_t{32} << 20;
constexpr int64_t kLeastReuse = 16;                       // rows or columns of C that share a packed operand
constexpr int64_t kDequantisedBytes = int64_t{72} << 20;  // of scratch, whatever the device's cache
constexpr int64_t kChunkColumns = 128;
constexpr int64_t kDecodedRows = 64;  // to which tiles decode NF4; above it wgmma would give other bits
constexpr int64_t kPiece = 8;         // elements of 16 bytes, of 16 bits each
constexpr int kThreads = 256;

// Partial sums of one product become C.
template <class T>
__global__ void __launch_bounds__(kThreads) reduceKernel(const ProductArguments product) {
  if (product.limitsDepth && liveTokens(product, 1) == 0) return;
  const int64_t rows = product.limitsDepth ? product.m : liveTokens(product, product.m);
  const int64_t size = static_cast<int64_t>(product.m) * product.n;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < rows * product.n; i += step) {
    float sum = 0.0f;
    for (int32_t split = 0; split < product.splits; ++split) sum += product.partials[split * size + i];
    const int64_t row = i / product.n;
    const int32_t col = static_cast<int32_t>(i % product.n);
    storeFinished<T>(product, row, col, finished<T>(product, row, col, sum));
  }
}

// to[i][j] = from[i][j], or from[j][i] when transposed, and zeros for j from cols to stride.
__global__ void __launch_bounds__(kThreads) packKernel(const uint16_t* from, int64_t fromStride, bool transposed,
                                                       int32_t rows, int32_t cols, uint16_t* to, int64_t stride) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < rows * stride; i += step) {
    const int64_t row = i / stride, col = i % stride;
    to[i] = col >= cols ? uint16_t{0} : transposed ? from[col * fromStride + row] : from[row * fromStride + col];
  }
}

dim3 gridFor(const Queue& queue, int64_t elements) {
  return dim3(
      static_cast<unsigned>(maxOf(1, minOf(ceilDiv(elements, kThreads), int64_t{8} * queue.multiprocessors()))));
}

constexpr int64_t kPartAlignment = 256;

// Parts of a workspace, one after the other. A part stays valid when the workspace grows.
struct Arena {
  Workspace& workspace;
  int64_t used;

  char* take(int64_t bytes, Context& context) {
    bytes = roundUp(maxOf(bytes, 1), kPartAlignment);
    if (used + bytes > static_cast<int64_t>(workspace.bytes)) {
      if (reserve(workspace, maxOf(bytes, 2 * static_cast<int64_t>(workspace.bytes)), context) == nullptr)
        return nullptr;
      used = 0;
    }
    char* const part = static_cast<char*>(workspace.data) + used;
    used += bytes;
    return part;
  }
};

// An operand as stored: rows of `width` elements that lie next to each other.
struct Stored {
  bool across;  // rows are K
  int64_t rows;
  int64_t width;
};
Stored storedA(const Gemm& product, const GemmTerm& term) {
  return term.a.transposed ? Stored{true, term.k, product.m} : Stored{false, product.m, term.k};
}
Stored storedB(const Gemm& product, const GemmTerm& term) {
  return term.b.transposed ? Stored{false, product.n, term.k} : Stored{true, term.k, product.n};
}
bool inPieces(const GemmOperand& operand, const Stored& stored) {
  return operand.nf4 != nullptr || (reinterpret_cast<uintptr_t>(operand.data) % 16 == 0 &&
                                    operand.stride % kPiece == 0 && stored.width % kPiece == 0);
}

enum class Kind { kFewRows, kFloat, kTensor };

// How a whole product is made. Its parts follow the same plan, so that they have its bits.
struct Plan {
  Kind kind;
  Layout layout;
  bool wgmma;
  int64_t splits;
  int64_t splitSteps;
  int64_t partials;  // splits that scratch is taken for; the same with and without wgmma
};

class Launcher {
 public:
  Launcher(DType compute, GemmScratch& scratch, Context& context)
      : compute_(compute),
        scratch_(scratch),
        context_(context),
        queue_(queueOf(context)),
        partials_{scratch.partials, 0},
        packed_{scratch.packed, 0},
        dequantised_{scratch.dequantised, 0} {}

  bool add(const Gemm& product) {
    if (product.m == 0 || product.n == 0) return true;
    if (product.termCount > kMaxTerms) return addLong(product);
    if (product.order == SumOrder::kFew && product.m > kFewRows && straight(product)) return addFewByFew(product);
    const Plan plan = planOf(product);
    if (plan.kind == Kind::kFewRows || quantised(product) == 0 || decodes(product, plan))
      return addPlanned(product, plan);
    return addQuantised(product, plan);
  }

  bool flush() {
    if (batch_.productCount > 0) {
      if (kind_ == Kind::kFewRows) {
        launchFewRows(batch_, quantisedBatch_, blocks_, compute_, queue_);
      } else if (kind_ == Kind::kFloat) {
        launchFloatGemm(batch_, blocks_, queue_);
      } else {
        const BatchLaunch how{layout_, tile_, quantisedBatch_, blocks_};
        usesWgmma(tile_) ? launchWgmmaGemm(batch_, how, compute_, queue_)
                         : launchTensorGemm(batch_, how, compute_, queue_);
      }
      for (int32_t i = 0; i < batch_.productCount; ++i) reduce(batch_.products[i]);
    }
    batch_.productCount = batch_.readerCount = 0;
    termCount_ = 0;
    blocks_ = 0;
    partials_.used = packed_.used = dequantised_.used = 0;
    return true;
  }

 private:
  // Whether the kernel of few rows takes such operands.
  static bool straight(const Gemm& product) {
    bool fits = product.limit.count == nullptr;
    for (int64_t t = 0; t < product.termCount; ++t) {
      const GemmTerm& term = product.terms[t];
      fits = fits && !term.a.transposed && term.b.transposed && (t == 0 || term.b.nf4 == nullptr);
    }
    return fits;
  }

  // Whether bits may depend on M.
  static bool byRows(const Gemm& product) { return product.order == SumOrder::kByRows; }

  // As many rows at a time as the kernel of few rows takes.
  bool addFewByFew(const Gemm& product) {
    GemmTerm terms[kMaxTerms];
    for (int64_t row = 0; row < product.m; row += kFewRows) {
      Gemm part = product;
      part.m = minOf(kFewRows, product.m - row);
      part.terms = terms;
      for (int64_t t = 0; t < product.termCount; ++t) {
        terms[t] = product.terms[t];
        terms[t].a.data = static_cast<const char*>(terms[t].a.data) + row * terms[t].a.stride * sizeOf(compute_);
      }
      part.c = static_cast<char*>(product.c) + row * product.cStride * sizeOf(product.cDType);
      if (part.addend != nullptr) part.addend += row * product.addendStride;
      if (!add(part)) return false;
    }
    return true;
  }

  // How many terms are NF4.
  static int64_t quantised(const Gemm& product) {
    int64_t count = 0;
    for (int64_t t = 0; t < product.termCount; ++t) count += product.terms[t].b.nf4 != nullptr ? 1 : 0;
    return count;
  }

  // The time of tiles of 128 rows, in units of a single tile of 128 columns. A wide tile of wgmma is two that share
  // their rows.
  double tileTime(int64_t rowTiles, int64_t columns, TileSize size) const {
    const int64_t rounds = ceilDiv(rowTiles * ceilDiv(columns, tileCols(size)), queue_.multiprocessors());
    return static_cast<double>(rounds) * (size == TileSize::kWideWgmma ? 1.8 : 1.0);
  }

  // The tile of a product on tensor cores, or of a part of it.
  TileSize tileOf(const Gemm& product, const Plan& plan) const {
    if (plan.layout == Layout::kAny) return TileSize::kSmall;
    const bool flat = product.m <= tileRows(TileSize::kFlat) && plan.layout != Layout::kAcrossBoth;
    if (flat && !(plan.wgmma && !byRows(product))) return TileSize::kFlat;
    if (plan.wgmma) {
      const int64_t rowTiles = ceilDiv(product.m, tileRows(TileSize::kWgmma)) * plan.splits;
      return tileTime(rowTiles, product.n, TileSize::kWideWgmma) <= tileTime(rowTiles, product.n, TileSize::kWgmma)
                 ? TileSize::kWideWgmma
                 : TileSize::kWgmma;
    }
    const int64_t fill = queue_.multiprocessors() - queue_.multiprocessors() / 8;
    const auto fills = [&](TileSize size) {
      return ceilDiv(product.m, tileRows(size)) * ceilDiv(product.n, tileCols(size)) >= fill;
    };
    const bool large = plan.splits == 1 && product.m > 64 && product.n > 64 && fills(TileSize::kLarge);
    return large ? TileSize::kLarge : TileSize::kSmall;
  }

  // Whether the tiles themselves decode NF4: a dequantised copy would not pay.
  bool decodes(const Gemm& product, const Plan& plan) const {
    if (plan.kind != Kind::kTensor || product.m > kDecodedRows || quantised(product) > kMaxReaders) return false;
    if (plan.wgmma) return false;
    if (plan.layout != Layout::kAlongBoth && plan.layout != Layout::kAlongAcross) return false;
    for (int64_t t = 0; t < product.termCount; ++t) {
      const Nf4* const nf4 = product.terms[t].b.nf4;
      if (nf4 == nullptr) continue;
      if (product.terms[t].b.transposed != (plan.layout == Layout::kAlongBoth) || nf4->cols % (2 * kPiece) != 0 ||
          reinterpret_cast<uintptr_t>(nf4->packed.data) % 8 != 0)
        return false;
    }
    return true;
  }

  Plan planOf(const Gemm& product) const {
    const auto stepsOf = [&](int64_t step) {
      int64_t steps = 0;
      for (int64_t t = 0; t < product.termCount; ++t) steps += ceilDiv(product.terms[t].k, step);
      return steps;
    };
    Plan plan{Kind::kFewRows, Layout::kAny, false, 1, stepsOf(kDepthStep), 1};
    if (product.m <= kFewRows && product.order != SumOrder::kMany && straight(product)) return plan;
    plan.kind = compute_ == DType::kFloat32 ? Kind::kFloat : Kind::kTensor;
    if (plan.kind == Kind::kTensor) plan.layout = layoutOf(product);

    const bool large = (product.m > 64 || !byRows(product)) && product.n > 64;
    plan.wgmma = large && queue_.runsWgmma() && !product.limitsDepth &&
                 (plan.layout == Layout::kAlongBoth || plan.layout == Layout::kAlongAcross);
    const int64_t tile = large ? 128 : kFloatTile, wanted = large ? kWantedBlocks / 2 : kWantedBlocks;
    const int64_t tiles = ceilDiv(product.m, tile) * ceilDiv(product.n, tile);
    const int64_t steps = stepsOf(kWgmmaDepthStep);
    const int64_t most = minOf(steps * kWgmmaDepthStep / kFewestDepth, kPartialBytes / (4 * product.m * product.n));
    plan.partials = ceilDiv(steps, ceilDiv(maxOf(steps, 1), maxOf(1, minOf(wanted / tiles, most))));
    plan.partials = byRows(product) ? maxOf(1, plan.partials) : 1;
    const int64_t ownSteps = plan.wgmma ? steps : stepsOf(kDepthStep);
    plan.splitSteps = maxOf(1, ceilDiv(ownSteps, plan.partials));
    plan.splits = maxOf(1, ceilDiv(ownSteps, plan.splitSteps));
    return plan;
  }

  // More terms than a launch takes: the sums of the first ones become the addend of the others.
  bool addLong(const Gemm& product) {
    if (!flush()) return false;
    float* const sums =
        static_cast<float*>(reserve(scratch_.sums, product.m * product.n * int64_t{sizeof(float)}, context_));
    if (sums == nullptr) return false;
    Gemm part = product;
    for (int64_t first = 0; first < product.termCount; first += kMaxTerms) {
      part.terms = product.terms + first;
      part.termCount = minOf(kMaxTerms, product.termCount - first);
      const bool last = first + part.termCount == product.termCount;
      part.bias = last ? product.bias : nullptr;
      part.c = last ? product.c : sums;
      part.cDType = last ? product.cDType : DType::kFloat32;
      part.cStride = last ? product.cStride : product.n;
      if (!add(part) || !flush()) return false;
      part.addend = sums;
      part.addendStride = product.n;
    }
    return true;
  }

  // Columns of C in chunks whose weights fit the scratch.
  bool addQuantised(const Gemm& product, const Plan& plan) {
    const int64_t size = sizeOf(compute_);
    int64_t depth = 0;
    for (int64_t t = 0; t < product.termCount; ++t) {
      if (product.terms[t].b.nf4 != nullptr) depth += product.terms[t].k;
    }
    // What fits the scratch and hardly more than the cache, in whole tiles, and of that what leaves the fewest
    // multiprocessors idle at the end.
    const int64_t most = minOf(queue_.cacheBytes() / 4 * 5, kDequantisedBytes);
    const int64_t rowTiles = ceilDiv(product.m, tileRows(TileSize::kLarge));
    const int64_t perColumn = size * (depth + kPiece * product.termCount);
    const int64_t fitting = (most - kPartAlignment * product.termCount) / perColumn - kPiece;
    const int64_t widest = maxOf(1, fitting / kChunkColumns);
    int64_t tiles = widest;
    const auto timePerColumn = [&](int64_t count) {
      const double narrow = tileTime(rowTiles, count * kChunkColumns, TileSize::kLarge);
      const double wide = tileTime(rowTiles, count * kChunkColumns, TileSize::kWideWgmma);
      return (plan.wgmma && wide < narrow ? wide : narrow) / static_cast<double>(count);
    };
    for (int64_t count = widest; count > widest / 2; --count) {
      if (timePerColumn(count) < timePerColumn(tiles)) tiles = count;
    }
    const int64_t columns = tiles * kChunkColumns;
    const auto bytesFor = [&](int64_t n) {
      return size * (n + kPiece) * (depth + kPiece * product.termCount) + kPartAlignment * product.termCount;
    };
    const int64_t room =
        maxOf(bytesFor(minOf(kChunkColumns, product.n)), minOf(bytesFor(product.n), kDequantisedBytes));
    if (room > static_cast<int64_t>(scratch_.dequantised.bytes)) {
      if (reserve(scratch_.dequantised, room, context_) == nullptr) return false;
      dequantised_.used = 0;
    }
    for (int64_t first = 0; first < product.n; first += columns) {
      Gemm chunk = product;
      chunk.n = minOf(columns, product.n - first);
      const int64_t end = dequantised_.used + bytesFor(chunk.n);
      if (dequantised_.used > 0 && (end > most || end > room) && !flush()) return false;
      GemmTerm terms[kMaxTerms];
      for (int64_t t = 0; t < product.termCount; ++t) {
        terms[t] = product.terms[t];
        GemmOperand& b = terms[t].b;
        if (b.nf4 == nullptr) {
          b.data = static_cast<const char*>(b.data) + first * (b.transposed ? b.stride : 1) * size;
          continue;
        }
        const Nf4& nf4 = *b.nf4;
        const int64_t rows = b.transposed ? chunk.n : nf4.rows, cols = b.transposed ? nf4.cols : chunk.n;
        const int64_t stride = roundUp(cols, kPiece);
        void* const data = dequantised_.take(rows * stride * size, context_);
        if (data == nullptr) return false;
        const Tensor to{data, rows, cols, stride, 0, kNoBuffer, compute_};
        dequantize(nf4, b.transposed ? first : 0, b.transposed ? 0 : first, to, queue_);
        b = GemmOperand{data, stride, b.transposed, nullptr};
      }
      chunk.terms = terms;
      if (chunk.bias != nullptr) chunk.bias = static_cast<const char*>(chunk.bias) + first * size;
      chunk.c = static_cast<char*>(chunk.c) + first * sizeOf(chunk.cDType);
      if (chunk.addend != nullptr) chunk.addend += first;
      if (!addPlanned(chunk, plan)) return false;
    }
    return true;
  }

  // The layout of the longest term, which the others are given by packing; kAny where that does not pay.
  Layout layoutOf(const Gemm& product) const {
    const GemmTerm* longest = &product.terms[0];
    for (int64_t t = 1; t < product.termCount; ++t) {
      if (product.terms[t].k > longest->k) longest = &product.terms[t];
    }
    if (longest->a.transposed && longest->b.transposed) return Layout::kAny;
    const Layout layout = longest->b.transposed   ? Layout::kAlongBoth
                          : longest->a.transposed ? Layout::kAcrossBoth
                                                  : Layout::kAlongAcross;
    for (int64_t t = 0; t < product.termCount; ++t) {
      const GemmTerm& term = product.terms[t];
      const bool fitsA = term.a.transposed == longest->a.transposed && inPieces(term.a, storedA(product, term));
      const bool fitsB = term.b.transposed == longest->b.transposed && inPieces(term.b, storedB(product, term));
      const bool anyRows = !byRows(product);
      if (!fitsA && (product.n < kLeastReuse || (!anyRows && product.m * term.k * 2 > kPackedBytes)))
        return Layout::kAny;
      if (!fitsB && ((!anyRows && product.m < kLeastReuse) || product.n * term.k * 2 > kPackedBytes))
        return Layout::kAny;
    }
    return layout;
  }

  // The operand in pieces, across or along K.
  bool pack(GemmOperand& operand, const Stored& stored, bool across) {
    if (stored.across == across && inPieces(operand, stored)) return true;
    const bool turn = stored.across != across;
    const int64_t rows = turn ? stored.width : stored.rows, cols = turn ? stored.rows : stored.width;
    const int64_t stride = roundUp(cols, kPiece);
    uint16_t* const to = reinterpret_cast<uint16_t*>(packed_.take(rows * stride * int64_t{sizeof(uint16_t)}, context_));
    if (to == nullptr) return false;
    launch<packKernel>(queue_, gridFor(queue_, rows * stride), kThreads, 0, static_cast<const uint16_t*>(operand.data),
                       operand.stride, turn, static_cast<int32_t>(rows), static_cast<int32_t>(cols), to, stride);
    operand = GemmOperand{to, stride, operand.transposed != turn, nullptr};
    return true;
  }

  bool addPlanned(const Gemm& product, const Plan& plan) {
    const Layout layout = plan.layout;
    const TileSize tile = plan.kind == Kind::kTensor ? tileOf(product, plan) : TileSize::kSmall;
    const int64_t readers = quantised(product);
    const bool fits = batch_.productCount < kMaxProducts && termCount_ + product.termCount <= kMaxTerms &&
                      batch_.readerCount + readers <= kMaxReaders;
    const bool same = kind_ == plan.kind && layout_ == layout && tile_ == tile && quantisedBatch_ == (readers > 0);
    if (batch_.productCount > 0 && !(fits && same)) {
      // Parts of the scratch that this product has taken already stay its own.
      const int64_t kept = dequantised_.used;
      if (!flush()) return false;
      dequantised_.used = kept;
    }
    kind_ = plan.kind;
    layout_ = layout;
    tile_ = tile;
    quantisedBatch_ = readers > 0;

    ProductArguments& to = batch_.products[batch_.productCount];
    to = ProductArguments{};
    to.c = product.c;
    to.bias = product.bias;
    to.addend = product.addend;
    to.count = product.limit.count;
    to.cStride = product.cStride;
    to.addendStride = product.addendStride;
    to.alpha = product.alpha;
    to.m = static_cast<int32_t>(product.m);
    to.n = static_cast<int32_t>(product.n);
    to.firstTerm = termCount_;
    to.termCount = static_cast<int32_t>(product.termCount);
    to.splits = static_cast<int32_t>(plan.splits);
    to.splitSteps = static_cast<int32_t>(plan.splitSteps);
    to.firstBlock = static_cast<int32_t>(blocks_);
    const bool tensor = plan.kind == Kind::kTensor, fewRows = plan.kind == Kind::kFewRows;
    const int64_t height = tensor ? tileRows(tile) : kFloatTile;
    const int64_t width = tensor ? tileCols(tile) : fewRows ? kFewRowsColumns : kFloatTile;
    to.rowTiles = fewRows ? 1 : static_cast<int32_t>(ceilDiv(product.m, height));
    to.colTiles = static_cast<int32_t>(ceilDiv(product.n, width));
    to.firstRow = product.limit.first;
    to.limitsDepth = product.limitsDepth;
    to.floatC = product.cDType == DType::kFloat32;
    to.runs = reinterpret_cast<uintptr_t>(product.c) % 16 == 0 && product.cStride * sizeOf(product.cDType) % 16 == 0;
    if (plan.splits > 1) {
      to.partials = reinterpret_cast<float*>(partials_.take(plan.partials * product.m * product.n * 4, context_));
      if (to.partials == nullptr) return false;
    }

    for (int64_t t = 0; t < product.termCount; ++t) {
      GemmTerm term = product.terms[t];
      if (layout != Layout::kAny) {
        if (!pack(term.a, storedA(product, term), layout == Layout::kAcrossBoth) ||
            !pack(term.b, storedB(product, term), layout != Layout::kAlongBoth))
          return false;
      }
      const int64_t size = sizeOf(compute_);
      const auto vectors = [&](const GemmOperand& operand) {
        return reinterpret_cast<uintptr_t>(operand.data) % 16 == 0 && operand.stride * size % 16 == 0;
      };
      int8_t reader = -1;
      if (term.b.nf4 != nullptr) {
        reader = static_cast<int8_t>(batch_.readerCount++);
        batch_.readers[reader] = readerOf(*term.b.nf4);
      }
      batch_.terms[termCount_++] = TermArguments{term.a.data,
                                                 term.b.data,
                                                 term.a.stride,
                                                 term.b.stride,
                                                 static_cast<int32_t>(term.k),
                                                 term.a.transposed,
                                                 term.b.transposed,
                                                 vectors(term.a) && (reader >= 0 || vectors(term.b)),
                                                 reader};
    }
    blocks_ += int64_t{to.rowTiles} * to.colTiles * to.splits;
    ++batch_.productCount;
    return true;
  }

  void reduce(const ProductArguments& product) {
    if (product.splits == 1) return;
    const dim3 grid = gridFor(queue_, int64_t{product.m} * product.n);
    withComputeType(compute_,
                    [&](auto type) { launch<reduceKernel<decltype(type)>>(queue_, grid, kThreads, 0, product); });
  }

  DType compute_;
  GemmScratch& scratch_;
  Context& context_;
  Queue& queue_;
  Arena partials_;
  Arena packed_;
  Arena dequantised_;

  BatchArguments batch_{};  // what goes into the next launch
  int32_t termCount_ = 0;
  int64_t blocks_ = 0;
  Kind kind_ = Kind::kFloat;
  Layout layout_ = Layout::kAny;
  TileSize tile_ = TileSize::kSmall;
  bool quantisedBatch_ = false;
};

}  // namespace

bool gemm(const Gemm* products, int64_t count, DType compute, GemmScratch& scratch, Context& context) {
  Launcher launcher(compute, scratch, context);
  for (int64_t i = 0; i < count; ++i) {
    if (!launcher.add(products[i])) return false;
  }
  return launcher.flush();
}

}  // namespace lowrank::LOWRANK_BACKEND
