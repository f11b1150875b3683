// addon.ops: the op list as TypeScript encodes against it.
#pragma once

#include "../napi.h"

namespace lowrank {

// { [op]: { id, fields: [{ name, kind, fields? }] } }
Napi::Object describeOps(Napi::Env env);

}  // namespace lowrank
