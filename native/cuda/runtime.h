// CUDA devices as queues of streams. The runtime library is linked in; the driver is looked for when a device is first
// asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../core/device_queue.h"
#include "../core/ops.h"

namespace lowrank::cuda {

extern const Backend kBackend;

struct DeviceInfo {
  std::string name;
  int major;  // of the compute capability
  int minor;
  uint64_t totalMemory;
  uint64_t freeMemory;
};

struct DriverInfo {
  int driverVersion;   // 1000 major + 10 minor of the newest CUDA that the driver runs; 0: no driver
  int runtimeVersion;  // of the CUDA that this addon was built with
  std::string error;   // why there is no device, or nothing
};

inline constexpr int kLeastMajor = 8;  // compute capability 8.0

DriverInfo driverInfo();
// With `memory` what of it is free, for which CUDA begins to use the device.
std::vector<DeviceInfo> devices(bool memory);

// Throws InvalidArgument where there is no such device, or where it is too old.
std::shared_ptr<DeviceQueue> openQueue(int ordinal, bool dryRun);

}  // namespace lowrank::cuda
