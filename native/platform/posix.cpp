// What POSIX systems share: signals that end the process whatever it is doing, and locks of files.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "platform.h"

namespace lowrank::platform {
namespace {

// One request may come twice: npm and timeout pass on to their child what the terminal or the group has sent it
// already.
constexpr int64_t kOneRequest = 100'000'000;  // nanoseconds
constexpr int kMostSignals = 65;
constexpr size_t kLongestFarewell = 64;

using Handler = void (*)(int);

// All that the handler reads. It may run on any thread at any moment, so each is an atomic without a lock.
struct Guard {
  std::atomic<int> endsAt{0};
  std::atomic<Handler> before{SIG_DFL};
  // What was there before, for the thread that arms alone.
  struct sigaction saved = {};
  bool isArmed = false;
};
Guard guards[kMostSignals];
// When the first request came; 0: none so far.
std::atomic<int64_t> firstRequest{0};
char farewell[kLongestFarewell];
std::atomic<size_t> farewellBytes{0};
termios usualTerminal;
std::atomic<bool> hasUsualTerminal{false};
static_assert(std::atomic<int64_t>::is_always_lock_free && std::atomic<Handler>::is_always_lock_free);

int64_t now() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t(time.tv_sec) * 1'000'000'000 + time.tv_nsec + 1;
}

// A terminal that another program uses now, as the shell where this one runs in the background, is not touched.
bool hasTerminal(int descriptor) {
  return tcgetpgrp(descriptor) == getpgrp();
}

[[noreturn]] void endBy(int signal) {
  if (hasUsualTerminal && hasTerminal(STDIN_FILENO)) tcsetattr(STDIN_FILENO, TCSANOW, &usualTerminal);
  pollfd output{STDERR_FILENO, POLLOUT, 0};
  // A terminal that was stopped takes nothing, and would hold the process.
  if (farewellBytes > 0 && hasTerminal(STDERR_FILENO) && poll(&output, 1, 0) == 1 && (output.revents & POLLOUT) != 0) {
    const ssize_t written = write(STDERR_FILENO, farewell, farewellBytes);
    static_cast<void>(written);
  }
  // By the signal itself, so that a shell sees what ended it.
  struct sigaction usual = {};
  usual.sa_handler = SIG_DFL;
  sigaction(signal, &usual, nullptr);
  sigset_t own;
  sigemptyset(&own);
  sigaddset(&own, signal);
  pthread_sigmask(SIG_UNBLOCK, &own, nullptr);
  raise(signal);
  // The first process of a container is not ended by signals.
  _exit(128 + signal);
}

void onSignal(int signal) {
  const int error = errno;
  const Guard& guard = guards[signal];
  const int endsAt = guard.endsAt;
  int64_t first = 0;
  const int64_t time = now();
  const bool isFirst = firstRequest.compare_exchange_strong(first, time);
  if (endsAt == 1 || (endsAt == 2 && !isFirst && time - first >= kOneRequest)) endBy(signal);
  const Handler before = guard.before;
  if (before != SIG_DFL && before != SIG_IGN) before(signal);
  errno = error;
}

}  // namespace

bool guardSignals(const std::vector<SignalRule>& rules, const std::string& text) noexcept {
  for (int signal = 1; signal < kMostSignals; ++signal) {
    Guard& guard = guards[signal];
    if (!guard.isArmed) continue;
    struct sigaction present;
    // Who has installed a handler since then keeps it.
    if (sigaction(signal, nullptr, &present) == 0 && present.sa_handler == onSignal)
      sigaction(signal, &guard.saved, nullptr);
    guard.isArmed = false;
  }
  farewellBytes = 0;
  std::memcpy(farewell, text.data(), std::min(text.size(), kLongestFarewell));
  farewellBytes = std::min(text.size(), kLongestFarewell);
  if (!hasUsualTerminal && hasTerminal(STDIN_FILENO)) hasUsualTerminal = tcgetattr(STDIN_FILENO, &usualTerminal) == 0;
  firstRequest = 0;
  bool isComplete = true;
  for (const SignalRule& rule : rules) {
    if (rule.signal < 1 || rule.signal >= kMostSignals) return false;
    Guard& guard = guards[rule.signal];
    if (guard.isArmed || sigaction(rule.signal, nullptr, &guard.saved) != 0) return false;
    const bool hasListener = guard.saved.sa_handler != SIG_DFL && (guard.saved.sa_flags & SA_SIGINFO) == 0;
    if (rule.endsAt != 1 && !hasListener) {
      isComplete = false;
      continue;
    }
    guard.before = hasListener ? guard.saved.sa_handler : SIG_DFL;
    guard.endsAt = rule.endsAt;
    struct sigaction own = {};
    own.sa_handler = onSignal;
    own.sa_flags = SA_RESTART;
    sigfillset(&own.sa_mask);
    guard.isArmed = sigaction(rule.signal, &own, nullptr) == 0;
    isComplete = isComplete && guard.isArmed;
  }
  return isComplete;
}

LockResult lockFile(int descriptor, bool exclusive) noexcept {
  while (flock(descriptor, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB) != 0) {
    if (errno == EWOULDBLOCK) return LockResult::kHeld;
    if (errno != EINTR) return LockResult::kUnsupported;
  }
  return LockResult::kLocked;
}

}  // namespace lowrank::platform
