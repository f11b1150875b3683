// The warp's matrix instructions, done by the last lane that comes.
#include "device.h"

namespace lowrank::emulator {
namespace {

constexpr int kRows = 16;
constexpr int kCols = 8;

template <class T>
float half(uint32_t pair, int which) {
  return toFloat(T{uint16_t(pair >> (16 * which))});
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_UNDEFINED__)
#define LOWRANK_CLONES
#else
#define LOWRANK_CLONES __attribute__((target_clones("avx2", "default")))
#endif

using Row = float __attribute__((vector_size(kCols * sizeof(float))));

LOWRANK_CLONES void multiply(const float (&a)[kRows][kProductDepth], const float (&b)[kProductDepth][kCols],
                             float (&c)[kRows][kCols]) {
  Row rows[kProductDepth];
  std::memcpy(rows, b, sizeof rows);
  for (int row = 0; row < kRows; row += 4) {
    Row sums[4];
    std::memcpy(sums, c[row], sizeof sums);
    for (int k = 0; k < kProductDepth; ++k) {
      for (int i = 0; i < 4; ++i) sums[i] += a[row + i][k] * rows[k];
    }
    std::memcpy(c[row], sums, sizeof sums);
  }
}

template <class T>
void finishMma(Warp& warp) {
  alignas(32) float a[kRows][kProductDepth], b[kProductDepth][kCols], c[kRows][kCols];
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const uint32_t* const in = warp.in[lane];
    const int g = lane / 4, q = 2 * (lane % 4);
    for (int i = 0; i < 2; ++i) {
      for (int e = 0; e < 4; ++e) a[g + 8 * (e & 1)][q + 8 * (e >> 1) + i] = half<T>(in[e], i);
      for (int e = 0; e < 2; ++e) b[q + 8 * e + i][g] = half<T>(in[4 + e], i);
      for (int e = 0; e < 2; ++e) c[g + 8 * e][q + i] = bitsToFloat(in[6 + 2 * e + i]);
    }
  }
  multiply(a, b, c);
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    const int g = lane / 4, q = 2 * (lane % 4);
    for (int e = 0; e < 4; ++e) warp.out[lane][e] = floatToBits(c[g + 8 * (e >> 1)][q + (e & 1)]);
  }
}

}  // namespace

void finishMmaBFloat16(Warp& warp) {
  finishMma<BFloat16>(warp);
}

void finishMmaFloat16(Warp& warp) {
  finishMma<Float16>(warp);
}

void finishLdmatrix(Warp& warp) {
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    for (int m = 0; m < 4; ++m)
      std::memcpy(&warp.out[lane][m], static_cast<const char*>(warp.rows[8 * m + lane / 4]) + 4 * (lane % 4), 4);
  }
}

void finishLdmatrixTransposed(Warp& warp) {
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    for (int m = 0; m < 4; ++m) {
      uint16_t pair[2];
      for (int i = 0; i < 2; ++i) {
        std::memcpy(&pair[i], static_cast<const char*>(warp.rows[8 * m + 2 * (lane % 4) + i]) + 2 * (lane / 4), 2);
      }
      std::memcpy(&warp.out[lane][m], pair, 4);
    }
  }
}

}  // namespace lowrank::emulator
