#include "arguments.h"

#include <cmath>

#include "../core/fault.h"
#include "../core/format.h"

namespace lowrank {

static std::string typeName(const Napi::Value& value) {
  if (value.IsString()) return "'" + value.As<Napi::String>().Utf8Value() + "'";
  if (value.IsNumber()) return formatNumber(value.As<Napi::Number>().DoubleValue());
  if (value.IsBoolean()) return value.As<Napi::Boolean>() ? "true" : "false";
  if (value.IsUndefined()) return "undefined";
  if (value.IsNull()) return "null";
  return value.IsObject() ? "an object" : "another type";
}

void refuse(const char* caller, const std::string& expected, const std::string& name, const Napi::Value& got) {
  throw InvalidArgument(std::string("[") + caller + "] expected " + expected + " for " + name + ", got " +
                        typeName(got));
}

double number(const Napi::CallbackInfo& info, size_t index, const char* caller, const char* name) {
  if (!info[index].IsNumber()) refuse(caller, "a number", name, info[index]);
  return info[index].As<Napi::Number>().DoubleValue();
}

double numberOrNaN(const Napi::Value& value) {
  return value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
}

// Plain Node-API: this is called for every command.
Words words(const Napi::Value& value, const char* caller, const char* name) {
  napi_typedarray_type type;
  size_t length;
  void* data;
  if (napi_get_typedarray_info(value.Env(), value, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != napi_float64_array) {
    refuse(caller, "a Float64Array", name, value);
  }
  return {static_cast<const double*>(data), length};
}

Bytes bytes(const Napi::Value& value, const char* caller, const char* name) {
  if (value.IsTypedArray()) {
    const Napi::TypedArray array = value.As<Napi::TypedArray>();
    void* data = nullptr;
    napi_get_typedarray_info(value.Env(), value, nullptr, nullptr, &data, nullptr, nullptr);
    return {data, array.ByteLength()};
  }
  if (value.IsDataView()) return {value.As<Napi::DataView>().Data(), value.As<Napi::DataView>().ByteLength()};
  refuse(caller, "a typed array", name, value);
}

}  // namespace lowrank
