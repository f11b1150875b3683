#pragma once

#include "../tensor.h"
#include "dropout.h"
#include "nf4.h"

namespace lowrank {

// One LoRA adapter on one part of a linear: y += s B^T with s = scale * dropout(x) A^T, scaled in float32, then rounded
// to compute.
struct LoraPair {
  Tensor a;     // [r, K] compute
  Tensor b;     // [O, r] compute
  Tensor s;     // [N, r] compute: written by forward, read by backward
  Tensor da;    // [r, K] float32, accumulated; backward only, optional
  Tensor db;    // [O, r] float32, accumulated; backward only, optional
  Tensor rows;  // int32 [2], forward only, optional: the pair is of the rows [rows[0], rows[1]) of x alone
  float scale;
  Dropout dropout;

  // On a part of `outputs` rows (O) and `inner` input features (K), for an input of `rows` rows (N).
  template <class C>
  void check(C& c, int64_t rows, int64_t inner, int64_t outputs, const char* inputName, const Tensor& input) const {
    const int64_t rank = a.rows;
    c.compute("a", a);
    c.shape("a", a, rank, inner, inputName, input);
    c.dtype("a", a, inputName, input);
    c.shape("b", b, outputs, rank, "a", a);
    c.dtype("b", b, inputName, input);
    c.shape("s", s, rows, rank, "a", a);
    c.dtype("s", s, inputName, input);
    c.matrix("da", da, DType::kFloat32, rank, inner, "a", a);
    c.matrix("db", db, DType::kFloat32, outputs, rank, "b", b);
    c.finite("scale", scale);
    dropout.check(c);
    if (!C::present(this->rows)) return;
    c.indices("rows", this->rows, 2, inputName, input, s);
    c.sentence(dropout.p == 0, "expected no dropout for a pair with rows");
  }
};

// How the products of a linear may be summed. All give the same to rounding.
//   by rows  in the order that is fastest for so many rows of x
//   few      in the order that is fastest for few rows: bits of a row of y do not depend on the other rows
//   many     the same in the order that is fastest for many rows
enum class SumOrder : int32_t { kByRows = 0, kFew = 1, kMany = 2 };

// One projection of a linear group. Its outputs are the columns [sum of earlier O, + O) of y.
struct Projection {
  Tensor weight;  // [O, K] compute; [K, O] when inOut; left out when the weight is nf4
  Nf4* nf4;       // at most one, in place of weight: no inOut, no dWeight
  int32_t nf4Count;
  Tensor bias;     // [O] compute, optional
  Tensor dWeight;  // like weight, float32, accumulated; backward only, optional
  Tensor dBias;    // [O] float32, accumulated; backward only, optional
  int32_t inOut;   // 1: GPT-2's Conv1D layout
  LoraPair* pairs;
  int32_t pairCount;

  // Weight, gradients and LoRA pairs, for an input (or an output's gradient) of `rows` rows and K = inner. Returns O.
  template <class C>
  int64_t check(C& c, int64_t rows, int64_t inner, const char* inputName, const Tensor& input) const {
    const bool quantized = nf4Count > 0;
    c.flag("inOut", inOut);
    c.require(nf4Count <= 1, "nf4", "at most one weight", nf4Count);
    c.sentence(C::present(weight) != quantized, "expected either weight or nf4 for each part, got both or none");
    Tensor w = weight;
    const char* name = "weight";
    if (c.ok() && quantized) {
      c.require(inOut == 0, "inOut", "0 beside nf4", inOut);
      c.sentence(!C::present(dWeight), "expected no dWeight beside nf4, which has no gradient");
      w = input;
      w.rows = nf4[0].rows;
      w.cols = nf4[0].cols;
      name = "nf4[0]";
      const typename C::Item item(c, "nf4", 0);
      nf4[0].check(c, inputName, input);
    }
    const int64_t outputs = inOut ? w.cols : w.rows;
    c.compute(name, w);
    c.shape(name, w, inOut ? inner : outputs, inOut ? outputs : inner, inputName, input);
    c.dtype(name, w, inputName, input);
    c.vector("bias", bias, outputs, name, w);
    c.matrix("dWeight", dWeight, DType::kFloat32, w.rows, w.cols, name, w);
    c.matrix("dBias", dBias, DType::kFloat32, 1, outputs, name, w);
    for (int32_t i = 0; i < pairCount && c.ok(); ++i) {
      const typename C::Item item(c, "pairs", i);
      pairs[i].check(c, rows, inner, outputs, inputName, input);
    }
    return outputs;
  }
};

struct ForwardPairVisitor {
  template <class V>
  static void visit(V& v, LoraPair& pair) {
    v.in("a", pair.a);
    v.in("b", pair.b);
    v.optionalIn("rows", pair.rows);
    v.out("s", pair.s);
    v.number("scale", pair.scale);
    v.group("dropout", pair.dropout);
  }
};

struct ForwardPartVisitor {
  template <class V>
  static void visit(V& v, Projection& part) {
    v.optionalIn("weight", part.weight);
    v.template list<Nf4Visitor>("nf4", part.nf4, part.nf4Count);
    v.optionalIn("bias", part.bias);
    v.number("inOut", part.inOut);
    v.template list<ForwardPairVisitor>("pairs", part.pairs, part.pairCount);
  }
};

struct BackwardPairVisitor {
  template <class V>
  static void visit(V& v, LoraPair& pair) {
    v.in("a", pair.a);
    v.in("b", pair.b);
    v.in("s", pair.s);
    v.optionalInout("da", pair.da);
    v.optionalInout("db", pair.db);
    v.number("scale", pair.scale);
    v.group("dropout", pair.dropout);
  }
};

struct BackwardPartVisitor {
  template <class V>
  static void visit(V& v, Projection& part) {
    v.optionalIn("weight", part.weight);
    v.template list<Nf4Visitor>("nf4", part.nf4, part.nf4Count);
    v.optionalInout("dWeight", part.dWeight);
    v.optionalInout("dBias", part.dBias);
    v.number("inOut", part.inOut);
    v.template list<BackwardPairVisitor>("pairs", part.pairs, part.pairCount);
  }
};

// y[:, part] = x W^T + bias + sum over LoRA pairs of s B^T. The dense and the low-rank products share one float32
// accumulator and one rounding. A pair with `rows` has s = 0 in the rows that are not its own.
struct LinearArgs {
  Tensor x;  // [N, K] compute
  Tensor y;  // [N, sum of O] compute, or float32
  Projection* parts;
  int32_t partCount;
  int32_t sumOrder;  // SumOrder
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.out("y", y);
    v.number("sumOrder", sumOrder);
    v.template list<ForwardPartVisitor>("parts", parts, partCount);
  }
  template <class C>
  void check(C& c) const {
    c.compute("x", x);
    c.compute("y", y);
    int64_t outputs = 0;
    for (int32_t i = 0; i < partCount && c.ok(); ++i) {
      const typename C::Item item(c, "parts", i);
      outputs += parts[i].check(c, x.rows, x.cols, "x", x);
    }
    c.require(partCount >= 1, "parts", "at least one part", partCount);
    c.require(sumOrder >= 0 && sumOrder <= 2, "sumOrder", "0, 1 or 2", sumOrder);
    c.shape("y", y, x.rows, outputs, "x", x);
    for (int32_t i = 0; i < partCount && c.ok(); ++i) {
      for (int32_t j = 0; j < parts[i].pairCount; ++j) c.unwritten("rows", parts[i].pairs[j].rows, y);
    }
    if (y.dtype != DType::kFloat32) c.dtype("y", y, "x", x);
  }
};

// With ds = scale * dy_p B (rounded to compute): dx = sum over parts of dy_p W + sum over LoRA pairs of mask(ds A),
// with one accumulator and one rounding; dB += dy_p^T s; dA += ds^T dropout(x); dWeight += dy_p^T x; dBias += column
// sums of dy_p.
struct LinearBackwardArgs {
  Tensor dy;  // [N, sum of O] compute
  Tensor x;   // [N, K] compute; optional: needed for da and dWeight
  Tensor dx;  // [N, K] compute; optional: left out when x needs no gradient
  Projection* parts;
  int32_t partCount;
  template <class V>
  void visit(V& v) {
    v.in("dy", dy);
    v.optionalIn("x", x);
    v.optionalOut("dx", dx);
    v.template list<BackwardPartVisitor>("parts", parts, partCount);
  }
  template <class C>
  void check(C& c) const {
    c.compute("dy", dy);
    c.require(partCount >= 1, "parts", "at least one part", partCount);
    if (!c.ok()) return;
    const Projection& first = parts[0];
    const bool quantized = first.nf4Count > 0;
    const int64_t inner = quantized ? first.nf4[0].cols : first.inOut ? first.weight.rows : first.weight.cols;
    int64_t outputs = 0;
    bool needsInput = false;
    for (int32_t i = 0; i < partCount && c.ok(); ++i) {
      const typename C::Item item(c, "parts", i);
      const Projection& part = parts[i];
      outputs += part.check(c, dy.rows, inner, "dy", dy);
      needsInput |= C::present(part.dWeight);
      for (int32_t j = 0; j < part.pairCount; ++j) needsInput |= C::present(part.pairs[j].da);
    }
    if (quantized) {
      c.require(dy.cols == outputs, "dy", "the columns of all parts", double(dy.cols));
    } else {
      c.shape("dy", dy, dy.rows, outputs, "parts[0].weight", first.weight);
    }
    c.sentence(C::present(x) || !needsInput, "expected x, which dWeight and da are made from, got none");
    c.shape("x", x, dy.rows, inner, "dy", dy);
    c.dtype("x", x, "dy", dy);
    c.shape("dx", dx, dy.rows, inner, "dy", dy);
    c.dtype("dx", dx, "dy", dy);
  }
};

}  // namespace lowrank
