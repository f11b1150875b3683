#pragma once

#include "../tensor.h"

namespace lowrank {

// y = gelu(x). tanh = 1: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's gelu_new; 0: 0.5 x (1 + erf(x / sqrt
// 2)).
struct GeluArgs {
  Tensor x;  // [N, F] compute
  Tensor y;  // [N, F] compute
  int32_t tanh;
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.out("y", y);
    v.number("tanh", tanh);
  }
  template <class C>
  void check(C& c) const {
    c.compute("x", x);
    c.like("y", y, "x", x);
    c.flag("tanh", tanh);
  }
};

// dx = dy * gelu'(x).
struct GeluBackwardArgs {
  Tensor dy;  // [N, F] compute
  Tensor x;   // [N, F] compute
  Tensor dx;  // [N, F] compute; may be dy's or x's memory
  int32_t tanh;
  template <class V>
  void visit(V& v) {
    v.in("dy", dy);
    v.in("x", x);
    v.out("dx", dx);
    v.number("tanh", tanh);
  }
  template <class C>
  void check(C& c) const {
    c.compute("x", x);
    c.like("dy", dy, "x", x);
    c.like("dx", dx, "x", x);
    c.flag("tanh", tanh);
  }
};

}  // namespace lowrank
