// What is derived from the op list (ops.h): a description of every op's arguments, the decoder of commands, and a walk
// over a command's tensors.
#pragma once

#include <cstddef>
#include <memory_resource>
#include <string>
#include <vector>

#include "buffer.h"
#include "context.h"
#include "ops.h"

namespace lowrank {

// How a command uses a tensor.
enum class Access { kIn, kOut, kInout };

// One argument, in wire order; addon.ops shows it to TypeScript.
struct Field {
  std::string name;
  const char* kind;  // in, out, inout, optionalIn, optionalOut, optionalInout, number, group, list
  std::vector<Field> fields;
};

// Where a tensor sits among an op's arguments: "parts[0].pairs[1].a". Built while walking, spelled out only for
// messages.
struct ArgumentPath {
  const ArgumentPath* parent = nullptr;
  const char* name = "";
  int index = -1;  // of a list's item
  std::string text() const;
};

// A reference to a callable that is called once for each tensor that is there.
class TensorVisitor {
 public:
  template <class F>
  TensorVisitor(const F& visit)
      : state_(&visit), call_([](const void* state, Tensor& tensor, Access access, const ArgumentPath& path) {
          (*static_cast<const F*>(state))(tensor, access, path);
        }) {}
  void operator()(Tensor& tensor, Access access, const ArgumentPath& path) const {
    call_(state_, tensor, access, path);
  }

 private:
  const void* state_;
  void (*call_)(const void*, Tensor&, Access, const ArgumentPath&);
};

// What the stream knows of an op: ops.h without its types.
struct OpInfo {
  const char* name;
  std::vector<Field> (*describe)();

  // The argument struct, in `arena`, from `length` numbers in wire order. Views are checked against their buffers,
  // shapes by check(); Tensor::buffer becomes the Buffer's address. Throws InvalidArgument.
  void* (*decode)(const double* words, size_t length, const BufferTable& buffers, std::pmr::memory_resource& arena);

  void (*visitTensors)(void* args, const TensorVisitor& visitor);
  void (*run)(const Backend& backend, const void* args, Context& context);

  // A skipped command normally leaves its inout tensors poisoned. One that sets kKeepsInoutsWhenSkipped leaves them
  // usable.
  bool keepsInoutsWhenSkipped;
};

inline constexpr int kOpCount = 0
#define LOWRANK_COUNT(op, Args) +1
    LOWRANK_OPS(LOWRANK_COUNT)
#undef LOWRANK_COUNT
    ;

extern const OpInfo kOps[kOpCount];

// One view from six numbers (slot, byteOffset, dtype, rows, cols, stride), checked against its buffer; `op` and `name`
// are for messages.
Tensor decodeView(const double* words, const BufferTable& buffers, const char* op, const char* name);

DType decodeDType(double value, const char* op, const char* name);

inline Buffer& bufferOf(const Tensor& tensor) {
  return *reinterpret_cast<Buffer*>(uintptr_t(tensor.buffer));
}

}  // namespace lowrank
