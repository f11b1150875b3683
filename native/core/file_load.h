// Reading a tensor from a file, a few megabytes at a time.
#pragma once

#include <algorithm>
#include <string>

#include "../platform/platform.h"
#include "executor.h"
#include "views.h"

namespace lowrank {

inline constexpr int64_t kLoadChunkBytes = int64_t{4} << 20;

// The most that a part has.
inline size_t partBytes(const FileRange& from, const Tensor& target) {
  const int64_t size = elementBytes(from.dtype);
  return size_t(std::min(kLoadChunkBytes / size, elementCount(target)) * size);
}

// In order, for parts that fill the target: reads one to memoryFor(place) and calls filled(place, memory), until
// ended(). Returns what is wrong with the file, or nothing.
template <class MemoryFor, class Filled, class Ended>
std::string loadParts(const FileRange& from, const Tensor& target, const MemoryFor& memoryFor, const Filled& filled,
                      const Ended& ended) {
  const int64_t size = elementBytes(from.dtype), chunk = kLoadChunkBytes / size;
  platform::File file(from.path);
  std::string error = file.error();
  uint64_t offset = from.offset;
  // The next `rows` x `cols` elements.
  const auto next = [&](int64_t row, int64_t rows, int64_t col, int64_t cols) {
    if (!error.empty() || ended()) return;
    const Tensor place = part(target, row, rows, col, cols);
    const int64_t wanted = rows * cols * size;
    void* const memory = memoryFor(place);
    const int64_t got = file.readAt(offset, memory, size_t(wanted));
    if (got < wanted) {
      error = got < 0 ? file.error()
                      : "the file ends at byte " + std::to_string(offset + uint64_t(got)) + " where " +
                            std::to_string(elementCount(target) * size) + " bytes from " + std::to_string(from.offset) +
                            " were expected";
    } else {
      filled(place, hostTensor(memory, rows, cols, from.dtype));
    }
    offset += uint64_t(wanted);
  };
  if (target.cols <= chunk) {
    const int64_t rowsAtOnce = chunk / std::max<int64_t>(target.cols, 1);
    for (int64_t row = 0; row < target.rows; row += rowsAtOnce)
      next(row, std::min(rowsAtOnce, target.rows - row), 0, target.cols);
  } else {
    for (int64_t row = 0; row < target.rows; ++row) {
      for (int64_t col = 0; col < target.cols; col += chunk) next(row, 1, col, std::min(chunk, target.cols - col));
    }
  }
  return error;
}

}  // namespace lowrank
