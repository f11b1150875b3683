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
// All products are gemm's. With dropout the masked input is made for kMaskedRows rows at a time; the low-rank terms of
// dx are made, masked and summed in float32 scratch of as many rows, which the product that makes dx takes as its
// addend.
// Column sums: a block has 32 columns, which eight warps read in turns; their sums meet in order. 1 KiB of shared
// memory.
// Roof: the multiply-add rate, 2 N K O for each of y, dx and dW. Determinism: gemm's; masks depend on the element
// alone.
// Reference: Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685.
#include <vector>

#include "linear.h"
#include "philox.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int64_t kMaskedRows = 1024;
constexpr int kThreads = 256;
constexpr int kRun = 4;  // columns that one draw of Philox serves

// What the kernels that make masks read of a LoRA pair's input: row i of `from` is row firstRow + i of it.
struct MaskedRows {
  DropoutMask mask;
  RowLimit limit;
  const int32_t* rowIds;
  int32_t firstRow;
};

// call(row, col, count, factors) for runs of at most kRun columns.
template <class Call>
__device__ __forceinline__ void forMaskedRuns(const MaskedRows& of, int32_t rows, int32_t cols, const Call& call) {
  const int64_t perRow = ceilDiv(cols, kRun), step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < rows * perRow; i += step) {
    const int64_t row = i / perRow;
    const int32_t col = static_cast<int32_t>(i % perRow) * kRun;
    const int64_t place = of.firstRow + row;
    if (of.limit.count != nullptr && of.limit.first + place >= *of.limit.count) continue;
    const int64_t id = of.rowIds != nullptr ? of.rowIds[place] : place;
    const int64_t element = id * cols + col;
    float factors[kRun];
    if (element % kRun == 0) {
      const float4 all = dropoutFactors(of.mask, element);
      factors[0] = all.x;
      factors[1] = all.y;
      factors[2] = all.z;
      factors[3] = all.w;
    } else {
      LOWRANK_UNROLL for (int j = 0; j < kRun; ++j) factors[j] = dropoutFactor(of.mask, element + j);
    }
    call(row, col, cols - col < kRun ? cols - col : kRun, factors);
  }
}

// to = mask(from)
template <class T>
__global__ void __launch_bounds__(kThreads) maskKernel(Matrix<const T> from, MaskedRows of, Matrix<T> to) {
  forMaskedRuns(of, to.rows, to.cols, [&](int64_t row, int32_t col, int32_t count, const float(&factors)[kRun]) {
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
      if (i < count) to.row(row)[col + i] = fromFloat<T>(dropped(toFloat(from.row(row)[col + i]), factors[i]));
    }
  });
}

// to = mask(from), or to += mask(from)
__global__ void __launch_bounds__(kThreads)
    addMaskedKernel(Matrix<const float> from, MaskedRows of, bool add, Matrix<float> to) {
  forMaskedRuns(of, to.rows, to.cols, [&](int64_t row, int32_t col, int32_t count, const float(&factors)[kRun]) {
    LOWRANK_UNROLL for (int i = 0; i < kRun; ++i) {
      if (i >= count) break;
      float* const at = to.row(row) + col + i;
      const float value = dropped(from.row(row)[col + i], factors[i]);
      *at = add ? *at + value : value;
    }
  });
}

// Rows of s outside of [rows[0], rows[1]) become 0.
template <class T>
__global__ void __launch_bounds__(kThreads) clearOtherRowsKernel(const int32_t* rows,  // [2]
                                                                 Matrix<T> s,          // [N, r]
                                                                 FaultSink faults) {
  const int32_t begin = rows[0], end = rows[1];
  if (begin < 0 || begin > end || end > s.rows) {
    if (blockIdx.x == 0 && threadIdx.x == 0) reportFault(faults, FaultCode::kPairRows, begin, end, s.rows);
    return;
  }
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads, size = static_cast<int64_t>(s.rows) * s.cols;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < size; i += step) {
    const int64_t row = i / s.cols;
    if (row < begin || row >= end) s.row(row)[i % s.cols] = fromFloat<T>(0.0f);
  }
}

// sums += column sums of dy.
template <class T>
__global__ void __launch_bounds__(kThreads) addColumnSumsKernel(Matrix<const T> dy, RowLimit limit, float* sums) {
  constexpr int kWarps = kThreads / kWarp;
  float* const shared = sharedMemory<float>();
  const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
  const int32_t col = static_cast<int32_t>(blockIdx.x) * kWarp + lane;
  int64_t rows = dy.rows;
  if (limit.count != nullptr) rows = minOf(rows, *limit.count - limit.first);
  float sum = 0.0f;
  if (col < dy.cols) {
    for (int64_t row = warp; row < rows; row += kWarps) sum += toFloat(dy.row(row)[col]);
  }
  shared[threadIdx.x] = sum;
  syncThreads();
  if (warp > 0 || col >= dy.cols || rows <= 0) return;
  float total = 0.0f;
  LOWRANK_UNROLL for (int i = 0; i < kWarps; ++i) total += shared[i * kWarp + lane];
  sums[col] += total;
}

int64_t outFeatures(const Projection& part) {
  return part.nf4Count > 0 ? part.nf4[0].rows : part.inOut ? part.weight.cols : part.weight.rows;
}
bool masked(const LoraPair& pair) {
  return pair.dropout.p > 0.0f;
}

GemmOperand operand(const Tensor& tensor, bool transposed) {
  return GemmOperand{tensor.data, tensor.stride, transposed, nullptr};
}

// W^T (forward) or W.
GemmOperand weightOperand(const Projection& part, bool forward) {
  if (part.nf4Count > 0) return GemmOperand{nullptr, 0, forward, part.nf4};
  return operand(part.weight, forward != (part.inOut != 0));
}

Tensor view(const Tensor& tensor, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  Tensor result = tensor;
  result.data = static_cast<char*>(tensor.data) + (row * tensor.stride + col) * sizeOf(tensor.dtype);
  result.rows = rows;
  result.cols = cols;
  return result;
}

Tensor matrix(void* data, DType dtype, int64_t rows, int64_t cols, int64_t stride) {
  return Tensor{data, rows, cols, stride, 0, kNoBuffer, dtype};
}

// Products that run together. Terms belong to the product added last.
class ProductList {
 public:
  ProductList(DType compute, const RowLimit& limit, LinearScratch& scratch, Context& context,
              SumOrder order = SumOrder::kByRows)
      : compute_(compute), limit_(limit), scratch_(scratch), context_(context), order_(order) {}

  // c = product
  Gemm& add(const Tensor& c, int64_t firstRow = 0) {
    Gemm product{};
    product.m = c.rows;
    product.n = c.cols;
    product.alpha = 1.0f;
    product.c = c.data;
    product.cDType = c.dtype;
    product.cStride = c.stride;
    product.limit = RowLimit{limit_.count, static_cast<int32_t>(limit_.first + firstRow)};
    product.order = order_;
    products_.push_back(product);
    firstTerms_.push_back(terms_.size());
    return products_.back();
  }

  // c += product over tokens, a parameter's gradient
  void addGradient(const Tensor& c, int64_t firstRow = 0) {
    Gemm& product = add(c, firstRow);
    product.addend = static_cast<const float*>(c.data);
    product.addendStride = c.stride;
    product.limitsDepth = true;
  }

  void term(const GemmOperand& a, const GemmOperand& b, int64_t k) {
    terms_.push_back(GemmTerm{a, b, k});
    ++products_.back().termCount;
  }

  bool run() {
    for (size_t i = 0; i < products_.size(); ++i) products_[i].terms = terms_.data() + firstTerms_[i];
    const bool done =
        gemm(products_.data(), static_cast<int64_t>(products_.size()), compute_, scratch_.products, context_);
    products_.clear();
    firstTerms_.clear();
    terms_.clear();
    return done;
  }

 private:
  DType compute_;
  RowLimit limit_;
  LinearScratch& scratch_;
  Context& context_;
  SumOrder order_;
  std::vector<Gemm> products_;
  std::vector<size_t> firstTerms_;
  std::vector<GemmTerm> terms_;
};

dim3 gridForRuns(const Queue& queue, int64_t rows, int64_t cols) {
  const int64_t blocks = ceilDiv(rows * ceilDiv(cols, kRun), kThreads);
  return dim3(static_cast<unsigned>(maxOf(1, minOf(blocks, int64_t{8} * queue.multiprocessors()))));
}

// to = the LoRA pair's dropout of the rows of x from firstRow on.
void maskInput(const Tensor& x, const LoraPair& pair, int64_t firstRow, const RowLimit& limit, const int32_t* rowIds,
               const Tensor& to, Queue& queue) {
  const MaskedRows of{makeDropoutMask(pair.dropout), limit, rowIds, static_cast<int32_t>(firstRow)};
  const Tensor from = view(x, firstRow, to.rows, 0, x.cols);
  withComputeType(x.dtype, [&](auto type) {
    using T = decltype(type);
    launch<maskKernel<T>>(queue, gridForRuns(queue, to.rows, to.cols), kThreads, 0, matrixOf<const T>(from), of,
                          matrixOf<T>(to));
  });
}

// body(part, its columns of dy, the first of its columns of ds) for every part.
template <class Body>
void forParts(const LinearBackwardArgs& args, const Body& body) {
  int64_t column = 0, dsColumn = 0;
  for (int64_t p = 0; p < args.partCount; ++p) {
    const Projection& part = args.parts[p];
    const int64_t width = outFeatures(part);
    body(part, view(args.dy, 0, args.dy.rows, column, width), dsColumn);
    column += width;
    for (int64_t i = 0; i < part.pairCount; ++i) dsColumn += roundUp(part.pairs[i].a.rows, 8);
  }
}

// body(LoRA pair, its part's columns of dy, its ds) for every LoRA pair. The ds lie side by side, each at a multiple of
// 8 columns.
template <class Body>
void forPairs(const LinearBackwardArgs& args, const Tensor& ds, const Body& body) {
  forParts(args, [&](const Projection& part, const Tensor& dy, int64_t column) {
    for (int64_t i = 0; i < part.pairCount; ++i) {
      const int64_t rank = part.pairs[i].a.rows;
      body(part.pairs[i], dy, view(ds, 0, ds.rows, column, rank));
      column += roundUp(rank, 8);
    }
  });
}

// The terms of dx that need no mask, for the rows [row, row + rows).
void addInputTerms(const LinearBackwardArgs& args, const Tensor& ds, int64_t row, int64_t rows, ProductList& list) {
  forParts(args, [&](const Projection& part, const Tensor& dy, int64_t dsColumn) {
    list.term(operand(view(dy, row, rows, 0, dy.cols), false), weightOperand(part, false), dy.cols);
    for (int64_t i = 0; i < part.pairCount; ++i) {
      const LoraPair& pair = part.pairs[i];
      const int64_t rank = pair.a.rows;
      if (!masked(pair)) {
        list.term(operand(view(ds, row, rows, dsColumn, rank), false), operand(pair.a, false), rank);
      }
      dsColumn += roundUp(rank, 8);
    }
  });
}

// dx where some LoRA pair has dropout.
bool maskedInputGradient(const LinearBackwardArgs& args, const Tensor& ds, const RowLimit& limit, const int32_t* rowIds,
                         ProductList& list, LinearScratch& scratch, Context& context) {
  Queue& queue = queueOf(context);
  const int64_t cols = args.dx.cols, height = minOf(kMaskedRows, args.dx.rows);
  float* const values =
      static_cast<float*>(reserve(scratch.masked, 2 * height * cols * int64_t{sizeof(float)}, context));
  if (values == nullptr) return false;
  for (int64_t row = 0; row < args.dx.rows; row += height) {
    const int64_t rows = minOf(height, args.dx.rows - row);
    const Tensor gradient = matrix(values, DType::kFloat32, rows, cols, cols);
    const Tensor sum = matrix(values + height * cols, DType::kFloat32, rows, cols, cols);
    bool done = true, first = true;
    forPairs(args, ds, [&](const LoraPair& pair, const Tensor&, const Tensor& pairDs) {
      if (!masked(pair) || !done) return;
      list.add(gradient, row);
      list.term(operand(view(pairDs, row, rows, 0, pairDs.cols), false), operand(pair.a, false), pair.a.rows);
      done = list.run();
      const MaskedRows of{makeDropoutMask(pair.dropout), limit, rowIds, static_cast<int32_t>(row)};
      launch<addMaskedKernel>(queue, gridForRuns(queue, rows, cols), kThreads, 0, matrixOf<const float>(gradient), of,
                              !first, matrixOf<float>(sum));
      first = false;
    });
    if (!done) return false;
    Gemm& product = list.add(view(args.dx, row, rows, 0, cols), row);
    product.addend = static_cast<const float*>(sum.data);
    product.addendStride = sum.stride;
    addInputTerms(args, ds, row, rows, list);
    if (!list.run()) return false;
  }
  return true;
}

}  // namespace

bool linearForward(const LinearArgs& args, const RowLimit& limit, const int32_t* rowIds, LinearScratch& scratch,
                   Context& context) {
  const Tensor& x = args.x;
  ProductList list(x.dtype, limit, scratch, context, static_cast<SumOrder>(args.sumOrder));
  const auto forPairs = [&](const auto& body) {
    for (int64_t p = 0; p < args.partCount; ++p) {
      for (int64_t i = 0; i < args.parts[p].pairCount; ++i) body(args.parts[p].pairs[i]);
    }
  };
  bool done = true;
  forPairs([&](const LoraPair& pair) {
    if (masked(pair)) return;
    list.add(pair.s).alpha = pair.scale;
    list.term(operand(x, false), operand(pair.a, true), x.cols);
  });
  if (!list.run()) return false;
  forPairs([&](const LoraPair& pair) {
    if (!present(pair.rows)) return;
    Queue& queue = queueOf(context);
    withComputeType(x.dtype, [&](auto type) {
      using T = decltype(type);
      launch<clearOtherRowsKernel<T>>(queue, gridForRuns(queue, pair.s.rows, pair.s.cols), kThreads, 0,
                                      static_cast<const int32_t*>(pair.rows.data), matrixOf<T>(pair.s), queue.faults());
    });
  });
  forPairs([&](const LoraPair& pair) {
    if (!masked(pair) || !done) return;
    const int64_t height = minOf(kMaskedRows, x.rows), stride = roundUp(x.cols, 8);
    void* const values = reserve(scratch.masked, height * stride * sizeOf(x.dtype), context);
    done = values != nullptr;
    for (int64_t row = 0; row < x.rows && done; row += height) {
      const Tensor kept = matrix(values, x.dtype, minOf(height, x.rows - row), x.cols, stride);
      maskInput(x, pair, row, limit, rowIds, kept, queueOf(context));
      list.add(view(pair.s, row, kept.rows, 0, pair.s.cols), row).alpha = pair.scale;
      list.term(operand(kept, false), operand(pair.a, true), x.cols);
      done = list.run();
    }
  });
  if (!done) return false;
  int64_t column = 0;
  for (int64_t p = 0; p < args.partCount; ++p) {
    const Projection& part = args.parts[p];
    list.add(view(args.y, 0, x.rows, column, outFeatures(part))).bias = part.bias.data;
    list.term(operand(x, false), weightOperand(part, true), x.cols);
    for (int64_t i = 0; i < part.pairCount; ++i) {
      list.term(operand(part.pairs[i].s, false), operand(part.pairs[i].b, true), part.pairs[i].s.cols);
    }
    column += outFeatures(part);
  }
  return list.run();
}

bool linearGradients(const LinearBackwardArgs& args, const RowLimit& limit, const int32_t* rowIds,
                     LinearScratch& scratch, Context& context) {
  Queue& queue = queueOf(context);
  const Tensor &x = args.x, &dx = args.dx;
  const DType compute = args.dy.dtype;
  const int64_t rows = args.dy.rows;
  int64_t ranks = 0;
  bool anyMasked = false;
  for (int64_t p = 0; p < args.partCount; ++p) {
    for (int64_t i = 0; i < args.parts[p].pairCount; ++i) {
      ranks += roundUp(args.parts[p].pairs[i].a.rows, 8);
      anyMasked = anyMasked || masked(args.parts[p].pairs[i]);
    }
  }
  void* const memory = reserve(scratch.ds, rows * ranks * sizeOf(compute), context);
  if (memory == nullptr) return false;
  const Tensor ds = matrix(memory, compute, rows, ranks, ranks);

  ProductList list(compute, limit, scratch, context);
  forPairs(args, ds, [&](const LoraPair& pair, const Tensor& dy, const Tensor& pairDs) {
    list.add(pairDs).alpha = pair.scale;
    list.term(operand(dy, false), operand(pair.b, false), dy.cols);
  });
  if (!list.run()) return false;

  forPairs(args, ds, [&](const LoraPair& pair, const Tensor& dy, const Tensor&) {
    if (!present(pair.db)) return;
    list.addGradient(pair.db);
    list.term(operand(dy, true), operand(pair.s, false), rows);
  });
  forPairs(args, ds, [&](const LoraPair& pair, const Tensor&, const Tensor& pairDs) {
    if (!present(pair.da) || masked(pair)) return;
    list.addGradient(pair.da);
    list.term(operand(pairDs, true), operand(x, false), rows);
  });
  forParts(args, [&](const Projection& part, const Tensor& dy, int64_t) {
    if (!present(part.dWeight)) return;
    list.addGradient(part.dWeight);
    if (part.inOut) {
      list.term(operand(x, true), operand(dy, false), rows);
    } else {
      list.term(operand(dy, true), operand(x, false), rows);
    }
  });
  if (present(dx) && !anyMasked) {
    list.add(dx);
    addInputTerms(args, ds, 0, rows, list);
  }
  if (!list.run()) return false;

  forParts(args, [&](const Projection& part, const Tensor& dy, int64_t) {
    if (!present(part.dBias)) return;
    withComputeType(compute, [&](auto type) {
      using T = decltype(type);
      launch<addColumnSumsKernel<T>>(queue, dim3(static_cast<unsigned>(ceilDiv(dy.cols, kWarp))), kThreads,
                                     kThreads * sizeof(float), matrixOf<const T>(dy), limit,
                                     static_cast<float*>(part.dBias.data));
    });
  });
  bool done = true;
  forPairs(args, ds, [&](const LoraPair& pair, const Tensor&, const Tensor& pairDs) {
    if (!present(pair.da) || !masked(pair) || !done) return;
    const int64_t height = minOf(kMaskedRows, rows), stride = roundUp(x.cols, 8);
    void* const values = reserve(scratch.masked, height * stride * sizeOf(compute), context);
    done = values != nullptr;
    for (int64_t row = 0; row < rows && done; row += height) {
      const Tensor kept = matrix(values, compute, minOf(height, rows - row), x.cols, stride);
      maskInput(x, pair, row, limit, rowIds, kept, queue);
      list.addGradient(pair.da, row);
      list.term(operand(view(pairDs, row, kept.rows, 0, pairDs.cols), true), operand(kept, false), kept.rows);
      done = list.run();
    }
  });
  if (!done || !present(dx) || !anyMasked) return done;
  return maskedInputGradient(args, ds, limit, rowIds, list, scratch, context);
}

void linear(const LinearArgs& args, Context& context) {
  LinearScratch scratch{};
  linearForward(args, RowLimit{}, nullptr, scratch, context);
}

void linearBackward(const LinearBackwardArgs& args, Context& context) {
  LinearScratch scratch{};
  linearGradients(args, RowLimit{}, nullptr, scratch, context);
}

}  // namespace lowrank::LOWRANK_BACKEND
