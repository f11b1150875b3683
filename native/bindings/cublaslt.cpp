#include "cublaslt.h"

#include <cmath>
#include <string>

#include "../core/fault.h"

namespace lowrank {
namespace {

[[noreturn]] void refuse(const char* expected, const char* name, const Napi::Value& got) {
  throw InvalidArgument(std::string("[cublaslt] expected ") + expected + " for " + name + ", got " +
                        got.ToString().Utf8Value());
}

int64_t whole(const Napi::Value& value, const char* name, int64_t least) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
  if (number >= double(least) && number <= 0x1p31 - 1 && number == std::floor(number)) return int64_t(number);
  refuse(least == 0 ? "a whole number >= 0" : "a whole number >= 1", name, value);
}

// Which of two words it is: 0 or 1.
int choice(const Napi::Value& value, const char* name, const char* expected, const char* first, const char* second) {
  const std::string word = value.IsString() ? value.As<Napi::String>().Utf8Value() : "";
  if (word != first && word != second) refuse(expected, name, value);
  return word == second ? 1 : 0;
}

cuda::CublasLt::Options readOptions(const Napi::Value& value) {
  if (!value.IsObject()) refuse("an object", "options", value);
  const Napi::Object given = value.As<Napi::Object>();
  const Napi::Array names = given.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).As<Napi::String>();
    if (name != "ordinal" && name != "dtype" && name != "direction" && name != "m" && name != "k" && name != "n" &&
        name != "library") {
      throw InvalidArgument(
          "[cublaslt] expected the options ordinal, dtype, direction, m, k, n and library, got also '" + name + "'");
    }
  }
  cuda::CublasLt::Options options;
  options.ordinal = int(whole(given.Get("ordinal"), "ordinal", 0));
  const int dtype = choice(given.Get("dtype"), "dtype", "'float32' or 'bfloat16'", "float32", "bfloat16");
  options.dtype = dtype == 1 ? DType::kBFloat16 : DType::kFloat32;
  options.gradient = choice(given.Get("direction"), "direction", "'forward' or 'dx'", "forward", "dx") == 1;
  options.m = whole(given.Get("m"), "m", 1);
  options.k = whole(given.Get("k"), "k", 1);
  options.n = whole(given.Get("n"), "n", 1);
  const Napi::Value library = given.Get("library");
  if (library.IsString()) {
    options.library = library.As<Napi::String>();
  } else if (!library.IsUndefined()) {
    refuse("a path", "library", library);
  }
  return options;
}

}  // namespace

Napi::Function CublasLtBinding::define(Napi::Env env) {
  return DefineClass(
      env, "CublasLt",
      {InstanceAccessor<&CublasLtBinding::version>("version"), InstanceMethod<&CublasLtBinding::seconds>("seconds"),
       InstanceMethod<&CublasLtBinding::close>("close")});
}

CublasLtBinding::CublasLtBinding(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<CublasLtBinding>(info), product_(std::make_unique<cuda::CublasLt>(readOptions(info[0]))) {}

cuda::CublasLt& CublasLtBinding::product() const {
  if (!product_) throw InvalidArgument("[cublaslt] expected a product that is open, got one after close()");
  return *product_;
}

Napi::Value CublasLtBinding::version(const Napi::CallbackInfo& info) {
  return Napi::String::New(info.Env(), product().version());
}

Napi::Value CublasLtBinding::seconds(const Napi::CallbackInfo& info) {
  const double length = info[0].IsNumber() ? info[0].As<Napi::Number>().DoubleValue() : NAN;
  if (!(length >= 0 && length <= 60)) refuse("a number from 0 to 60", "seconds", info[0]);
  return Napi::Number::New(info.Env(), product().seconds(length));
}

void CublasLtBinding::close(const Napi::CallbackInfo&) {
  product_.reset();
}

}  // namespace lowrank
