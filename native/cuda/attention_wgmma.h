// Attention by Hopper's warpgroups. Where the device, the dtype, the heads or their alignment do not allow it these
// return false and do nothing.
#pragma once

#include "attention.cuh"

namespace lowrank::LOWRANK_BACKEND {

bool attentionByWgmma(const AttentionArgs& args, Context& context);

// dq, dk and dv, for dots [H, Nq] (attention_backward.cu).
bool attentionBackwardByWgmma(const AttentionBackwardArgs& args, const float* dots, Context& context);

}  // namespace lowrank::LOWRANK_BACKEND
