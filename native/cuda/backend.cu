// The table of the CUDA kernels.
#include "kernels.h"

#define LOWRANK_STRING_(name) #name
#define LOWRANK_STRING(name) LOWRANK_STRING_(name)

namespace lowrank::LOWRANK_BACKEND {

const Backend kBackend = {LOWRANK_STRING(LOWRANK_BACKEND),
#define LOWRANK_ENTRY(op, Args) op,
                          LOWRANK_OPS(LOWRANK_ENTRY)
#undef LOWRANK_ENTRY
};

}  // namespace lowrank::LOWRANK_BACKEND
