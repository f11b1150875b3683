// Chooses the instruction-set level that kernels run at. Compiled once, for the baseline machine.
#pragma once

#include <cstddef>

#include "../core/ops.h"
#include "probe.h"

namespace lowrank::cpu {

// The best level of this machine: "generic", "avx2", "avx512", "avx512bf16" or "amx" (CPUID, and the registers the
// system saves).
const char* detectedIsa();

// The level that is taken by itself: the best one, unless its bfloat16 products are measured to be slower than
// widening.
const char* fastestIsa();

// The kernels of level `isa`; nullptr or "" means $LOWRANK_ISA, and where that is not set, the fastest level.
// Returns nullptr and a sentence in `error` (at most `errorSize` bytes) for an unknown name or a level above the
// machine's. $LOWRANK_ISA_UNCHECKED=1 permits a level that the machine does not report, as some hypervisors hide what
// the CPU has; where the CPU really lacks it the process dies of an illegal instruction. The result's `name` is the
// level.
const Backend* selectBackend(const char* isa, char* error, size_t errorSize);

// The probes of the level that selectBackend() gave.
const Probes& probesOf(const Backend& backend);

}  // namespace lowrank::cpu
