#pragma once

#include "../tensor.h"

namespace lowrank {

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

  // With the tensors that forward and backward share.
  template <class C>
  void check(C& c, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& cuSeqlensQ, const Tensor& y,
             const Tensor& lse) const {
    c.compute("q", q);
    c.compute("k", k);
    c.dtype("k", k, "q", q);
    c.like("v", v, "k", k);
    c.like("y", y, "q", q);
    c.require(headDim >= 1, "options.headDim", "a head width of at least 1", headDim);
    c.flag("options.causal", causal);
    c.require(window >= 0, "options.window", "a whole number >= 0", window);
    c.finite("options.scale", scale);
    c.notNegative("options.softcap", softcap);
    if (!c.ok()) return;
    c.require(q.cols % headDim == 0, "q", "whole heads of headDim columns", double(q.cols));
    c.require(k.cols % headDim == 0, "k", "whole heads of headDim columns", double(k.cols));
    c.require(q.cols % k.cols == 0, "q", "a multiple of k's columns", double(q.cols));
    c.matrix("lse", lse, DType::kFloat32, q.cols / headDim, q.rows, "q", q);
    c.require(cuSeqlensQ.cols >= 2, "cuSeqlensQ", "at least two cumulative lengths", double(cuSeqlensQ.cols));
  }
};

// Softmax attention inside each sequence, FlashAttention-2 style (Dao 2023): no [N, N] matrix is ever stored.
// H = q.cols / hd, Hkv = k.cols / hd, head h reads key/value head h / (H / Hkv).
//
// Keys lie in one of two ways, and give the same bits in both:
//   in a row   cuSeqlensK: those of a sequence are neighbours.
//   in blocks  blockTable, seqUsedK, blockSize: key j of sequence s is row blockTable[s, j / blockSize] * blockSize +
//              j % blockSize. Entries after the blocks that seqUsedK needs are not read.
struct AttentionArgs {
  Tensor q;           // [Nq, H * hd] compute
  Tensor k;           // [Nk, Hkv * hd] compute
  Tensor v;           // [Nk, Hkv * hd] compute
  Tensor cuSeqlensQ;  // int32 [S + 1], ascending from 0 to Nq
  Tensor cuSeqlensK;  // int32 [S + 1], ascending from 0 to at most Nk; left out beside blockTable
  Tensor seqUsedK;    // int32 [S], optional: only so many of a sequence's keys are there, the first ones
  Tensor blockTable;  // int32 [S, blocks], optional: each in [0, Nk / blockSize)
  Tensor y;           // [Nq, H * hd] compute
  Tensor lse;         // [H, Nq] float32: log-sum-exp of the scores
  int32_t blockSize;  // with blockTable a power of two from 64 on, of which Nk is a multiple; else 0
  AttentionOptions options;
  template <class V>
  void visit(V& v_) {
    v_.in("q", q);
    v_.in("k", k);
    v_.in("v", v);
    v_.in("cuSeqlensQ", cuSeqlensQ);
    v_.optionalIn("cuSeqlensK", cuSeqlensK);
    v_.optionalIn("seqUsedK", seqUsedK);
    v_.optionalIn("blockTable", blockTable);
    v_.out("y", y);
    v_.out("lse", lse);
    v_.number("blockSize", blockSize);
    v_.group("options", options);
  }
  template <class C>
  void check(C& c) const {
    options.check(c, q, k, v, cuSeqlensQ, y, lse);
    const bool inBlocks = C::present(blockTable);
    c.sentence(C::present(cuSeqlensK) != inBlocks, "expected either cuSeqlensK or blockTable, got both or none");
    c.sentence(C::present(seqUsedK) || !inBlocks, "expected seqUsedK beside blockTable, got none");
    if (inBlocks) {
      c.require(blockSize >= 64 && (blockSize & (blockSize - 1)) == 0, "blockSize", "a power of two from 64 on",
                blockSize);
      if (!c.ok()) return;
      c.require(k.rows % blockSize == 0, "k", "whole blocks of blockSize rows", double(k.rows));
      c.require(blockTable.cols >= 1, "blockTable", "at least one block per sequence", double(blockTable.cols));
      c.matrix("blockTable", blockTable, DType::kInt32, cuSeqlensQ.cols - 1, blockTable.cols, "cuSeqlensQ", cuSeqlensQ);
    } else {
      c.require(blockSize == 0, "blockSize", "0 without blockTable", blockSize);
    }
    const auto written = [&](const Tensor& tensor) {
      c.indices("cuSeqlensQ", cuSeqlensQ, cuSeqlensQ.cols, "q", q, tensor);
      if (!inBlocks) c.indices("cuSeqlensK", cuSeqlensK, cuSeqlensQ.cols, "cuSeqlensQ", cuSeqlensQ, tensor);
      c.unwritten("blockTable", blockTable, tensor);
      if (C::present(seqUsedK)) c.indices("seqUsedK", seqUsedK, cuSeqlensQ.cols - 1, "cuSeqlensQ", cuSeqlensQ, tensor);
    };
    written(y);
    written(lse);
  }
};

// With the probabilities p = exp(scores - lse) and delta = row sums of dy * y: dv = p^T dy; ds = p * (dy v^T - delta),
// times the softcap's slope; dq = scale * ds k; dk = scale * ds^T q. dk and dv are summed over the query heads that
// share a key/value head.
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
  template <class C>
  void check(C& c) const {
    options.check(c, q, k, v, cuSeqlensQ, y, lse);
    c.like("dy", dy, "q", q);
    c.like("dq", dq, "q", q);
    c.like("dk", dk, "k", k);
    c.like("dv", dv, "v", v);
    const auto written = [&](const Tensor& tensor) {
      c.indices("cuSeqlensQ", cuSeqlensQ, cuSeqlensQ.cols, "q", q, tensor);
      c.indices("cuSeqlensK", cuSeqlensK, cuSeqlensQ.cols, "cuSeqlensQ", cuSeqlensQ, tensor);
    };
    written(dq);
    written(dk);
    written(dv);
  }
};

}  // namespace lowrank
