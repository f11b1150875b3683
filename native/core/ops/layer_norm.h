#pragma once

#include "../tensor.h"

namespace lowrank {

// sum = x + residual; y = (sum - mean) / sqrt(var + eps) * weight + bias (var is the biased one).
struct LayerNormArgs {
  Tensor x;         // [N, D] compute
  Tensor residual;  // [N, D] compute, optional
  Tensor weight;    // [D] compute
  Tensor bias;      // [D] compute
  Tensor sum;       // [N, D] compute, present exactly when residual is
  Tensor y;         // [N, D] compute
  float eps;
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.optionalIn("residual", residual);
    v.in("weight", weight);
    v.in("bias", bias);
    v.optionalOut("sum", sum);
    v.out("y", y);
    v.number("eps", eps);
  }
  template <class C>
  void check(C& c) const {
    c.compute("x", x);
    c.like("residual", residual, "x", x);
    c.vector("weight", weight, x.cols, "x", x);
    c.vector("bias", bias, x.cols, "x", x);
    c.sentence(C::present(sum) == C::present(residual), "expected sum exactly when residual is given");
    c.like("sum", sum, "x", x);
    c.like("y", y, "x", x);
    c.notNegative("eps", eps);
  }
};

// With n = (x - mean) * rstd and g = dy * weight: dx = rstd * (g - mean(g) - n * mean(g * n)) + dSum;
// dWeight += sum over rows of dy * n; dBias += sum over rows of dy.
struct LayerNormBackwardArgs {
  Tensor dy;       // [N, D] compute
  Tensor dSum;     // [N, D] compute, optional
  Tensor x;        // [N, D] compute: the forward's sum, or its x
  Tensor weight;   // [D] compute
  Tensor dx;       // [N, D] compute; may be dSum's or dy's memory
  Tensor dWeight;  // [D] float32, accumulated, optional
  Tensor dBias;    // [D] float32, accumulated, optional
  float eps;
  template <class V>
  void visit(V& v) {
    v.in("dy", dy);
    v.optionalIn("dSum", dSum);
    v.in("x", x);
    v.in("weight", weight);
    v.out("dx", dx);
    v.optionalInout("dWeight", dWeight);
    v.optionalInout("dBias", dBias);
    v.number("eps", eps);
  }
  template <class C>
  void check(C& c) const {
    c.compute("x", x);
    c.like("dy", dy, "x", x);
    c.like("dSum", dSum, "x", x);
    c.vector("weight", weight, x.cols, "x", x);
    c.like("dx", dx, "x", x);
    c.matrix("dWeight", dWeight, DType::kFloat32, 1, x.cols, "x", x);
    c.matrix("dBias", dBias, DType::kFloat32, 1, x.cols, "x", x);
    c.notNegative("eps", eps);
  }
};

}  // namespace lowrank
