#pragma once

#include "../tensor.h"

namespace lowrank {

// y = x with each head rotated: with a = x[j], b = x[j + hd/2] and the row of cosSin at the token's position,
// a' = a cos - b sin, b' = b cos + a sin. inverse rotates back, which is the backward. y may be x.
struct RopeArgs {
  Tensor x;          // [N, H * hd] compute
  Tensor cosSin;     // [P, hd] float32: hd/2 cosines, then hd/2 sines
  Tensor positions;  // int32 [N], each in [0, P); one outside is a fault that names it
  Tensor y;          // [N, H * hd] compute
  int32_t headDim;
  int32_t inverse;
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.in("cosSin", cosSin);
    v.in("positions", positions);
    v.out("y", y);
    v.number("headDim", headDim);
    v.number("inverse", inverse);
  }
  template <class C>
  void check(C& c) const {
    c.compute("x", x);
    c.like("y", y, "x", x);
    c.flag("inverse", inverse);
    c.require(headDim >= 2 && headDim % 2 == 0 && x.cols % headDim == 0, "headDim",
              "an even width that divides x's columns", headDim);
    c.matrix("cosSin", cosSin, DType::kFloat32, cosSin.rows, headDim, "x", x);
    c.indices("positions", positions, x.rows, "x", x, y);
  }
};

}  // namespace lowrank
