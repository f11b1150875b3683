#pragma once

#include "../tensor.h"

namespace lowrank {

// y[i] = weight[ids[i]]. An id outside [0, rows) is a fault that names it.
struct EmbeddingArgs {
  Tensor ids;     // int32 [N]
  Tensor weight;  // [V, D] compute
  Tensor y;       // [N, D] compute
  template <class V>
  void visit(V& v) {
    v.in("ids", ids);
    v.in("weight", weight);
    v.out("y", y);
  }
  template <class C>
  void check(C& c) const {
    c.compute("weight", weight);
    c.indices("ids", ids, y.rows, "y", y, y);
    c.shape("y", y, ids.cols, weight.cols, "weight", weight);
    c.dtype("y", y, "weight", weight);
  }
};

// dWeight[ids[i]] += dy[i], in the order of i.
struct EmbeddingBackwardArgs {
  Tensor ids;      // int32 [N]
  Tensor dy;       // [N, D] compute
  Tensor dWeight;  // [V, D] float32, accumulated
  template <class V>
  void visit(V& v) {
    v.in("ids", ids);
    v.in("dy", dy);
    v.inout("dWeight", dWeight);
  }
  template <class C>
  void check(C& c) const {
    c.compute("dy", dy);
    c.indices("ids", ids, dy.rows, "dy", dy, dWeight);
    c.matrix("dWeight", dWeight, DType::kFloat32, dWeight.rows, dy.cols, "dy", dy);
  }
};

}  // namespace lowrank
