// The emulator's own tests: see probes.cpp.
#pragma once

#include <string>
#include <vector>

#include "options.h"

namespace lowrank::emulator {

std::vector<std::string> probeNames();

// Runs a probe on the values 1 to 64. Returns the fault of its launch, or nothing; `result` is what the kernel wrote.
std::string runProbe(const std::string& name, const Options& options, std::vector<float>& result);

}  // namespace lowrank::emulator
