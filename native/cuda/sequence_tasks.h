// Attention's work, cut at the boundaries of packed sequences. Those are known on the device only: planTasks() checks
// them there and cuts sequences into tasks of up to `rows` queries or keys. Sequence s owns the slots from begin[s] /
// rows + s on: as many as it may need, without counting those before it. Slots that it does not need are empty, and
// their blocks return at once; so do all after a fault.
//
// Sequences whose last 64 queries are one or two alone, as in decoding, can get tasks of up to kShareKeys keys beside
// them, laid out the same way (fewShares): attention.cu has a kernel of its own for such queries.
#pragma once

#include "kernels.h"

namespace lowrank::LOWRANK_BACKEND {

// Some rows of one sequence.
struct SequenceTask {
  int32_t qBegin;  // the sequence's first query
  int32_t qCount;
  int32_t kBegin;
  int32_t kCount;
  int32_t first;  // of this task's rows, counted inside the sequence
  int32_t count;  // 0: none
  int32_t sequence;
  int32_t shares;  // the slot of its sequence's first share
};

inline constexpr int32_t kShareKeys = 256;
inline constexpr int32_t kCommonRows = 64;

// The last queries of a sequence, where they are few: 0 to 2.
__host__ __device__ __forceinline__ int32_t fewOf(int32_t queries) {
  const int32_t last = queries % kCommonRows;
  return last <= 2 ? last : 0;
}

// Where the keys of sequences lie (AttentionArgs).
struct KeyPlaces {
  Tensor cuSeqlensK;  // or blockTable
  Tensor seqUsedK{};  // may be left out
  Tensor blockTable{};
  int32_t blockSize = 0;
};

struct SequenceTasks {
  SequenceTask* at;
  int64_t slots;
  SequenceTask* shares;  // null where they were not asked for
  int64_t shareSlots;
};

// Tasks of up to `rows` queries, or keys. Without memory `at` is null.
SequenceTasks planTasks(const Tensor& cuQ, const KeyPlaces& places, int64_t queries, int64_t keys, int rows,
                        bool ofKeys, bool fewShares, Context& context);

}  // namespace lowrank::LOWRANK_BACKEND
