#pragma once

#include "../tensor.h"

namespace lowrank {

// y = a + b, one dtype. y may be a or b.
struct AddArgs {
  Tensor a;
  Tensor b;
  Tensor y;
  template <class V>
  void visit(V& v) {
    v.in("a", a);
    v.in("b", b);
    v.out("y", y);
  }
  template <class C>
  void check(C& c) const {
    c.sentence(C::isFloat(a.dtype), "expected float32, bfloat16 or float16 for a");
    c.like("b", b, "a", a);
    c.like("y", y, "a", a);
  }
};

}  // namespace lowrank
