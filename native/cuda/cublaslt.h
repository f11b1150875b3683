// NVIDIA's matrix product, for `npm run bench -- gemm` to compare ours with. The library is neither linked nor shipped:
// it is looked for when a product is asked for, and nothing else here uses it.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "../core/tensor.h"

namespace lowrank::cuda {

// One product with memory of its own on one GPU, filled with random values, and the fastest of the algorithms that
// cuBLASLt proposes for it. Belongs to one thread, which it makes use the GPU.
class CublasLt {
 public:
  struct Options {
    int ordinal = 0;                // of the GPU
    DType dtype = DType::kFloat32;  // of all three matrices: float32 or bfloat16, sums in float32
    bool gradient = false;          // dx[M, K] = dy[M, N] W[N, K] in place of y[M, N] = x[M, K] W[N, K]^T
    int64_t m = 0;
    int64_t k = 0;
    int64_t n = 0;
    std::string library;  // path of libcublasLt; empty: where the system and the CUDA toolkit have it
  };

  // Throws InvalidArgument, saying what is missing, where there is no library, driver, memory or algorithm, and
  // std::runtime_error where CUDA or cuBLASLt report another error.
  explicit CublasLt(const Options& options);
  ~CublasLt();

  // The time of one product by the GPU's own clock, from as many products in a row as take about `length` seconds. The
  // caller waits for them. Throws std::runtime_error where CUDA or cuBLASLt report an error, or where the result is not
  // that product.
  double seconds(double length);

  // The version of the library: "13.1.0".
  std::string version() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lowrank::cuda
