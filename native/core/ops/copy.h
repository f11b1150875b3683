#pragma once

#include "../tensor.h"

namespace lowrank {

// y = x, converted: float32, bfloat16, float16 in any combination; int32 and uint8 to themselves.
struct CopyArgs {
  Tensor x;
  Tensor y;  // same rows and cols as x
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.out("y", y);
  }
  template <class C>
  void check(C& c) const {
    c.shape("y", y, x.rows, x.cols, "x", x);
    if (!C::isFloat(x.dtype) || !C::isFloat(y.dtype)) c.dtype("y", y, "x", x);
  }
};

}  // namespace lowrank
