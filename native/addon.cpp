// What the addon exports; see bindings/.
#include "bindings/devices.h"
#include "bindings/info.h"
#include "bindings/measure.h"
#include "bindings/process.h"
#include "bindings/quantize.h"
#include "bindings/schema.h"
#include "bindings/stream.h"
#include "napi.h"

static Napi::Object init(Napi::Env env, Napi::Object exports) {
  exports.Set("Stream", lowrank::StreamBinding::define(env));
  exports.Set("ops", lowrank::describeOps(env));
  exports.Set("info", Napi::Function::New(env, lowrank::engineInfo, "info"));
  exports.Set("measure", Napi::Function::New(env, lowrank::measure, "measure"));
  exports.Set("quantize", Napi::Function::New(env, lowrank::quantize, "quantize"));
  exports.Set("guardSignals", Napi::Function::New(env, lowrank::guardSignals, "guardSignals"));
  exports.Set("lockFile", Napi::Function::New(env, lowrank::lockFile, "lockFile"));
  exports.Set("cuda", Napi::Function::New(
                          env, [](const Napi::CallbackInfo& call) { return lowrank::cudaInfo(call.Env()); }, "cuda"));
  lowrank::defineOwnExports(env, exports);
  return exports;
}

NODE_API_MODULE(lowrank, init)
