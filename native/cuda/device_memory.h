// The memory of GPUs as sources of allocators, for runtime.cu.
//
// Addresses are reserved and physical pages mapped behind them as the allocator grows (the driver's virtual memory
// functions), so that the planner of the CPU works here unchanged.
#pragma once

#include <cuda.h>

#include <map>
#include <memory>
#include <mutex>

#include "../core/memory_source.h"
#include "../platform/platform.h"
#include "runtime.h"

namespace lowrank::cuda {

// A driver function by name; nullptr where the driver lacks it.
template <class Function>
Function driverFunction(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found;
  if (cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found) != cudaSuccess)
    return nullptr;
  return found == cudaDriverEntryPointSuccess ? reinterpret_cast<Function>(function) : nullptr;
}

struct VirtualMemory {
  decltype(&cuMemAddressReserve) reserve = driverFunction<decltype(&cuMemAddressReserve)>("cuMemAddressReserve");
  decltype(&cuMemCreate) create = driverFunction<decltype(&cuMemCreate)>("cuMemCreate");
  decltype(&cuMemRelease) release = driverFunction<decltype(&cuMemRelease)>("cuMemRelease");
  decltype(&cuMemMap) map = driverFunction<decltype(&cuMemMap)>("cuMemMap");
  decltype(&cuMemUnmap) unmap = driverFunction<decltype(&cuMemUnmap)>("cuMemUnmap");
  decltype(&cuMemSetAccess) setAccess = driverFunction<decltype(&cuMemSetAccess)>("cuMemSetAccess");
  bool complete() const {
    return reserve != nullptr && create != nullptr && release != nullptr && map != nullptr && unmap != nullptr &&
           setAccess != nullptr;
  }
};

// One granule is one mapping, so that any part can be given back.
class DeviceMemory final : public MemorySource {
 public:
  explicit DeviceMemory(int ordinal) : ordinal_(ordinal) {}

  void* reserveAddresses(size_t bytes) noexcept override {
    CUdeviceptr address = 0;
    if (!driver_.complete() || driver_.reserve(&address, bytes, kGranule, 0, 0) != CUDA_SUCCESS) return nullptr;
    return reinterpret_cast<void*>(address);
  }

  bool commitPages(void* address, size_t bytes, bool) noexcept override {
    CUmemAllocationProp what{};
    what.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    what.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    what.location.id = ordinal_;
    CUmemAccessDesc access{};
    access.location = what.location;
    access.flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE;
    const CUdeviceptr begin = reinterpret_cast<CUdeviceptr>(address);
    size_t mapped = 0;
    while (mapped < bytes) {
      CUmemGenericAllocationHandle handle;
      if (driver_.create(&handle, kGranule, &what, 0) != CUDA_SUCCESS) break;
      const bool done = driver_.map(begin + mapped, kGranule, 0, handle, 0) == CUDA_SUCCESS;
      driver_.release(handle);  // the mapping keeps the memory
      if (!done) break;
      mapped += kGranule;
    }
    if (mapped == bytes && driver_.setAccess(begin, bytes, &access, 1) == CUDA_SUCCESS) return true;
    for (size_t at = 0; at < mapped; at += kGranule) driver_.unmap(begin + at, kGranule);
    return false;
  }

  // The allocator gives back committed parts by whole granules, and at the end addresses that never had memory: those
  // stay reserved, as the driver frees them only as they were reserved. There are 2^47.
  void releasePages(void* address, size_t bytes) noexcept override {
    cudaDeviceSynchronize();
    const CUdeviceptr begin = reinterpret_cast<CUdeviceptr>(address);
    for (size_t at = 0; at < bytes; at += kGranule) {
      if (driver_.unmap(begin + at, kGranule) != CUDA_SUCCESS) break;
    }
  }

  size_t alignment() const override { return 256; }

  uint64_t budget() override {
    std::call_once(budgetRead_, [this] {
      budget_ = memoryBudgetSetting();
      size_t free = 0, total = 0;
      if (budget_ == 0 && cudaSetDevice(ordinal_) == cudaSuccess && cudaMemGetInfo(&free, &total) == cudaSuccess)
        budget_ = uint64_t(free) / 10 * 9;
    });
    return budget_;
  }

 private:
  static constexpr size_t kGranule = platform::kRegionAlignment;
  const int ordinal_;
  const VirtualMemory driver_;
  std::once_flag budgetRead_;
  uint64_t budget_ = 0;
};

inline MemorySource& memoryOf(int ordinal) {
  static std::mutex mutex;
  static std::map<int, std::unique_ptr<DeviceMemory>> memories;
  const std::lock_guard guard(mutex);
  std::unique_ptr<DeviceMemory>& memory = memories[ordinal];
  if (!memory) memory = std::make_unique<DeviceMemory>(ordinal);
  return *memory;
}

// Addresses for dry runs, cut as device memory is. The budget is that of the GPU, the host's where there is none.
class DryMemory final : public MemorySource {
 public:
  explicit DryMemory(int ordinal) : ordinal_(ordinal) {}
  void* reserveAddresses(size_t bytes) noexcept override { return host_.reserveAddresses(bytes); }
  bool commitPages(void* address, size_t bytes, bool sparse) noexcept override {
    return host_.commitPages(address, bytes, sparse);
  }
  void releasePages(void* address, size_t bytes) noexcept override { host_.releasePages(address, bytes); }
  size_t alignment() const override { return host_.alignment(); }
  uint64_t budget() override {
    const uint64_t own = driverInfo().error.empty() ? memoryOf(ordinal_).budget() : 0;
    return own != 0 ? own : host_.budget();
  }

 private:
  const int ordinal_;
  HostMemory host_{256};
};

inline MemorySource& dryMemoryOf(int ordinal) {
  static std::mutex mutex;
  static std::map<int, std::unique_ptr<DryMemory>> memories;
  const std::lock_guard guard(mutex);
  std::unique_ptr<DryMemory>& memory = memories[ordinal];
  if (!memory) memory = std::make_unique<DryMemory>(ordinal);
  return *memory;
}

}  // namespace lowrank::cuda
