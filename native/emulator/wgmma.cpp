// One thread's share of a warpgroup's product.
#include <cstring>

#include "device.h"

namespace lowrank::emulator {
namespace {

constexpr int kDepth = 16;

// The value at `address` of shared memory, whose bits 4 to 6 are swizzled by bits 7 to 9.
float valueAt(uint32_t address, bool bfloat16) {
  address ^= (address >> 7 & 7) << 4;
  uint16_t bits;
  std::memcpy(&bits, currentBlock->shared + address, sizeof bits);
  return bfloat16 ? toFloat(BFloat16{bits}) : toFloat(Float16{bits});
}

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

}  // namespace

void runProduct(const AsyncProduct& product) {
  const Operand from(product.a), by(product.b);
  const int lane = currentThread->lane, warp = currentThread->warp % 4;
  float a[2][kDepth];
  for (int i = 0; i < 2; ++i) {
    for (int k = 0; k < kDepth; ++k) a[i][k] = valueAt(from.along(16 * warp + 8 * i + lane / 4, k), product.bfloat16);
  }
  for (int j = 0; j < product.cols / 8; ++j) {
    for (int c = 0; c < 2; ++c) {
      const int col = 8 * j + 2 * (lane % 4) + c;
      float first = product.c[4 * j + c], second = product.c[4 * j + 2 + c];
      for (int k = 0; k < kDepth; ++k) {
        const float b = valueAt(product.across ? by.across(k, col) : by.along(col, k), product.bfloat16);
        first += a[0][k] * b;
        second += a[1][k] * b;
      }
      product.c[4 * j + c] = first;
      product.c[4 * j + 2 + c] = second;
    }
  }
}

}  // namespace lowrank::emulator
