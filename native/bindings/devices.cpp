#include "devices.h"

#include <cstdlib>
#include <vector>

#include "info.h"

#if defined(LOWRANK_WITH_CUDA)
#include "../cuda/runtime.h"
#include "cublaslt.h"
#endif
#if defined(LOWRANK_WITH_EMULATOR)
#include "../emulator/runtime.h"
#include "emulator.h"
#endif

namespace lowrank {
namespace {

#if defined(LOWRANK_WITH_CUDA)
// The first GPU that serves; -1: none.
int firstGpu() {
  const std::vector<cuda::DeviceInfo> devices = cuda::devices(false);
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].major >= cuda::kLeastMajor) return int(i);
  }
  return -1;
}
#endif

// The number after "cuda:"; 0 for "cuda"; -1 for what is neither.
int ordinalOf(const std::string& name) {
  if (name == "cuda") return 0;
  if (name.rfind("cuda:", 0) != 0 || name.size() < 6 || name.size() > 8) return -1;
  int ordinal = 0;
  for (size_t i = 5; i < name.size(); ++i) {
    if (name[i] < '0' || name[i] > '9') return -1;
    ordinal = 10 * ordinal + (name[i] - '0');
  }
  return ordinal;
}

std::string openCpu(const std::string& isa, StreamOptions& options) {
  options.backend = &chooseBackend(isa.empty() ? nullptr : isa.c_str());
  return "cpu";
}

std::string openCuda(int ordinal, StreamOptions& options) {
#if defined(LOWRANK_WITH_CUDA)
  options.backend = &cuda::kBackend;
  options.queue = cuda::openQueue(ordinal, options.dryRun);
  return "cuda:" + std::to_string(ordinal);
#else
  (void)ordinal;
  (void)options;
  throw InvalidArgument(
      "[device] expected an engine with CUDA for device 'cuda', got the one for CPUs; install "
      "@lowrank/linux-x64-gnu-cuda, in a checkout run `LOWRANK_CUDA=ON npm run build` with nvcc on the path, or use "
      "device 'cpu'");
#endif
}

}  // namespace

std::string openDevice(const std::string& name, const std::string& isa, const Napi::Value& emulator,
                       StreamOptions& options) {
  if (name != "cpu" && !isa.empty())
    throw InvalidArgument("[device] expected isa with device 'cpu' only, got '" + name + "'");
  if (name != "cuda-emulator" && !emulator.IsUndefined())
    throw InvalidArgument("[device] expected emulator with device 'cuda-emulator' only, got '" + name + "'");
  if (name == "cpu") return openCpu(isa, options);
  if (name == "auto") {
#if defined(LOWRANK_WITH_CUDA)
    const int gpu = firstGpu();
    if (gpu >= 0) return openCuda(gpu, options);
#endif
    return openCpu(isa, options);
  }
#if defined(LOWRANK_WITH_EMULATOR)
  if (name == "cuda-emulator") {
    options.backend = &emulator::kBackend;
    options.queue = emulator::openQueue(readEmulatorOptions(emulator), options.dryRun);
    return name;
  }
#endif
  const int ordinal = ordinalOf(name);
  if (ordinal >= 0) return openCuda(ordinal, options);
  throw InvalidArgument("[device] expected 'cpu', 'cuda', 'cuda:N' or 'auto' for device, got '" + name + "'");
}

Napi::Array deviceNames(Napi::Env env) {
  Napi::Array names = Napi::Array::New(env);
  uint32_t count = 0;
#if defined(LOWRANK_WITH_CUDA)
  const std::vector<cuda::DeviceInfo> devices = cuda::devices(false);
  for (size_t i = 0; i < devices.size(); ++i) {
    if (devices[i].major >= cuda::kLeastMajor) names.Set(count++, "cuda:" + std::to_string(i));
  }
#endif
  names.Set(count++, "cpu");
#if defined(LOWRANK_WITH_EMULATOR)
  names.Set(count++, "cuda-emulator");
#endif
  return names;
}

Napi::Value cudaInfo(Napi::Env env) {
#if defined(LOWRANK_WITH_CUDA)
  const cuda::DriverInfo driver = cuda::driverInfo();
  const auto version = [](int number) {
    return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
  };
  Napi::Object info = Napi::Object::New(env);
  info.Set("driverVersion",
           driver.driverVersion == 0 ? env.Null() : Napi::String::New(env, version(driver.driverVersion)));
  info.Set("runtimeVersion", version(driver.runtimeVersion));
  info.Set("error", driver.error.empty() ? env.Null() : Napi::String::New(env, driver.error));
  Napi::Array list = Napi::Array::New(env);
  for (const cuda::DeviceInfo& device : cuda::devices(true)) {
    Napi::Object entry = Napi::Object::New(env);
    entry.Set("name", device.name);
    entry.Set("computeCapability", std::to_string(device.major) + "." + std::to_string(device.minor));
    entry.Set("totalMemory", double(device.totalMemory));
    entry.Set("freeMemory", double(device.freeMemory));
    list.Set(list.Length(), entry);
  }
  info.Set("devices", list);
  return info;
#else
  return env.Null();
#endif
}

void defineOwnExports(Napi::Env env, Napi::Object exports) {
#if defined(LOWRANK_WITH_CUDA)
  exports.Set("CublasLt", CublasLtBinding::define(env));
#endif
#if defined(LOWRANK_WITH_EMULATOR)
  defineEmulator(env, exports);
#endif
  (void)env;
  (void)exports;
}

}  // namespace lowrank
