// The one place where threads begin.
#pragma once

#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "../platform/platform.h"
#include "fault.h"

namespace lowrank {

// A thread that runs `body`. Throws InvalidArgument where the system starts no more, saying which limits there are;
// `purpose` is for the message.
template <class Body>
std::thread startThread(const char* purpose, Body&& body) {
  try {
    return std::thread(std::forward<Body>(body));
  } catch (const std::system_error& error) {
    const std::string limits = platform::threadLimits();
    throw InvalidArgument("[device] expected a thread for " + std::string(purpose) +
                          ", but the system starts no more (" + error.code().message() + ")" +
                          (limits.empty() ? "" : ": " + limits) +
                          "; raise the limit, end other programs, close devices and dispose of models that are not "
                          "needed, or compute with fewer threads (option threads, or LOWRANK_NUM_THREADS)");
  }
}

}  // namespace lowrank
