// Attention's backward. With D = dy.y, s_j = scale q.k_j or c tanh(scale q.k_j / c), p_j = e^(s_j - lse), recomputed:
//   dv_j = sum over queries of p_j dy;  ds_j = p_j (dy.v_j - D), times 1 - (s_j / c)^2 under softcap
//   dq = scale sum over keys of ds_j k_j;  dk_j = scale sum over queries of ds_j q
//
// Shapes, dtypes and masks as in attention.cpp; dk and dv rows that belong to no sequence are zero. Products and sums
// are float32; each output is rounded once. With bfloat16 dot products p and ds are rounded to bfloat16 for the
// products that they enter. Work: 10 hd FLOP per visible pair and head. Roof: the multiply-add rate; packing costs 6 %,
// exponentials 8 %.
//
// A part is (sequence, query head, run of query blocks): one thread goes through its queries, finishes dq block by
// block and collects dk and dv in float32 memory of the part. A second pass adds up the parts of each key/value head,
// in order, and rounds. Parts are made for as many key/value heads at a time as kPartBytes holds: 2 Nk hd floats per
// part.
// Deterministic: parts are cut by shapes alone.
#include "attention_blocks.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

constexpr int64_t kPartBytes = int64_t{32} << 20;
constexpr int64_t kParts =
    16;  // sequences are cut into runs of query blocks where there would be fewer parts than this
constexpr int64_t kPanelStep = kBlock * kPanel;

struct BackwardScratch {
  float* q;         // columns, and
  float* qRows;     // straight
  float* dy;        // columns, and
  float* dyRows;    // straight
  float* k;         // rows, and
  float* kRows;     // straight
  float* v;         // rows
  float* scores;    // [panel of queries][key][kPanel]
  float* products;  // the same: dy.v
  float* p;         // words [key][query]
  float* ds;        // words [key][query]
  float* dsPairs;   // with kDot: words [key / 2][query]
  float* dq;        // [panel of width][kBlock][kPanel]
  float* lanes[4];  // [kBlock]: per query: first and end of the keys that it sees, lse, D
};

// One sequence and one key/value head: what its parts share.
struct Unit {
  int64_t qBegin;
  int64_t qCount;
  int64_t kBegin;
  int64_t kCount;
  int64_t kvHead;
  int64_t firstPart;
  int64_t parts;  // group * runs
};

struct Part {
  int64_t unit;
  int64_t head;
  int64_t firstQuery;
  int64_t endQuery;
  int64_t firstKey;  // the keys that any of its queries may see, whole blocks
  int64_t endKey;
  float* dk;  // [panel of width][kCount][kPanel]
  float* dv;
};

// D for every query and head: dots[head * Nq + query].
template <class T>
void dotProducts(const AttentionBackwardArgs& args, const AttentionShape& shape, float* dots, Context& context) {
  const int64_t queries = args.q.rows;
  forRowBlocks(context, queries, args.q.cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      for (int64_t head = 0; head < shape.heads; ++head) {
        const T* dy = rowOf<T>(args.dy, i) + head * shape.headDim;
        const T* y = rowOf<T>(args.y, i) + head * shape.headDim;
        Vec sum = zero();
        forLanes(shape.headDim,
                 [&](int64_t j, int lanes) { sum = fma(loadLanes(dy + j, lanes), loadLanes(y + j, lanes), sum); });
        dots[head * queries + i] = reduceAdd(sum);
      }
    }
  });
}

// lse of a query that sees nothing is -infinity; its scores are all masked, and 0 keeps their exponentials at 0.
LOWRANK_INLINE float finiteLse(float lse) {
  return lse == -kInfinity ? 0.0f : lse;
}

struct Probability {
  Vec p;
  Vec ds;
};

// For one key and a vector of queries.
LOWRANK_INLINE Probability probability(const float* scores, const float* products, const BackwardScratch& s,
                                       int64_t query, int64_t key, const AttentionOptions& options, bool masked) {
  Vec score = load(scores) * options.scale, slope = splat(1.0f);
  if (options.softcap > 0.0f) {
    const Vec t = tanh(score / options.softcap);
    score = options.softcap * t;
    slope = 1.0f - t * t;
  }
  if (masked) {
    const Vec at = splat(static_cast<float>(key));
    score = ((at >= load(s.lanes[0] + query)) & (at < load(s.lanes[1] + query))) ? score : splat(-kInfinity);
  }
  const Vec p = exp(score - load(s.lanes[2] + query));
  Vec ds = p * (load(products) - load(s.lanes[3] + query));
  if (options.softcap > 0.0f) ds = ds * slope;
  return Probability{p, ds};
}

// p and ds of a block. `panelKeys` of the keys may be visible to the queries of the panel; the others become 0.
template <bool kDot>
LOWRANK_INLINE void probabilities(const BackwardScratch& s, int64_t panel, int64_t vectors, int64_t panelKeys,
                                  int64_t keys, int64_t k0, const AttentionOptions& options, bool masked) {
  for (int64_t v = 0; v < vectors; ++v) {
    const int64_t query = panel * kPanel + v * kLanes;
    const float* scores = s.scores + panel * kPanelStep + v * kLanes;
    const float* products = s.products + panel * kPanelStep + v * kLanes;
    const auto at = [&](int64_t j) {
      return j < panelKeys ? probability(scores + j * kPanel, products + j * kPanel, s, query, k0 + j, options, masked)
                           : Probability{zero(), zero()};
    };
    if constexpr (kDot) {
      BFloat16* p = reinterpret_cast<BFloat16*>(s.p) + query;
      BFloat16* ds = reinterpret_cast<BFloat16*>(s.ds) + query;
      for (int64_t j = 0; j < keys; j += 2) {
        const Probability earlier = at(j), later = at(j + 1);
        store(p + j * kBlock, earlier.p);
        store(ds + j * kBlock, earlier.ds);
        store(p + (j + 1) * kBlock, later.p);
        store(ds + (j + 1) * kBlock, later.ds);
        store(s.dsPairs + j / 2 * kBlock + query, pairWords(earlier.ds, later.ds));
      }
    } else {
      for (int64_t j = 0; j < keys; ++j) {
        const Probability value = at(j);
        store(s.p + j * kBlock + query, value.p);
        store(s.ds + j * kBlock + query, value.ds);
      }
    }
  }
}

// One block of queries against the keys that it sees: dq, and its share of the part's dk and dv. Keys from `touchedEnd`
// on have no sums yet.
template <bool kDot, class T>
void queryBlock(const AttentionBackwardArgs& args, const AttentionShape& shape, const Unit& unit, const Part& part,
                int64_t q0, int64_t count, const Visibility& seen, const float* dots, int64_t& touchedEnd,
                const BackwardScratch& s) {
  const AttentionOptions& options = args.options;
  const int64_t q1 = q0 + count, row = unit.qBegin + q0;
  const int64_t column = part.head * shape.headDim, kvColumn = unit.kvHead * shape.headDim;
  const T* q = rowOf<T>(args.q, row) + column;
  const T* dy = rowOf<T>(args.dy, row) + column;
  const float* lse = rowOf<float>(args.lse, part.head) + row;
  for (int64_t i = 0; i < roundUp(count, kLanes); ++i) {
    s.lanes[0][i] = static_cast<float>(firstKey(seen, q0 + i));
    s.lanes[1][i] = static_cast<float>(endKey(seen, q0 + i));
    s.lanes[2][i] = i < count ? finiteLse(lse[i]) : 0.0f;
    s.lanes[3][i] = i < count ? dots[part.head * args.q.rows + row + i] : 0.0f;
  }
  packBlockColumns<kDot>(q, args.q.stride, count, shape, s.q);
  packBlockStraight<kDot>(q, args.q.stride, count, shape, s.qRows);
  packBlockColumns<kDot>(dy, args.dy.stride, count, shape, s.dy);
  packBlockStraight<kDot>(dy, args.dy.stride, count, shape, s.dyRows);

  const int64_t querySteps = ceilDiv(count, kWordDepth<kDot>), partStep = unit.kCount * kPanel;
  const int64_t keyEnd = endKey(seen, q1 - 1);
  bool resume = false;
  for (int64_t k0 = firstKey(seen, q0) / kBlock * kBlock; k0 < keyEnd; k0 += kBlock) {
    const int64_t keys = minOf(kBlock, unit.kCount - k0), kRow = unit.kBegin + k0;
    const T* k = rowOf<T>(args.k, kRow) + kvColumn;
    packRows<kDot>(k, args.k.stride, keys, shape.headDim, s.k, shape.rowPitch);
    packBlockStraight<kDot>(k, args.k.stride, keys, shape, s.kRows);
    packRows<kDot>(rowOf<T>(args.v, kRow) + kvColumn, args.v.stride, keys, shape.headDim, s.v, shape.rowPitch);
    const bool masked = !allVisible(seen, q0, q1, k0, k0 + keys);
    for (int64_t panel = 0; panel * kPanel < count; ++panel) {
      const int64_t query = panel * kPanel, vectors = panelVectors(count, panel);
      const int64_t lastQuery = q0 + minOf(count, query + kPanel) - 1;
      const int64_t panelKeys = maxOf(0, minOf(keys, endKey(seen, lastQuery) - k0));
      multiplyPanel<kDot>(LeftOperand{s.k, shape.rowPitch, 1}, panelKeys, shape.steps, s.q + query * shape.steps,
                          vectors, s.scores + panel * kPanelStep, false);
      multiplyPanel<kDot>(LeftOperand{s.v, shape.rowPitch, 1}, panelKeys, shape.steps, s.dy + query * shape.steps,
                          vectors, s.products + panel * kPanelStep, false);
      probabilities<kDot>(s, panel, vectors, panelKeys, keys, k0, options, masked);
    }
    const bool touched = k0 < touchedEnd;
    touchedEnd = maxOf(touchedEnd, k0 + keys);
    const int64_t pitch = kBlock / kWordDepth<kDot>;
    multiplyStraight<kDot>(LeftOperand{s.p, pitch, 1}, keys, querySteps, s.dyRows, shape, part.dv + k0 * kPanel,
                           partStep, touched);
    multiplyStraight<kDot>(LeftOperand{s.ds, pitch, 1}, keys, querySteps, s.qRows, shape, part.dk + k0 * kPanel,
                           partStep, touched);
    multiplyStraight<kDot>(LeftOperand{kDot ? s.dsPairs : s.ds, 1, kBlock}, count, ceilDiv(keys, kWordDepth<kDot>),
                           s.kRows, shape, s.dq, kPanelStep, resume);
    resume = true;
  }

  for (int64_t i = 0; i < count; ++i) {
    T* to = rowOf<T>(args.dq, row + i) + column;
    forWidth(shape, s.dq + i * kPanel, kPanelStep, [&](int64_t j, int lanes, const float* dq) {
      storeLanes(to + j, resume ? load(dq) * options.scale : zero(), lanes);
    });
  }
}

template <bool kDot, class T>
void runPart(const AttentionBackwardArgs& args, const AttentionShape& shape, const Unit& unit, const Part& part,
             const float* dots, const BackwardScratch& s) {
  const Visibility seen = visibility(unit.qCount, unit.kCount, args.options);
  int64_t touchedEnd = part.firstKey;
  for (int64_t q0 = part.firstQuery; q0 < part.endQuery; q0 += kBlock) {
    queryBlock<kDot, T>(args, shape, unit, part, q0, minOf(kBlock, part.endQuery - q0), seen, dots, touchedEnd, s);
  }
}

// dk and dv of the keys [first, end) of a unit: its parts in order.
template <class T>
void addParts(const AttentionBackwardArgs& args, const AttentionShape& shape, const Unit& unit, const Part* parts,
              int64_t first, int64_t end) {
  const int64_t step = unit.kCount * kPanel, column = unit.kvHead * shape.headDim;
  for (int64_t key = first; key < end; ++key) {
    T* dk = rowOf<T>(args.dk, unit.kBegin + key) + column;
    T* dv = rowOf<T>(args.dv, unit.kBegin + key) + column;
    forLanes(shape.headDim, [&](int64_t j, int lanes) {
      const int64_t at = j / kPanel * step + key * kPanel + j % kPanel;
      Vec sumK = zero(), sumV = zero();
      for (int64_t i = 0; i < unit.parts; ++i) {
        const Part& part = parts[unit.firstPart + i];
        if (key < part.firstKey || key >= part.endKey) continue;
        sumK += load(part.dk + at);
        sumV += load(part.dv + at);
      }
      storeLanes(dk + j, sumK * args.options.scale, lanes);
      storeLanes(dv + j, sumV, lanes);
    });
  }
}

// The keys that the queries [q0, q1) may see, in whole blocks; empty where first >= end.
LOWRANK_INLINE void keysOf(const Unit& unit, const AttentionOptions& options, Part& part) {
  const Visibility seen = visibility(unit.qCount, unit.kCount, options);
  part.firstKey = firstKey(seen, part.firstQuery) / kBlock * kBlock;
  part.endKey = minOf(unit.kCount, roundUp(endKey(seen, part.endQuery - 1), kBlock));
}

template <bool kDot, class T>
void backwardAs(const AttentionBackwardArgs& args, Context& context) {
  const AttentionShape shape = attentionShape<kDot>(args.q, args.k, args.options);
  const int32_t* cuQ = static_cast<const int32_t*>(args.cuSeqlensQ.data);
  const int32_t* cuK = static_cast<const int32_t*>(args.cuSeqlensK.data);
  const int64_t sequences = elementCount(args.cuSeqlensQ) - 1, unitCount = sequences * shape.kvHeads;
  const int64_t runs = ceilDiv(kParts, maxOf(1, sequences * shape.heads));
  const int64_t partsPerUnit = shape.group * runs, keyFloats = 2 * shape.widthPanels * kPanel;

  // As many units at a time as kPartBytes holds.
  int64_t most = 0, mostUnits = 0;
  const auto endOfWave = [&](int64_t first, int64_t& floats) {
    int64_t end = first;
    floats = 0;
    while (end < unitCount) {
      const int64_t s = end / shape.kvHeads, next = partsPerUnit * keyFloats * (cuK[s + 1] - cuK[s]);
      if (end > first && (floats + next) * 4 > kPartBytes) break;
      floats += next;
      ++end;
    }
    return end;
  };
  for (int64_t unit = 0, floats; unit < unitCount;) {
    const int64_t end = endOfWave(unit, floats);
    most = maxOf(most, floats);
    mostUnits = maxOf(mostUnits, end - unit);
    unit = end;
  }

  const int64_t columns = columnsWords(shape), rows = rowsWords(shape), width = widthWords(shape);
  const int64_t square = kBlock * kBlock, perThread = 2 * columns + 2 * rows + 4 * width + 5 * square + 4 * kBlock;
  float* dots = scratch<float>(context, shape.heads * args.q.rows);
  float* memory = scratch<float>(context, perThread * context.threads());
  float* sums = scratch<float>(context, most);
  Unit* units = scratch<Unit>(context, mostUnits);
  Part* parts = scratch<Part>(context, mostUnits * partsPerUnit);
  if (dots == nullptr || memory == nullptr || sums == nullptr || units == nullptr || parts == nullptr) return;
  dotProducts<T>(args, shape, dots, context);

  for (int64_t first = 0, floats; first < unitCount;) {
    const int64_t count = endOfWave(first, floats) - first;
    float* next = sums;
    int64_t longest = 0;
    for (int64_t u = 0; u < count; ++u) {
      const int64_t s = (first + u) / shape.kvHeads;
      Unit& unit = units[u];
      unit = Unit{cuQ[s],           cuQ[s + 1] - cuQ[s], cuK[s], cuK[s + 1] - cuK[s], (first + u) % shape.kvHeads,
                  u * partsPerUnit, partsPerUnit};
      longest = maxOf(longest, unit.kCount);
      const int64_t run = roundUp(ceilDiv(unit.qCount, runs), kBlock);
      for (int64_t i = 0; i < partsPerUnit; ++i) {
        Part& part = parts[unit.firstPart + i];
        part.unit = u;
        part.head = unit.kvHead * shape.group + i / runs;
        part.firstQuery = minOf(unit.qCount, i % runs * run);
        part.endQuery = minOf(unit.qCount, part.firstQuery + run);
        part.firstKey = part.endKey = 0;
        if (part.firstQuery < part.endQuery) keysOf(unit, args.options, part);
        part.dk = next;
        part.dv = next + keyFloats / 2 * unit.kCount;
        next += keyFloats * unit.kCount;
      }
    }
    parallelFor(context, count * partsPerUnit, [&](int64_t index, int thread) {
      // The last run of every head first: causal runs grow towards the end of a sequence.
      const int64_t heads = count * shape.group;
      const Part& part = parts[index % heads * runs + (runs - 1 - index / heads)];
      float* at = memory + thread * perThread;
      const auto take = [&](int64_t floats_) {
        float* from = at;
        at += floats_;
        return from;
      };
      BackwardScratch s;
      s.q = take(columns);
      s.dy = take(columns);
      s.k = take(rows);
      s.v = take(rows);
      s.qRows = take(width);
      s.dyRows = take(width);
      s.kRows = take(width);
      s.dq = take(width);
      s.scores = take(square);
      s.products = take(square);
      s.p = take(square);
      s.ds = take(square);
      s.dsPairs = take(square);
      for (float*& lanes : s.lanes) lanes = take(kBlock);
      runPart<kDot, T>(args, shape, units[part.unit], part, dots, s);
    });
    const int64_t keyBlocks = ceilDiv(longest, kBlock);
    parallelFor(context, count * keyBlocks, [&](int64_t index, int) {
      const Unit& unit = units[index / keyBlocks];
      const int64_t key = index % keyBlocks * kBlock;
      if (key < unit.kCount) addParts<T>(args, shape, unit, parts, key, minOf(unit.kCount, key + kBlock));
    });
    first += count;
  }
  for (int64_t row = cuK[sequences]; row < args.k.rows; ++row) {
    __builtin_memset(rowOf<T>(args.dk, row), 0, static_cast<size_t>(args.dk.cols) * sizeof(T));
    __builtin_memset(rowOf<T>(args.dv, row), 0, static_cast<size_t>(args.dv.cols) * sizeof(T));
  }
}

}  // namespace

void attentionBackward(const AttentionBackwardArgs& args, Context& context) {
  if (!checkSequences(args.cuSeqlensQ, args.cuSeqlensK, args.q.rows, args.k.rows, context)) return;
  withStorage(args.q.dtype, [&]<class T>(T) { backwardAs<kHasPairs<T>, T>(args, context); });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
