// Numbers and shapes as messages show them.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>

#include "tensor.h"

namespace lowrank {

inline const char* dtypeName(DType dtype) {
  constexpr const char* kNames[] = {"float32", "bfloat16", "float16", "int32", "uint8"};
  return kNames[int(dtype)];
}

inline int64_t elementBytes(DType dtype) {
  constexpr int64_t kBytes[] = {4, 2, 2, 4, 1};
  return kBytes[int(dtype)];
}

inline bool isFloat(DType dtype) {
  return dtype == DType::kFloat32 || dtype == DType::kBFloat16 || dtype == DType::kFloat16;
}

inline std::string formatShape(int64_t rows, int64_t cols) {
  return "[" + std::to_string(rows) + ", " + std::to_string(cols) + "]";
}

inline std::string formatShape(const Tensor& tensor) {
  return formatShape(tensor.rows, tensor.cols);
}

inline std::string formatNumber(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  char text[32];
  std::snprintf(text, sizeof text, std::fabs(value) < 0x1p53 && value == std::floor(value) ? "%.0f" : "%g", value);
  return text;
}

// "75.5 MiB"
inline std::string formatBytes(double bytes) {
  const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
  int unit = 0;
  for (; bytes >= 1024 && unit < 5; ++unit) bytes /= 1024;
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", bytes, units[unit]);
  return text;
}

}  // namespace lowrank
