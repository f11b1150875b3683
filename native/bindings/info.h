// addon.info(): what was built, and what the machine offers.
#pragma once

#include "../core/ops.h"
#include "../napi.h"

namespace lowrank {

Napi::Value engineInfo(const Napi::CallbackInfo& info);

// The kernels of a level, or of the environment's or machine's choice when `isa` is null. Throws InvalidArgument.
const Backend& chooseBackend(const char* isa);

}  // namespace lowrank
