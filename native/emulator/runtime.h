// The emulated device as a stream's queue. For tests: it is never shipped.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "../core/device_queue.h"
#include "../core/ops.h"

namespace lowrank::emulator {

extern const Backend kBackend;

// `schedule`: "forward", "reverse" or "random" for who runs next, "early" or "late" for asynchronous copies, as "reverse/early"; "" for
// forward/late. Throws InvalidArgument for another.
std::shared_ptr<DeviceQueue> openQueue(const std::string& schedule, bool dryRun);

// Every variant of every kernel, and how often this process launched it.
std::vector<std::pair<std::string, int64_t>> kernelLaunches();

}  // namespace lowrank::emulator
