// What linear and linearCrossEntropy share.
#pragma once

#include "gemm.h"

namespace lowrank::cpu::LOWRANK_ISA {

// Memory that repeated calls within one kernel reuse.
struct LinearScratch {
  Workspace products;  // the list of products and their terms
  Workspace values;    // ds, masked inputs, masked gradients
  Workspace joined;    // what the LoRA pairs of a group share: their A's, their s or dA
  Workspace panels;    // gemm's own
};

// As the ops of the same name, except that row i of the input draws its dropout mask as row rowIds[i] (nullptr: as row
// i), and that dy may be float32 beside an x of another dtype, in which case ds is still rounded to x's dtype. False:
// out of memory.
bool linearForward(const LinearArgs& args, const int32_t* rowIds, LinearScratch& scratch, Context& context);
bool linearGradients(const LinearBackwardArgs& args, DType compute, const int32_t* rowIds, LinearScratch& scratch,
                     Context& context);

}  // namespace lowrank::cpu::LOWRANK_ISA
