// The table of this level's kernels.
#include "kernels.h"

#define LOWRANK_STRING_(name) #name
#define LOWRANK_STRING(name) LOWRANK_STRING_(name)

namespace lowrank::cpu::LOWRANK_ISA {

const Backend kBackend = {LOWRANK_STRING(LOWRANK_ISA),
#define LOWRANK_ENTRY(op, Args) op,
                          LOWRANK_OPS(LOWRANK_ENTRY)
#undef LOWRANK_ENTRY
};

}  // namespace lowrank::cpu::LOWRANK_ISA
