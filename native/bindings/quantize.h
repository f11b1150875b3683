// addon.quantize(): weights into the block formats of GGUF files.
#pragma once

#include "../napi.h"

namespace lowrank {

// quantize(format, values: Float32Array, importance: Float32Array | null) -> Promise<Uint8Array | null>. On the compute
// pool, off the event loop. `importance` has one number for each column: rows are as long. null where a value is not
// finite or the format does not hold it. Neither array may change before the promise settles.
Napi::Value quantize(const Napi::CallbackInfo& call);

}  // namespace lowrank
