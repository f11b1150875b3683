// Who holds a memory: the streams that are open on it, and what each uses its buffers for.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "allocator.h"
#include "buffer.h"
#include "memory_source.h"

namespace lowrank {

// One per stream that takes memory; members may be called from any thread unless they say otherwise.
//
// 1. A stream that is closed gives its memory back when its queue has run. Another that finds the budget full waits for
//    that on its own worker before it calls the memory full. A stream that is closed itself does not wait, so that no
//    two wait for each other.
// 2. The mutex of the source guards everything here; nobody holds it while waiting or computing.
class MemoryUser {
 public:
  MemoryUser(MemorySource& source, const Allocator& allocator);
  ~MemoryUser();
  MemoryUser(const MemoryUser&) = delete;
  MemoryUser& operator=(const MemoryUser&) = delete;

  // The buffer's memory came or went; for the worker.
  void took(Buffer& buffer);
  void gave(Buffer& buffer);

  // Names what the buffer is for, as "key/value cache"; for JavaScript's thread.
  void label(Buffer& buffer, const std::string& what);

  // "weights of model 1.2 GiB, other tensors 300.0 MiB", the largest first; empty while nothing has a label.
  std::string holdings() const;

  struct Others {
    uint64_t bytes = 0;
    std::string text;  // as holdings(), of all of them
  };
  // What the source's other users have reserved, without those that are closing.
  Others others() const;

  void beginClosing();
  void endClosing();
  // Returns when no other user is closing any more. False where none was, and on a user that is closing itself.
  bool waitForClosing();

 private:
  struct Label {
    std::string what;
    uint64_t bytes = 0;
  };
  void add(std::vector<Label>& labels, const std::string& what, uint64_t bytes) const;
  void addHoldings(std::vector<Label>& labels) const;
  static std::string textOf(std::vector<Label> labels);

  MemorySource& source_;
  const Allocator& allocator_;
  std::vector<Label> labels_{{"other tensors", 0}};  // by Buffer::label
  bool closing_ = false;
};

}  // namespace lowrank
