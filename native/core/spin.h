// Spin a moment, then let the caller park: what follows a kernel usually comes within microseconds, and waking a parked
// thread costs several.
#pragma once

#include <chrono>

#include "../platform/platform.h"

namespace lowrank {

inline constexpr std::chrono::microseconds kSpinTime{50};

// Returns whether done() came true before the time was over.
template <class Done>
bool spinUntil(const Done& done) {
  if (done()) return true;
  const auto end = std::chrono::steady_clock::now() + kSpinTime;
  do {
    for (int i = 0; i < 16; ++i) {
      platform::spinPause();
      if (done()) return true;
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

}  // namespace lowrank
