#pragma once

#include "../tensor.h"

namespace lowrank {

// With x = [gate | up]: y = gate * sigmoid(gate) * up.
struct SwigluArgs {
  Tensor x;  // [N, 2F] compute
  Tensor y;  // [N, F] compute
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.out("y", y);
  }
  template <class C>
  void check(C& c) const {
    c.compute("y", y);
    c.shape("x", x, y.rows, 2 * y.cols, "y", y);
    c.dtype("x", x, "y", y);
  }
};

// With s = sigmoid(gate): dgate = dy * up * s * (1 + gate * (1 - s)); dup = dy * gate * s; dx = [dgate | dup].
struct SwigluBackwardArgs {
  Tensor dy;  // [N, F] compute
  Tensor x;   // [N, 2F] compute
  Tensor dx;  // [N, 2F] compute; may be x's memory
  template <class V>
  void visit(V& v) {
    v.in("dy", dy);
    v.in("x", x);
    v.out("dx", dx);
  }
  template <class C>
  void check(C& c) const {
    c.compute("dy", dy);
    c.shape("x", x, dy.rows, 2 * dy.cols, "dy", dy);
    c.dtype("x", x, "dy", dy);
    c.like("dx", dx, "x", x);
  }
};

}  // namespace lowrank
