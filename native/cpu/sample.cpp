// The next id of each sequence from its logits: see SampleArgs for the order of the steps, SampleRowsArgs for
// parameters by row; and log probabilities of the likeliest ids.
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

// What one sequence is drawn with.
struct RowOptions {
  float temperature;
  int32_t topK;
  float topP;
  float minP;
  float repetitionPenalty;
  uint32_t seed[2];
  uint8_t* seen;           // or nullptr
  const int32_t* allowed;  // bits, or nullptr
  int64_t sequence;
  int32_t step;
};

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
double uniform(const RowOptions& row) {
  const DropoutMask key{{row.seed[0], row.seed[1]}, static_cast<uint32_t>(row.step), kStream, 0, 0.0f};
  UintVec words[4];
  philox(key, static_cast<uint64_t>(row.sequence), words);
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

// scores[i] = logits[i], penalised where seen, over the temperature; -infinity where not allowed. NaN counts as
// -infinity, and is told. Returns the largest.
float prepare(const RowOptions& row, const float* logits, int64_t width, float* scores, bool& hasNan) {
  const uint8_t* seen = row.seen;
  const float penalty = row.repetitionPenalty, temperature = row.temperature > 0.0f ? row.temperature : 1.0f;
  float largest = -kInfinity;
  for (int64_t i = 0; i < width; ++i) {
    float value = logits[i];
    if (seen != nullptr && seen[i] != 0) value = value > 0.0f ? value / penalty : value * penalty;
    value /= temperature;
    hasNan = hasNan || value != value;
    const bool out = row.allowed != nullptr && (static_cast<uint32_t>(row.allowed[i / 32]) >> (i % 32) & 1) == 0;
    scores[i] = value == value && !out ? value : -kInfinity;
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

int32_t drawFromLargest(const RowOptions& args, float* scores, int64_t width, float largest, float least, double u,
                        Candidate* memory) {
  const int64_t most = args.topK > 0 ? minOf(args.topK, width) : width;
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

// Draws for every row; optionsOf(row, options) fills in what it is drawn with, or is false after a fault.
template <class OptionsOf>
void sampleWith(const Tensor& logits, const Tensor& idTensor, Context& context, const OptionsOf& optionsOf) {
  const int64_t width = logits.cols;
  int32_t* ids = static_cast<int32_t*>(idTensor.data);
  float* scores = scratch<float>(context, context.threads() * width);
  Candidate* candidates = scratch<Candidate>(context, context.threads() * width);
  if (scores == nullptr || candidates == nullptr) return;
  parallelFor(context, logits.rows, [&](int64_t row, int thread) {
    RowOptions options{};
    if (!optionsOf(row, options)) return;
    float* at = scores + thread * width;
    bool hasNan = false;
    const float largest = prepare(options, rowOf<float>(logits, row), width, at, hasNan);
    if (largest == -kInfinity) {
      context.fail("expected a logit above -infinity for sequence %lld, got none", static_cast<long long>(row));
      return;
    }
    if (hasNan) {
      context.fail("expected logits that are numbers for sequence %lld, got NaN", static_cast<long long>(row));
      return;
    }
    if (options.temperature == 0.0f || largest == kInfinity) {
      ids[row] = firstOf(at, width, largest);
    } else {
      const float least = options.minP > 0.0f ? largest + __builtin_logf(options.minP) : -kInfinity;
      const double u = uniform(options);
      ids[row] = options.topK > 0 || options.topP < 1.0f
                     ? drawFromLargest(options, at, width, largest, least, u, candidates + thread * width)
                     : drawFromAll(at, width, largest, least, u);
    }
    if (options.seen != nullptr) options.seen[ids[row]] = 1;
  });
}

// The sum of e^(x - largest): float32 in runs of 1024, which are added in float64.
double sumOfExponentials(const float* x, int64_t width, float largest) {
  constexpr int64_t kRun = 1024;
  double total = 0.0;
  for (int64_t first = 0; first < width; first += kRun) {
    Vec sum = zero();
    forLanes(minOf(kRun, width - first), [&](int64_t at, int lanes) {
      float values[kLanes] = {};
      storeLanes(values, exp(loadLanes(x + first + at, lanes) - splat(largest)), lanes);
      sum = sum + load(values);
    });
    total += static_cast<double>(reduceAdd(sum));
  }
  return total;
}

}  // namespace

void sample(const SampleArgs& args, Context& context) {
  const uint64_t seed = static_cast<uint64_t>(static_cast<int64_t>(args.seed));
  const int32_t* steps = static_cast<const int32_t*>(args.steps.data);
  sampleWith(args.logits, args.ids, context, [&](int64_t row, RowOptions& options) {
    options = RowOptions{args.temperature,
                         args.topK,
                         args.topP,
                         args.minP,
                         args.repetitionPenalty,
                         {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
                         present(args.seen) ? rowOf<uint8_t>(args.seen, row) : nullptr,
                         nullptr,
                         row,
                         steps[row]};
    return true;
  });
}

void sampleRows(const SampleRowsArgs& args, Context& context) {
  const int32_t* steps = static_cast<const int32_t*>(args.steps.data);
  sampleWith(args.logits, args.ids, context, [&](int64_t row, RowOptions& options) {
    const float* numbers = rowOf<float>(args.options, row);
    const int32_t* integers = rowOf<int32_t>(args.integers, row);
    const float temperature = numbers[0], topP = numbers[1], minP = numbers[2], penalty = numbers[3];
    const bool fits = temperature >= 0.0f && temperature < kInfinity && topP >= 0.0f && topP <= 1.0f && minP >= 0.0f &&
                      minP <= 1.0f && penalty > 0.0f && penalty < kInfinity && integers[0] >= 0 &&
                      (penalty == 1.0f || present(args.seen));
    if (!fits) {
      context.fail("%s, got others for sequence %lld", kSamplingRule, static_cast<long long>(row));
      return false;
    }
    options = RowOptions{temperature,
                         integers[0],
                         topP,
                         minP,
                         penalty,
                         {static_cast<uint32_t>(integers[1]), static_cast<uint32_t>(integers[2])},
                         present(args.seen) ? rowOf<uint8_t>(args.seen, row) : nullptr,
                         present(args.allowed) && integers[3] != 0 ? rowOf<int32_t>(args.allowed, row) : nullptr,
                         0,
                         steps[row]};
    return true;
  });
}

void topLogProbs(const TopLogProbsArgs& args, Context& context) {
  const int64_t width = args.logits.cols, most = args.ids.cols;
  const int32_t* chosen = static_cast<const int32_t*>(args.chosen.data);
  parallelFor(context, args.logits.rows, [&](int64_t row, int) {
    const float* x = rowOf<float>(args.logits, row);
    if (chosen[row] < 0 || chosen[row] >= width) {
      context.fail("expected ids in [0, %lld), the columns of logits, got %d at position %lld",
                   static_cast<long long>(width), chosen[row], static_cast<long long>(row));
      return;
    }
    Candidate best[20];
    int64_t count = 0;
    bool hasNan = false;
    for (int64_t i = 0; i < width; ++i) {
      hasNan = hasNan || x[i] != x[i];
      if (x[i] == -kInfinity || (count == most && !(x[i] > best[count - 1].score))) continue;
      int64_t at = count < most ? count++ : most - 1;
      for (; at > 0 && x[i] > best[at - 1].score; --at) best[at] = best[at - 1];
      best[at] = Candidate{x[i], static_cast<int32_t>(i)};
    }
    if (hasNan || count == 0) {
      context.fail(hasNan ? "expected logits that are numbers for sequence %lld, got NaN"
                          : "expected a logit above -infinity for sequence %lld, got none",
                   static_cast<long long>(row));
      return;
    }
    const float largest = best[0].score;
    const double lse = static_cast<double>(largest) + __builtin_log(sumOfExponentials(x, width, largest));
    float* to = rowOf<float>(args.logProbs, row);
    int32_t* ids = static_cast<int32_t*>(args.ids.data) + row * args.ids.stride;
    to[0] = static_cast<float>(static_cast<double>(x[chosen[row]]) - lse);
    for (int64_t i = 0; i < most; ++i) {
      to[1 + i] = i < count ? static_cast<float>(static_cast<double>(best[i].score) - lse) : -kInfinity;
      ids[i] = i < count ? best[i].id : -1;
    }
  });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
