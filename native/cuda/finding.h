// For the two runtimes: a fault record's contents as a sentence, the same as the CPU's kernels say.
#pragma once

#include <cstdint>
#include <string>

#include "queue.h"

namespace lowrank::LOWRANK_BACKEND {

std::string describeFinding(uint64_t finding, const uint64_t* limits);

// All kernels of the backend, whether launched or not.
const Kernel* kernels();

}  // namespace lowrank::LOWRANK_BACKEND
