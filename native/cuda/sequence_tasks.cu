// The kernel behind sequence_tasks.h.
//
//   threads  blocks  shared memory
//   256      1       32 bytes
#include "sequence_tasks.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kPlanThreads = 256;
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

struct PlannedKeys {
  const int32_t* cuK;       // [S + 1], or null
  const int32_t* seqUsedK;  // [S], or null
  Matrix<const int32_t> blockTable;
  int32_t blockSize;
  int32_t keys;  // rows of k

  __device__ __forceinline__ int32_t most(int32_t s) const {
    return cuK != nullptr ? cuK[s + 1] - cuK[s] : blockTable.cols * blockSize;
  }
  __device__ __forceinline__ int32_t begin(int32_t s) const {
    return cuK != nullptr ? cuK[s] : s * (blockTable.cols * blockSize);
  }
};

// One block.
__global__ void __launch_bounds__(kPlanThreads)
    planTasksKernel(const int32_t* cuQ,  // [S + 1]
                    PlannedKeys places, int32_t sequences, int32_t queries, int32_t rows, int32_t ofKeys,
                    SequenceTask* tasks,   // [slots], all empty
                    SequenceTask* shares,  // [shareSlots], all empty, or null
                    FaultSink faults) {
  int32_t* const bads = sharedMemory<int32_t>();  // per warp: its first bad entry
  const int32_t* const cuK = places.cuK;
  const int32_t* const seqUsedK = places.seqUsedK;
  const int thread = static_cast<int>(threadIdx.x);
  int32_t badQ = kNoEntry, badK = kNoEntry, badUsed = kNoEntry, badBlocks = kNoEntry;
  for (int32_t s = thread; s <= sequences; s += kPlanThreads) {
    const bool goodQ = (s == 0 ? cuQ[s] == 0 : cuQ[s] >= cuQ[s - 1]) && (s < sequences || cuQ[s] == queries);
    const bool goodK =
        cuK == nullptr || ((s == 0 ? cuK[s] == 0 : cuK[s] >= cuK[s - 1]) && (s < sequences || cuK[s] <= places.keys));
    if (!goodQ && badQ == kNoEntry) badQ = s;
    if (!goodK && badK == kNoEntry) badK = s;
    if (seqUsedK == nullptr || s == sequences || badUsed != kNoEntry) continue;
    if (seqUsedK[s] < 0 || seqUsedK[s] > places.most(s)) badUsed = s;
  }
  badQ = firstOfBlock(badQ, bads);
  badK = firstOfBlock(badK, bads);
  badUsed = firstOfBlock(badUsed, bads);
  if (thread == 0) {
    if (badQ != kNoEntry) reportFault(faults, FaultCode::kSequencesQ, badQ, cuQ[badQ], queries);
    if (badK != kNoEntry) reportFault(faults, FaultCode::kSequencesK, badK, cuK[badK], places.keys);
    if (badUsed != kNoEntry)
      reportFault(faults, FaultCode::kUsedKeys, badUsed, seqUsedK[badUsed], places.most(badUsed));
  }
  if (badQ != kNoEntry || badK != kNoEntry || badUsed != kNoEntry) return;
  if (cuK == nullptr) {
    // A warp per sequence: one of many blocks is not left to a single thread.
    const int32_t blocks = places.keys / places.blockSize;
    for (int32_t s = thread / kWarp; s < sequences; s += kPlanThreads / kWarp) {
      const int32_t* const table = places.blockTable.row(s);
      for (int32_t b = thread % kWarp; b * places.blockSize < seqUsedK[s]; b += kWarp) {
        if (table[b] >= 0 && table[b] < blocks) continue;
        reportFault(faults, FaultCode::kBlocks, s, table[b], blocks);
        badBlocks = s;
      }
    }
    if (firstOfBlock(badBlocks, bads) != kNoEntry) return;
  }
  // Keys that belong to no sequence are those of one more, without queries: their gradients are zero.
  for (int32_t s = thread; s < sequences + ofKeys; s += kPlanThreads) {
    const bool extra = s == sequences;
    const int32_t kBegin = places.begin(s), qCount = extra ? 0 : cuQ[s + 1] - cuQ[s];
    const int32_t kCount = extra ? places.keys - kBegin : seqUsedK != nullptr ? seqUsedK[s] : places.most(s);
    const int32_t begin = ofKeys ? kBegin : cuQ[s], count = ofKeys ? kCount : qCount;
    const SequenceTask all{cuQ[s], qCount, cuK != nullptr ? kBegin : 0, kCount, 0, 0, s, kBegin / kShareKeys + s};
    const auto cut = [&](SequenceTask* to, int32_t of, int32_t step) {
      for (int32_t i = 0; i * step < of; ++i) {
        const int32_t left = of - i * step;
        to[i] = all;
        to[i].first = i * step;
        to[i].count = left < step ? left : step;
      }
    };
    cut(tasks + begin / rows + s, count, rows);
    if (shares != nullptr && fewOf(qCount) > 0) cut(shares + all.shares, kCount, kShareKeys);
  }
}

}  // namespace

SequenceTasks planTasks(const Tensor& cuQ, const KeyPlaces& places, int64_t queries, int64_t keys, int rows,
                        bool ofKeys, bool fewShares, Context& context) {
  Queue& queue = queueOf(context);
  const int64_t sequences = cuQ.cols - 1 + (ofKeys ? 1 : 0), all = ofKeys ? keys : queries;
  const int64_t slots = all / rows + sequences;
  const int64_t positions = present(places.blockTable) ? sequences * places.blockTable.cols * places.blockSize : keys;
  const int64_t shareSlots = fewShares ? positions / kShareKeys + sequences : 0;
  // Which rows a task has may depend on the device; what an op takes does not.
  const int64_t room = all / minOf(rows, kCommonRows) + sequences;
  SequenceTask* const tasks = scratch<SequenceTask>(context, room + shareSlots);
  if (tasks == nullptr) return {nullptr, 0, nullptr, 0};
  SequenceTask* const shares = fewShares ? tasks + slots : nullptr;
  queue.fillBytes(tasks, 0, static_cast<size_t>(slots + shareSlots) * sizeof(SequenceTask));
  launch<planTasksKernel>(
      queue, 1, kPlanThreads, kPlanThreads / kWarp * sizeof(int32_t), static_cast<const int32_t*>(cuQ.data),
      PlannedKeys{static_cast<const int32_t*>(places.cuSeqlensK.data),
                  static_cast<const int32_t*>(places.seqUsedK.data), matrixOf<const int32_t>(places.blockTable),
                  places.blockSize, static_cast<int32_t>(keys)},
      cuQ.cols - 1, queries, rows, ofKeys ? 1 : 0, tasks, shares, queue.faults());
  return {tasks, slots, shares, shareSlots};
}

}  // namespace lowrank::LOWRANK_BACKEND
