#include "checks.h"

#include <cmath>

#include "format.h"
#include "schema.h"

namespace lowrank {
namespace {

// Omitted on the wire, or not on this op's wire at all.
bool present(const Tensor& tensor) {
  return tensor.buffer != kNoBuffer && tensor.buffer != 0;
}

// Collects the first broken rule. Texts are made only when one breaks: every command of a training step passes here.
class Checker {
 public:
  std::string error;

  // Names that follow belong to an item of a list until the Item goes.
  class Item {
   public:
    Item(Checker& checker, const char* list, int index) : checker_(checker), path_{checker.path_, list, index} {
      checker_.path_ = &path_;
    }
    ~Item() { checker_.path_ = path_.parent; }

   private:
    Checker& checker_;
    ArgumentPath path_;
  };

  void shape(const char* name, const Tensor& tensor, int64_t rows, int64_t cols, const char* otherName,
             const Tensor& other) {
    if (!error.empty() || !present(tensor) || (tensor.rows == rows && tensor.cols == cols)) return;
    error = "expected " + path(name) + " " + formatShape(rows, cols) + " for " + otherName + " " + formatShape(other) +
            ", got " + formatShape(tensor);
  }

  void dtype(const char* name, const Tensor& tensor, DType wanted) {
    if (!error.empty() || !present(tensor) || tensor.dtype == wanted) return;
    error = std::string("expected ") + dtypeName(wanted) + " for " + path(name) + ", got " + dtypeName(tensor.dtype);
  }

  // A dtype that another argument decides.
  void dtype(const char* name, const Tensor& tensor, const char* otherName, const Tensor& other) {
    if (!error.empty() || !present(tensor) || tensor.dtype == other.dtype) return;
    error = std::string("expected ") + dtypeName(other.dtype) + " for " + path(name) + " as " + otherName +
            " is, got " + dtypeName(tensor.dtype);
  }

  // The tensor that sets the compute dtype: float32, bfloat16 or float16, not empty.
  void compute(const char* name, const Tensor& tensor) {
    if (!error.empty()) return;
    if (!isFloat(tensor.dtype)) {
      error = "expected float32, bfloat16 or float16 for " + path(name) + ", got " + dtypeName(tensor.dtype);
    } else if (tensor.rows == 0 || tensor.cols == 0) {
      error = "expected at least one row and one column for " + path(name) + ", got " + formatShape(tensor);
    }
  }

  // Both shape and dtype.
  void matrix(const char* name, const Tensor& tensor, DType wanted, int64_t rows, int64_t cols, const char* otherName,
              const Tensor& other) {
    shape(name, tensor, rows, cols, otherName, other);
    dtype(name, tensor, wanted);
  }

  void like(const char* name, const Tensor& tensor, const char* otherName, const Tensor& other) {
    shape(name, tensor, other.rows, other.cols, otherName, other);
    dtype(name, tensor, otherName, other);
  }

  void vector(const char* name, const Tensor& tensor, int64_t cols, const char* otherName, const Tensor& other) {
    shape(name, tensor, 1, cols, otherName, other);
    dtype(name, tensor, otherName, other);
  }

  void withoutGaps(const char* name, const Tensor& tensor) {
    if (!error.empty() || !present(tensor) || tensor.rows <= 1 || tensor.stride == tensor.cols) return;
    error = "expected rows without gaps for " + path(name) + ", got " + formatShape(tensor) + " with a row stride of " +
            std::to_string(tensor.stride) + "; copy it into a tensor of its own first";
  }

  // A vector that serves each of several equal parts of a row.
  void partVector(const char* name, const Tensor& tensor, const char* otherName, const Tensor& other) {
    if (!error.empty()) return;
    if (tensor.rows != 1 || tensor.cols == 0 || other.cols % tensor.cols != 0) {
      error = "expected " + path(name) + " [1, D], D a divisor of the columns of " + otherName + " " +
              formatShape(other) + ", got " + formatShape(tensor);
    }
    dtype(name, tensor, otherName, other);
  }

  // An int32 vector whose values the kernel checks before it trusts them: nothing that the same command writes may lie there.
  void indices(const char* name, const Tensor& tensor, int64_t count, const char* otherName, const Tensor& other,
               const Tensor& written) {
    matrix(name, tensor, DType::kInt32, 1, count, otherName, other);
    if (error.empty() && tensor.buffer == written.buffer)
      error = "expected a buffer of its own for " + path(name) + ", got one that the op writes";
  }

  void require(bool condition, const char* name, const char* expected, double value) {
    if (!error.empty() || condition) return;
    error = std::string("expected ") + expected + " for " + path(name) + ", got " + formatNumber(value);
  }

  void flag(const char* name, int32_t value) { require(value == 0 || value == 1, name, "0 or 1", value); }
  void notNegative(const char* name, double value) {
    require(std::isfinite(value) && value >= 0, name, "a finite number >= 0", value);
  }
  void positive(const char* name, double value) {
    require(std::isfinite(value) && value > 0, name, "a finite number > 0", value);
  }
  void finite(const char* name, double value) { require(std::isfinite(value), name, "a finite number", value); }

  void counter(const char* name, double value) {
    require(value >= 0 && value < 0x1p53 && value == std::floor(value), name, "a whole number >= 0 and below 2^53",
            value);
  }

  void dropout(const Dropout& dropout) {
    require(dropout.p >= 0 && dropout.p < 1, "dropout.p", "a probability in [0, 1)", dropout.p);
    counter("dropout.seed", dropout.seed);
    counter("dropout.microStep", dropout.microStep);
    counter("dropout.site", dropout.site);
  }

  void sentence(bool condition, const char* text) {
    if (error.empty() && !condition) error = text;
  }

 private:
  std::string path(const char* name) const { return ArgumentPath{path_, name}.text(); }
  const ArgumentPath* path_ = nullptr;
};

bool powerOfTwo(int32_t value, int32_t least) {
  return value >= least && value <= 4096 && (value & (value - 1)) == 0;
}

// Storage of [rows, cols] in NF4; `of` is the tensor or table that the sizes follow from.
void checkNf4(Checker& c, const Nf4& nf4, int64_t rows, int64_t cols, const char* otherName, const Tensor& other) {
  c.require(powerOfTwo(nf4.blockSize, 32), "blockSize", "a power of two from 32 to 4096", nf4.blockSize);
  if (!c.error.empty()) return;
  const bool nested = present(nf4.nestedAbsmax);
  const int64_t elements = rows * cols, blocks = (elements + nf4.blockSize - 1) / nf4.blockSize;
  c.matrix("packed", nf4.packed, DType::kUInt8, 1, (elements + 1) / 2, otherName, other);
  c.matrix("absmax", nf4.absmax, nested ? DType::kUInt8 : DType::kFloat32, 1, blocks, otherName, other);
  c.matrix("code", nf4.code, DType::kFloat32, 1, 16, otherName, other);
  c.sentence(present(nf4.nestedCode) == nested, "expected nestedCode exactly when nestedAbsmax is given");
  c.sentence(present(nf4.offset) == nested, "expected offset exactly when nestedAbsmax is given");
  if (!nested) return;
  c.require(powerOfTwo(nf4.nestedBlockSize, 32), "nestedBlockSize", "a power of two from 32 to 4096",
            nf4.nestedBlockSize);
  if (!c.error.empty()) return;
  const int64_t nestedBlocks = (blocks + nf4.nestedBlockSize - 1) / nf4.nestedBlockSize;
  c.matrix("nestedAbsmax", nf4.nestedAbsmax, DType::kFloat32, 1, nestedBlocks, "absmax", nf4.absmax);
  c.matrix("nestedCode", nf4.nestedCode, DType::kFloat32, 1, 256, "absmax", nf4.absmax);
  c.matrix("offset", nf4.offset, DType::kFloat32, 1, 1, "absmax", nf4.absmax);
}

void checkNf4(Checker& c, const Nf4& nf4, const char* otherName, const Tensor& other) {
  c.require(nf4.rows >= 1, "rows", "at least one row", nf4.rows);
  c.require(nf4.cols >= 1, "cols", "at least one column", nf4.cols);
  if (c.error.empty()) checkNf4(c, nf4, nf4.rows, nf4.cols, otherName, other);
}

bool quantized(const LinearPart& part) {
  return part.nf4Count > 0;
}
int64_t inputFeatures(const LinearPart& part) {
  return quantized(part) ? part.nf4[0].cols : part.inOut ? part.weight.rows : part.weight.cols;
}

// Weight, gradients and slabs of one part of a linear group with K = inner input features. Returns O.
int64_t checkPart(Checker& c, const LinearPart& part, int64_t rows, int64_t inner, const char* inputName,
                  const Tensor& input) {
  c.flag("inOut", part.inOut);
  c.require(part.nf4Count <= 1, "nf4", "at most one weight", part.nf4Count);
  c.sentence(present(part.weight) != quantized(part), "expected either weight or nf4 for each part, got both or none");
  Tensor w = part.weight;
  const char* name = "weight";
  if (c.error.empty() && quantized(part)) {
    c.require(part.inOut == 0, "inOut", "0 beside nf4", part.inOut);
    c.sentence(!present(part.dWeight), "expected no dWeight beside nf4, which has no gradient");
    w = input;
    w.rows = part.nf4[0].rows;
    w.cols = part.nf4[0].cols;
    name = "nf4[0]";
    const Checker::Item item(c, "nf4", 0);
    checkNf4(c, part.nf4[0], inputName, input);
  }
  const int64_t outputs = part.inOut ? w.cols : w.rows;
  c.compute(name, w);
  c.shape(name, w, part.inOut ? inner : outputs, part.inOut ? outputs : inner, inputName, input);
  c.dtype(name, w, inputName, input);
  c.vector("bias", part.bias, outputs, name, w);
  c.matrix("dWeight", part.dWeight, DType::kFloat32, w.rows, w.cols, name, w);
  c.matrix("dBias", part.dBias, DType::kFloat32, 1, outputs, name, w);
  for (int32_t i = 0; i < part.slabCount && c.error.empty(); ++i) {
    const Checker::Item item(c, "slabs", i);
    const LoraSlab& slab = part.slabs[i];
    const int64_t rank = slab.a.rows;
    c.compute("a", slab.a);
    c.shape("a", slab.a, rank, inner, inputName, input);
    c.dtype("a", slab.a, inputName, input);
    c.shape("b", slab.b, outputs, rank, "a", slab.a);
    c.dtype("b", slab.b, inputName, input);
    c.shape("s", slab.s, rows, rank, "a", slab.a);
    c.dtype("s", slab.s, inputName, input);
    c.matrix("da", slab.da, DType::kFloat32, rank, inner, "a", slab.a);
    c.matrix("db", slab.db, DType::kFloat32, outputs, rank, "b", slab.b);
    c.finite("scale", slab.scale);
    c.dropout(slab.dropout);
  }
  return outputs;
}

void checkAttention(Checker& c, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& cuSeqlensQ,
                    const Tensor& y, const Tensor& lse, const AttentionOptions& options) {
  c.compute("q", q);
  c.compute("k", k);
  c.dtype("k", k, "q", q);
  c.like("v", v, "k", k);
  c.like("y", y, "q", q);
  c.require(options.headDim >= 1, "options.headDim", "a head width of at least 1", options.headDim);
  c.flag("options.causal", options.causal);
  c.require(options.window >= 0, "options.window", "a whole number >= 0", options.window);
  c.finite("options.scale", options.scale);
  c.notNegative("options.softcap", options.softcap);
  if (!c.error.empty()) return;
  const int64_t head = options.headDim;
  c.require(q.cols % head == 0, "q", "whole heads of headDim columns", double(q.cols));
  c.require(k.cols % head == 0, "k", "whole heads of headDim columns", double(k.cols));
  c.require(q.cols % k.cols == 0, "q", "a multiple of k's columns", double(q.cols));
  c.matrix("lse", lse, DType::kFloat32, q.cols / head, q.rows, "q", q);
  c.require(cuSeqlensQ.cols >= 2, "cuSeqlensQ", "at least two cumulative lengths", double(cuSeqlensQ.cols));
}

}  // namespace

std::string check(const FillArgs& args) {
  Checker c;
  if (!isFloat(args.y.dtype)) {
    const double top = args.y.dtype == DType::kUInt8 ? 255 : 0x1p31 - 128;  // the largest float below 2^31
    const double bottom = args.y.dtype == DType::kUInt8 ? 0 : -0x1p31;
    c.require(args.value >= bottom && args.value <= top && args.value == std::floor(args.value), "value",
              "a whole number that y can hold", args.value);
  }
  return c.error;
}

std::string check(const CopyArgs& args) {
  Checker c;
  c.shape("y", args.y, args.x.rows, args.x.cols, "x", args.x);
  if (!isFloat(args.x.dtype) || !isFloat(args.y.dtype)) c.dtype("y", args.y, "x", args.x);
  return c.error;
}

std::string check(const AddArgs& args) {
  Checker c;
  c.sentence(isFloat(args.a.dtype), "expected float32, bfloat16 or float16 for a");
  c.like("b", args.b, "a", args.a);
  c.like("y", args.y, "a", args.a);
  return c.error;
}

std::string check(const EmbeddingArgs& args) {
  Checker c;
  c.compute("weight", args.weight);
  c.indices("ids", args.ids, args.y.rows, "y", args.y, args.y);
  c.shape("y", args.y, args.ids.cols, args.weight.cols, "weight", args.weight);
  c.dtype("y", args.y, "weight", args.weight);
  return c.error;
}

std::string check(const EmbeddingBackwardArgs& args) {
  Checker c;
  c.compute("dy", args.dy);
  c.indices("ids", args.ids, args.dy.rows, "dy", args.dy, args.dWeight);
  c.matrix("dWeight", args.dWeight, DType::kFloat32, args.dWeight.rows, args.dy.cols, "dy", args.dy);
  return c.error;
}

std::string check(const ScatterRowsArgs& args) {
  Checker c;
  c.indices("rows", args.rows, args.x.rows, "x", args.x, args.y);
  c.shape("y", args.y, args.y.rows, args.x.cols, "x", args.x);
  c.dtype("y", args.y, "x", args.x);
  return c.error;
}

std::string check(const RmsNormArgs& args) {
  Checker c;
  c.compute("x", args.x);
  c.like("residual", args.residual, "x", args.x);
  c.partVector("weight", args.weight, "x", args.x);
  c.sentence(present(args.sum) == present(args.residual), "expected sum exactly when residual is given");
  c.like("sum", args.sum, "x", args.x);
  c.like("y", args.y, "x", args.x);
  c.notNegative("eps", args.eps);
  return c.error;
}

std::string check(const RmsNormBackwardArgs& args) {
  Checker c;
  c.compute("x", args.x);
  c.like("dy", args.dy, "x", args.x);
  c.like("dSum", args.dSum, "x", args.x);
  c.partVector("weight", args.weight, "x", args.x);
  c.like("dx", args.dx, "x", args.x);
  c.matrix("dWeight", args.dWeight, DType::kFloat32, 1, args.weight.cols, "weight", args.weight);
  c.notNegative("eps", args.eps);
  return c.error;
}

std::string check(const LayerNormArgs& args) {
  Checker c;
  c.compute("x", args.x);
  c.like("residual", args.residual, "x", args.x);
  c.vector("weight", args.weight, args.x.cols, "x", args.x);
  c.vector("bias", args.bias, args.x.cols, "x", args.x);
  c.sentence(present(args.sum) == present(args.residual), "expected sum exactly when residual is given");
  c.like("sum", args.sum, "x", args.x);
  c.like("y", args.y, "x", args.x);
  c.notNegative("eps", args.eps);
  return c.error;
}

std::string check(const LayerNormBackwardArgs& args) {
  Checker c;
  c.compute("x", args.x);
  c.like("dy", args.dy, "x", args.x);
  c.like("dSum", args.dSum, "x", args.x);
  c.vector("weight", args.weight, args.x.cols, "x", args.x);
  c.like("dx", args.dx, "x", args.x);
  c.matrix("dWeight", args.dWeight, DType::kFloat32, 1, args.x.cols, "x", args.x);
  c.matrix("dBias", args.dBias, DType::kFloat32, 1, args.x.cols, "x", args.x);
  c.notNegative("eps", args.eps);
  return c.error;
}

std::string check(const DropoutArgs& args) {
  Checker c;
  c.compute("x", args.x);
  c.like("y", args.y, "x", args.x);
  c.dropout(args.dropout);
  return c.error;
}

std::string check(const QuantizeNf4Args& args) {
  Checker c;
  c.sentence(isFloat(args.x.dtype), "expected float32, bfloat16 or float16 for x");
  c.require(args.x.rows * args.x.cols > 0, "x", "at least one element", 0);
  const Nf4 nf4{args.packed, args.absmax, args.code, args.nestedAbsmax, args.nestedCode,
                args.offset, 0,           0,         args.blockSize,    args.nestedBlockSize};
  if (c.error.empty()) checkNf4(c, nf4, args.x.rows, args.x.cols, "x", args.x);
  return c.error;
}

std::string check(const DequantizeNf4Args& args) {
  Checker c;
  c.compute("y", args.y);
  c.shape("y", args.y, args.nf4.rows, args.nf4.cols, "packed", args.nf4.packed);
  if (c.error.empty()) checkNf4(c, args.nf4, "y", args.y);
  return c.error;
}

std::string check(const LinearArgs& args) {
  Checker c;
  c.compute("x", args.x);
  c.compute("y", args.y);
  int64_t outputs = 0;
  for (int32_t i = 0; i < args.partCount && c.error.empty(); ++i) {
    const Checker::Item item(c, "parts", i);
    outputs += checkPart(c, args.parts[i], args.x.rows, args.x.cols, "x", args.x);
  }
  c.require(args.partCount >= 1, "parts", "at least one part", args.partCount);
  c.shape("y", args.y, args.x.rows, outputs, "x", args.x);
  if (args.y.dtype != DType::kFloat32) c.dtype("y", args.y, "x", args.x);
  return c.error;
}

std::string check(const LinearBackwardArgs& args) {
  Checker c;
  c.compute("dy", args.dy);
  c.require(args.partCount >= 1, "parts", "at least one part", args.partCount);
  if (!c.error.empty()) return c.error;
  const LinearPart& first = args.parts[0];
  const int64_t inner = inputFeatures(first);
  int64_t outputs = 0;
  bool needsInput = false;
  for (int32_t i = 0; i < args.partCount && c.error.empty(); ++i) {
    const Checker::Item item(c, "parts", i);
    const LinearPart& part = args.parts[i];
    outputs += checkPart(c, part, args.dy.rows, inner, "dy", args.dy);
    needsInput |= present(part.dWeight);
    for (int32_t j = 0; j < part.slabCount; ++j) needsInput |= present(part.slabs[j].da);
  }
  if (quantized(first)) {
    c.require(args.dy.cols == outputs, "dy", "the columns of all parts", double(args.dy.cols));
  } else {
    c.shape("dy", args.dy, args.dy.rows, outputs, "parts[0].weight", first.weight);
  }
  c.sentence(present(args.x) || !needsInput, "expected x, which dWeight and da are made from, got none");
  c.shape("x", args.x, args.dy.rows, inner, "dy", args.dy);
  c.dtype("x", args.x, "dy", args.dy);
  c.shape("dx", args.dx, args.dy.rows, inner, "dy", args.dy);
  c.dtype("dx", args.dx, "dy", args.dy);
  return c.error;
}

std::string check(const RopeArgs& args) {
  Checker c;
  c.compute("x", args.x);
  c.like("y", args.y, "x", args.x);
  c.flag("inverse", args.inverse);
  c.require(args.headDim >= 2 && args.headDim % 2 == 0 && args.x.cols % args.headDim == 0, "headDim",
            "an even width that divides x's columns", args.headDim);
  c.matrix("cosSin", args.cosSin, DType::kFloat32, args.cosSin.rows, args.headDim, "x", args.x);
  c.indices("positions", args.positions, args.x.rows, "x", args.x, args.y);
  return c.error;
}

std::string check(const AttentionArgs& args) {
  Checker c;
  checkAttention(c, args.q, args.k, args.v, args.cuSeqlensQ, args.y, args.lse, args.options);
  for (const Tensor* written : {&args.y, &args.lse}) {
    c.indices("cuSeqlensQ", args.cuSeqlensQ, args.cuSeqlensQ.cols, "q", args.q, *written);
    c.indices("cuSeqlensK", args.cuSeqlensK, args.cuSeqlensQ.cols, "cuSeqlensQ", args.cuSeqlensQ, *written);
    if (present(args.seqUsedK))
      c.indices("seqUsedK", args.seqUsedK, args.cuSeqlensQ.cols - 1, "cuSeqlensQ", args.cuSeqlensQ, *written);
  }
  return c.error;
}

std::string check(const AttentionBackwardArgs& args) {
  Checker c;
  checkAttention(c, args.q, args.k, args.v, args.cuSeqlensQ, args.y, args.lse, args.options);
  c.like("dy", args.dy, "q", args.q);
  c.like("dq", args.dq, "q", args.q);
  c.like("dk", args.dk, "k", args.k);
  c.like("dv", args.dv, "v", args.v);
  for (const Tensor* written : {&args.dq, &args.dk, &args.dv}) {
    c.indices("cuSeqlensQ", args.cuSeqlensQ, args.cuSeqlensQ.cols, "q", args.q, *written);
    c.indices("cuSeqlensK", args.cuSeqlensK, args.cuSeqlensQ.cols, "cuSeqlensQ", args.cuSeqlensQ, *written);
  }
  return c.error;
}

std::string check(const SwigluArgs& args) {
  Checker c;
  c.compute("y", args.y);
  c.shape("x", args.x, args.y.rows, 2 * args.y.cols, "y", args.y);
  c.dtype("x", args.x, "y", args.y);
  return c.error;
}

std::string check(const SwigluBackwardArgs& args) {
  Checker c;
  c.compute("dy", args.dy);
  c.shape("x", args.x, args.dy.rows, 2 * args.dy.cols, "dy", args.dy);
  c.dtype("x", args.x, "dy", args.dy);
  c.like("dx", args.dx, "x", args.x);
  return c.error;
}

std::string check(const GeluArgs& args) {
  Checker c;
  c.compute("x", args.x);
  c.like("y", args.y, "x", args.x);
  c.flag("tanh", args.tanh);
  return c.error;
}

std::string check(const GeluBackwardArgs& args) {
  Checker c;
  c.compute("x", args.x);
  c.like("dy", args.dy, "x", args.x);
  c.like("dx", args.dx, "x", args.x);
  c.flag("tanh", args.tanh);
  return c.error;
}

std::string check(const LinearCrossEntropyArgs& args) {
  Checker c;
  c.compute("h", args.h);
  c.matrix("loss", args.loss, DType::kFloat32, 1, 1, "h", args.h);
  c.like("dh", args.dh, "h", args.h);
  c.indices("labels", args.labels, args.h.rows, "h", args.h, args.loss);
  if (present(args.dh)) c.indices("labels", args.labels, args.h.rows, "h", args.h, args.dh);
  c.require(args.headCount == 1, "head", "exactly one part", args.headCount);
  if (!c.error.empty()) return c.error;
  {
    const Checker::Item item(c, "head", 0);
    checkPart(c, args.head[0], args.h.rows, args.h.cols, "h", args.h);
  }
  c.notNegative("softcap", args.softcap);
  c.notNegative("divisor", args.divisor);
  c.positive("lossScale", args.lossScale);
  return c.error;
}

std::string check(const AdamwArgs& args) {
  Checker c;
  for (int32_t i = 0; i < args.parameterCount; ++i) {
    const Checker::Item item(c, "parameters", i);
    const AdamwParameter& p = args.parameters[i];
    c.dtype("parameter", p.parameter, DType::kFloat32);
    c.like("grad", p.grad, "parameter", p.parameter);
    c.like("m", p.m, "parameter", p.parameter);
    c.like("v", p.v, "parameter", p.parameter);
    c.shape("copy", p.copy, p.parameter.rows, p.parameter.cols, "parameter", p.parameter);
    if (present(p.copy)) c.compute("copy", p.copy);
    c.withoutGaps("parameter", p.parameter);
    c.withoutGaps("grad", p.grad);
    c.withoutGaps("m", p.m);
    c.withoutGaps("v", p.v);
    c.withoutGaps("copy", p.copy);
    c.notNegative("weightDecay", p.weightDecay);
  }
  const double count = args.parameterCount;
  c.require(args.norms.rows == 1 && double(args.norms.cols) == count + 1, "norms",
            "one row of a norm per parameter and one for all", double(args.norms.rows * args.norms.cols));
  c.dtype("norms", args.norms, DType::kFloat32);
  c.notNegative("lr", args.lr);
  c.require(args.beta1 >= 0 && args.beta1 < 1, "beta1", "a number in [0, 1)", args.beta1);
  c.require(args.beta2 >= 0 && args.beta2 < 1, "beta2", "a number in [0, 1)", args.beta2);
  c.notNegative("eps", args.eps);
  c.counter("step", args.step);
  c.require(args.step >= 1, "step", "a step from 1", args.step);
  c.notNegative("maxGradNorm", args.maxGradNorm);
  c.positive("lossScale", args.lossScale);
  return c.error;
}

std::string check(const SampleArgs& args) {
  Checker c;
  c.dtype("logits", args.logits, DType::kFloat32);
  c.require(args.logits.cols >= 1 && args.logits.cols < (int64_t{1} << 31), "logits", "a vocabulary of 1 to 2^31 ids",
            double(args.logits.cols));
  c.indices("ids", args.ids, args.logits.rows, "logits", args.logits, args.logits);
  c.indices("steps", args.steps, args.logits.rows, "logits", args.logits, args.ids);
  c.sentence(present(args.seen) == (args.repetitionPenalty != 1),
             "expected seen exactly when repetitionPenalty is not 1");
  c.matrix("seen", args.seen, DType::kUInt8, args.logits.rows, args.logits.cols, "logits", args.logits);
  c.notNegative("temperature", args.temperature);
  c.require(args.topK >= 0, "topK", "a whole number >= 0", args.topK);
  c.require(args.topP >= 0 && args.topP <= 1, "topP", "a number in [0, 1]", args.topP);
  c.require(args.minP >= 0 && args.minP <= 1, "minP", "a number in [0, 1]", args.minP);
  c.require(args.repetitionPenalty > 0 && std::isfinite(args.repetitionPenalty), "repetitionPenalty",
            "a finite number above 0", args.repetitionPenalty);
  c.counter("seed", args.seed);
  return c.error;
}

std::string check(const ArgmaxArgs& args) {
  Checker c;
  c.compute("x", args.x);
  c.indices("ids", args.ids, args.x.rows, "x", args.x, args.x);
  return c.error;
}

}  // namespace lowrank
