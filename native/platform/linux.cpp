#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <limits>
#include <set>
#include <sstream>
#include <thread>
#include <vector>

#include "platform.h"

namespace lowrank::platform {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

std::string firstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// A number from a file of one number; "max", nonsense and a missing file are unlimited.
uint64_t readLimit(const std::string& path) {
  const std::string line = firstLine(path);
  if (line.empty() || line[0] < '0' || line[0] > '9') return kUnlimited;
  return std::strtoull(line.c_str(), nullptr, 10);
}

// The value of `key` in a file of "key value" or "key: value kB" lines; 0 when it is not there.
uint64_t readKey(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  std::string name;
  uint64_t value = 0;
  for (std::string line; std::getline(file, line);) {
    std::istringstream fields(line);
    if (fields >> name >> value && name == key) return value;
  }
  return 0;
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

bool contains(const std::vector<std::string>& list, const std::string& item) {
  return std::find(list.begin(), list.end(), item) != list.end();
}

// The directories of this process's control groups for one controller, innermost first. `controller` is empty for
// version 2, whose one hierarchy has all of them. A limit anywhere on the way up holds.
std::vector<std::string> controlGroups(const std::string& controller) {
  std::string group;
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = line.substr(first + 1, second - first - 1);
    if (controller.empty() ? names.empty() : contains(split(names, ','), controller)) group = line.substr(second + 1);
  }
  if (group.empty()) return {};

  // A mountinfo line: id parent device ROOT MOUNT options... - TYPE source SUPER-OPTIONS
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    const std::vector<std::string> fields = split(line, ' ');
    const auto dash = std::find(fields.begin(), fields.end(), "-");
    if (fields.size() < 5 || fields.end() - dash < 4) continue;
    const bool wanted =
        controller.empty() ? dash[1] == "cgroup2" : dash[1] == "cgroup" && contains(split(dash[3], ','), controller);
    if (!wanted) continue;
    const std::string& root = fields[3];
    const std::string& mount = fields[4];
    // Inside a container the mount shows the container's own group as its root.
    std::string below = group;
    if (root != "/") below = group.compare(0, root.size(), root) == 0 ? group.substr(root.size()) : "";
    std::vector<std::string> directories;
    while (!below.empty() && below != "/") {
      directories.push_back(mount + below);
      below.resize(below.rfind('/'));
    }
    directories.push_back(mount);
    return directories;
  }
  return {};
}

double cpuQuota() {
  double quota = std::numeric_limits<double>::infinity();
  for (const std::string& directory : controlGroups("")) {
    std::istringstream line(firstLine(directory + "/cpu.max"));
    double used = 0, period = 0;
    if (line >> used >> period && period > 0) quota = std::min(quota, used / period);
  }
  for (const std::string& directory : controlGroups("cpu")) {
    const uint64_t used = readLimit(directory + "/cpu.cfs_quota_us");  // -1: none
    const uint64_t period = readLimit(directory + "/cpu.cfs_period_us");
    if (used != kUnlimited && period != kUnlimited && period > 0)
      quota = std::min(quota, double(used) / double(period));
  }
  return quota;
}

struct MemoryState {
  uint64_t total;
  uint64_t available;
};

MemoryState memoryState() {
  MemoryState state{readKey("/proc/meminfo", "MemTotal:") * 1024, readKey("/proc/meminfo", "MemAvailable:") * 1024};
  const auto cut = [&state](uint64_t limit, uint64_t usage, uint64_t reclaimable) {
    if (limit >= state.total) return;
    state.total = limit;
    const uint64_t held = usage - std::min(usage, reclaimable);
    state.available = std::min(state.available, limit - std::min(limit, held));
  };
  for (const std::string& directory : controlGroups("")) {
    const std::string statistics = directory + "/memory.stat";
    const uint64_t reclaimable = readKey(statistics, "inactive_file") + readKey(statistics, "active_file") +
                                 readKey(statistics, "slab_reclaimable");
    // Above `high` the system does not end a process but slows it until it hardly goes on.
    const uint64_t limit = std::min(readLimit(directory + "/memory.max"), readLimit(directory + "/memory.high"));
    cut(limit, readLimit(directory + "/memory.current"), reclaimable);
  }
  for (const std::string& directory : controlGroups("memory")) {
    const std::string statistics = directory + "/memory.stat";
    const uint64_t reclaimable = readKey(statistics, "total_inactive_file") + readKey(statistics, "total_active_file");
    cut(readLimit(directory + "/memory.limit_in_bytes"), readLimit(directory + "/memory.usage_in_bytes"), reclaimable);
  }
  const auto cutByResource = [&state](int resource, const char* used) {
    rlimit limit;
    if (getrlimit(resource, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return;
    const uint64_t most = limit.rlim_cur;
    state.available = std::min(state.available, most - std::min(most, readKey("/proc/self/status", used) * 1024));
  };
  cutByResource(RLIMIT_AS, "VmSize:");
  cutByResource(RLIMIT_DATA, "VmData:");
  return state;
}

}  // namespace

std::string threadLimits() {
  std::vector<std::string> limits;
  rlimit processes;
  if (getrlimit(RLIMIT_NPROC, &processes) == 0 && processes.rlim_cur != RLIM_INFINITY)
    limits.push_back("this user may run " + std::to_string(processes.rlim_cur) + " processes and threads (ulimit -u)");
  for (const char* controller : {"", "pids"}) {
    for (const std::string& directory : controlGroups(controller)) {
      const uint64_t most = readLimit(directory + "/pids.max");
      if (most == kUnlimited) continue;
      limits.push_back("the control group runs " + std::to_string(readLimit(directory + "/pids.current")) + " of " +
                       std::to_string(most) + " (pids.max)");
    }
  }
  rlimit addresses;
  if (getrlimit(RLIMIT_AS, &addresses) == 0 && addresses.rlim_cur != RLIM_INFINITY)
    limits.push_back("the process has " + std::to_string(addresses.rlim_cur >> 20) + " MiB of addresses (ulimit -v)");
  std::string text;
  for (const std::string& limit : limits) text += (text.empty() ? "" : ", ") + limit;
  return text;
}

bool allowTileRegisters() {
#if defined(SYS_arch_prctl)
  constexpr int kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM, of Linux 5.16
  constexpr int kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

int allowedCores() {
  std::set<std::string> cores;
  std::vector<unsigned long> mask(1024 / sizeof(unsigned long));  // 8192 processors
  const size_t bytes = mask.size() * sizeof(unsigned long);
  if (sched_getaffinity(0, bytes, reinterpret_cast<cpu_set_t*>(mask.data())) == 0) {
    for (size_t cpu = 0; cpu < bytes * 8; ++cpu) {
      if (!CPU_ISSET_S(cpu, bytes, reinterpret_cast<cpu_set_t*>(mask.data()))) continue;
      const std::string name = std::to_string(cpu);
      const std::string siblings = firstLine("/sys/devices/system/cpu/cpu" + name + "/topology/thread_siblings_list");
      cores.insert(siblings.empty() ? name : siblings);
    }
  }
  const double count = cores.empty() ? double(std::thread::hardware_concurrency()) : double(cores.size());
  return std::max(1, int(std::min(count, cpuQuota())));
}

uint64_t totalMemory() {
  return memoryState().total;
}

uint64_t availableMemory() {
  return memoryState().available;
}

void* reserveAddresses(size_t bytes) noexcept {
  const auto map = [](size_t size) {
    return mmap(nullptr, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  };
  void* address = map(bytes);
  if (address == MAP_FAILED) return nullptr;
  // The system places mappings one below the other: once one is aligned, so are the next.
  if (reinterpret_cast<uintptr_t>(address) % kRegionAlignment == 0) return address;
  munmap(address, bytes);
  address = map(bytes + kRegionAlignment);
  if (address == MAP_FAILED) return nullptr;
  char* begin = static_cast<char*>(address);
  const size_t head = kRegionAlignment - reinterpret_cast<uintptr_t>(begin) % kRegionAlignment;
  munmap(begin, head);
  if (head < kRegionAlignment) munmap(begin + head + bytes, kRegionAlignment - head);
  return begin + head;
}

bool commitPages(void* address, size_t bytes, bool sparse) noexcept {
  if (mprotect(address, bytes, PROT_READ | PROT_WRITE) != 0) return false;
  madvise(address, bytes, sparse ? MADV_NOHUGEPAGE : MADV_HUGEPAGE);
  return true;
}

void* reservePages(size_t bytes) noexcept {
  void* const address = reserveAddresses(bytes);
  if (address == nullptr || commitPages(address, bytes, false)) return address;
  releasePages(address, bytes);
  return nullptr;
}

void releasePages(void* address, size_t bytes) noexcept {
  munmap(address, bytes);
}

void becomeComputeThread(const char* name) noexcept {
  prctl(PR_SET_NAME, name);
  // Linux keeps a nice value per thread. Against a thread at 0, 10 leaves a tenth of a core that both want.
  const int present = getpriority(PRIO_PROCESS, 0);
  setpriority(PRIO_PROCESS, 0, present + 10);
}

void spinPause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

File::File(const std::string& path) : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
  if (descriptor_ < 0) error_ = std::strerror(errno);
}

File::~File() {
  if (descriptor_ >= 0) close(descriptor_);
}

int64_t File::readAt(uint64_t offset, void* destination, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    const ssize_t got = pread(descriptor_, static_cast<char*>(destination) + done, bytes - done, off_t(offset + done));
    if (got == 0) break;
    if (got > 0) {
      done += size_t(got);
    } else if (errno != EINTR) {
      error_ = std::strerror(errno);
      return -1;
    }
  }
  return int64_t(done);
}

}  // namespace lowrank::platform
