// What JavaScript alone cannot do: signals while it is busy, locks that the kernel drops with the process.
#pragma once

#include "../napi.h"

namespace lowrank {

// guardSignals(signals, endsAt, farewell) -> boolean; two lists of numbers of one length, see platform::guardSignals().
Napi::Value guardSignals(const Napi::CallbackInfo& call);

// lockFile(descriptor, exclusive) -> Promise<boolean | null>: whether the lock was had; null where the file system has
// no locks. On a thread of its own, as a file server may take its time.
Napi::Value lockFile(const Napi::CallbackInfo& call);

}  // namespace lowrank
