#pragma once

#include "../tensor.h"
#include "linear.h"
#include "linear_cross_entropy.h"

namespace lowrank {

struct LogProbsPairVisitor {
  template <class V>
  static void visit(V& v, LoraPair& pair) {
    v.in("a", pair.a);
    v.in("b", pair.b);
    v.number("scale", pair.scale);
    v.group("dropout", pair.dropout);
  }
};

struct LogProbsHeadVisitor {
  template <class V>
  static void visit(V& v, Projection& part) {
    v.in("weight", part.weight);
    v.template list<LogProbsPairVisitor>("pairs", part.pairs, part.pairCount);
  }
};

// logProbs[i] = log softmax(softcap(logits of row i))[label], 0 in rows whose label is -100, which never reach the
// head. Logits exist for one chunk of rows at a time. An id outside [0, V) that is not -100 is a fault that names it.
struct LinearLogProbsArgs {
  Tensor h;          // [N, D] compute
  Tensor labels;     // int32 [N], already shifted
  Tensor logProbs;   // [N] float32
  Projection* head;  // one part [V, D], no bias; LoRA pairs' s is not given here (null): chunks keep their own
  int32_t headCount;
  float softcap;
  template <class V>
  void visit(V& v) {
    v.in("h", h);
    v.in("labels", labels);
    v.out("logProbs", logProbs);
    v.template list<LogProbsHeadVisitor>("head", head, headCount);
    v.number("softcap", softcap);
  }
  template <class C>
  void check(C& c) const {
    c.compute("h", h);
    c.matrix("logProbs", logProbs, DType::kFloat32, 1, h.rows, "h", h);
    c.indices("labels", labels, h.rows, "h", h, logProbs);
    c.require(headCount == 1, "head", "exactly one part", headCount);
    if (!c.ok()) return;
    {
      const typename C::Item item(c, "head", 0);
      head[0].check(c, h.rows, h.cols, "h", h);
    }
    c.notNegative("softcap", softcap);
  }
};

// Makes the logits again, and from dLogProbs dh (zero in rows without a label) and, where present, the head's dWeight
// and its LoRA pairs' da and db.
struct LinearLogProbsBackwardArgs {
  Tensor dLogProbs;  // [N] float32
  Tensor h;          // [N, D] compute
  Tensor labels;     // int32 [N]
  Tensor dh;         // [N, D] compute
  Projection* head;  // as in forward
  int32_t headCount;
  float softcap;
  template <class V>
  void visit(V& v) {
    v.in("dLogProbs", dLogProbs);
    v.in("h", h);
    v.in("labels", labels);
    v.out("dh", dh);
    v.template list<HeadVisitor>("head", head, headCount);
    v.number("softcap", softcap);
  }
  template <class C>
  void check(C& c) const {
    c.compute("h", h);
    c.matrix("dLogProbs", dLogProbs, DType::kFloat32, 1, h.rows, "h", h);
    c.like("dh", dh, "h", h);
    c.indices("labels", labels, h.rows, "h", h, dh);
    c.require(headCount == 1, "head", "exactly one part", headCount);
    if (!c.ok()) return;
    {
      const typename C::Item item(c, "head", 0);
      head[0].check(c, h.rows, h.cols, "h", h);
    }
    c.notNegative("softcap", softcap);
  }
};

}  // namespace lowrank
