#pragma once

#include "../tensor.h"

namespace lowrank {

// Dropout is counter-based (Philox 4x32-10): the mask of element e = row * cols + col is a function of (seed,
// microStep, dropoutStream, e) alone, so that a recomputation and any thread count see the same mask. Kept values are
// scaled by 1 / (1 - p).
struct Dropout {
  float p;  // 0 switches dropout off
  double seed;
  double microStep;
  double dropoutStream;
  template <class V>
  void visit(V& v) {
    v.number("p", p);
    v.number("seed", seed);
    v.number("microStep", microStep);
    v.number("dropoutStream", dropoutStream);
  }
  template <class C>
  void check(C& c) const {
    c.require(p >= 0 && p < 1, "dropout.p", "a probability in [0, 1)", p);
    c.counter("dropout.seed", seed);
    c.counter("dropout.microStep", microStep);
    c.counter("dropout.dropoutStream", dropoutStream);
  }
};

// y = dropout(x). Tests see the mask through this op; models use the dropout inside linear.
struct DropoutArgs {
  Tensor x;  // [N, D]
  Tensor y;  // [N, D]
  Dropout dropout;
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.out("y", y);
    v.group("dropout", dropout);
  }
  template <class C>
  void check(C& c) const {
    c.compute("x", x);
    c.like("y", y, "x", x);
    dropout.check(c);
  }
};

}  // namespace lowrank
