// Formats without parts: plain floats, and blocks of 32 with one scale. Each result is that of PyPI's gguf, to the
// byte.
#include "quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "half.h"
#include "k_quants.h"

namespace lowrank::gguf {
namespace {

constexpr int kSize = 32;

bool copyFloats(const float* values, int64_t count, const float*, uint8_t* packed) {
  std::memcpy(packed, values, size_t(count) * 4);
  return true;
}

bool toHalves(const float* values, int64_t count, const float*, uint8_t* packed) {
  bool isFinite = true;
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t half = toHalf(values[i]);
    isFinite = isFinite && (half & 0x7c00) != 0x7c00;
    store16(packed + 2 * i, half);
  }
  return isFinite;
}

bool toBFloats(const float* values, int64_t count, const float*, uint8_t* packed) {
  bool isFinite = true;
  for (int64_t i = 0; i < count; ++i) {
    const uint16_t word = toBFloat16(values[i]);
    isFinite = isFinite && (word & 0x7f80) != 0x7f80;
    store16(packed + 2 * i, word);
  }
  return isFinite;
}

bool allFinite(const float* values) {
  bool isFinite = true;
  for (int i = 0; i < kSize; ++i) isFinite = isFinite && std::isfinite(values[i]);
  return isFinite;
}

// A scale that float16 does not hold makes the block infinite.
bool storeScale(uint8_t* to, float value) {
  const uint16_t half = toHalf(value);
  store16(to, half);
  return (half & 0x7c00) != 0x7c00;
}

int truncated(float value, int most) {
  return value > 0 ? int(std::min(value, float(most))) : 0;
}

// The inverse of a scale, 0 where there is none.
float inverse(float d) {
  const float id = d == 0 ? 0 : 1 / d;
  return std::isfinite(id) ? id : 0;
}

// d, int8 q [32].
bool quantizeQ8_0(const float* values, int64_t count, const float*, uint8_t* packed) {
  bool isFinite = true;
  for (int64_t at = 0; at < count; at += kSize, packed += 34) {
    const float* const x = values + at;
    isFinite = allFinite(x) && isFinite;
    float most = 0;
    for (int i = 0; i < kSize; ++i) most = std::max(most, std::fabs(x[i]));
    const float d = most / 127;
    const float id = inverse(d);
    isFinite = storeScale(packed, d) && isFinite;
    if (!isFinite) return false;
    for (int i = 0; i < kSize; ++i) packed[2 + i] = uint8_t(int8_t(std::round(x[i] * id)));
  }
  return isFinite;
}

// The value of largest magnitude, the first of several, gets the code that lies furthest from 0: `zero` is the middle.
template <int zero>
bool quantizeSymmetric(const float* x, uint8_t* scale, uint8_t* q) {
  if (!allFinite(x)) return false;
  float largest = x[0];
  for (int i = 1; i < kSize; ++i)
    if (std::fabs(x[i]) > std::fabs(largest)) largest = x[i];
  const float d = largest / -zero;
  const float id = inverse(d);
  for (int i = 0; i < kSize; ++i) q[i] = uint8_t(truncated(x[i] * id + (zero + 0.5f), 2 * zero - 1));
  return storeScale(scale, d);
}

// From the smallest value on, in `steps` steps to the largest.
template <int steps>
bool quantizeRange(const float* x, uint8_t* scale, uint8_t* q) {
  if (!allFinite(x)) return false;
  const auto [least, most] = std::minmax_element(x, x + kSize);
  const float min = *least;
  const float d = (*most - min) / steps;
  const float id = inverse(d);
  for (int i = 0; i < kSize; ++i) q[i] = uint8_t(truncated((x[i] - min) * id + 0.5f, steps));
  const bool fits = storeScale(scale, d);
  return storeScale(scale + 2, min) && fits;
}

void storeNibbles(const uint8_t* q, uint8_t* to) {
  for (int i = 0; i < 16; ++i) to[i] = uint8_t((q[i] & 15) | (q[16 + i] << 4));
}

void storeFifthBits(const uint8_t* q, uint8_t* to) {
  std::memset(to, 0, 4);
  for (int i = 0; i < kSize; ++i) to[i >> 3] |= uint8_t((q[i] >> 4) << (i & 7));
}

// d or d, m; fifth bits [4] where there are some; nibbles [16].
template <bool (*quantizeBlock)(const float*, uint8_t*, uint8_t*), int scales, bool fifth>
bool quantizeBlocks(const float* values, int64_t count, const float*, uint8_t* packed) {
  uint8_t q[kSize];
  for (int64_t at = 0; at < count; at += kSize, packed += 2 * scales + 4 * fifth + 16) {
    if (!quantizeBlock(values + at, packed, q)) return false;
    if (fifth) storeFifthBits(q, packed + 2 * scales);
    storeNibbles(q, packed + 2 * scales + 4 * fifth);
  }
  return true;
}

constexpr Format kFormats[] = {
    {"F32", 1, 4, copyFloats},
    {"F16", 1, 2, toHalves},
    {"BF16", 1, 2, toBFloats},
    {"Q8_0", 32, 34, quantizeQ8_0},
    {"Q4_0", 32, 18, quantizeBlocks<quantizeSymmetric<8>, 1, false>},
    {"Q4_1", 32, 20, quantizeBlocks<quantizeRange<15>, 2, false>},
    {"Q5_0", 32, 22, quantizeBlocks<quantizeSymmetric<16>, 1, true>},
    {"Q5_1", 32, 24, quantizeBlocks<quantizeRange<31>, 2, true>},
    {"Q4_K", 256, 144, quantizeQ4_K},
    {"Q5_K", 256, 176, quantizeQ5_K},
    {"Q6_K", 256, 210, quantizeQ6_K},
};

}  // namespace

const Format* findFormat(const char* name) {
  for (const Format& format : kFormats)
    if (std::strcmp(format.name, name) == 0) return &format;
  return nullptr;
}

}  // namespace lowrank::gguf
