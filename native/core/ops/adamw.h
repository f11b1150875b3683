#pragma once

#include "../tensor.h"

namespace lowrank {

// One parameter and what belongs to it: all of one shape, with rows without gaps.
struct AdamwParameter {
  Tensor parameter;  // [...] float32, the master
  Tensor grad;       // [...] float32
  Tensor m;          // [...] float32, first moment
  Tensor v;          // [...] float32, second moment
  Tensor copy;       // [...] compute, optional: the rounded copy that the forward reads
  float weightDecay;
};

struct AdamwParameterVisitor {
  template <class V>
  static void visit(V& v, AdamwParameter& p) {
    v.inout("parameter", p.parameter);
    v.in("grad", p.grad);
    v.inout("m", p.m);
    v.inout("v", p.v);
    v.optionalInout("copy", p.copy);
    v.number("weightDecay", p.weightDecay);
  }
};

// AdamW with decoupled decay (Loshchilov & Hutter 2019) in PyTorch's order:
//   p *= 1 - lr * wd; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
//   p -= lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps).
// g is the gradient divided by lossScale and, with maxGradNorm > 0, times min(1, maxGradNorm / (norm + 1e-6)). norms[i]
// is the L2 norm of gradient i divided by lossScale, norms[P] that of all gradients. The op is atomic: when the norm of
// all gradients is not finite, it writes nothing but norms.
struct AdamwArgs {
  // A skipped step leaves the parameters as they were, and they stay usable.
  static constexpr bool kKeepsInoutsWhenSkipped = true;

  AdamwParameter* parameters;
  int32_t parameterCount;
  Tensor norms;  // [P + 1] float32
  double lr;
  double beta1;
  double beta2;
  double eps;
  double step;  // t, from 1
  double maxGradNorm;
  double lossScale;  // finite, > 0
  template <class V>
  void visit(V& v) {
    v.template list<AdamwParameterVisitor>("parameters", parameters, parameterCount);
    v.out("norms", norms);
    v.number("lr", lr);
    v.number("beta1", beta1);
    v.number("beta2", beta2);
    v.number("eps", eps);
    v.number("step", step);
    v.number("maxGradNorm", maxGradNorm);
    v.number("lossScale", lossScale);
  }
  template <class C>
  void check(C& c) const {
    for (int32_t i = 0; i < parameterCount; ++i) {
      const typename C::Item item(c, "parameters", i);
      const AdamwParameter& p = parameters[i];
      c.dtype("parameter", p.parameter, DType::kFloat32);
      c.like("grad", p.grad, "parameter", p.parameter);
      c.like("m", p.m, "parameter", p.parameter);
      c.like("v", p.v, "parameter", p.parameter);
      c.shape("copy", p.copy, p.parameter.rows, p.parameter.cols, "parameter", p.parameter);
      if (C::present(p.copy)) c.compute("copy", p.copy);
      c.withoutGaps("parameter", p.parameter);
      c.withoutGaps("grad", p.grad);
      c.withoutGaps("m", p.m);
      c.withoutGaps("v", p.v);
      c.withoutGaps("copy", p.copy);
      c.notNegative("weightDecay", p.weightDecay);
    }
    const double count = parameterCount;
    c.require(norms.rows == 1 && double(norms.cols) == count + 1, "norms",
              "one row of a norm per parameter and one for all", double(norms.rows * norms.cols));
    c.dtype("norms", norms, DType::kFloat32);
    c.notNegative("lr", lr);
    c.require(beta1 >= 0 && beta1 < 1, "beta1", "a number in [0, 1)", beta1);
    c.require(beta2 >= 0 && beta2 < 1, "beta2", "a number in [0, 1)", beta2);
    c.notNegative("eps", eps);
    c.counter("step", step);
    c.require(step >= 1, "step", "a step from 1", step);
    c.notNegative("maxGradNorm", maxGradNorm);
    c.positive("lossScale", lossScale);
  }
};

}  // namespace lowrank
