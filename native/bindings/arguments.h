// What JavaScript passed, as C++ has it; InvalidArgument says what was expected.
#pragma once

#include <cstddef>
#include <string>

#include "../napi.h"

namespace lowrank {

// "[caller] expected ... for name, got ..."
[[noreturn]] void refuse(const char* caller, const std::string& expected, const std::string& name,
                         const Napi::Value& got);

double number(const Napi::CallbackInfo& info, size_t index, const char* caller, const char* name);
// NaN for what is no number.
double numberOrNaN(const Napi::Value& value);

// A Float64Array.
struct Words {
  const double* data;
  size_t length;
};
Words words(const Napi::Value& value, const char* caller, const char* name);

// Any typed array or DataView.
struct Bytes {
  const void* data;
  size_t length;
};
Bytes bytes(const Napi::Value& value, const char* caller, const char* name);

}  // namespace lowrank
