// embedding          y[i] = weight[ids[i]]
// embeddingBackward  dWeight[ids[i]] += dy[i], float32, in the order of i
// scatterRows        y[rows[i]] = x[i]
//
// ids, rows: int32 [N]; weight [V, D]; x, y, dy [N, D] in one dtype. Bytes moved: each row once in and once out,
// dWeight twice. Roof: memory bandwidth. Determinism: the backward is cut by columns, so every element sees its
// additions in the order of i.
#include "kernels.h"

namespace lowrank::cpu::LOWRANK_ISA {
namespace {

const int32_t* indices(const Tensor& tensor) {
  return static_cast<const int32_t*>(tensor.data);
}

// False, with the fault recorded, where an index lies outside [0, limit).
bool checkIndices(const Tensor& tensor, int64_t limit, const char* name, const char* limitName, Context& context) {
  const int32_t* index = indices(tensor);
  const int64_t count = elementCount(tensor);
  for (int64_t i = 0; i < count; ++i) {
    if (index[i] >= 0 && index[i] < limit) continue;
    context.fail("expected %s in [0, %lld), the %s, got %d at position %lld", name, static_cast<long long>(limit),
                 limitName, index[i], static_cast<long long>(i));
    return false;
  }
  return true;
}

template <class T>
void addRows(const EmbeddingBackwardArgs& args, Context& context) {
  const int64_t count = elementCount(args.ids), cols = args.dy.cols;
  const int64_t step = 64;  // columns of a block: 4 cache lines of dWeight
  const int32_t* ids = indices(args.ids);
  parallelFor(context, ceilDiv(cols, step), [&](int64_t block, int) {
    const int64_t first = block * step, width = minOf(step, cols - first);
    for (int64_t i = 0; i < count; ++i) {
      const T* dy = rowOf<T>(args.dy, i) + first;
      float* dWeight = rowOf<float>(args.dWeight, ids[i]) + first;
      forLanes(width, [&](int64_t j, int lanes) {
        storeLanes(dWeight + j, loadLanes(dWeight + j, lanes) + loadLanes(dy + j, lanes), lanes);
      });
    }
  });
}

}  // namespace

void embedding(const EmbeddingArgs& args, Context& context) {
  if (!checkIndices(args.ids, args.weight.rows, "ids", "rows of weight", context)) return;
  const int64_t size = elementSize(args.weight.dtype), cols = args.weight.cols;
  const int32_t* ids = indices(args.ids);
  forRowBlocks(context, elementCount(args.ids), cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      __builtin_memcpy(static_cast<char*>(args.y.data) + i * args.y.stride * size,
                       static_cast<const char*>(args.weight.data) + ids[i] * args.weight.stride * size,
                       static_cast<size_t>(cols * size));
    }
  });
}

void embeddingBackward(const EmbeddingBackwardArgs& args, Context& context) {
  if (!checkIndices(args.ids, args.dWeight.rows, "ids", "rows of dWeight", context)) return;
  withStorage(args.dy.dtype, [&]<class T>(T) { addRows<T>(args, context); });
}

void scatterRows(const ScatterRowsArgs& args, Context& context) {
  if (!checkIndices(args.rows, args.y.rows, "rows", "rows of y", context)) return;
  const int64_t size = elementSize(args.x.dtype), cols = args.x.cols;
  const int32_t* rows = indices(args.rows);
  forRowBlocks(context, elementCount(args.rows), cols, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      __builtin_memcpy(static_cast<char*>(args.y.data) + rows[i] * args.y.stride * size,
                       static_cast<const char*>(args.x.data) + i * args.x.stride * size,
                       static_cast<size_t>(cols * size));
    }
  });
}

}  // namespace lowrank::cpu::LOWRANK_ISA
