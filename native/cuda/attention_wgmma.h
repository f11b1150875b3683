// Attention by Hopper's warpgroups, where the device, the dtype, the heads and their alignment allow it.
#pragma once

#include "attention.cuh"

namespace lowrank::LOWRANK_BACKEND {

inline constexpr int kWgmmaRows = 128;  // queries of a task

bool suitsWgmma(const AttentionArgs& args, Context& context);

// Leaves out tasks of up to two queries where `tasks` have shares.
void attentionByWgmma(const AttentionArgs& args, const SequenceTasks& tasks, Context& context);

// dq, dk and dv, for dots [H, Nq] (attention_backward.cu). Returns false, and does nothing, where it cannot.
bool attentionBackwardByWgmma(const AttentionBackwardArgs& args, const float* dots, Context& context);

}  // namespace lowrank::LOWRANK_BACKEND
