// fill, copy, add: the ops whose cost is the memory they touch.
//
// fill      y = value                      writes 4 or 2 bytes per element
// copy      y = x, converted               reads x once, writes y once; any of float32, bfloat16 and float16 to any
// add       y = a + b, rounded once        its backward is dy for both inputs, so there is no kernel for it
//
// Layout: row stride at will; contiguous matrices are walked as one run. Roof: memory bandwidth. No reduction, so any
// split is deterministic. y may be an input of the same dtype: an element is read before it is written, by the same
// thread.
#include "kernels.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

template <class T>
void fillWith(const FillArgs& args, Context& context, T value) {
  forRuns(context, args.y.rows, args.y.cols, contiguous(args.y), [&](int64_t row, int64_t col, int64_t count) {
    T* y = rowOf<T>(args.y, row) + col;
    for (int64_t i = 0; i < count; ++i) y[i] = value;
  });
}

template <class T>
T rounded(float value) {
  T lanes[kLanes];
  store(lanes, splat(value));
  return lanes[0];
}

template <class From, class To>
void convert(const CopyArgs& args, Context& context) {
  const bool flat = contiguous(args.x) && contiguous(args.y);
  forRuns(context, args.y.rows, args.y.cols, flat, [&](int64_t row, int64_t col, int64_t count) {
    const From* x = rowOf<From>(args.x, row) + col;
    To* y = rowOf<To>(args.y, row) + col;
    forLanes(count, [&](int64_t i, int lanes) {
      const Vec value = loadLanes(x + i, lanes);
      if constexpr (kIsBFloat16<To>) {
        storeExactly(y + i, value, lanes);  // weights pass here
      } else {
        storeLanes(y + i, value, lanes);
      }
    });
  });
}

// Same dtype: bytes, so that a signalling NaN stays what it is.
void copyBytes(const CopyArgs& args, Context& context, int64_t size) {
  const bool flat = contiguous(args.x) && contiguous(args.y);
  forRuns(context, args.y.rows, args.y.cols, flat, [&](int64_t row, int64_t col, int64_t count) {
    const char* x = rowOf<char>(args.x, 0) + (row * args.x.stride + col) * size;
    char* y = rowOf<char>(args.y, 0) + (row * args.y.stride + col) * size;
    __builtin_memmove(y, x, static_cast<size_t>(count * size));
  });
}

template <class From>
void convertFrom(const CopyArgs& args, Context& context) {
  switch (args.y.dtype) {
    case DType::kFloat32:
      return convert<From, float>(args, context);
    case DType::kBFloat16:
      return convert<From, BFloat16>(args, context);
    case DType::kFloat16:
      return convert<From, Float16>(args, context);
    default:
      return context.fail("expected a float dtype for y where x has one, got dtype %d", static_cast<int>(args.y.dtype));
  }
}

template <class T>
void addAs(const AddArgs& args, Context& context) {
  const bool flat = contiguous(args.a) && contiguous(args.b) && contiguous(args.y);
  forRuns(context, args.y.rows, args.y.cols, flat, [&](int64_t row, int64_t col, int64_t count) {
    const T* a = rowOf<T>(args.a, row) + col;
    const T* b = rowOf<T>(args.b, row) + col;
    T* y = rowOf<T>(args.y, row) + col;
    forLanes(count, [&](int64_t i, int lanes) {
      storeLanes(y + i, loadLanes(a + i, lanes) + loadLanes(b + i, lanes), lanes);
    });
  });
}

}  // namespace

void fill(const FillArgs& args, Context& context) {
  switch (args.y.dtype) {
    case DType::kFloat32:
      return fillWith<float>(args, context, args.value);
    case DType::kBFloat16:
      return fillWith<BFloat16>(args, context, rounded<BFloat16>(args.value));
    case DType::kFloat16:
      return fillWith<Float16>(args, context, rounded<Float16>(args.value));
    case DType::kInt32:
      return fillWith<int32_t>(args, context, static_cast<int32_t>(args.value));
    case DType::kUInt8:
      return fillWith<uint8_t>(args, context, static_cast<uint8_t>(args.value));
  }
}

void copy(const CopyArgs& args, Context& context) {
  if (args.x.dtype == args.y.dtype) return copyBytes(args, context, elementSize(args.x.dtype));
  switch (args.x.dtype) {
    case DType::kFloat32:
      return convertFrom<float>(args, context);
    case DType::kBFloat16:
      return convertFrom<BFloat16>(args, context);
    case DType::kFloat16:
      return convertFrom<Float16>(args, context);
    default:
      return context.fail("expected y of dtype %d, that of x, got dtype %d", static_cast<int>(args.x.dtype),
                          static_cast<int>(args.y.dtype));
  }
}

void add(const AddArgs& args, Context& context) {
  withStorage(args.y.dtype, [&]<class T>(T) { addAs<T>(args, context); });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
