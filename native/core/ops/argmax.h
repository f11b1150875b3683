#pragma once

#include "../tensor.h"

namespace lowrank {

// ids[i] = the first index of the largest value of row i.
struct ArgmaxArgs {
  Tensor x;    // [N, V] compute or float32
  Tensor ids;  // int32 [N]
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.out("ids", ids);
  }
  template <class C>
  void check(C& c) const {
    c.compute("x", x);
    c.indices("ids", ids, x.rows, "x", x, x);
  }
};

}  // namespace lowrank
