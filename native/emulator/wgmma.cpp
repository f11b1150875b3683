// One thread's share of a warpgroup's product.
#include <cstring>

#include "device.h"

namespace lowrank::emulator {
namespace {

struct Operand {
  explicit Operand(uint64_t bits)
      : start(uint32_t(bits & 0x3fff) << 4),
        leading(uint32_t(bits >> 16 & 0x3fff) << 4),
        stride(uint32_t(bits >> 32 & 0x3fff) << 4) {}
  uint32_t along(int row, int k) const { return start + uint32_t(row / 8) * stride + uint32_t(row % 8 * 128 + k * 2); }
  uint32_t across(int k, int col) const {
    return start + uint32_t(col / 64) * leading + uint32_t(k / 8) * stride + uint32_t(k % 8 * 128 + col % 64 * 2);
  }
  uint32_t start;
  uint32_t leading;
  uint32_t stride;
};

using Values = float[kProductDepth];

template <class T>
void widen(const uint16_t* bits, int count, float* values) {
  for (int i = 0; i < count; ++i) values[i] = toFloat(T{bits[i]});
}

// `count` values from `address` of shared memory on, within 16 bytes; bits 4 to 6 of an address are swizzled by bits 7
// to 9.
template <class T>
void load(uint32_t address, int count, float* values) {
  address ^= (address >> 7 & 7) << 4;
  uint16_t bits[8];
  std::memcpy(bits, currentBlock->shared + address, size_t(count) * sizeof(uint16_t));
  widen<T>(bits, count, values);
}

template <class T>
void loadAlong(const Operand& from, int row, Values& values) {
  for (int k = 0; k < kProductDepth; k += 8) load<T>(from.along(row, k), 8, values + k);
}

template <class T>
void multiply(const AsyncProduct& product) {
  const Operand from(product.a), by(product.b);
  const int lane = currentThread->lane, warp = currentThread->warp % 4;
  Values a[2];
  for (int i = 0; i < 2; ++i) {
    if (product.fromRegisters) {
      widen<T>(product.rows[i], kProductDepth, a[i]);
    } else {
      loadAlong<T>(from, 16 * warp + 8 * i + lane / 4, a[i]);
    }
  }
  for (int j = 0; j < product.cols / 8; ++j) {
    const int col = 8 * j + 2 * (lane % 4);
    Values b[2];
    if (product.across) {
      for (int k = 0; k < kProductDepth; ++k) {
        float pair[2];
        load<T>(by.across(k, col), 2, pair);
        for (int c = 0; c < 2; ++c) b[c][k] = pair[c];
      }
    } else {
      for (int c = 0; c < 2; ++c) loadAlong<T>(by, col + c, b[c]);
    }
    for (int e = 0; e < 4; ++e) {
      float sum = product.fresh ? 0.0f : product.c[j][e];
      for (int k = 0; k < kProductDepth; ++k) sum += a[e / 2][k] * b[e % 2][k];
      product.c[j][e] = sum;
    }
  }
}

}  // namespace

// A row of a lies in the four lanes of its sums: each gets all of both rows.
void shareRowsOfWgmma(Warp& warp) {
  for (int lane = 0; lane < kWarpLanes; ++lane) {
    uint16_t rows[2][kProductDepth];
    for (int q = 0; q < 4; ++q) {
      for (int e = 0; e < 4; ++e) std::memcpy(&rows[e % 2][8 * (e / 2) + 2 * q], &warp.in[lane / 4 * 4 + q][e], 4);
    }
    std::memcpy(warp.out[lane], rows, sizeof rows);
  }
}

void complete(const AsyncProduct& product) {
  product.bfloat16 ? multiply<BFloat16>(product) : multiply<Float16>(product);
}

}  // namespace lowrank::emulator
