// addon.measure(): the machine's ceilings, for benchmarks.
#pragma once

#include "../napi.h"

namespace lowrank {

// measure(kind, { isa, threads, seconds, bytes }) -> { work, seconds }: runs a probe on the compute pool for about that
// long, while JavaScript waits. Kinds: 'fma' and 'vdpbf16ps' count floating-point operations, 'read' counts bytes, over
// a buffer of `bytes`.
Napi::Value measure(const Napi::CallbackInfo& call);

}  // namespace lowrank
