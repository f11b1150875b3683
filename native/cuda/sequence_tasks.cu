// The kernel behind sequence_tasks.h.
//
//   threads  blocks  shared memory
//   256      1       32 bytes
#include "sequence_tasks.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kPlanThreads = 256;
constexpr int kCommonRows = 64;
constexpr int32_t kNoEntry = 0x7fffffff;

// The lowest of the block's entries, for all of its threads.
__device__ __forceinline__ int32_t firstOfBlock(int32_t entry, int32_t* slots) {
  LOWRANK_UNROLL for (int mask = kWarp / 2; mask > 0; mask /= 2) {
    const int32_t other = shuffleXor(entry, mask);
    if (other < entry) entry = other;
  }
  // survives: the calls differ for wrong boundaries only, and those of the tests lead to tasks inside of the tensors
  syncThreads();  // slots are no longer read
  if (threadIdx.x % kWarp == 0) slots[threadIdx.x / kWarp] = entry;
  syncThreads();
  for (int warp = 0; warp < kPlanThreads / kWarp; ++warp) {
    if (slots[warp] < entry) entry = slots[warp];
  }
  return entry;
}

// One block.
__global__ void __launch_bounds__(kPlanThreads)
    planTasksKernel(const int32_t* cuQ,       // [S + 1]
                    const int32_t* cuK,       // [S + 1]
                    const int32_t* seqUsedK,  // [S], or null
                    int32_t sequences, int32_t queries, int32_t keys, int32_t rows, int32_t ofKeys,
                    SequenceTask* tasks,  // [slots], all empty
                    FaultSink faults) {
  int32_t* const bads = sharedMemory<int32_t>();  // per warp: its first bad entry
  const int thread = static_cast<int>(threadIdx.x);
  int32_t badQ = kNoEntry, badK = kNoEntry, badUsed = kNoEntry;
  for (int32_t s = thread; s <= sequences; s += kPlanThreads) {
    const bool goodQ = (s == 0 ? cuQ[s] == 0 : cuQ[s] >= cuQ[s - 1]) && (s < sequences || cuQ[s] == queries);
    const bool goodK = (s == 0 ? cuK[s] == 0 : cuK[s] >= cuK[s - 1]) && (s < sequences || cuK[s] <= keys);
    if (!goodQ && badQ == kNoEntry) badQ = s;
    if (!goodK && badK == kNoEntry) badK = s;
    if (seqUsedK == nullptr || s == sequences || badUsed != kNoEntry) continue;
    if (seqUsedK[s] < 0 || seqUsedK[s] > cuK[s + 1] - cuK[s]) badUsed = s;
  }
  badQ = firstOfBlock(badQ, bads);
  badK = firstOfBlock(badK, bads);
  badUsed = firstOfBlock(badUsed, bads);
  if (thread == 0) {
    if (badQ != kNoEntry) reportFault(faults, FaultCode::kSequencesQ, badQ, cuQ[badQ], queries);
    if (badK != kNoEntry) reportFault(faults, FaultCode::kSequencesK, badK, cuK[badK], keys);
    if (badUsed != kNoEntry)
      reportFault(faults, FaultCode::kUsedKeys, badUsed, seqUsedK[badUsed], cuK[badUsed + 1] - cuK[badUsed]);
  }
  if (badQ != kNoEntry || badK != kNoEntry || badUsed != kNoEntry) return;
  // Keys that belong to no sequence are those of one more, without queries: their gradients are zero.
  for (int32_t s = thread; s < sequences + ofKeys; s += kPlanThreads) {
    const bool extra = s == sequences;
    const int32_t qCount = extra ? 0 : cuQ[s + 1] - cuQ[s], kAll = (extra ? keys : cuK[s + 1]) - cuK[s];
    const int32_t kCount = seqUsedK != nullptr ? seqUsedK[s] : kAll;
    const int32_t begin = ofKeys ? cuK[s] : cuQ[s], count = ofKeys ? kCount : qCount;
    SequenceTask* const to = tasks + begin / rows + s;
    for (int32_t i = 0; i * rows < count; ++i) {
      const int32_t left = count - i * rows;
      to[i] = SequenceTask{cuQ[s], qCount, cuK[s], kCount, i * rows, left < rows ? left : rows};
    }
  }
}

}  // namespace

SequenceTasks planTasks(const Tensor& cuQ, const Tensor& cuK, const Tensor& seqUsedK, int64_t queries, int64_t keys,
                        int rows, bool ofKeys, Context& context) {
  Queue& queue = queueOf(context);
  const int64_t sequences = cuQ.cols - 1 + (ofKeys ? 1 : 0), all = ofKeys ? keys : queries;
  const int64_t slots = all / rows + sequences;
  // Which rows a task has may depend on the device; what an op takes does not.
  SequenceTask* const tasks = scratch<SequenceTask>(context, all / minOf(rows, kCommonRows) + sequences);
  if (tasks == nullptr) return {nullptr, 0};
  queue.fillBytes(tasks, 0, static_cast<size_t>(slots) * sizeof(SequenceTask));
  launch<planTasksKernel>(queue, 1, kPlanThreads, kPlanThreads / kWarp * sizeof(int32_t),
                          static_cast<const int32_t*>(cuQ.data), static_cast<const int32_t*>(cuK.data),
                          static_cast<const int32_t*>(seqUsedK.data), cuQ.cols - 1, queries, keys, rows, ofKeys ? 1 : 0,
                          tasks, queue.faults());
  return {tasks, slots};
}

}  // namespace lowrank::LOWRANK_BACKEND
