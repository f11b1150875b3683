// What the addon of the tests has for its emulated GPU.
#pragma once

#include "../emulator/options.h"
#include "../napi.h"

namespace lowrank {

// The option `emulator` of a device: { generation, order, copies, seed, multiprocessors, cacheBytes, hostBytes }, each
// of which may be left out, as may the whole. Throws InvalidArgument.
emulator::Options readEmulatorOptions(const Napi::Value& value);

// kernelLaunches(): every variant of every kernel, and how often this process launched it.
// probes, runProbe(name, options): the emulator's own tests, see emulator/probes.cpp.
void defineEmulator(Napi::Env env, Napi::Object exports);

}  // namespace lowrank
