// The shape and dtype rules that ops/NAME.h states, as functions: here they are compiled, once for all backends.
#pragma once

#include <string>

#include "ops.h"

namespace lowrank {

// Empty when all is well, else a sentence without the op's name: "expected weight [1, 576] for x [512, 576], got [1,
// 575]". Required tensors are there already. An op without its check() does not compile.
#define LOWRANK_CHECK(op, Args) std::string check(const Args& args);
LOWRANK_OPS(LOWRANK_CHECK)
#undef LOWRANK_CHECK

}  // namespace lowrank
