// The plain data that crosses from bindings through the stream into kernels.
#pragma once

#include <cstdint>

namespace lowrank {

enum class DType : int32_t { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2, kInt32 = 3, kUInt8 = 4 };

// A view of a buffer as a matrix whose last dimension is contiguous. Leading dimensions are folded into rows; a vector
// of n elements has rows = 1, cols = n. The struct has no member functions on purpose: kernels are compiled once per
// instruction set, and an inline function emitted from such a file could end up serving a machine that lacks the set.
//
// 1. `buffer` and `byteOffset` are filled by the bindings and checked against the buffer's size at enqueue.
// 2. `data` is filled by the stream's worker right before the kernel runs; kernels read nothing else of the address.
// 3. An omitted optional argument has data == nullptr (and buffer == kNoBuffer).
struct Tensor {
  void* data;
  int64_t rows;
  int64_t cols;
  int64_t stride;  // elements from one row to the next, >= cols
  int64_t byteOffset;
  uint64_t buffer;
  DType dtype;
};

inline constexpr uint64_t kNoBuffer = ~uint64_t{0};

}  // namespace lowrank
