// Small helpers for tensors in the stream: their memory, parts of them, and what a command has done to it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "format.h"
#include "schema.h"
#include "tensor.h"

namespace lowrank {

inline bool hasElements(const Tensor& tensor) {
  return tensor.rows > 0 && tensor.cols > 0;
}

inline int64_t elementCount(const Tensor& tensor) {
  return tensor.rows * tensor.cols;
}

inline size_t byteCount(const Tensor& tensor) {
  return size_t(elementCount(tensor) * elementBytes(tensor.dtype));
}

// Rows without gaps between them.
inline bool packed(const Tensor& tensor) {
  return tensor.rows <= 1 || tensor.stride == tensor.cols;
}

inline bool coversBuffer(const Tensor& tensor) {
  return packed(tensor) && byteCount(tensor) == bufferOf(tensor).bytes;
}

// With the data pointer that kernels read; the buffer has memory.
inline Tensor located(const Tensor& tensor) {
  Tensor result = tensor;
  result.data = static_cast<char*>(bufferOf(tensor).data) + tensor.byteOffset;
  return result;
}

// Packed rows in memory that no buffer owns.
inline Tensor hostTensor(void* data, int64_t rows, int64_t cols, DType dtype) {
  return {data, rows, cols, cols, 0, kNoBuffer, dtype};
}

// Part of a located tensor.
inline Tensor part(const Tensor& tensor, int64_t row, int64_t rows, int64_t col, int64_t cols) {
  Tensor result = tensor;
  result.data = static_cast<char*>(tensor.data) + (row * tensor.stride + col) * elementBytes(tensor.dtype);
  result.rows = rows;
  result.cols = cols;
  return result;
}

// A tensor that is written wholly heals its buffer when it is all of it.
inline void markWritten(const Tensor& tensor) {
  if (!hasElements(tensor)) return;
  Buffer& buffer = bufferOf(tensor);
  buffer.written = true;
  if (coversBuffer(tensor)) buffer.poison.reset();
}

}  // namespace lowrank
