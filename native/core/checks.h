// Shape and dtype rules of every op, as ops.h states them: after check() has passed, no kernel can read or write outside its tensors.
// Values (ids, positions, cumulative lengths) are the kernels' to check, since they arrive later.
#pragma once

#include <string>

#include "ops.h"

namespace lowrank {

// Empty when all is well, else a sentence without the op's name: "expected weight [1, 576] for x [512, 576], got [1, 575]".
// Required tensors are there already. An op without its overload does not compile.
#define LOWRANK_CHECK(op, Args) std::string check(const Args& args);
LOWRANK_OPS(LOWRANK_CHECK)
#undef LOWRANK_CHECK

}  // namespace lowrank
