#pragma once

#include "../tensor.h"

namespace lowrank {

// y[rows[i]] = x[i]; the other rows of y stay. Row indices are distinct.
struct ScatterRowsArgs {
  Tensor x;     // [N, D]
  Tensor rows;  // int32 [N], each in [0, y.rows)
  Tensor y;     // [M, D], same dtype
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.in("rows", rows);
    v.inout("y", y);
  }
  template <class C>
  void check(C& c) const {
    c.indices("rows", rows, x.rows, "x", x, y);
    c.shape("y", y, y.rows, x.cols, "x", x);
    c.dtype("y", y, "x", x);
  }
};

}  // namespace lowrank
