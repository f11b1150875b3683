// The next id of each sequence from its logits: see SampleArgs for the order of the steps.
//
// logits: [S, V] float32; steps, ids: int32 [S]; seen: uint8 [S, V]. Nothing is sorted. What sorting is for, the place
// in the order from the largest score down where a count or a probability is reached, is found digit by digit: a pass
// over the scores adds up the 16 values that the next four bits of the score may have, and the sums say which of them
// it is. Eight passes find the score, and a walk in the order of ids finds the one among equal scores. topK, topP and
// the draw cost such a search each; a draw from all ids is one walk.
//
// Bytes: 4 V for the scores, written once and read 2 to 27 times, out of the second-level cache. Roof: what one
// multiprocessor can read.
// Scratch: 4 V bytes per sequence. Sums of probabilities are float64, probabilities float32: a draw next to a boundary
// between two ids may fall on the other side than on the CPU. A sequence with a NaN, or without a logit above
// -infinity, is a fault.
//
// Launch: a block of 512 threads per sequence, 2.3 KB of shared memory. Deterministic: a draw is a function of logits,
// options, seed, sequence and step; sums have an order.
#include "float64.cuh"
#include "philox.cuh"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;
constexpr int kDigitBits = 4;
constexpr int kDigits = 1 << kDigitBits;
constexpr uint32_t kStream = 0xffffffffu;    // of the counter: no dropout mask has it
constexpr uint32_t kLowestKey = 0x00800000;  // of the lowest finite score
constexpr uint32_t kInfinityBits = 0x7f800000;

struct Options {
  float temperature;
  float repetitionPenalty;
  int32_t topK;
  float topP;
  float minP;
  float logMinP;
  uint32_t seed[2];
  const int32_t* allowed;  // bits, or null
  int64_t sequence;
};

// The parameters of all rows: `all`, or where `options` is there each its own (SampleRowsArgs).
struct OptionsOfRows {
  Options all;
  Matrix<const float> options;
  Matrix<const int32_t> integers;
  Matrix<const int32_t> allowed;

  __device__ __forceinline__ Options of(int64_t row) const {
    if (options.data == nullptr) {
      Options same = all;
      same.sequence = row;
      return same;
    }
    const float* const numbers = options.row(row);
    const int32_t* const whole = integers.row(row);
    return Options{numbers[0],
                   numbers[3],
                   whole[0],
                   numbers[1],
                   numbers[2],
                   numbers[2] > 0.0f ? log(numbers[2]) : 0.0f,
                   {static_cast<uint32_t>(whole[1]), static_cast<uint32_t>(whole[2])},
                   allowed.data != nullptr && whole[3] != 0 ? allowed.row(row) : nullptr,
                   0};
  }
};

__device__ __forceinline__ bool fits(const Options& options, bool hasSeen) {
  const float infinity = bitsToFloat(0x7f800000u);
  return options.temperature >= 0.0f && options.temperature < infinity && options.topP >= 0.0f &&
         options.topP <= 1.0f && options.minP >= 0.0f && options.minP <= 1.0f && options.repetitionPenalty > 0.0f &&
         options.repetitionPenalty < infinity && options.topK >= 0 && (options.repetitionPenalty == 1.0f || hasSeen);
}

struct Shared {
  double bins[kWarps][kDigits];
  double totals[kDigits];
  double ofWarp[kWarps];
  float slots[kWarp];
  int32_t id;
};

// The scores of a block's sequence.
struct Scores {
  const float* at;
  int32_t count;
  float largest;
  Shared* shared;
};

// Where a search ends: at the scores of `key`, before which `above` lies.
struct Place {
  uint32_t key;
  double above;
};

// Integers in the order of the scores; zeros of either sign are one.
__device__ __forceinline__ uint32_t keyOf(float score) {
  const uint32_t bits = floatToBits(score + 0.0f);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}
__device__ __forceinline__ float scoreOf(uint32_t key) {
  return bitsToFloat((key & 0x80000000u) != 0 ? key & 0x7fffffffu : ~key);
}

__device__ __forceinline__ double probability(const Scores& scores, float score) {
  return static_cast<double>(exp(score - scores.largest));
}

// The block's sum of each bin, in shared memory; its contents stay until the next call. `any`: whether this thread has
// something in its bins.
__device__ __forceinline__ const double* sumBins(double (&bins)[kDigits], bool any, Shared& shared) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const bool anyInWarp = ballot(any) != 0;
  if (anyInWarp) {
    // Each step halves the lanes that a bin is spread over and the bins that a lane has: lane 2 i and the one after it
    // are left with bin i.
    LOWRANK_UNROLL for (int step = 1; step <= kDigitBits; ++step) {
      const int half = kDigits >> step;
      const bool upper = (lane & 2 * half) != 0;
      LOWRANK_UNROLL for (int i = 0; i < half; ++i) {
        const double other = shuffle64(upper ? bins[i] : bins[i + half], lane ^ 2 * half);
        bins[i] = (upper ? bins[i + half] : bins[i]) + other;
      }
    }
    bins[0] += shuffle64(bins[0], lane ^ 1);
  }
  if (lane % 2 == 0) shared.bins[warp][lane / 2] = anyInWarp ? bins[0] : 0.0;
  syncThreads();
  if (threadIdx.x < kDigits) {
    double sum = 0.0;
    for (int other = 0; other < kWarps; ++other) sum += shared.bins[other][threadIdx.x];
    shared.totals[threadIdx.x] = sum;
  }
  syncThreads();
  return shared.totals;
}

// From the largest score down, but for keys below `least`: the score with which the sum of `mass` has reached its aim;
// the last one where it never has.
template <class Mass, class Reached>
__device__ Place search(const Scores& scores, uint32_t least, const Mass& mass, const Reached& reached) {
  Place place{0, 0.0};
  for (int shift = 32 - kDigitBits; shift >= 0; shift -= kDigitBits) {
    double bins[kDigits] = {};
    bool any = false;
    for (int32_t i = static_cast<int32_t>(threadIdx.x); i < scores.count; i += kThreads) {
      const float score = scores.at[i];
      const uint32_t key = keyOf(score);
      if (key < least || key >> shift >> kDigitBits != place.key) continue;
      any = true;
      const double here = mass(score);
      const int digit = static_cast<int>(key >> shift) & (kDigits - 1);
      LOWRANK_UNROLL for (int other = 0; other < kDigits; ++other) bins[other] += other == digit ? here : 0.0;
    }
    const double* const totals = sumBins(bins, any, *scores.shared);
    double sum = place.above;
    int chosen = 0;
    for (int digit = kDigits - 1; digit >= 0; --digit) {
      if (totals[digit] <= 0.0) continue;
      chosen = digit;
      place.above = sum;
      sum += totals[digit];
      if (reached(sum)) break;
    }
    place.key = place.key << kDigitBits | static_cast<uint32_t>(chosen);
  }
  return place;
}

// In the order of ids: the first with which the sum of `mass` is above the aim, the last that has any where it never
// is. The aim may depend on the whole sum. A block calls this once: nothing keeps the result's place from being written
// again.
template <class Mass, class Aim>
__device__ int32_t walk(const Scores& scores, const Mass& mass, const Aim& aim) {
  Shared& shared = *scores.shared;
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int32_t span = static_cast<int32_t>(roundUp(ceilDiv(scores.count, kWarps), kWarp));
  const auto massAt = [&](int32_t i) { return i < scores.count ? mass(scores.at[i]) : 0.0; };
  double sum = 0.0;
  for (int32_t i = warp * span; i < (warp + 1) * span; i += kWarp) sum += massAt(i + lane);
  sum = warpSum(sum);
  if (lane == 0) shared.ofWarp[warp] = sum;
  syncThreads();
  double total = 0.0, before = 0.0, passed = 0.0;
  for (int other = 0; other < kWarps; ++other) total += shared.ofWarp[other];
  const double least = aim(total);
  int chosen = 0;
  for (int other = 0; other < kWarps; ++other) {
    if (shared.ofWarp[other] <= 0.0) continue;
    chosen = other;
    before = passed;
    passed += shared.ofWarp[other];
    if (passed > least) break;
  }
  if (warp == chosen) {
    // Picks one of the ids [first, first + 32), whose masses the lanes hold.
    const auto pick = [&](int32_t first, double here, double sumBefore, double most) {
      int32_t id = first;
      for (int other = 0; other < kWarp; ++other) {
        const double one = shuffle64(here, other);
        if (one <= 0.0) continue;
        id = first + other;
        sumBefore += one;
        if (sumBefore > most) break;
      }
      return id;
    };
    const int32_t end = (warp + 1) * span;
    int32_t i = warp * span, last = i;
    double lastBefore = before;
    for (; i < end; i += kWarp) {
      const double sumOfTile = warpSum(massAt(i + lane));
      if (sumOfTile <= 0.0) continue;
      last = i;
      lastBefore = before;
      before += sumOfTile;
      if (before > least) break;
    }
    const int32_t id = pick(last, massAt(last + lane), lastBefore, least);
    if (lane == 0) shared.id = id;
  }
  syncThreads();
  return shared.id;
}

template <class Mass>
__device__ double sumOf(const Scores& scores, const Mass& mass) {
  Shared& shared = *scores.shared;
  double sum = 0.0;
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < scores.count; i += kThreads) sum += mass(scores.at[i]);
  sum = warpSum(sum);
  if (threadIdx.x % kWarp == 0) shared.ofWarp[threadIdx.x / kWarp] = sum;
  syncThreads();
  sum = 0.0;
  for (int warp = 0; warp < kWarps; ++warp) sum += shared.ofWarp[warp];
  // survives: of two sums in a row, as they are made today, the first is not used
  syncThreads();  // before they are written again
  return sum;
}

// The one of rank `rank` among the ids with this score, in order; the last where there are fewer.
__device__ int32_t ranked(const Scores& scores, uint32_t key, double rank) {
  return walk(scores, [&](float score) { return keyOf(score) == key ? 1.0 : 0.0; }, [&](double) { return rank; });
}

// scores[i] = logits[i], penalised where seen, over the temperature; -infinity where not allowed. NaN counts as
// -infinity, and is a fault. Returns the largest.
__device__ float prepare(const float* logits, const uint8_t* seen, int32_t count, const Options& options, float* scores,
                         Shared& shared, const FaultSink& faults) {
  const float temperature = options.temperature > 0.0f ? options.temperature : 1.0f;
  float largest = -bitsToFloat(kInfinityBits);
  for (int32_t i = static_cast<int32_t>(threadIdx.x); i < count; i += kThreads) {
    float value = logits[i];
    if (seen != nullptr && seen[i] != 0)
      value = value > 0.0f ? value / options.repetitionPenalty : value * options.repetitionPenalty;
    value /= temperature;
    if (value != value) {
      reportFault(faults, FaultCode::kLogits, blockIdx.x, 1, 0);
      value = -bitsToFloat(kInfinityBits);
    }
    if (options.allowed != nullptr && (static_cast<uint32_t>(options.allowed[i / 32]) >> (i % 32) & 1) == 0)
      value = -bitsToFloat(kInfinityBits);
    scores[i] = value;
    largest = fmax(largest, value);
  }
  return blockMax<kThreads>(largest, shared.slots);  // its barrier also shows all scores to all threads
}

__device__ int32_t drawFromLargest(const Scores& scores, const Options& options, uint32_t leastKey, double u) {
  const auto one = [](float) { return 1.0; };
  const auto p = [&](float score) { return probability(scores, score); };
  uint32_t last = kLowestKey;  // of the scores that stay
  if (options.topK > 0) {
    const double most = static_cast<double>(options.topK);
    last = search(scores, kLowestKey, one, [&](double count) { return count >= most; }).key;
  }
  double kept = sumOf(scores, [&](float score) { return keyOf(score) >= last ? p(score) : 0.0; });
  double ties = static_cast<double>(scores.count);  // how many of the ids with the last score stay
  if (options.topP < 1.0f) {
    const double share = static_cast<double>(options.topP) * kept;
    const Place cut = search(scores, last, p, [&](double sum) { return sum >= share; });
    const double each = p(scoreOf(cut.key));
    last = cut.key;
    ties = sumOf(scores, [&](float score) { return keyOf(score) == last ? 1.0 : 0.0; });
    ties = fmin(ties, fmax(1.0, ceil((share - cut.above) / each)));
    kept = cut.above + ties * each;
  }
  if (leastKey > last) {
    last = leastKey;
    ties = static_cast<double>(scores.count);
    kept = sumOf(scores, [&](float score) { return keyOf(score) >= last ? p(score) : 0.0; });
  }
  const double aim = u * kept;
  const Place drawn = search(scores, last, p, [&](double sum) { return sum > aim; });
  const double rank = floor((aim - drawn.above) / p(scoreOf(drawn.key)));
  return ranked(scores, drawn.key, drawn.key == last ? fmin(rank, ties - 1.0) : rank);
}

__global__ void __launch_bounds__(kThreads) sampleKernel(Matrix<const float> logits,  // [S, V]
                                                         const int32_t* steps,        // [S]
                                                         Matrix<uint8_t> seen,        // [S, V], or null
                                                         float* memory,               // [S, V]
                                                         int32_t* ids,                // [S]
                                                         OptionsOfRows rows, FaultSink faults) {
  Shared& shared = *sharedMemory<Shared>();
  const int64_t row = blockIdx.x;
  const int32_t count = logits.cols;
  float* const at = memory + row * count;
  uint8_t* const marks = seen.data != nullptr ? seen.row(row) : nullptr;
  const Options options = rows.of(row);
  if (!fits(options, marks != nullptr)) {
    if (threadIdx.x == 0) reportFault(faults, FaultCode::kSampling, row, 0, 0);
    return;
  }
  const float largest = prepare(logits.row(row), marks, count, options, at, shared, faults);
  const Scores scores{at, count, largest, &shared};
  if (largest == -bitsToFloat(kInfinityBits)) {
    if (threadIdx.x == 0) reportFault(faults, FaultCode::kLogits, row, 0, 0);
    return;
  }
  int32_t id = 0;
  if (options.temperature == 0.0f || largest == bitsToFloat(kInfinityBits)) {
    id = ranked(scores, keyOf(largest), 0.0);
  } else {
    const DropoutMask stream{{options.seed[0], options.seed[1]}, static_cast<uint32_t>(steps[row]), kStream, 0, 0.0f};
    const uint4 words = philox(stream, static_cast<uint64_t>(options.sequence));
    const double u = (static_cast<double>(words.x) + static_cast<double>(words.y) * 0x1p-32) * 0x1p-32;
    const uint32_t leastKey = options.minP > 0.0f ? keyOf(largest + options.logMinP) : kLowestKey;
    if (options.topK > 0 || options.topP < 1.0f) {
      id = drawFromLargest(scores, options, leastKey, u);
    } else {
      id = walk(
          scores, [&](float score) { return keyOf(score) >= leastKey ? probability(scores, score) : 0.0; },
          [&](double sum) { return u * sum; });
    }
  }
  if (threadIdx.x != 0) return;
  ids[row] = id;
  if (marks != nullptr) marks[id] = 1;
}

// The larger of two candidates, a score's key and its id; the lower id of two equal ones. Id -1: none.
__device__ __forceinline__ bool beats(uint32_t key, int32_t id, uint32_t otherKey, int32_t otherId) {
  return id >= 0 && (otherId < 0 || key > otherKey || (key == otherKey && id < otherId));
}

struct LargestShared {
  double ofWarp[kWarps];
  float slots[kWarp];
  uint32_t keys[kWarps];
  int32_t ids[kWarps];
};

__global__ void __launch_bounds__(kThreads) topLogProbsKernel(Matrix<const float> logits,  // [S, V]
                                                              const int32_t* chosen,       // [S]
                                                              Matrix<float> logProbs,      // [S, 1 + n]
                                                              Matrix<int32_t> ids,         // [S, n]
                                                              FaultSink faults) {
  LargestShared& shared = *sharedMemory<LargestShared>();
  const int64_t row = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  const float* const x = logits.row(row);
  const float none = -bitsToFloat(kInfinityBits);
  float largest = none;
  for (int32_t i = thread; i < logits.cols; i += kThreads) {
    if (x[i] != x[i]) reportFault(faults, FaultCode::kLogits, row, 1, 0);
    largest = fmax(largest, x[i]);
  }
  largest = blockMax<kThreads>(largest, shared.slots);
  if (largest == none) {
    if (thread == 0) reportFault(faults, FaultCode::kLogits, row, 0, 0);
    return;
  }
  double sum = 0.0;
  for (int32_t i = thread; i < logits.cols; i += kThreads) sum += static_cast<double>(exp(x[i] - largest));
  sum = warpSum(sum);
  if (lane == 0) shared.ofWarp[warp] = sum;
  syncThreads();
  sum = 0.0;
  for (int other = 0; other < kWarps; ++other) sum += shared.ofWarp[other];
  const double lse = static_cast<double>(largest) + static_cast<double>(log(static_cast<float>(sum)));
  if (thread == 0) {
    const int32_t id = chosen[row];
    if (id < 0 || id >= logits.cols) {
      reportFault(faults, FaultCode::kChosen, row, id, logits.cols);
    } else {
      logProbs.row(row)[0] = static_cast<float>(static_cast<double>(x[id]) - lse);
    }
  }
  // Each pass finds the largest of those below the last one.
  uint32_t lastKey = 0;
  int32_t lastId = -1;
  for (int32_t place = 0; place < ids.cols; ++place) {
    uint32_t key = 0;
    int32_t id = -1;
    for (int32_t i = thread; i < logits.cols; i += kThreads) {
      const uint32_t here = keyOf(x[i]);
      if (x[i] == none || (place > 0 && !beats(lastKey, lastId, here, i))) continue;
      if (beats(here, i, key, id)) {
        key = here;
        id = i;
      }
    }
    const auto take = [&](uint32_t otherKey, int32_t otherId) {
      if (!beats(otherKey, otherId, key, id)) return;
      key = otherKey;
      id = otherId;
    };
    LOWRANK_UNROLL for (int mask = kWarp / 2; mask > 0; mask /= 2) {
      const uint32_t otherKey = static_cast<uint32_t>(shuffleXor(static_cast<int32_t>(key), mask));
      take(otherKey, shuffleXor(id, mask));
    }
    syncThreads();  // the last pass has been read
    if (lane == 0) {
      shared.keys[warp] = key;
      shared.ids[warp] = id;
    }
    syncThreads();
    for (int other = 0; other < kWarps; ++other) take(shared.keys[other], shared.ids[other]);
    lastKey = key;
    lastId = id;
    if (thread == 0) {
      logProbs.row(row)[1 + place] = id < 0 ? none : static_cast<float>(static_cast<double>(x[id]) - lse);
      ids.row(row)[place] = id;
    }
    if (id < 0) {
      for (int32_t rest = place + 1; rest < ids.cols && thread == 0; ++rest) {
        logProbs.row(row)[1 + rest] = none;
        ids.row(row)[rest] = -1;
      }
      return;
    }
  }
}

void sampleWith(const Tensor& logits, const Tensor& steps, const Tensor& seen, const Tensor& ids,
                const OptionsOfRows& options, Context& context) {
  if (logits.rows == 0) return;
  Queue& queue = queueOf(context);
  float* memory = scratch<float>(context, elementCount(logits));
  if (memory == nullptr) return;
  launch<sampleKernel>(queue, static_cast<unsigned>(logits.rows), kThreads, sizeof(Shared),
                       matrixOf<const float>(logits), static_cast<const int32_t*>(steps.data), matrixOf<uint8_t>(seen),
                       memory, static_cast<int32_t*>(ids.data), options, queue.faults());
}

}  // namespace

void sample(const SampleArgs& args, Context& context) {
  const uint64_t seed = static_cast<uint64_t>(static_cast<int64_t>(args.seed));
  OptionsOfRows options{};
  options.all = Options{args.temperature,
                        args.repetitionPenalty,
                        args.topK,
                        args.topP,
                        args.minP,
                        args.minP > 0.0f ? __builtin_logf(args.minP) : 0.0f,
                        {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
                        nullptr,
                        0};
  sampleWith(args.logits, args.steps, args.seen, args.ids, options, context);
}

void sampleRows(const SampleRowsArgs& args, Context& context) {
  OptionsOfRows options{};
  options.options = matrixOf<const float>(args.options);
  options.integers = matrixOf<const int32_t>(args.integers);
  options.allowed = matrixOf<const int32_t>(args.allowed);
  sampleWith(args.logits, args.steps, args.seen, args.ids, options, context);
}

void topLogProbs(const TopLogProbsArgs& args, Context& context) {
  if (args.logits.rows == 0) return;
  Queue& queue = queueOf(context);
  launch<topLogProbsKernel>(queue, static_cast<unsigned>(args.logits.rows), kThreads, sizeof(LargestShared),
                            matrixOf<const float>(args.logits), static_cast<const int32_t*>(args.chosen.data),
                            matrixOf<float>(args.logProbs), matrixOf<int32_t>(args.ids), queue.faults());
}

}  // namespace lowrank::LOWRANK_BACKEND
