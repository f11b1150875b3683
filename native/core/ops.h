// THE op list: an argument struct per op, and the X-macro from which op ids, every backend's table and the schema that
// TypeScript encodes against are made. A kernel that a backend lacks is a link error.
//
// Shapes: N tokens (ragged, all sequences in one axis), D width, F feed-forward width, K input and O output features, V vocabulary,
// H query heads, Hkv key/value heads, hd head width, r rank, S sequences. "compute" is the dtype of activations: float32, bfloat16
// or float16, one per call. Every sum is accumulated in float32 and rounded once on the way out.
//
// visit() names the fields in wire order. in: read. out: wholly written, allocated when the command runs. inout: read and
// written, or accumulated into. Optional tensors say so. check() returns nullptr or a sentence; it sees shapes, not values.
#pragma once

#include <cstdint>

#include "tensor.h"

namespace lowrank {

// y = value.
struct FillArgs {
  Tensor y;
  float value;
  template <class V>
  void visit(V& v) {
    v.out("y", y);
    v.number("value", value);
  }
};

// y = x, converted: float32, bfloat16, float16 in any combination; int32 and uint8 to themselves.
struct CopyArgs {
  Tensor x;
  Tensor y;  // same rows and cols as x
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.out("y", y);
  }
};

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
};

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
};

// y[rows[i]] = x[i]; the other rows of y stay. Row indices are distinct.
struct ScatterRowsArgs {
  Tensor x;     // [N, D]
  Tensor rows;  // int32 [N], each in [0, y.rows)
  Tensor y;     // [M, D], same dtype
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.in("rows", rows);
    v.inout("y", y);
  }
};

// sum = x + residual (rounded to compute); y = sum / sqrt(mean(sum^2) + eps) * weight, for each of the H parts of a row by itself.
// Without residual, sum is absent and x is used.
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
};

// With n = x * rstd and g = dy * weight: dx = rstd * (g - n * mean(g * n)) + dSum; dWeight += sum over rows and parts of dy * n.
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
};

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
};

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
};

// Dropout is counter-based (Philox 4x32-10): the mask of element e of a site is a function of (seed, microStep, site, e) alone, so that a
// recomputation and any thread count see the same mask. Kept values are scaled by 1 / (1 - p). e = row * cols + col.
struct Dropout {
  float p;  // 0 switches dropout off
  double seed;
  double microStep;
  double site;
  template <class V>
  void visit(V& v) {
    v.number("p", p);
    v.number("seed", seed);
    v.number("microStep", microStep);
    v.number("site", site);
  }
};

// y = dropout(x): the op that tests see the mask through.
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
};

// bitsandbytes' NF4 of a matrix [O, K] (Dettmers et al. 2023, arXiv:2305.14314): elements row-major, two to a byte, the earlier in the high
// nibble. An element is code[q] * scale in float32, rounded to compute; the scale of block i is absmax[i] or, double quantised,
// nestedCode[absmax[i]] * nestedAbsmax[i / nestedBlockSize] + offset, product and sum each rounded to float32.
struct Nf4 {
  Tensor packed;        // uint8 [ceil(O K / 2)]
  Tensor absmax;        // [ceil(O K / blockSize)] float32; uint8 when double quantised
  Tensor code;          // float32 [16]
  Tensor nestedAbsmax;  // float32 [ceil(blocks / nestedBlockSize)], present exactly when absmax is uint8
  Tensor nestedCode;    // float32 [256], likewise
  Tensor offset;        // float32 [1], likewise
  int32_t rows;         // O
  int32_t cols;         // K
  int32_t blockSize;    // a power of two, as nestedBlockSize is
  int32_t nestedBlockSize;
  template <class V>
  void visit(V& v) {
    v.in("packed", packed);
    v.in("absmax", absmax);
    v.in("code", code);
    v.optionalIn("nestedAbsmax", nestedAbsmax);
    v.optionalIn("nestedCode", nestedCode);
    v.optionalIn("offset", offset);
    v.number("rows", rows);
    v.number("cols", cols);
    v.number("blockSize", blockSize);
    v.number("nestedBlockSize", nestedBlockSize);
  }
};

struct Nf4Visitor {
  template <class V>
  static void visit(V& v, Nf4& nf4) {
    nf4.visit(v);
  }
};

// q = the number of midpoints of neighbouring codes below x / absmax, absmax being the largest magnitude of the block. nestedAbsmax makes it
// double quantised: offset = mean of absmax, and absmax - offset becomes 8 bits against nestedCode in the same way.
struct QuantizeNf4Args {
  Tensor x;       // [O, K] float32, bfloat16 or float16
  Tensor packed;  // as in Nf4, and so on
  Tensor absmax;
  Tensor nestedAbsmax;  // optional
  Tensor offset;        // present exactly when nestedAbsmax is
  Tensor code;
  Tensor nestedCode;  // likewise
  int32_t blockSize;
  int32_t nestedBlockSize;
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.out("packed", packed);
    v.out("absmax", absmax);
    v.optionalOut("nestedAbsmax", nestedAbsmax);
    v.optionalOut("offset", offset);
    v.in("code", code);
    v.optionalIn("nestedCode", nestedCode);
    v.number("blockSize", blockSize);
    v.number("nestedBlockSize", nestedBlockSize);
  }
};

struct DequantizeNf4Args {
  Tensor y;  // [O, K] compute
  Nf4 nf4;
  template <class V>
  void visit(V& v) {
    v.out("y", y);
    nf4.visit(v);
  }
};

// One LoRA adapter on one part of a linear: y += s B^T with s = scale * dropout(x) A^T (scaled in float32, then rounded to compute).
struct LoraSlab {
  Tensor a;   // [r, K] compute
  Tensor b;   // [O, r] compute
  Tensor s;   // [N, r] compute: written by forward, read by backward
  Tensor da;  // [r, K] float32, accumulated; backward only, optional
  Tensor db;  // [O, r] float32, accumulated; backward only, optional
  float scale;
  Dropout dropout;
};

// One projection of a linear group. Its outputs are the columns [sum of earlier O, + O) of y.
struct LinearPart {
  Tensor weight;  // [O, K] compute; [K, O] when inOut; left out when the weight is nf4
  Nf4* nf4;       // at most one, in place of weight: no inOut, no dWeight
  int32_t nf4Count;
  Tensor bias;     // [O] compute, optional
  Tensor dWeight;  // like weight, float32, accumulated; backward only, optional
  Tensor dBias;    // [O] float32, accumulated; backward only, optional
  int32_t inOut;   // 1: GPT-2's Conv1D layout
  LoraSlab* slabs;
  int32_t slabCount;
};

struct ForwardSlabVisitor {
  template <class V>
  static void visit(V& v, LoraSlab& slab) {
    v.in("a", slab.a);
    v.in("b", slab.b);
    v.out("s", slab.s);
    v.number("scale", slab.scale);
    v.group("dropout", slab.dropout);
  }
};

struct ForwardPartVisitor {
  template <class V>
  static void visit(V& v, LinearPart& part) {
    v.optionalIn("weight", part.weight);
    v.template list<Nf4Visitor>("nf4", part.nf4, part.nf4Count);
    v.optionalIn("bias", part.bias);
    v.number("inOut", part.inOut);
    v.template list<ForwardSlabVisitor>("slabs", part.slabs, part.slabCount);
  }
};

struct BackwardSlabVisitor {
  template <class V>
  static void visit(V& v, LoraSlab& slab) {
    v.in("a", slab.a);
    v.in("b", slab.b);
    v.in("s", slab.s);
    v.optionalInout("da", slab.da);
    v.optionalInout("db", slab.db);
    v.number("scale", slab.scale);
    v.group("dropout", slab.dropout);
  }
};

struct BackwardPartVisitor {
  template <class V>
  static void visit(V& v, LinearPart& part) {
    v.optionalIn("weight", part.weight);
    v.template list<Nf4Visitor>("nf4", part.nf4, part.nf4Count);
    v.optionalInout("dWeight", part.dWeight);
    v.optionalInout("dBias", part.dBias);
    v.number("inOut", part.inOut);
    v.template list<BackwardSlabVisitor>("slabs", part.slabs, part.slabCount);
  }
};

// y[:, part] = x W^T + bias + sum over slabs of s B^T. The dense and the low-rank products share one float32 accumulator: one rounding.
struct LinearArgs {
  Tensor x;  // [N, K] compute
  Tensor y;  // [N, sum of O] compute, or float32
  LinearPart* parts;
  int32_t partCount;
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.out("y", y);
    v.template list<ForwardPartVisitor>("parts", parts, partCount);
  }
};

// With ds = scale * dy_p B (rounded to compute): dx = sum over parts of dy_p W + sum over slabs of mask(ds A), one accumulator, one rounding;
// dB += dy_p^T s; dA += ds^T dropout(x); dWeight += dy_p^T x; dBias += column sums of dy_p.
struct LinearBackwardArgs {
  Tensor dy;  // [N, sum of O] compute
  Tensor x;   // [N, K] compute; optional: needed for da and dWeight
  Tensor dx;  // [N, K] compute; optional: left out when x needs no gradient
  LinearPart* parts;
  int32_t partCount;
  template <class V>
  void visit(V& v) {
    v.in("dy", dy);
    v.optionalIn("x", x);
    v.optionalOut("dx", dx);
    v.template list<BackwardPartVisitor>("parts", parts, partCount);
  }
};

// Rotates each head of x: with a = x[j], b = x[j + hd/2] and the row of the token's position, a' = a cos - b sin, b' = b cos + a sin.
// inverse rotates back, which is the backward. y may be x.
struct RopeArgs {
  Tensor x;          // [N, H * hd] compute
  Tensor cosSin;     // [P, hd] float32: hd/2 cosines, then hd/2 sines
  Tensor positions;  // int32 [N], each in [0, P); one outside is a fault that names it
  Tensor y;          // [N, H * hd] compute
  int32_t headDim;
  int32_t inverse;
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.in("cosSin", cosSin);
    v.in("positions", positions);
    v.out("y", y);
    v.number("headDim", headDim);
    v.number("inverse", inverse);
  }
};

struct AttentionOptions {
  int32_t headDim;
  int32_t causal;  // 1: query i of a sequence sees keys up to i + (lenK - lenQ)
  int32_t window;  // > 0: and no key more than window - 1 before that; 0: no window
  float scale;     // of q k^T
  float softcap;   // > 0: scores become softcap * tanh(scores / softcap); 0: none
  template <class V>
  void visit(V& v) {
    v.number("headDim", headDim);
    v.number("causal", causal);
    v.number("window", window);
    v.number("scale", scale);
    v.number("softcap", softcap);
  }
};

// Softmax attention inside each sequence, FlashAttention-2 style (Dao 2023): no [N, N] matrix is ever stored.
// H = q.cols / hd, Hkv = k.cols / hd, head h reads key/value head h / (H / Hkv).
struct AttentionArgs {
  Tensor q;           // [Nq, H * hd] compute
  Tensor k;           // [Nk, Hkv * hd] compute
  Tensor v;           // [Nk, Hkv * hd] compute
  Tensor cuSeqlensQ;  // int32 [S + 1], ascending from 0 to Nq
  Tensor cuSeqlensK;  // int32 [S + 1], ascending from 0 to at most Nk
  Tensor seqUsedK;    // int32 [S], optional: only so many of a sequence's keys are there, the first ones
  Tensor y;           // [Nq, H * hd] compute
  Tensor lse;         // [H, Nq] float32: log-sum-exp of the scores
  AttentionOptions options;
  template <class V>
  void visit(V& v_) {
    v_.in("q", q);
    v_.in("k", k);
    v_.in("v", v);
    v_.in("cuSeqlensQ", cuSeqlensQ);
    v_.in("cuSeqlensK", cuSeqlensK);
    v_.optionalIn("seqUsedK", seqUsedK);
    v_.out("y", y);
    v_.out("lse", lse);
    v_.group("options", options);
  }
};

struct AttentionBackwardArgs {
  Tensor dy;          // [Nq, H * hd] compute
  Tensor q;           // [Nq, H * hd] compute
  Tensor k;           // [Nk, Hkv * hd] compute
  Tensor v;           // [Nk, Hkv * hd] compute
  Tensor cuSeqlensQ;  // int32 [S + 1]
  Tensor cuSeqlensK;  // int32 [S + 1]
  Tensor y;           // [Nq, H * hd] compute
  Tensor lse;         // [H, Nq] float32
  Tensor dq;          // [Nq, H * hd] compute
  Tensor dk;          // [Nk, Hkv * hd] compute
  Tensor dv;          // [Nk, Hkv * hd] compute
  AttentionOptions options;
  template <class V>
  void visit(V& v_) {
    v_.in("dy", dy);
    v_.in("q", q);
    v_.in("k", k);
    v_.in("v", v);
    v_.in("cuSeqlensQ", cuSeqlensQ);
    v_.in("cuSeqlensK", cuSeqlensK);
    v_.in("y", y);
    v_.in("lse", lse);
    v_.out("dq", dq);
    v_.out("dk", dk);
    v_.out("dv", dv);
    v_.group("options", options);
  }
};

// With x = [gate | up]: y = gate * sigmoid(gate) * up.
struct SwigluArgs {
  Tensor x;  // [N, 2F] compute
  Tensor y;  // [N, F] compute
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.out("y", y);
  }
};

struct SwigluBackwardArgs {
  Tensor dy;  // [N, F] compute
  Tensor x;   // [N, 2F] compute
  Tensor dx;  // [N, 2F] compute; may be x's memory
  template <class V>
  void visit(V& v) {
    v.in("dy", dy);
    v.in("x", x);
    v.out("dx", dx);
  }
};

// tanh = 1: 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))), GPT-2's gelu_new; 0: 0.5 x (1 + erf(x / sqrt 2)).
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
};

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
};

// loss = sum over labelled rows of -log softmax(softcap(logits))[label], divided by divisor (or by the labelled rows when divisor
// is 0). Rows whose label is -100 never reach the head; logits exist for one chunk of rows at a time. While recording, dh is present and
// the gradients for an upstream gradient of lossScale are made in the same pass: dh (rows without a label: zero), and, where present,
// the head's dWeight and its slabs' da and db. They are scaled in float32, before anything is rounded to compute; the loss is not.
// An id outside [0, V) that is not -100 is a fault that names it; no labelled row at all gives 0.
struct LinearCrossEntropyArgs {
  Tensor h;          // [N, D] compute
  Tensor labels;     // int32 [N], already shifted
  Tensor loss;       // [1] float32
  Tensor dh;         // [N, D] compute, optional
  LinearPart* head;  // one part [V, D], no bias; slabs' s is not given here (null): chunks keep their own
  int32_t headCount;
  float softcap;
  double divisor;
  double lossScale;  // finite, > 0
  template <class V>
  void visit(V& v);
};

struct HeadSlabVisitor {
  template <class V>
  static void visit(V& v, LoraSlab& slab) {
    v.in("a", slab.a);
    v.in("b", slab.b);
    v.optionalInout("da", slab.da);
    v.optionalInout("db", slab.db);
    v.number("scale", slab.scale);
    v.group("dropout", slab.dropout);
  }
};

struct HeadVisitor {
  template <class V>
  static void visit(V& v, LinearPart& part) {
    v.in("weight", part.weight);
    v.optionalInout("dWeight", part.dWeight);
    v.template list<HeadSlabVisitor>("slabs", part.slabs, part.slabCount);
  }
};

template <class V>
void LinearCrossEntropyArgs::visit(V& v) {
  v.in("h", h);
  v.in("labels", labels);
  v.out("loss", loss);
  v.optionalOut("dh", dh);
  v.template list<HeadVisitor>("head", head, headCount);
  v.number("softcap", softcap);
  v.number("divisor", divisor);
  v.number("lossScale", lossScale);
}

// All of one shape, rows without gaps.
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

// AdamW with decoupled decay (Loshchilov & Hutter 2019), PyTorch's order: p *= 1 - lr * wd; m, v; p -= lr / (1 - b1^t) * m / (sqrt(v / (1 - b2^t)) + eps).
// Gradients count divided by lossScale, wherever they are read. norms[i] is the L2 norm of gradient i, norms[P] that of all.
// With maxGradNorm > 0 gradients count times min(1, maxGradNorm / (norm + 1e-6)).
// Atomic: when the whole norm is not finite nothing but norms is written.
struct AdamwArgs {
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
};

// ids[i] = the first index of the largest value of row i.
struct ArgmaxArgs {
  Tensor x;    // [N, V] compute or float32
  Tensor ids;  // int32 [N]
  template <class V>
  void visit(V& v) {
    v.in("x", x);
    v.out("ids", ids);
  }
};

// The next id of each sequence, by the steps of transformers' logits processors: a logit of an id that was seen is divided by repetitionPenalty
// where it is positive, else multiplied; all are divided by temperature; the topK largest stay, with those that equal the last (0: all); of these,
// from the largest down, those before which less than topP of their probability lies; of these, those of at least minP times the largest
// probability. One of them is drawn, by Philox of (seed, sequence, step). Temperature 0 takes the first of the largest after the
// penalty. The id is marked in seen. A sequence without a logit above -infinity is a fault.
struct SampleArgs {
  Tensor logits;            // [S, V] float32
  Tensor steps;             // int32 [S]: another number for every draw
  Tensor seen;              // uint8 [S, V], 0 or 1; present exactly when repetitionPenalty is not 1
  Tensor ids;               // int32 [S]
  float temperature;        // >= 0
  int32_t topK;             // >= 0
  float topP;               // [0, 1]
  float minP;               // [0, 1]
  float repetitionPenalty;  // > 0
  double seed;
  template <class V>
  void visit(V& v) {
    v.in("logits", logits);
    v.in("steps", steps);
    v.optionalInout("seen", seen);
    v.out("ids", ids);
    v.number("temperature", temperature);
    v.number("topK", topK);
    v.number("topP", topP);
    v.number("minP", minP);
    v.number("repetitionPenalty", repetitionPenalty);
    v.number("seed", seed);
  }
};

#define LOWRANK_OPS(X)                             \
  X(fill, FillArgs)                                \
  X(copy, CopyArgs)                                \
  X(add, AddArgs)                                  \
  X(embedding, EmbeddingArgs)                      \
  X(embeddingBackward, EmbeddingBackwardArgs)      \
  X(scatterRows, ScatterRowsArgs)                  \
  X(rmsNorm, RmsNormArgs)                          \
  X(rmsNormBackward, RmsNormBackwardArgs)          \
  X(layerNorm, LayerNormArgs)                      \
  X(layerNormBackward, LayerNormBackwardArgs)      \
  X(dropout, DropoutArgs)                          \
  X(quantizeNf4, QuantizeNf4Args)                  \
  X(dequantizeNf4, DequantizeNf4Args)              \
  X(linear, LinearArgs)                            \
  X(linearBackward, LinearBackwardArgs)            \
  X(rope, RopeArgs)                                \
  X(attention, AttentionArgs)                      \
  X(attentionBackward, AttentionBackwardArgs)      \
  X(swiglu, SwigluArgs)                            \
  X(swigluBackward, SwigluBackwardArgs)            \
  X(gelu, GeluArgs)                                \
  X(geluBackward, GeluBackwardArgs)                \
  X(linearCrossEntropy, LinearCrossEntropyArgs)    \
  X(adamw, AdamwArgs)                              \
  X(argmax, ArgmaxArgs)                            \
  X(sample, SampleArgs)

// A backend: one function per op, in list order.
class Context;
struct Backend {
  const char* name;
#define LOWRANK_FIELD(op, Args) void (*op)(const Args& args, Context& context);
  LOWRANK_OPS(LOWRANK_FIELD)
#undef LOWRANK_FIELD
};

}  // namespace lowrank
