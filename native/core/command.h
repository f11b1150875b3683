// What JavaScript's thread queues for a stream's worker.
#pragma once

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <unordered_set>
#include <variant>
#include <vector>

#include "buffer.h"
#include "executor.h"
#include "schema.h"
#include "tensor.h"

namespace lowrank::command {

struct Op {
  const OpInfo* info;
  void* args;
  std::unique_ptr<std::pmr::monotonic_buffer_resource> arena;
};

struct List {
  std::vector<Op> ops;
  std::unordered_set<uint64_t> slots;  // of its buffers, each retained once
};

struct Replay {
  std::shared_ptr<List> list;
};

struct Upload {
  Tensor target;
  std::unique_ptr<std::byte[]> source;  // nullptr where the executor needs no values
  DType sourceDType;
};

struct Load {
  Tensor target;
  FileRange source;
};

// The sink hears of both by their token.
struct Read {
  Tensor source;
  DType dtype;
  void* destination;
  void* token;
};
struct Sync {
  void* token;
};

// Both free memory, and run whatever happened before.
struct Release {
  std::unique_ptr<Buffer> buffer;
};
struct Close {
  std::vector<std::unique_ptr<Buffer>> buffers;
};

using Command = std::variant<Op, Replay, Upload, Load, Read, Sync, Release, Close>;

}  // namespace lowrank::command
