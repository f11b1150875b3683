// What both ways of attention's backward share (attention_backward.cu, attention_wgmma.cu): the two sides of a pass,
// and the weights of a pair.
#pragma once

#include "attention.cuh"

namespace lowrank::LOWRANK_BACKEND {

// The matrices as a block sees them: own rows are those that it makes gradients of.
template <class T>
struct Sides {
  Matrix<const T> q;        // [Nq, H hd]
  Matrix<const T> dy;       // [Nq, H hd]
  Matrix<const T> k;        // [Nk, Hkv hd]
  Matrix<const T> v;        // [Nk, Hkv hd]
  Matrix<const float> lse;  // [H, Nq]
  const float* dots;        // [H, Nq]
};

template <class T>
Sides<T> sidesOf(const AttentionBackwardArgs& args, const float* dots) {
  return Sides<T>{matrixOf<const T>(args.q), matrixOf<const T>(args.dy),      matrixOf<const T>(args.k),
                  matrixOf<const T>(args.v), matrixOf<const float>(args.lse), dots};
}

// Every head of what the passes read and write may be copied 16 bytes at a time.
inline bool wholeHeads(const AttentionBackwardArgs& args) {
  for (const Tensor* tensor : {&args.q, &args.dy, &args.k, &args.v, &args.dq, &args.dk, &args.dv}) {
    if (!wholeHeads(*tensor, args.options)) return false;
  }
  return true;
}

// What a block goes through: `tileRows` rows of the other side at a time, for each of its heads in turn. Where own rows
// are keys the others are the queries that see any of them, of every query head of the group; where own rows are
// queries they are keys.
struct OtherSide {
  int firstHead;
  int32_t begin;
  int32_t end;
  int tileRows;
  int32_t perHead;
  int32_t tiles;

  struct Place {
    int head;
    int32_t at;
    int32_t end;
  };
  __device__ __forceinline__ Place placeOf(int32_t tile) const {
    const int32_t at = begin + tile % perHead * tileRows;
    return Place{firstHead + tile / perHead, at, end - at < tileRows ? end : at + tileRows};
  }
};

template <bool kKeys>
__device__ __forceinline__ OtherSide otherSideOf(const SequenceTask& task, const Visibility& seen, int firstHead,
                                                 int group, int tileRows) {
  const int32_t ownEnd = task.first + task.count;
  const int32_t begin = kKeys ? seen.firstQuery(task.first) : seen.firstKey(task.first);
  const int32_t end = kKeys ? seen.endQuery(ownEnd, task.qCount) : seen.endKey(ownEnd - 1);
  const int32_t perHead = end > begin ? (end - begin + tileRows - 1) / tileRows : 0;
  return OtherSide{firstHead, begin, end, tileRows, perHead, perHead * (kKeys ? group : 1)};
}

// What the weights of a pair take of its query.
struct OfQuery {
  float lse;  // times log2(e)
  float dot;
};

template <class T>
__device__ __forceinline__ OfQuery ofQuery(const Sides<T>& sides, int head, int64_t query) {
  return OfQuery{sides.lse.row(head)[query] * kLog2E, sides.dots[static_cast<int64_t>(head) * sides.q.rows + query]};
}

// From products to weights, of pairs that are all visible: `ds` is q.k before, `p` dy.v. `of(half, column)` tells what
// belongs to a pair's query.
template <int kTiles, class Of>
__device__ __forceinline__ void weigh(float (&ds)[kTiles][4], float (&p)[kTiles][4], const Of& of,
                                      const AttentionOptions& options) {
  const auto weighAll = [&](const auto& scored) {
    LOWRANK_UNROLL for (int n = 0; n < kTiles; ++n) {
      LOWRANK_UNROLL for (int e = 0; e < 4; ++e) {
        const OfQuery query = of(e / 2, columnOf(n, e));
        const Score score = scored(ds[n][e]);
        const float weight = exp2Fast(score.value - query.lse);
        ds[n][e] = weight * (p[n][e] - query.dot) * score.slope;
        p[n][e] = weight;
      }
    }
  };
  if (options.softcap > 0.0f) {
    weighAll([&](float product) { return cappedScore(product, options); });
  } else {
    weighAll([&](float product) { return plainScore(product, options); });
  }
}

// Zeros for the pairs of a tile that are not there or not visible. This thread's rows are `row` and `row` + 8 of the
// task's `rows`.
template <bool kKeys, int kTiles>
__device__ __forceinline__ void hidePairs(float (&ds)[kTiles][4], float (&p)[kTiles][4], const SequenceTask& task,
                                          int rows, int row, const OtherSide::Place& place, const Visibility& seen) {
  const int32_t ownEnd = task.first + task.count;
  if (task.count == rows && place.end - place.at == 8 * kTiles &&
      (kKeys ? seen.all(place.at, place.end, task.first, ownEnd) : seen.all(task.first, ownEnd, place.at, place.end)))
    return;
  // The rows of the other side that each row sees, or is seen by. None of them are past the place's end.
  int32_t first[2], end[2];
  LOWRANK_UNROLL for (int half = 0; half < 2; ++half) {
    const int32_t own = task.first + row + 8 * half;
    first[half] = (kKeys ? seen.firstQuery(own) : seen.firstKey(own)) - place.at;
    end[half] = own < ownEnd ? (kKeys ? seen.endQuery(own + 1, task.qCount) : seen.endKey(own)) - place.at : 0;
  }
  const auto visible = [&](int half, int col) { return col >= first[half] && col < end[half]; };
  hide(ds, 0.0f, visible);
  hide(p, 0.0f, visible);
}

}  // namespace lowrank::LOWRANK_BACKEND
