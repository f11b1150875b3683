#pragma once

#include "../tensor.h"

namespace lowrank {

// A matrix [O, K] in bitsandbytes' NF4 (Dettmers et al. 2023, arXiv:2305.14314): elements row-major, two to a byte, the
// earlier in the high nibble. An element is code[q] * scale in float32, rounded to compute. The scale of block i is
// absmax[i] or, double quantised, nestedCode[absmax[i]] * nestedAbsmax[i / nestedBlockSize] + offset, product and sum
// each rounded to float32.
struct Nf4 {
  Tensor packed;        // uint8 [ceil(O K / 2)]
  Tensor absmax;        // [ceil(O K / blockSize)] float32; uint8 when double quantised
  Tensor code;          // float32 [16]
  Tensor nestedAbsmax;  // float32 [ceil(blocks / nestedBlockSize)], present exactly when absmax is uint8
  Tensor nestedCode;    // float32 [256], likewise
  Tensor offset;        // float32 [1], likewise
  int32_t rows;         // O
  int32_t cols;         // K
  int32_t blockSize;    // a power of two, as nestedBlockSize is
  int32_t nestedBlockSize;
  template <class V>
  void visit(V& v) {
    v.in("packed", packed);
    v.in("absmax", absmax);
    v.in("code", code);
    v.optionalIn("nestedAbsmax", nestedAbsmax);
    v.optionalIn("nestedCode", nestedCode);
    v.optionalIn("offset", offset);
    v.number("rows", rows);
    v.number("cols", cols);
    v.number("blockSize", blockSize);
    v.number("nestedBlockSize", nestedBlockSize);
  }

  // Whether the tensors hold `elements` elements; otherName is the tensor or table that the count follows from.
  template <class C>
  void checkStorage(C& c, int64_t elements, const char* otherName, const Tensor& other) const {
    c.blockSize("blockSize", blockSize);
    if (!c.ok()) return;
    const bool nested = C::present(nestedAbsmax);
    const int64_t blocks = (elements + blockSize - 1) / blockSize;
    c.matrix("packed", packed, DType::kUInt8, 1, (elements + 1) / 2, otherName, other);
    c.matrix("absmax", absmax, nested ? DType::kUInt8 : DType::kFloat32, 1, blocks, otherName, other);
    c.matrix("code", code, DType::kFloat32, 1, 16, otherName, other);
    c.sentence(C::present(nestedCode) == nested, "expected nestedCode exactly when nestedAbsmax is given");
    c.sentence(C::present(offset) == nested, "expected offset exactly when nestedAbsmax is given");
    if (!nested) return;
    c.blockSize("nestedBlockSize", nestedBlockSize);
    if (!c.ok()) return;
    const int64_t nestedBlocks = (blocks + nestedBlockSize - 1) / nestedBlockSize;
    c.matrix("nestedAbsmax", nestedAbsmax, DType::kFloat32, 1, nestedBlocks, "absmax", absmax);
    c.matrix("nestedCode", nestedCode, DType::kFloat32, 1, 256, "absmax", absmax);
    c.matrix("offset", offset, DType::kFloat32, 1, 1, "absmax", absmax);
  }

  template <class C>
  void check(C& c, const char* otherName, const Tensor& other) const {
    c.require(rows >= 1, "rows", "at least one row", rows);
    c.require(cols >= 1, "cols", "at least one column", cols);
    if (c.ok()) checkStorage(c, int64_t{rows} * cols, otherName, other);
  }
};

struct Nf4Visitor {
  template <class V>
  static void visit(V& v, Nf4& nf4) {
    nf4.visit(v);
  }
};

// q = the number of midpoints of neighbouring codes below x / absmax, where absmax is the largest magnitude of the
// block. nestedAbsmax asks for double quantisation: offset = mean of absmax, and absmax - offset becomes 8 bits against
// nestedCode in the same way.
struct QuantizeNf4Args {
  Tensor x;       // [O, K] float32, bfloat16 or float16
  Tensor packed;  // as in Nf4, and so on
  Tensor absmax;
  Tensor nestedAbsmax;  // optional
  Tensor offset;        // present exactly when nestedAbsmax is
  Tensor code;
  Tensor nestedCode;  // likewise
  int32_t blockSize;
  int32_t nestedBlockSize;
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.out("packed", packed);
    v.out("absmax", absmax);
    v.optionalOut("nestedAbsmax", nestedAbsmax);
    v.optionalOut("offset", offset);
    v.in("code", code);
    v.optionalIn("nestedCode", nestedCode);
    v.number("blockSize", blockSize);
    v.number("nestedBlockSize", nestedBlockSize);
  }
  template <class C>
  void check(C& c) const {
    c.sentence(C::isFloat(x.dtype), "expected float32, bfloat16 or float16 for x");
    c.require(x.rows * x.cols > 0, "x", "at least one element", 0);
    const Nf4 nf4{packed, absmax, code, nestedAbsmax, nestedCode, offset, 0, 0, blockSize, nestedBlockSize};
    if (c.ok()) nf4.checkStorage(c, x.rows * x.cols, "x", x);
  }
};

// y = the elements of nf4.
struct DequantizeNf4Args {
  Tensor y;  // [O, K] compute
  Nf4 nf4;
  template <class V>
  void visit(V& v) {
    v.out("y", y);
    nf4.visit(v);
  }
  template <class C>
  void check(C& c) const {
    c.compute("y", y);
    c.shape("y", y, nf4.rows, nf4.cols, "packed", nf4.packed);
    if (c.ok()) nf4.check(c, "y", y);
  }
};

}  // namespace lowrank
