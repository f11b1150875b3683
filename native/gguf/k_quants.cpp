// The "K" formats of ggml, fitted by weighted least squares.
//
// A part of n values x is written as s q - m, q in [0, most], m >= 0 (Q4_K, Q5_K: n = 32), or as s q, q in [-32, 31]
// (Q6_K: n = 16). For a number of trial steps q is rounded, and the s and m that make sum w (x - s q + m)^2 least for
// these q are solved for; the trial of the least sum wins. Then s and m are rounded to integers (6 bits, for Q6_K 8)
// times a float16 number of the block, and q is rounded once more with what was stored; for Q4_K and Q5_K the integers
// next to them are tried too, and those of the least sum stay. All in float32.
//
// w is the importance of the column times sqrt(mean x^2 of the block + x^2); without it, sqrt(mean x^2 of the part) +
// |x| (Q6_K: x^2), so that large values count more.
#include "k_quants.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "half.h"

namespace lowrank::gguf {
namespace {

constexpr int kBlock = 256;

int nearest(float value, int least, int most) {
  return int(std::lrint(std::min(std::max(value, float(least)), float(most))));
}

float meanSquare(const float* x, int n) {
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += x[i] * x[i];
  return sum / float(n);
}

bool allFinite(const float* x) {
  bool isFinite = true;
  for (int i = 0; i < kBlock; ++i) isFinite = isFinite && std::isfinite(x[i]);
  return isFinite;
}

struct Line {
  float scale = 0;
  float min = 0;
};

// s and m for n values, see above. The range always has 0 in it, since m >= 0.
template <int n, int most>
Line fitLine(const float* x, const float* w, int trials, float first, float step) {
  float low = 0;
  float high = x[0];
  float sumW = 0;
  float sumX = 0;
  for (int i = 0; i < n; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
    sumW += w[i];
    sumX += w[i] * x[i];
  }
  if (high <= low) return {0, -low};
  Line best{(high - low) / float(most), -low};
  float bestError = INFINITY;
  for (int trial = 0; trial <= trials; ++trial) {
    const float inverse = (float(most) + first + step * float(trial)) / (high - low);
    float sumQ = 0;
    float sumQQ = 0;
    float sumQX = 0;
    float q[n];
    for (int i = 0; i < n; ++i) {
      q[i] = float(nearest(inverse * (x[i] - low), 0, most));
      sumQ += w[i] * q[i];
      sumQQ += w[i] * q[i] * q[i];
      sumQX += w[i] * q[i] * x[i];
    }
    const float determinant = sumW * sumQQ - sumQ * sumQ;
    if (!(determinant > 0)) continue;
    Line line{(sumW * sumQX - sumX * sumQ) / determinant, -(sumQQ * sumX - sumQ * sumQX) / determinant};
    if (line.min < 0) line = {sumQX / sumQQ, 0};
    if (!(line.scale > 0)) continue;
    float error = 0;
    for (int i = 0; i < n; ++i) {
      const float difference = line.scale * q[i] - line.min - x[i];
      error += w[i] * difference * difference;
    }
    if (error < bestError) {
      bestError = error;
      best = line;
    }
  }
  return best;
}

// Rounds n values to q, and gives sum w (x - s q + m)^2.
template <int n, int most>
float encodeLine(const float* x, const float* w, const Line& line, uint8_t* q) {
  float error = 0;
  for (int i = 0; i < n; ++i) {
    q[i] = line.scale > 0 ? uint8_t(nearest((x[i] + line.min) / line.scale, 0, most)) : 0;
    const float difference = line.scale * float(q[i]) - line.min - x[i];
    error += w[i] * difference * difference;
  }
  return error;
}

// s for n values; the value of largest magnitude lies at -32, or near it.
template <int n>
float fitScale(const float* x, const float* w) {
  float largest = x[0];
  for (int i = 1; i < n; ++i)
    if (std::fabs(x[i]) > std::fabs(largest)) largest = x[i];
  if (std::fabs(largest) < 1e-15f) return 0;
  float best = largest / -32;
  float bestGain = 0;
  for (int trial = -9; trial <= 9; ++trial) {
    const float inverse = -(32 + 0.1f * float(trial)) / largest;
    float sumQX = 0;
    float sumQQ = 0;
    for (int i = 0; i < n; ++i) {
      const float q = float(nearest(inverse * x[i], -32, 31));
      sumQX += w[i] * q * x[i];
      sumQQ += w[i] * q * q;
    }
    // By how much sum w (x - s q)^2 is below sum w x^2 with the best s.
    const float gain = sumQQ > 0 ? sumQX * sumQX / sumQQ : 0;
    if (gain > bestGain) {
      bestGain = gain;
      best = sumQX / sumQQ;
    }
  }
  return best;
}

// 8 numbers and 8 more of 6 bits: 4 and 4 in the lower bits of 8 bytes, whose upper bits, with the nibbles of 4 bytes,
// are the others.
void storeSixBits(const int* scales, const int* mins, uint8_t* to) {
  for (int i = 0; i < 4; ++i) {
    to[i] = uint8_t(scales[i] | ((scales[i + 4] >> 4) << 6));
    to[4 + i] = uint8_t(mins[i] | ((mins[i + 4] >> 4) << 6));
    to[8 + i] = uint8_t((scales[i + 4] & 15) | ((mins[i + 4] & 15) << 4));
  }
}

struct Trials {
  int count;
  float first;
  float step;
};

// d, dmin, scales and minima [12], then codes.
template <int most>
bool quantizeLines(const float* x, const float* importance, const Trials& trials, uint8_t* packed, uint8_t* codes) {
  constexpr int kPart = 32;
  constexpr int kParts = kBlock / kPart;
  if (!allFinite(x)) return false;
  const float blockSquare = 2 * meanSquare(x, kBlock);
  Line lines[kParts];
  float w[kBlock];
  float largestScale = 0;
  float largestMin = 0;
  for (int part = 0; part < kParts; ++part) {
    const int begin = kPart * part;
    const float deviation = std::sqrt(meanSquare(x + begin, kPart));
    for (int at = begin; at < begin + kPart; ++at) {
      w[at] = importance == nullptr ? deviation + std::fabs(x[at])
                                    : importance[at] * std::sqrt(blockSquare + x[at] * x[at]);
    }
    lines[part] = fitLine<kPart, most>(x + begin, w + begin, trials.count, trials.first, trials.step);
    largestScale = std::max(largestScale, lines[part].scale);
    largestMin = std::max(largestMin, lines[part].min);
  }
  const uint16_t d = toHalf(largestScale / 63);
  const uint16_t dmin = toHalf(largestMin / 63);
  if ((d & 0x7c00) == 0x7c00 || (dmin & 0x7c00) == 0x7c00) return false;
  const Line units{fromHalf(d), fromHalf(dmin)};
  int scales[kParts];
  int mins[kParts];
  for (int part = 0; part < kParts; ++part) {
    const int begin = kPart * part;
    const int scale = largestScale > 0 ? nearest(63 * lines[part].scale / largestScale, 0, 63) : 0;
    const int min = largestMin > 0 ? nearest(63 * lines[part].min / largestMin, 0, 63) : 0;
    float least = INFINITY;
    for (int trial = 0; trial < 9; ++trial) {
      // The nearest integers come first: of equal sums theirs stays.
      const int s = scale + (trial % 3 == 2 ? -1 : trial % 3);
      const int m = min + (trial / 3 == 2 ? -1 : trial / 3);
      if (s < 0 || s > 63 || m < 0 || m > 63) continue;
      uint8_t tried[kPart];
      const float error =
          encodeLine<kPart, most>(x + begin, w + begin, {units.scale * float(s), units.min * float(m)}, tried);
      if (trial > 0 && !(error < least)) continue;
      least = error;
      scales[part] = s;
      mins[part] = m;
      std::memcpy(codes + begin, tried, kPart);
    }
  }
  store16(packed, d);
  store16(packed + 2, dmin);
  storeSixBits(scales, mins, packed + 4);
  return true;
}

// Nibbles of two parts of 32 in 32 bytes.
void storePairs(const uint8_t* codes, uint8_t* to) {
  for (int at = 0; at < kBlock; at += 64, to += 32)
    for (int i = 0; i < 32; ++i) to[i] = uint8_t((codes[at + i] & 15) | (codes[at + 32 + i] << 4));
}

const float* from(const float* importance, int64_t at) {
  return importance == nullptr ? nullptr : importance + at;
}

}  // namespace

bool quantizeQ4_K(const float* values, int64_t count, const float* importance, uint8_t* packed) {
  uint8_t codes[kBlock];
  for (int64_t at = 0; at < count; at += kBlock, packed += 144) {
    if (!quantizeLines<15>(values + at, from(importance, at), {20, -1, 0.1f}, packed, codes)) return false;
    storePairs(codes, packed + 16);
  }
  return true;
}

bool quantizeQ5_K(const float* values, int64_t count, const float* importance, uint8_t* packed) {
  uint8_t codes[kBlock];
  for (int64_t at = 0; at < count; at += kBlock, packed += 176) {
    if (!quantizeLines<31>(values + at, from(importance, at), {20, -1, 0.1f}, packed, codes)) return false;
    uint8_t* const fifths = packed + 16;
    std::memset(fifths, 0, 32);
    for (int i = 0; i < kBlock; ++i) fifths[i % 32] |= uint8_t((codes[i] >> 4) << (i / 32));
    storePairs(codes, packed + 48);
  }
  return true;
}

// Nibbles [128], upper 2 bits [64], int8 scales of parts of 16 [16], d.
bool quantizeQ6_K(const float* values, int64_t count, const float* importance, uint8_t* packed) {
  constexpr int kPart = 16;
  constexpr int kParts = kBlock / kPart;
  for (int64_t block = 0; block < count; block += kBlock, packed += 210) {
    const float* const x = values + block;
    if (!allFinite(x)) return false;
    const float blockSquare = 2 * meanSquare(x, kBlock);
    float scales[kParts];
    float largest = 0;
    for (int part = 0; part < kParts; ++part) {
      float w[kPart];
      for (int i = 0; i < kPart; ++i) {
        const int at = kPart * part + i;
        w[i] = importance == nullptr ? x[at] * x[at] : importance[block + at] * std::sqrt(blockSquare + x[at] * x[at]);
      }
      scales[part] = fitScale<kPart>(x + kPart * part, w);
      if (std::fabs(scales[part]) > std::fabs(largest)) largest = scales[part];
    }
    std::memset(packed, 0, 210);
    // Below that the smallest float16 number is no scale for it.
    if (std::fabs(largest) < 0x1p-18f * 0x1p-7f) continue;
    const uint16_t d = toHalf(largest / -128);
    if ((d & 0x7c00) == 0x7c00) return false;
    for (int part = 0; part < kParts; ++part) {
      const int stored = nearest(-128 * scales[part] / largest, -128, 127);
      packed[192 + part] = uint8_t(int8_t(stored));
      const float scale = fromHalf(d) * float(stored);
      for (int i = 0; i < kPart; ++i) {
        const int at = kPart * part + i;
        const int code = scale == 0 ? 32 : nearest(x[at] / scale, -32, 31) + 32;
        // 128 values share 64 bytes of nibbles and 32 bytes of pairs of bits.
        const int half = at / 128;
        const int inHalf = at % 128;
        packed[64 * half + inHalf % 64] |= uint8_t((code & 15) << (4 * (inHalf / 64)));
        packed[128 + 32 * half + inHalf % 32] |= uint8_t((code >> 4) << (2 * (inHalf / 32)));
      }
    }
    store16(packed + 208, d);
  }
  return true;
}

}  // namespace lowrank::gguf
