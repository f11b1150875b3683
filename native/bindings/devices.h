// The devices that this addon has.
#pragma once

#include <string>

#include "../core/stream.h"
#include "../napi.h"

namespace lowrank {

// Sets backend and queue of `options` for "cpu", "cuda", "cuda:1", "auto" (the first GPU where there is one that
// serves, else the CPU) or, in the addon of the tests, "cuda-emulator". Returns the name of the device that it is.
// `isa` is for the CPU, "" for the best; `emulator` is for the emulator (bindings/emulator.h). Throws InvalidArgument,
// saying what there is.
std::string openDevice(const std::string& name, const std::string& isa, const Napi::Value& emulator,
                       StreamOptions& options);

// Names that openDevice() takes here, the default first.
Napi::Array deviceNames(Napi::Env env);

// { driverVersion, runtimeVersion, error, devices: [{ name, computeCapability, totalMemory, freeMemory }] }, null in an
// addon without CUDA.
Napi::Value cudaInfo(Napi::Env env);

// Adds what not every addon has: CublasLt that with CUDA, kernelLaunches, runProbe and probes that of the tests.
void defineOwnExports(Napi::Env env, Napi::Object exports);

}  // namespace lowrank
