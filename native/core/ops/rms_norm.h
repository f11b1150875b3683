#pragma once

#include "../tensor.h"

namespace lowrank {

// sum = x + residual (rounded to compute); y = sum / sqrt(mean(sum^2) + eps) * weight. The mean is over each of the H
// parts of a row. Without residual, sum is absent and x takes its place.
struct RmsNormArgs {
  Tensor x;         // [N, H * D] compute
  Tensor residual;  // [N, H * D] compute, optional
  Tensor weight;    // [D] compute
  Tensor sum;       // [N, H * D] compute, present exactly when residual is
  Tensor y;         // [N, H * D] compute
  float eps;
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.optionalIn("residual", residual);
    v.in("weight", weight);
    v.optionalOut("sum", sum);
    v.out("y", y);
    v.number("eps", eps);
  }
  template <class C>
  void check(C& c) const {
    c.compute("x", x);
    c.like("residual", residual, "x", x);
    c.partVector("weight", weight, "x", x);
    c.sentence(C::present(sum) == C::present(residual), "expected sum exactly when residual is given");
    c.like("sum", sum, "x", x);
    c.like("y", y, "x", x);
    c.notNegative("eps", eps);
  }
};

// With n = x * rstd and g = dy * weight: dx = rstd * (g - n * mean(g * n)) + dSum;
// dWeight += sum over rows and parts of dy * n.
struct RmsNormBackwardArgs {
  Tensor dy;       // [N, H * D] compute
  Tensor dSum;     // [N, H * D] compute, optional: the gradient that reaches the sum from the residual stream
  Tensor x;        // [N, H * D] compute: the forward's sum, or its x
  Tensor weight;   // [D] compute
  Tensor dx;       // [N, H * D] compute; may be dSum's or dy's memory
  Tensor dWeight;  // [D] float32, accumulated, optional
  float eps;
  template <class V>
  void visit(V& v) {
    v.in("dy", dy);
    v.optionalIn("dSum", dSum);
    v.in("x", x);
    v.in("weight", weight);
    v.out("dx", dx);
    v.optionalInout("dWeight", dWeight);
    v.number("eps", eps);
  }
  template <class C>
  void check(C& c) const {
    c.compute("x", x);
    c.like("dy", dy, "x", x);
    c.like("dSum", dSum, "x", x);
    c.partVector("weight", weight, "x", x);
    c.like("dx", dx, "x", x);
    c.matrix("dWeight", dWeight, DType::kFloat32, 1, weight.cols, "weight", weight);
    c.notNegative("eps", eps);
  }
};

}  // namespace lowrank
