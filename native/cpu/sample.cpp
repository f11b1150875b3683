// The next id of each sequence from its logits: see SampleArgs for the order of the steps.
//
// logits: [S, V] float32; steps, ids: int32 [S]; seen: uint8 [S, V]. A sequence is one task. Without topK and topP: two
// passes over V. With them: V candidates become a heap, O(V), of which only those that are kept are taken, O(log V)
// each. Scratch: 12 V bytes per thread.
// Sums of probabilities are float64. Deterministic: a draw is a function of logits, options, seed, sequence and step.
#include "kernels.h"
#include "philox.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

constexpr uint32_t kStream = 0xffffffffu;  // of the counter: no dropout mask has it

struct Candidate {
  float score;
  int32_t id;
};

// The first of two equal candidates counts as the larger.
LOWRANK_INLINE bool larger(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.id < b.id);
}

LOWRANK_INLINE void siftDown(Candidate* heap, int64_t count, int64_t at) {
  const Candidate moved = heap[at];
  for (;;) {
    int64_t child = 2 * at + 1;
    if (child >= count) break;
    if (child + 1 < count && larger(heap[child + 1], heap[child])) ++child;
    if (!larger(heap[child], moved)) break;
    heap[at] = heap[child];
    at = child;
  }
  heap[at] = moved;
}

// A heap whose largest are taken one by one; those lie behind it, the last taken first.
struct Ranking {
  Candidate* all;
  int64_t total;
  int64_t left;
};

Ranking rank(const float* scores, int64_t width, Candidate* memory) {
  int64_t count = 0;
  for (int64_t i = 0; i < width; ++i) {
    if (scores[i] > -kInfinity) memory[count++] = Candidate{scores[i], static_cast<int32_t>(i)};
  }
  for (int64_t at = count / 2 - 1; at >= 0; --at) siftDown(memory, count, at);
  return Ranking{memory, count, count};
}

void take(Ranking& ranking) {
  const Candidate largest = ranking.all[0];
  const int64_t last = --ranking.left;
  ranking.all[0] = ranking.all[last];
  ranking.all[last] = largest;
  if (last > 0) siftDown(ranking.all, last, 0);
}

// The n-th largest; it has been taken.
LOWRANK_INLINE const Candidate& taken(const Ranking& ranking, int64_t n) {
  return ranking.all[ranking.total - 1 - n];
}

// In [0, 1).
double uniform(double seed, int64_t sequence, int32_t step) {
  const uint64_t bits = static_cast<uint64_t>(static_cast<int64_t>(seed));
  const DropoutMask key{
      {static_cast<uint32_t>(bits), static_cast<uint32_t>(bits >> 32)}, static_cast<uint32_t>(step), kStream, 0, 0.0f};
  UintVec words[4];
  philox(key, static_cast<uint64_t>(sequence), words);
  return (static_cast<double>(words[0][0]) + static_cast<double>(words[0][1]) * 0x1p-32) * 0x1p-32;
}

LOWRANK_INLINE double probability(float score, float largest) {
  return __builtin_exp(static_cast<double>(score) - static_cast<double>(largest));
}

// scores[i] becomes its weight e^(score - largest), 0 below `least`. Returns their sum.
double weigh(float* scores, int64_t width, float largest, float least) {
  forLanes(width, [&](int64_t i, int lanes) {
    const Vec score = loadLanes(scores + i, lanes);
    storeLanes(scores + i, (score >= splat(least)) ? exp(score - splat(largest)) : zero(), lanes);
  });
  double sum = 0.0;
  for (int64_t i = 0; i < width; ++i) sum += static_cast<double>(scores[i]);
  return sum;
}

// scores[i] = logits[i], penalised where seen, over the temperature; NaN counts as -infinity, and is told. Returns the
// largest.
float prepare(const SampleArgs& args, int64_t row, float* scores, bool& hasNan) {
  const float* logits = rowOf<float>(args.logits, row);
  const uint8_t* seen = present(args.seen) ? rowOf<uint8_t>(args.seen, row) : nullptr;
  const float penalty = args.repetitionPenalty, temperature = args.temperature > 0.0f ? args.temperature : 1.0f;
  float largest = -kInfinity;
  for (int64_t i = 0; i < args.logits.cols; ++i) {
    float value = logits[i];
    if (seen != nullptr && seen[i] != 0) value = value > 0.0f ? value / penalty : value * penalty;
    value /= temperature;
    hasNan = hasNan || value != value;
    scores[i] = value == value ? value : -kInfinity;
    largest = scores[i] > largest ? scores[i] : largest;
  }
  return largest;
}

int32_t firstOf(const float* scores, int64_t width, float value) {
  for (int64_t i = 0; i < width; ++i) {
    if (scores[i] == value) return static_cast<int32_t>(i);
  }
  return 0;
}

int32_t drawFromAll(float* scores, int64_t width, float largest, float least, double u) {
  double left = u * weigh(scores, width, largest, least);
  int32_t chosen = 0;
  for (int64_t i = 0; i < width; ++i) {
    if (scores[i] == 0.0f) continue;
    chosen = static_cast<int32_t>(i);
    left -= static_cast<double>(scores[i]);
    if (left < 0.0) break;
  }
  return chosen;
}

int32_t drawFromLargest(const SampleArgs& args, float* scores, float largest, float least, double u,
                        Candidate* memory) {
  const int64_t width = args.logits.cols, most = args.topK > 0 ? minOf(args.topK, width) : width;
  Ranking ranking = rank(scores, width, memory);
  double total = 0.0;  // the probability, times some constant, that topP is a share of
  int64_t count = 0;
  if (args.topK > 0) {
    while (ranking.left > 0 && (count < most || ranking.all[0].score == taken(ranking, count - 1).score)) {
      take(ranking);
      total += probability(taken(ranking, count++).score, largest);
    }
  } else {
    total = weigh(scores, width, largest, -kInfinity);
  }
  const double share = static_cast<double>(args.topP) * total;
  double kept = 0.0;
  int64_t keep = 0;
  for (;; ++keep) {
    if (keep == (args.topK > 0 ? count : ranking.total)) break;
    if (args.topK == 0) take(ranking);
    const float score = taken(ranking, keep).score;
    if (keep > 0 && (score < least || (args.topP < 1.0f && kept >= share))) break;
    kept += probability(score, largest);
  }
  double left = u * kept;
  for (int64_t n = 0; n + 1 < keep; ++n) {
    left -= probability(taken(ranking, n).score, largest);
    if (left < 0.0) return taken(ranking, n).id;
  }
  return taken(ranking, keep - 1).id;
}

}  // namespace

void sample(const SampleArgs& args, Context& context) {
  const int64_t width = args.logits.cols;
  const int32_t* steps = static_cast<const int32_t*>(args.steps.data);
  int32_t* ids = static_cast<int32_t*>(args.ids.data);
  float* scores = scratch<float>(context, context.threads() * width);
  Candidate* candidates = scratch<Candidate>(context, context.threads() * width);
  if (scores == nullptr || candidates == nullptr) return;
  parallelFor(context, args.logits.rows, [&](int64_t row, int thread) {
    float* at = scores + thread * width;
    bool hasNan = false;
    const float largest = prepare(args, row, at, hasNan);
    if (largest == -kInfinity) {
      context.fail("expected a logit above -infinity for sequence %lld, got none", static_cast<long long>(row));
      return;
    }
    if (hasNan) {
      context.fail("expected logits that are numbers for sequence %lld, got NaN", static_cast<long long>(row));
      return;
    }
    if (args.temperature == 0.0f || largest == kInfinity) {
      ids[row] = firstOf(at, width, largest);
    } else {
      const float least = args.minP > 0.0f ? largest + __builtin_logf(args.minP) : -kInfinity;
      const double u = uniform(args.seed, row, steps[row]);
      ids[row] = args.topK > 0 || args.topP < 1.0f
                     ? drawFromLargest(args, at, largest, least, u, candidates + thread * width)
                     : drawFromAll(at, width, largest, least, u);
    }
    if (present(args.seen)) rowOf<uint8_t>(args.seen, row)[ids[row]] = 1;
  });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
