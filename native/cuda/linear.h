// What linear and linearCrossEntropy share.
#pragma once

#include "gemm.h"

namespace lowrank::LOWRANK_BACKEND {

// Memory that repeated calls within one op reuse.
struct LinearScratch {
  GemmScratch products;
  Workspace ds;
  Workspace masked;  // masked inputs, gradients that are to be masked and their sums
};

// As the ops of the same name, but that of the rows only those within `limit` are there (the others' results are
// undefined), and that row i of the input draws its dropout mask as row rowIds[i] (on the device; nullptr: as row i).
// False: out of memory.
bool linearForward(const LinearArgs& args, const RowLimit& limit, const int32_t* rowIds, LinearScratch& scratch,
                   Context& context);
bool linearGradients(const LinearBackwardArgs& args, const RowLimit& limit, const int32_t* rowIds,
                     LinearScratch& scratch, Context& context);

}  // namespace lowrank::LOWRANK_BACKEND
