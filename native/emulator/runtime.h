// The emulated device as a stream's queue. For tests: it is never shipped.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../core/device_queue.h"
#include "../core/ops.h"
#include "options.h"

namespace lowrank::emulator {

extern const Backend kBackend;

std::shared_ptr<DeviceQueue> openQueue(const Options& options, bool dryRun);

// Every variant of every kernel, and how often this process launched it.
std::vector<std::pair<std::string, int64_t>> kernelLaunches();

}  // namespace lowrank::emulator
