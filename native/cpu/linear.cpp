// linear: a group of projections of one input, each with a bias and LoRA pairs where it has them. For part p and its
// LoRA pairs i:
//   forward   s_i = scale_i * dropout_i(x) A_i^T;  y_p = x W_p^T + sum_i s_i B_i^T + bias_p
//   backward  ds_i = scale_i * dy_p B_i;  dx = sum_p (dy_p W_p + sum_i mask_i(ds_i A_i))
//             dB_i += dy_p^T s_i;  dA_i += ds_i^T dropout_i(x);  dW_p += dy_p^T x;  dbias_p += column sums of dy_p
//
// x [N, K], y [N, sum of O], W [O, K] (inOut: [K, O]; or NF4, read as compute), A [r, K], B [O, r], s [N, r]; compute,
// any row stride; parameter gradients float32, accumulated. Accumulation is float32. Casts: s and ds are scaled in
// float32 and rounded to compute; y and dx once, since the low-rank product is one more term of the dense product's
// sum; dropout(x) to compute.
//
// The LoRA pairs of a group share one thin product: x with their A's one under the other, and ds of all of them, side
// by side, with x. ds and dB run together, so that dy is read for both at once; then dA, dW and dx.
//
// With dropout the masked input is made for kMaskedRows rows at a time, and dx, whose low-rank terms are masked one by
// one, sums in float32 scratch of as many rows. Nothing else is stored.
// Roof: the multiply-add rate, 2 N K O for each of y, dx and dW; weights are read once per kBlockRows rows (gemm.cpp).
// Determinism: gemm's; row blocks are constants; masks depend on the element alone.
// Reference: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685.
#include "linear.h"

#include "philox.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

constexpr int64_t kMaskedRows = 512;
constexpr int64_t kJoinedRows = 64;  // fewer rows of x would not pay for stacking the A's

LOWRANK_INLINE int64_t outFeatures(const Projection& part) {
  return part.nf4Count > 0 ? part.nf4[0].rows : part.inOut ? part.weight.cols : part.weight.rows;
}
LOWRANK_INLINE bool masked(const LoraPair& pair) {
  return pair.dropout.p > 0.0f;
}

LOWRANK_INLINE GemmOperand operand(const Tensor& tensor, bool transposed) {
  return GemmOperand{tensor.data, tensor.dtype, tensor.stride, transposed, nullptr};
}

// W^T (forward) or W, dense or read as `compute`.
LOWRANK_INLINE GemmOperand weightOperand(const Projection& part, DType compute, bool forward) {
  if (part.nf4Count > 0) return GemmOperand{nullptr, compute, 0, forward, part.nf4};
  return operand(part.weight, forward != (part.inOut != 0));
}

LOWRANK_INLINE Tensor view(const Tensor& tensor, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  Tensor result = tensor;
  result.data = static_cast<char*>(tensor.data) + (row * tensor.stride + col) * elementSize(tensor.dtype);
  result.rows = rows;
  result.cols = cols;
  return result;
}

LOWRANK_INLINE Tensor matrix(void* data, DType dtype, int64_t rows, int64_t cols) {
  return Tensor{data, rows, cols, cols, 0, kNoBuffer, dtype};
}

int64_t pairCount(const Projection* parts, int64_t partCount) {
  int64_t count = 0;
  for (int64_t p = 0; p < partCount; ++p) count += parts[p].pairCount;
  return count;
}

// Products that run together. Terms belong to the product added last.
struct ProductList {
  Gemm* products;
  GemmTerm* terms;
  int64_t productCount;
  int64_t termCount;
  LinearScratch& scratch;
  Context& context;
  SumOrder order = SumOrder::kByRows;

  ProductList(int64_t productCapacity, int64_t termCapacity, LinearScratch& s, Context& c)
      : products(nullptr), terms(nullptr), productCount(0), termCount(0), scratch(s), context(c) {
    const int64_t bytes = productCapacity * static_cast<int64_t>(sizeof(Gemm));
    void* data =
        reserve(s.products, static_cast<size_t>(bytes + termCapacity * static_cast<int64_t>(sizeof(GemmTerm))), c);
    if (data == nullptr) return;
    products = static_cast<Gemm*>(data);
    terms = reinterpret_cast<GemmTerm*>(static_cast<char*>(data) + bytes);
  }

  Gemm& add(const Tensor& c, bool accumulate) {
    Gemm& product = products[productCount++];
    product = Gemm{c.rows, c.cols,  terms + termCount, 0,          1.0f,  nullptr, DType::kFloat32,
                   c.data, c.dtype, c.stride,          accumulate, false, order};
    return product;
  }

  // c (+)= product^T
  void addTransposed(const Tensor& c) {
    Gemm& product = add(c, true);
    product.m = c.cols;
    product.n = c.rows;
    product.cTransposed = true;
  }

  void term(const GemmOperand& a, const GemmOperand& b, int64_t k) {
    terms[termCount++] = GemmTerm{a, b, k};
    ++products[productCount - 1].termCount;
  }

  bool run() {
    const bool done = gemm(products, productCount, scratch.panels, context);
    productCount = termCount = 0;
    return done;
  }
};

// to = (kAdd: to +) mask(from), whose row i is row firstRow + i of the LoRA pair's input.
template <bool kAdd, class T>
void maskRows(const Tensor& from, const LoraPair& pair, int64_t firstRow, const int32_t* rowIds, const Tensor& to,
              Context& context) {
  const DropoutMask mask = makeDropoutMask(pair.dropout);
  forRowBlocks(context, to.rows, to.cols, [&](int64_t begin, int64_t end) {
    constexpr int64_t kRun = 512;
    float factors[kRun];
    for (int64_t i = begin; i < end; ++i) {
      const int64_t id = rowIds != nullptr ? rowIds[firstRow + i] : firstRow + i;
      for (int64_t col = 0; col < to.cols; col += kRun) {
        const int64_t width = minOf(kRun, to.cols - col);
        const T* source = rowOf<T>(from, i) + col;
        T* target = rowOf<T>(to, i) + col;
        dropoutFactors(mask, id * to.cols + col, width, factors);
        forLanes(width, [&](int64_t j, int lanes) {
          const Vec factor = loadLanes(factors + j, lanes);
          Vec kept = loadLanes(source + j, lanes) * factor;
          kept = (factor != zero()) ? kept : zero();  // a dropped infinity or NaN is dropped too
          if constexpr (kAdd) kept += loadLanes(target + j, lanes);
          storeLanes(target + j, kept, lanes);
        });
      }
    }
  });
}

void maskedInput(const Tensor& x, const LoraPair& pair, int64_t firstRow, const int32_t* rowIds, const Tensor& to,
                 Context& context) {
  const Tensor from = view(x, firstRow, to.rows, 0, x.cols);
  withStorage(x.dtype, [&]<class T>(T) { maskRows<false, T>(from, pair, firstRow, rowIds, to, context); });
}

// dBias += column sums of dy, row by row.
template <class T>
void addColumnSums(const Tensor& dy, const Tensor& dBias, Context& context) {
  constexpr int64_t kColumns = 64;
  parallelFor(context, ceilDiv(dy.cols, kColumns), [&](int64_t block, int) {
    const int64_t first = block * kColumns;
    forLanes(minOf(kColumns, dy.cols - first), [&](int64_t j, int lanes) {
      Vec sum = zero();
      for (int64_t i = 0; i < dy.rows; ++i) sum += loadLanes(rowOf<T>(dy, i) + first + j, lanes);
      float* to = rowOf<float>(dBias, 0) + first + j;
      storeLanes(to, loadLanes(to, lanes) + sum, lanes);
    });
  });
}

// to = scale * from, rounded.
void scaleRows(const Tensor& from, float scale, const Tensor& to, Context& context) {
  forRowBlocks(context, to.rows, to.cols, [&](int64_t begin, int64_t end) {
    withStorage(to.dtype, [&]<class T>(T) {
      for (int64_t i = begin; i < end; ++i) {
        forLanes(to.cols, [&](int64_t j, int lanes) {
          storeLanes(rowOf<T>(to, i) + j, loadLanes(rowOf<float>(from, i) + j, lanes) * scale, lanes);
        });
      }
    });
  });
}

// A part's share of the backward: its columns of dy, and of the ds of all LoRA pairs, which lie side by side.
template <class Body>
LOWRANK_INLINE void forParts(const LinearBackwardArgs& args, const Body& body) {
  int64_t column = 0, dsColumn = 0;
  for (int64_t p = 0; p < args.partCount; ++p) {
    const Projection& part = args.parts[p];
    const int64_t width = outFeatures(part);
    body(part, view(args.dy, 0, args.dy.rows, column, width), dsColumn);
    column += width;
    for (int64_t i = 0; i < part.pairCount; ++i) dsColumn += part.pairs[i].a.rows;
  }
}

// The same LoRA pair by LoRA pair: its part's columns of dy, and its ds.
template <class Body>
LOWRANK_INLINE void forPairs(const LinearBackwardArgs& args, const Tensor& ds, const Body& body) {
  forParts(args, [&](const Projection& part, const Tensor& dy, int64_t column) {
    for (int64_t i = 0; i < part.pairCount; ++i) {
      const int64_t rank = part.pairs[i].a.rows;
      body(part.pairs[i], dy, view(ds, 0, ds.rows, column, rank));
      column += rank;
    }
  });
}

// The terms of dx that need no mask, for the rows [row, row + rows).
void addInputTerms(const LinearBackwardArgs& args, const Tensor& ds, int64_t row, int64_t rows, ProductList& list) {
  forParts(args, [&](const Projection& part, const Tensor& dy, int64_t dsColumn) {
    list.term(operand(view(dy, row, rows, 0, dy.cols), false), weightOperand(part, dy.dtype, false), dy.cols);
    for (int64_t i = 0; i < part.pairCount; ++i) {
      const LoraPair& pair = part.pairs[i];
      const int64_t rank = pair.a.rows;
      if (!masked(pair)) {
        list.term(operand(view(ds, row, rows, dsColumn, rank), false), operand(pair.a, false), rank);
      }
      dsColumn += rank;
    }
  });
}

// dx where some LoRA pair has dropout: its gradient is made apart, masked and added in float32.
bool maskedInputGradient(const LinearBackwardArgs& args, const Tensor& ds, float* values, const int32_t* rowIds,
                         ProductList& list, Context& context) {
  const int64_t cols = args.dx.cols;
  for (int64_t row = 0; row < args.dx.rows; row += kMaskedRows) {
    const int64_t rows = minOf(kMaskedRows, args.dx.rows - row);
    const Tensor dx = view(args.dx, row, rows, 0, cols);
    const Tensor gradient = matrix(values, DType::kFloat32, rows, cols);
    const Tensor sum = dx.dtype == DType::kFloat32 ? dx : matrix(values + rows * cols, DType::kFloat32, rows, cols);
    list.add(sum, false);
    addInputTerms(args, ds, row, rows, list);
    if (!list.run()) return false;
    bool done = true;
    forPairs(args, ds, [&](const LoraPair& pair, const Tensor&, const Tensor& pairDs) {
      if (!masked(pair) || !done) return;
      list.add(gradient, false);
      list.term(operand(view(pairDs, row, rows, 0, pairDs.cols), false), operand(pair.a, false), pair.a.rows);
      done = list.run();
      if (done) maskRows<true, float>(gradient, pair, row, rowIds, sum, context);
    });
    if (!done) return false;
    if (dx.dtype != DType::kFloat32) scaleRows(sum, 1.0f, dx, context);
  }
  return true;
}

// to += from, float32.
void addRows(const Tensor& from, const Tensor& to, Context& context) {
  forRowBlocks(context, to.rows, to.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      float* sum = rowOf<float>(to, i);
      forLanes(to.cols, [&](int64_t j, int lanes) {
        storeLanes(sum + j, loadLanes(rowOf<float>(from, i) + j, lanes) + loadLanes(sum + j, lanes), lanes);
      });
    }
  });
}

// s of the LoRA pairs without dropout: one product of x with all their A's.
bool joinedForward(const LinearArgs& args, int64_t ranks, ProductList& list, LinearScratch& scratch, Context& context) {
  const Tensor& x = args.x;
  const int64_t size = elementSize(x.dtype), aBytes = roundUp(ranks * x.cols * size, 64);
  char* memory = static_cast<char*>(reserve(scratch.joined, static_cast<size_t>(aBytes + 4 * x.rows * ranks), context));
  if (memory == nullptr) return false;
  const Tensor a = matrix(memory, x.dtype, ranks, x.cols);
  const Tensor s = matrix(memory + aBytes, DType::kFloat32, x.rows, ranks);
  const auto forUnmasked = [&](const auto& body) {
    int64_t first = 0;
    for (int64_t p = 0; p < args.partCount; ++p) {
      for (int64_t i = 0; i < args.parts[p].pairCount; ++i) {
        const LoraPair& pair = args.parts[p].pairs[i];
        if (masked(pair)) continue;
        body(pair, first);
        first += pair.a.rows;
      }
    }
  };
  forUnmasked([&](const LoraPair& pair, int64_t first) {
    forRowBlocks(context, pair.a.rows, x.cols, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        __builtin_memcpy(static_cast<char*>(a.data) + (first + i) * x.cols * size,
                         static_cast<const char*>(pair.a.data) + i * pair.a.stride * size,
                         static_cast<size_t>(x.cols * size));
      }
    });
  });
  list.add(s, false);
  list.term(operand(x, false), operand(a, true), x.cols);
  if (!list.run()) return false;
  forUnmasked([&](const LoraPair& pair, int64_t first) {
    scaleRows(view(s, 0, x.rows, first, pair.a.rows), pair.scale, pair.s, context);
  });
  return true;
}

struct RowRange {
  int64_t begin;
  int64_t end;
};

// The rows of a pair; false, with the fault recorded, where they are none of the input's.
bool rowsOf(const LoraPair& pair, int64_t rows, RowRange& range, Context& context) {
  range = RowRange{0, rows};
  if (!present(pair.rows)) return true;
  const int32_t* at = static_cast<const int32_t*>(pair.rows.data);
  range = RowRange{at[0], at[1]};
  if (at[0] >= 0 && at[0] <= at[1] && at[1] <= rows) return true;
  context.fail("expected rows of a pair to ascend in [0, %lld], got %d and %d", static_cast<long long>(rows), at[0],
               at[1]);
  return false;
}

void clearOtherRows(const Tensor& s, const RowRange& rows, Context& context) {
  if (rows.begin == 0 && rows.end == s.rows) return;
  parallelFor(context, 1, [&](int64_t, int) {
    withStorage(s.dtype, [&]<class T>(T) {
      for (int64_t row = 0; row < s.rows; ++row) {
        if (row >= rows.begin && row < rows.end) continue;
        __builtin_memset(rowOf<T>(s, row), 0, static_cast<size_t>(s.cols) * sizeof(T));
      }
    });
  });
}

}  // namespace

bool linearForward(const LinearArgs& args, const int32_t* rowIds, LinearScratch& scratch, Context& context) {
  const Tensor& x = args.x;
  const int64_t pairs = pairCount(args.parts, args.partCount);
  ProductList list(args.partCount + pairs, args.partCount + pairs, scratch, context);
  if (list.products == nullptr) return false;
  list.order = static_cast<SumOrder>(args.sumOrder);
  bool joins = list.order == SumOrder::kByRows && x.rows >= kJoinedRows;
  int64_t unmasked = 0, ranks = 0;
  for (int64_t p = 0; p < args.partCount; ++p) {
    for (int64_t i = 0; i < args.parts[p].pairCount; ++i) {
      if (masked(args.parts[p].pairs[i])) continue;
      ++unmasked;
      ranks += args.parts[p].pairs[i].a.rows;
      joins = joins && !present(args.parts[p].pairs[i].rows);
    }
  }
  if (unmasked > 1 && joins) {
    if (!joinedForward(args, ranks, list, scratch, context)) return false;
  } else {
    for (int64_t p = 0; p < args.partCount; ++p) {
      for (int64_t i = 0; i < args.parts[p].pairCount; ++i) {
        const LoraPair& pair = args.parts[p].pairs[i];
        if (masked(pair)) continue;
        RowRange rows;
        if (!rowsOf(pair, x.rows, rows, context)) return false;
        clearOtherRows(pair.s, rows, context);
        if (rows.begin == rows.end) continue;
        const int64_t count = rows.end - rows.begin;
        list.add(view(pair.s, rows.begin, count, 0, pair.s.cols), false).alpha = pair.scale;
        list.term(operand(view(x, rows.begin, count, 0, x.cols), false), operand(pair.a, true), x.cols);
      }
    }
    if (!list.run()) return false;
  }
  for (int64_t p = 0; p < args.partCount; ++p) {
    for (int64_t i = 0; i < args.parts[p].pairCount; ++i) {
      const LoraPair& pair = args.parts[p].pairs[i];
      if (!masked(pair)) continue;
      const int64_t height = minOf(kMaskedRows, x.rows);
      void* values = reserve(scratch.values, static_cast<size_t>(height * x.cols * elementSize(x.dtype)), context);
      if (values == nullptr) return false;
      for (int64_t row = 0; row < x.rows; row += height) {
        const Tensor kept = matrix(values, x.dtype, minOf(height, x.rows - row), x.cols);
        maskedInput(x, pair, row, rowIds, kept, context);
        list.add(view(pair.s, row, kept.rows, 0, pair.s.cols), false).alpha = pair.scale;
        list.term(operand(kept, false), operand(pair.a, true), x.cols);
        if (!list.run()) return false;
      }
    }
  }
  int64_t column = 0;
  for (int64_t p = 0; p < args.partCount; ++p) {
    const Projection& part = args.parts[p];
    Gemm& product = list.add(view(args.y, 0, x.rows, column, outFeatures(part)), false);
    product.bias = part.bias.data;
    product.biasDType = part.bias.dtype;
    list.term(operand(x, false), weightOperand(part, x.dtype, true), x.cols);
    for (int64_t i = 0; i < part.pairCount; ++i) {
      list.term(operand(part.pairs[i].s, false), operand(part.pairs[i].b, true), part.pairs[i].s.cols);
    }
    column += outFeatures(part);
  }
  return list.run();
}

bool linearGradients(const LinearBackwardArgs& args, DType compute, const int32_t* rowIds, LinearScratch& scratch,
                     Context& context) {
  const Tensor &x = args.x, &dx = args.dx;
  const int64_t rows = args.dy.rows, pairs = pairCount(args.parts, args.partCount), size = elementSize(compute);
  int64_t ranks = 0, joined = 0, joinedRanks = 0;  // joined: those whose dA is part of one product
  bool anyMasked = false;
  for (int64_t p = 0; p < args.partCount; ++p) {
    for (int64_t i = 0; i < args.parts[p].pairCount; ++i) {
      const LoraPair& pair = args.parts[p].pairs[i];
      ranks += pair.a.rows;
      anyMasked = anyMasked || masked(pair);
      if (!present(pair.da) || masked(pair)) continue;
      ++joined;
      joinedRanks += pair.a.rows;
    }
  }
  // The product takes all columns of ds or none.
  const bool joins = joined > 1 && joined == pairs && rows >= kJoinedRows;
  const int64_t cols = present(x) ? x.cols : present(dx) ? dx.cols : 0;
  const int64_t dsBytes = roundUp(rows * ranks * size, 64);
  const int64_t maskedElements = anyMasked ? minOf(kMaskedRows, rows) * cols : 0;
  ProductList list(args.partCount + 2 * pairs + 1, 2 * args.partCount + 3 * pairs + 1, scratch, context);
  char* memory =
      static_cast<char*>(reserve(scratch.values, static_cast<size_t>(dsBytes + 8 * maskedElements + 64), context));
  float* da = static_cast<float*>(
      reserve(scratch.joined, static_cast<size_t>(joins ? 4 * joinedRanks * cols + 4 : 4), context));
  if (list.products == nullptr || memory == nullptr || da == nullptr) return false;
  const Tensor ds = matrix(memory, compute, rows, ranks);
  float* values = reinterpret_cast<float*>(memory + dsBytes);

  forPairs(args, ds, [&](const LoraPair& pair, const Tensor& dy, const Tensor& pairDs) {
    list.add(pairDs, false).alpha = pair.scale;
    list.term(operand(dy, false), operand(pair.b, false), dy.cols);
    if (!present(pair.db)) return;
    // As its transpose [r, O]: the few rows of s^T are the left operand, and dy is read along its rows.
    list.addTransposed(pair.db);
    list.term(operand(pair.s, true), operand(dy, false), rows);
  });
  if (!list.run()) return false;

  forParts(args, [&](const Projection& part, const Tensor& dy, int64_t) {
    if (!present(part.dWeight)) return;
    list.add(part.dWeight, true);
    if (part.inOut) {
      list.term(operand(x, true), operand(dy, false), rows);
    } else {
      list.term(operand(dy, true), operand(x, false), rows);
    }
  });
  if (joins) {
    list.add(matrix(da, DType::kFloat32, joinedRanks, cols), false);
    list.term(operand(ds, true), operand(x, false), rows);
  } else {
    forPairs(args, ds, [&](const LoraPair& pair, const Tensor&, const Tensor& pairDs) {
      if (!present(pair.da) || masked(pair)) return;
      list.add(pair.da, true);
      list.term(operand(pairDs, true), operand(x, false), rows);
    });
  }
  if (present(dx) && !anyMasked) {
    list.add(dx, false);
    addInputTerms(args, ds, 0, rows, list);
  }
  if (!list.run()) return false;

  if (joins) {
    const float* from = da;
    forPairs(args, ds, [&](const LoraPair& pair, const Tensor&, const Tensor&) {
      addRows(matrix(const_cast<float*>(from), DType::kFloat32, pair.a.rows, cols), pair.da, context);
      from += pair.a.rows * cols;
    });
  }
  forParts(args, [&](const Projection& part, const Tensor& dy, int64_t) {
    if (!present(part.dBias)) return;
    withStorage(dy.dtype, [&]<class T>(T) { addColumnSums<T>(dy, part.dBias, context); });
  });
  bool done = true;
  forPairs(args, ds, [&](const LoraPair& pair, const Tensor&, const Tensor& pairDs) {
    if (!present(pair.da) || !masked(pair)) return;
    for (int64_t row = 0; row < rows && done; row += kMaskedRows) {
      const Tensor kept = matrix(values, x.dtype, minOf(kMaskedRows, rows - row), x.cols);
      maskedInput(x, pair, row, rowIds, kept, context);
      list.add(pair.da, true);
      list.term(operand(view(pairDs, row, kept.rows, 0, pairDs.cols), true), operand(kept, false), kept.rows);
      done = list.run();
    }
  });
  if (!done || !present(dx) || !anyMasked) return done;
  return maskedInputGradient(args, ds, values, rowIds, list, context);
}

void linear(const LinearArgs& args, Context& context) {
  LinearScratch scratch{};
  linearForward(args, nullptr, scratch, context);
}

void linearBackward(const LinearBackwardArgs& args, Context& context) {
  LinearScratch scratch{};
  linearGradients(args, args.dy.dtype, nullptr, scratch, context);
}

}  // namespace lowrank::cpu::LOWRANK_ISA
