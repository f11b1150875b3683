// Attention's work, cut at the boundaries of packed sequences. Those are known on the device only: planTasks() checks
// them there and cuts sequences into tasks of up to `rows` queries or keys. Sequence s owns the slots from begin[s] /
// rows + s on: as many as it may need, without counting those before it. Slots that it does not need are empty, and
// their blocks return at once; so do all after a fault.
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
};

struct SequenceTasks {
  SequenceTask* at;
  int64_t slots;
};

// Tasks of up to `rows` queries, or keys. Without memory `at` is null.
SequenceTasks planTasks(const Tensor& cuQ, const Tensor& cuK, const Tensor& seqUsedK, int64_t queries, int64_t keys,
                        int rows, bool ofKeys, Context& context);

}  // namespace lowrank::LOWRANK_BACKEND
