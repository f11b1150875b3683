#include "info.h"

#include "../core/fault.h"
#include "../core/thread_pool.h"
#include "../cpu/dispatch.h"
#include "../platform/platform.h"
#include "devices.h"

namespace lowrank {

const Backend& chooseBackend(const char* isa) {
  char error[512] = "";
  const Backend* backend = cpu::selectBackend(isa, error, sizeof error);
  if (backend == nullptr) throw InvalidArgument(std::string("[device] ") + error);
  return *backend;
}

Napi::Value engineInfo(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  Napi::Object info = Napi::Object::New(env);
  info.Set("version", LOWRANK_VERSION);
  info.Set("isa", chooseBackend(nullptr).name);
  info.Set("detectedIsa", cpu::detectedIsa());
  info.Set("fastestIsa", cpu::fastestIsa());
  info.Set("threads", ThreadPool::defaultThreads());
  info.Set("totalMemory", double(platform::totalMemory()));
  info.Set("availableMemory", double(platform::availableMemory()));
  info.Set("compiler", LOWRANK_COMPILER);
  info.Set("devices", deviceNames(env));
  return info;
}

}  // namespace lowrank
