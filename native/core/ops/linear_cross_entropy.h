#pragma once

#include "../tensor.h"
#include "linear.h"

namespace lowrank {

struct HeadPairVisitor {
  template <class V>
  static void visit(V& v, LoraPair& pair) {
    v.in("a", pair.a);
    v.in("b", pair.b);
    v.optionalInout("da", pair.da);
    v.optionalInout("db", pair.db);
    v.number("scale", pair.scale);
    v.group("dropout", pair.dropout);
  }
};

struct HeadVisitor {
  template <class V>
  static void visit(V& v, Projection& part) {
    v.in("weight", part.weight);
    v.optionalInout("dWeight", part.dWeight);
    v.template list<HeadPairVisitor>("pairs", part.pairs, part.pairCount);
  }
};

// loss = sum over labelled rows of w * -log softmax(softcap(logits))[label], divided by divisor (or by the sum of w
// over these rows when divisor is 0). w is the row's weight, 1 without weights. Rows whose label is -100 or whose
// weight is 0 never reach the head; logits exist for one chunk of rows at a time. While recording, dh is present and
// the same pass makes the gradients for an upstream gradient of lossScale: dh (zero in rows that are left out) and,
// where present, the head's dWeight and its LoRA pairs' da and db. They are scaled in float32, before anything is
// rounded to compute; the loss is not scaled. A label outside [0, V) that is not -100 is a fault that names it, and so
// is, in a labelled row, a weight that is not finite or below 0. Where all rows are left out the loss is 0.
struct LinearCrossEntropyArgs {
  Tensor h;          // [N, D] compute
  Tensor labels;     // int32 [N], already shifted
  Tensor weights;    // [N] float32, optional
  Tensor loss;       // [1] float32
  Tensor dh;         // [N, D] compute, optional
  Projection* head;  // one part [V, D], no bias; LoRA pairs' s is not given here (null): chunks keep their own
  int32_t headCount;
  float softcap;
  double divisor;
  double lossScale;  // finite, > 0
  template <class V>
  void visit(V& v) {
    v.in("h", h);
    v.in("labels", labels);
    v.optionalIn("weights", weights);
    v.out("loss", loss);
    v.optionalOut("dh", dh);
    v.template list<HeadVisitor>("head", head, headCount);
    v.number("softcap", softcap);
    v.number("divisor", divisor);
    v.number("lossScale", lossScale);
  }
  template <class C>
  void check(C& c) const {
    c.compute("h", h);
    c.matrix("loss", loss, DType::kFloat32, 1, 1, "h", h);
    c.like("dh", dh, "h", h);
    c.indices("labels", labels, h.rows, "h", h, loss);
    if (C::present(dh)) c.indices("labels", labels, h.rows, "h", h, dh);
    if (C::present(weights)) {
      c.matrix("weights", weights, DType::kFloat32, 1, h.rows, "h", h);
      c.unwritten("weights", weights, loss);
      if (C::present(dh)) c.unwritten("weights", weights, dh);
    }
    c.require(headCount == 1, "head", "exactly one part", headCount);
    if (!c.ok()) return;
    {
      const typename C::Item item(c, "head", 0);
      head[0].check(c, h.rows, h.cols, "h", h);
    }
    c.notNegative("softcap", softcap);
    c.notNegative("divisor", divisor);
    c.positive("lossScale", lossScale);
  }
};

}  // namespace lowrank
