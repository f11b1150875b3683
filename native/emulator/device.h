// What cuda/device.h promises, on the emulated machine.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "machine.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define LOWRANK_UNROLL
#define LOWRANK_ROLLED
#define LOWRANK_CONSTANT(type) const type&

#define threadIdx (::lowrank::emulator::currentThread->index)
#define blockIdx (::lowrank::emulator::currentBlock->index)
#define blockDim (::lowrank::emulator::currentBlock->size)
#define gridDim (::lowrank::emulator::currentBlock->grid)

namespace lowrank::emulator {

struct alignas(8) uint2 {
  uint32_t x, y;
};
struct alignas(16) uint4 {
  uint32_t x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};

struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

inline float toFloat(float value) {
  return value;
}
inline float toFloat(BFloat16 value) {
  const uint32_t bits = uint32_t(value.bits) << 16;
  float result;
  std::memcpy(&result, &bits, 4);
  return result;
}
inline float toFloat(Float16 value) {
  // Exponent and fraction at their places of a float, whose exponent counts from 112 less; also right for those below
  // 2^-14.
  const uint32_t bits = uint32_t(value.bits & 0x7fff) << 13;
  float magnitude;
  std::memcpy(&magnitude, &bits, 4);
  magnitude *= 0x1p112f;
  if ((value.bits & 0x7c00) == 0x7c00) magnitude = (value.bits & 0x3ff) != 0 ? NAN : INFINITY;
  return (value.bits & 0x8000) != 0 ? -magnitude : magnitude;
}

template <class T>
T fromFloat(float value);

template <>
inline float fromFloat<float>(float value) {
  return value;
}
template <>
inline BFloat16 fromFloat<BFloat16>(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  if ((bits & 0x7fffffff) > 0x7f800000) return {0x7fff};
  return {uint16_t((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}
template <>
inline Float16 fromFloat<Float16>(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  const uint16_t sign = uint16_t(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return {0x7fff};
  if (magnitude >= 0x477ff000) return {uint16_t(sign | 0x7c00)};  // 65520 and more round to infinity
  if (magnitude < 0x38800000) {                                   // below 2^-14: units of 2^-24
    return {uint16_t(sign | uint16_t(std::nearbyint(std::ldexp(std::fabs(value), 24))))};
  }
  const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
  return {uint16_t(sign | uint16_t((rounded >> 13) - (112 << 10)))};
}

// Two values of T as one register, the first in the low half.
template <class T>
uint32_t packPair(float first, float second) {
  return uint32_t(fromFloat<T>(first).bits) | uint32_t(fromFloat<T>(second).bits) << 16;
}
template <class T>
float2 unpackPair(uint32_t pair) {
  return {toFloat(T{uint16_t(pair)}), toFloat(T{uint16_t(pair >> 16)})};
}

inline float bitsToFloat(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, 4);
  return value;
}
inline uint32_t floatToBits(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, 4);
  return bits;
}

// a b, rounded by itself: never part of a multiplyAdd.
inline float multiply(float a, float b) {
  return a * b;
}
// a b + c; the device rounds once.
inline float multiplyAdd(float a, float b, float c) {
  return a * b + c;
}
inline float exp2Fast(float value) {
  return std::exp2(value);
}
inline float rsqrt(float value) {
  return 1.0f / std::sqrt(value);
}
using std::erf;
using std::exp;
using std::fabs;
using std::fmax;
using std::fmin;
using std::isfinite;
using std::log;
using std::log1p;
using std::sqrt;
using std::tanh;

inline uint32_t multiplyHigh(uint32_t a, uint32_t b) {
  return uint32_t(uint64_t(a) * b >> 32);
}

inline int bitCount(uint32_t bits) {
  return __builtin_popcount(bits);
}

// Bytes of b:a by the nibbles of `selector`; the high bit of a nibble repeats the byte's sign.
inline uint32_t prmt(uint32_t a, uint32_t b, uint32_t selector) {
  const uint64_t bytes = uint64_t(b) << 32 | a;
  uint32_t result = 0;
  for (int i = 0; i < 4; ++i) {
    const uint32_t nibble = selector >> (4 * i) & 15;
    uint32_t byte = uint32_t(bytes >> (8 * (nibble & 7))) & 255;
    if ((nibble & 8) != 0) byte = (byte & 128) != 0 ? 255 : 0;
    result |= byte << (8 * i);
  }
  return result;
}

template <class V, class T>
V loadVector(const T* from, const Place& place = Place::current()) {
  requireAligned(from, sizeof(V), "a vector load", place);
  V value;
  std::memcpy(&value, from, sizeof(V));
  return value;
}
template <class V, class T>
void storeVector(T* to, const V& value, const Place& place = Place::current()) {
  requireAligned(to, sizeof(V), "a vector store", place);
  std::memcpy(to, &value, sizeof(V));
}

// The block's shared memory, aligned to 1024 bytes.
template <class T>
T* sharedMemory() {
  return reinterpret_cast<T*>(currentBlock->shared);
}

inline void syncThreads(const Place& place = Place::current()) {
  meetAtBarrier(0, 0, place);
}
inline void syncNamed(int barrier, int threads, const Place& place = Place::current()) {
  meetAtBarrier(barrier, threads, place);
}
inline void syncWarp(const Place& place = Place::current()) {
  meetInWarp(Meeting::kSync, place, [](Warp&) {});
}

// The value of lane `from` of the warp. Here and below all 32 lanes take part.
template <class T>
T shuffle(T value, int from, const Place& place = Place::current()) {
  static_assert(sizeof(T) == 4);
  const Thread& thread = *currentThread;
  Warp& warp = warpOf(thread);
  std::memcpy(&warp.in[thread.lane][0], &value, 4);
  warp.in[thread.lane][1] = uint32_t(from);
  meetInWarp(Meeting::kShuffle, place, [](Warp& all) {
    for (int i = 0; i < kWarpLanes; ++i) all.out[i][0] = all.in[all.in[i][1] & 31][0];
  });
  T result;
  std::memcpy(&result, &warp.out[thread.lane][0], 4);
  return result;
}
template <class T>
T shuffleXor(T value, int mask, const Place& place = Place::current()) {
  return shuffle(value, currentThread->lane ^ mask, place);
}

// Bit i: the predicate of lane i.
inline uint32_t ballot(bool predicate, const Place& place = Place::current()) {
  const Thread& thread = *currentThread;
  Warp& warp = warpOf(thread);
  warp.in[thread.lane][0] = predicate ? 1 : 0;
  meetInWarp(Meeting::kBallot, place, [](Warp& all) {
    uint32_t bits = 0;
    for (int i = 0; i < kWarpLanes; ++i) bits |= all.in[i][0] << i;
    for (int i = 0; i < kWarpLanes; ++i) all.out[i][0] = bits;
  });
  return warp.out[thread.lane][0];
}

void finishLdmatrix(Warp& warp);
void finishLdmatrixTransposed(Warp& warp);
void finishMmaBFloat16(Warp& warp);
void finishMmaFloat16(Warp& warp);
void shareRowsOfWgmma(Warp& warp);

// Four 8x8 matrices of 16-bit values: lane 8 m + i gives row i of matrix m (8 values, 16-byte aligned); r[m] is matrix
// m's elements (lane / 4, 2 (lane % 4)) and the one after it, or with `kTransposed` those of its transpose.
template <bool kTransposed = false>
inline void ldmatrix(uint32_t (&r)[4], const void* row, const Place& place = Place::current()) {
  requireAligned(row, 16, "ldmatrix", place);
  const Thread& thread = *currentThread;
  Warp& warp = warpOf(thread);
  warp.rows[thread.lane] = row;
  if constexpr (kTransposed) {
    meetInWarp(Meeting::kLdmatrixTransposed, place, finishLdmatrixTransposed);
  } else {
    meetInWarp(Meeting::kLdmatrix, place, finishLdmatrix);
  }
  std::memcpy(r, warp.out[thread.lane], 16);
}

// c += a b for a 16x16 tile a (rows), a 16x8 tile b (columns) and a 16x8 tile c; T is BFloat16 or Float16. With g =
// lane / 4, q = 2 (lane % 4):
//   a[0] = A[g][q..q+1]  a[1] = A[g+8][q..]  a[2] = A[g][q+8..]  a[3] = A[g+8][q+8..]
//   b[0] = B[q..q+1][g]  b[1] = B[q+8..][g];  c[0..1] = C[g][q..q+1]  c[2..3] = C[g+8][q..q+1]
template <class T>
inline void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], const Place& place = Place::current()) {
  const Thread& thread = *currentThread;
  Warp& warp = warpOf(thread);
  uint32_t* const in = warp.in[thread.lane];
  std::memcpy(in, a, 16);
  std::memcpy(in + 4, b, 8);
  std::memcpy(in + 6, c, 16);
  if constexpr (std::is_same_v<T, BFloat16>) {
    meetInWarp(Meeting::kMmaBFloat16, place, finishMmaBFloat16);
  } else {
    static_assert(std::is_same_v<T, Float16>);
    meetInWarp(Meeting::kMmaFloat16, place, finishMmaFloat16);
  }
  std::memcpy(c, warp.out[thread.lane], 16);
}

// 16 bytes from global to shared memory, both 16-byte aligned, zeros when not `valid`. They are there after the wait
// for their group.
inline void cpAsync16(void* to, const void* from, bool valid = true, const Place& place = Place::current()) {
  requireAligned(to, AsyncCopy::kBytes, "an asynchronous copy", place);
  if (valid) requireAligned(from, AsyncCopy::kBytes, "an asynchronous copy", place);
  currentThread->copies.start({to, valid ? from : nullptr, place});
}
inline void cpAsyncCommit() {
  currentThread->copies.commit();
}
// Until at most kGroups of this thread's groups are on their way.
template <int kGroups>
inline void cpAsyncWait(const Place& place = Place::current()) {
  currentThread->copies.waitFor(kGroups, place);
}

// An operand of wgmma in shared memory, from an address that is a multiple of 1024 on, in rows of 128 bytes whose
// 16-byte pieces are swizzled: piece p of row r lies at place p ^ (r % 8). Not across: rows are rows of A or columns of
// B, 64 values of k each; `strideBytes` lead to the next eight rows; 32 bytes further on lie the next 16 values of k.
// Across (B alone): rows are k, 64 columns each; `strideBytes` lead to the next eight rows, `leadingBytes` to the next
// 64 columns.
inline uint64_t wgmmaOperand(const void* shared, int leadingBytes, int strideBytes) {
  const uint64_t address = uint64_t(static_cast<const unsigned char*>(shared) - currentBlock->shared);
  return address >> 4 | uint64_t(leadingBytes >> 4) << 16 | uint64_t(strideBytes >> 4) << 32;
}

// What this thread has written to shared memory, asynchronous copies that it waited for included, may be read by wgmma
// after the next barrier. The emulated machine does not see where it is missing.
inline void wgmmaFence() {}
// Before the first wgmma of a group: the sums are in their registers.
inline void wgmmaBegin() {}

// c += a b on its way, for 64 rows of a, 16 values of k and kCols columns of b; c is touched by nobody until it was
// waited for. Four warps in a row call it. Warp w of the four has the rows 16 w to 16 w + 15, which lie in its lanes as
// mma's: c[j] is the tile of the columns 8 j to 8 j + 7. kFresh: c = a b, whatever c was.
template <class T, int kCols, bool kAcross, bool kFresh = false>
inline void wgmma(float (&c)[kCols / 8][4], uint64_t a, uint64_t b, const Place& place = Place::current()) {
  static_assert(kCols == 64 || kCols == 128 || kCols == 256);
  static_assert(std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>);
  meetInWarp(Meeting::kWgmma, place, [](Warp&) {});
  currentThread->products.start({c, kCols, kFresh, a, {}, false, b, kAcross, std::is_same_v<T, BFloat16>, place});
}
// The same with a in registers, as mma has it.
template <class T, int kCols, bool kAcross>
inline void wgmma(float (&c)[kCols / 8][4], const uint32_t (&a)[4], uint64_t b, const Place& place = Place::current()) {
  static_assert(kCols == 64 || kCols == 128);
  static_assert(std::is_same_v<T, BFloat16> || std::is_same_v<T, Float16>);
  const Thread& thread = *currentThread;
  Warp& warp = warpOf(thread);
  std::memcpy(warp.in[thread.lane], a, sizeof a);
  meetInWarp(Meeting::kWgmmaRegisters, place, shareRowsOfWgmma);
  AsyncProduct product{c, kCols, false, 0, {}, true, b, kAcross, std::is_same_v<T, BFloat16>, place};
  std::memcpy(product.rows, warp.out[thread.lane], sizeof product.rows);
  currentThread->products.start(product);
}
inline void wgmmaCommit() {
  currentThread->products.commit();
}
// Until at most kGroups of this thread's groups are on their way.
template <int kGroups>
inline void wgmmaWait(const Place& place = Place::current()) {
  currentThread->products.waitFor(kGroups, place);
}

// Both on global memory, between all threads of all blocks; both return the value before.
inline uint64_t atomicCompareExchange(uint64_t* at, uint64_t expected, uint64_t value) {
  __atomic_compare_exchange_n(at, &expected, value, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
  return expected;
}
inline uint64_t atomicMinimum(uint64_t* at, uint64_t value) {
  uint64_t before = __atomic_load_n(at, __ATOMIC_ACQUIRE);
  while (value < before &&
         !__atomic_compare_exchange_n(at, &before, value, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
  }
  return before;
}

}  // namespace lowrank::emulator
