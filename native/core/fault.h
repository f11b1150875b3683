// What goes wrong, in two kinds: a mistake of the caller, thrown at once on the caller's thread, and a fault of a
// running command, which sticks to the stream.
#pragma once

#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>

namespace lowrank {

// Thrown from calls that JavaScript makes; the message is a whole sentence that names the place: "[add] expected ...".
class InvalidArgument : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct Fault {
  std::string message;
  bool outOfMemory = false;
  // Bytes, where memory ran out and they are known: what all tensors under the budget would have taken, and the budget.
  uint64_t needed = 0;
  uint64_t budget = 0;
};

// Shared by the stream and by every buffer that the fault left without its contents.
using FaultRef = std::shared_ptr<const Fault>;

}  // namespace lowrank
