// fill   y = value
// copy   y = x, converted, rounded to nearest even; int32 and uint8 to themselves
// add    y = a + b, summed in float32, rounded once
//
// Matrices of any row stride; a thread has elements that are a grid apart. Bytes moved: each element once in and once
// out. Roof: memory bandwidth.
// Launch: 256 threads, up to 8 blocks per multiprocessor, no shared memory. Deterministic: elements are independent.
#include "kernels.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

constexpr int kThreads = 256;

inline dim3 gridFor(const Queue& queue, int64_t elements) {
  const int64_t most = int64_t{8} * queue.multiprocessors();
  return dim3(static_cast<unsigned>(maxOf(1, minOf(ceilDiv(elements, kThreads), most))));
}

// call(row, col) for the elements of this thread.
template <class Call>
__device__ __forceinline__ void forElements(int64_t rows, int64_t cols, const Call& call) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < rows * cols; i += step) {
    call(i / cols, i % cols);
  }
}

template <class T>
__device__ __forceinline__ T valueAs(float value) {
  return fromFloat<T>(value);
}
template <>
__device__ __forceinline__ int32_t valueAs<int32_t>(float value) {
  return static_cast<int32_t>(value);
}
template <>
__device__ __forceinline__ uint8_t valueAs<uint8_t>(float value) {
  return static_cast<uint8_t>(value);
}

template <class T>
__global__ void __launch_bounds__(kThreads) fillKernel(Matrix<T> y, float value) {
  const T element = valueAs<T>(value);
  forElements(y.rows, y.cols, [&](int64_t row, int64_t col) { y.row(row)[col] = element; });
}

template <class From, class To>
__global__ void __launch_bounds__(kThreads) convertKernel(Matrix<const From> x, Matrix<To> y) {
  forElements(x.rows, x.cols,
              [&](int64_t row, int64_t col) { y.row(row)[col] = fromFloat<To>(toFloat(x.row(row)[col])); });
}

// Whatever the elements are.
template <class T>
__global__ void __launch_bounds__(kThreads) copyKernel(Matrix<const T> x, Matrix<T> y) {
  forElements(x.rows, x.cols, [&](int64_t row, int64_t col) { y.row(row)[col] = x.row(row)[col]; });
}

template <class T>
__global__ void __launch_bounds__(kThreads) addKernel(Matrix<const T> a, Matrix<const T> b, Matrix<T> y) {
  forElements(y.rows, y.cols, [&](int64_t row, int64_t col) {
    y.row(row)[col] = fromFloat<T>(toFloat(a.row(row)[col]) + toFloat(b.row(row)[col]));
  });
}

template <class T>
void fillAs(const FillArgs& args, Queue& queue) {
  launch<fillKernel<T>>(queue, gridFor(queue, elementCount(args.y)), kThreads, 0, matrixOf<T>(args.y), args.value);
}

template <class T>
void copyAs(const CopyArgs& args, Queue& queue) {
  launch<copyKernel<T>>(queue, gridFor(queue, elementCount(args.y)), kThreads, 0, matrixOf<const T>(args.x),
                        matrixOf<T>(args.y));
}

template <class From>
void convertFrom(const CopyArgs& args, Queue& queue) {
  withComputeType(args.y.dtype, [&](auto to) {
    using To = decltype(to);
    if constexpr (!std::is_same_v<From, To>) {
      launch<convertKernel<From, To>>(queue, gridFor(queue, elementCount(args.y)), kThreads, 0,
                                      matrixOf<const From>(args.x), matrixOf<To>(args.y));
    }
  });
}

}  // namespace

void fill(const FillArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  if (elementCount(args.y) == 0) return;
  if (args.y.dtype == DType::kInt32) return fillAs<int32_t>(args, queue);
  if (args.y.dtype == DType::kUInt8) return fillAs<uint8_t>(args, queue);
  withComputeType(args.y.dtype, [&](auto type) { fillAs<decltype(type)>(args, queue); });
}

void copy(const CopyArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  if (elementCount(args.y) == 0) return;
  if (args.x.dtype != args.y.dtype)
    return withComputeType(args.x.dtype, [&](auto type) { convertFrom<decltype(type)>(args, queue); });
  if (sizeOf(args.y.dtype) == 4) return copyAs<uint32_t>(args, queue);
  if (sizeOf(args.y.dtype) == 2) return copyAs<uint16_t>(args, queue);
  copyAs<uint8_t>(args, queue);
}

void add(const AddArgs& args, Context& context) {
  Queue& queue = queueOf(context);
  if (elementCount(args.y) == 0) return;
  withComputeType(args.y.dtype, [&](auto type) {
    using T = decltype(type);
    launch<addKernel<T>>(queue, gridFor(queue, elementCount(args.y)), kThreads, 0, matrixOf<const T>(args.a),
                         matrixOf<const T>(args.b), matrixOf<T>(args.y));
  });
}

}  // namespace lowrank::LOWRANK_BACKEND
