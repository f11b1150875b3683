// cuBLASLt through dlopen. Its types and constants are declared here as its documentation has them, those that are
// used: not every machine with a driver has the header, and versions 12 and 13 agree on all of them.
#include "cublaslt.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "../core/fault.h"
#include "../core/format.h"
#include "runtime.h"

namespace lowrank::cuda {
namespace {

using Status = int;  // cublasStatus_t
constexpr Status kSuccess = 0;
constexpr int kComputeFloat32 = 68;      // CUBLAS_COMPUTE_32F: sums in float32, no TF32 for float32 matrices
constexpr int kTransposeA = 3;           // CUBLASLT_MATMUL_DESC_TRANSA, an int32_t
constexpr int32_t kTransposed = 1;       // CUBLAS_OP_T
constexpr int kMaxWorkspace = 1;         // CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, a uint64_t
constexpr int kReductionSchemes = 3;     // CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, a uint32_t
constexpr uint32_t kReduceComputed = 2;  // CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE
constexpr int kFloat32Data = 0;          // CUDA_R_32F
constexpr int kBFloat16Data = 14;        // CUDA_R_16BF

struct Handle;      // cublasLtHandle_t points to it
struct Operation;   // cublasLtMatmulDesc_t
struct Layout;      // cublasLtMatrixLayout_t
struct Preference;  // cublasLtMatmulPreference_t
struct Algorithm {  // cublasLtMatmulAlgo_t
  uint64_t data[8];
};
struct Proposal {  // cublasLtMatmulHeuristicResult_t
  Algorithm algorithm;
  size_t workspaceSize;
  Status state;
  float wavesCount;
  int reserved[4];
};

struct Functions {
  Status (*create)(Handle**);
  Status (*destroy)(Handle*);
  size_t (*getVersion)();
  const char* (*getStatusString)(Status);
  Status (*operationCreate)(Operation**, int computeType, int scaleType);
  Status (*operationSet)(Operation*, int attribute, const void* value, size_t bytes);
  Status (*operationDestroy)(Operation*);
  Status (*layoutCreate)(Layout**, int dataType, uint64_t rows, uint64_t cols, int64_t leadingDimension);
  Status (*layoutDestroy)(Layout*);
  Status (*preferenceCreate)(Preference**);
  Status (*preferenceSet)(Preference*, int attribute, const void* value, size_t bytes);
  Status (*preferenceDestroy)(Preference*);
  Status (*propose)(Handle*, Operation*, Layout* a, Layout* b, Layout* c, Layout* d, Preference*, int most, Proposal*,
                    int* count);
  Status (*multiply)(Handle*, Operation*, const void* alpha, const void* a, Layout*, const void* b, Layout*,
                     const void* beta, const void* c, Layout*, void* d, Layout*, const Algorithm*, void* workspace,
                     size_t workspaceBytes, cudaStream_t);
};

// The name that `library` lacks, or nullptr.
const char* resolve(void* library, Functions& functions) {
  const char* missing = nullptr;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::decay_t<decltype(function)>>(dlsym(library, name));
    if (function == nullptr && missing == nullptr) missing = name;
  };
  find(functions.create, "cublasLtCreate");
  find(functions.destroy, "cublasLtDestroy");
  find(functions.getVersion, "cublasLtGetVersion");
  find(functions.getStatusString, "cublasLtGetStatusString");
  find(functions.operationCreate, "cublasLtMatmulDescCreate");
  find(functions.operationSet, "cublasLtMatmulDescSetAttribute");
  find(functions.operationDestroy, "cublasLtMatmulDescDestroy");
  find(functions.layoutCreate, "cublasLtMatrixLayoutCreate");
  find(functions.layoutDestroy, "cublasLtMatrixLayoutDestroy");
  find(functions.preferenceCreate, "cublasLtMatmulPreferenceCreate");
  find(functions.preferenceSet, "cublasLtMatmulPreferenceSetAttribute");
  find(functions.preferenceDestroy, "cublasLtMatmulPreferenceDestroy");
  find(functions.propose, "cublasLtMatmulAlgoGetHeuristic");
  find(functions.multiply, "cublasLtMatmul");
  return missing;
}

// What dlopen() is asked for, in this order. Version 13 first, as the runtime that is linked in.
std::vector<std::string> candidates() {
  const char* const names[] = {"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so"};
  std::vector<std::string> result(std::begin(names), std::end(names));
  std::vector<std::string> toolkits;
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"}) {
    const char* const folder = std::getenv(variable);
    if (folder != nullptr && *folder != '\0') toolkits.push_back(folder);
  }
  toolkits.push_back("/usr/local/cuda");
  for (const std::string& toolkit : toolkits) {
    for (const char* name : names) result.push_back(toolkit + "/lib64/" + name);
  }
  return result;
}

// The first that loads and has all functions. It stays loaded: libraries that have used a GPU are not made to be
// unloaded.
Functions load(const std::string& path) {
  std::string tried;
  for (const std::string& candidate : path.empty() ? candidates() : std::vector<std::string>{path}) {
    Functions functions{};
    void* const library = dlopen(candidate.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) {
      tried += std::string("\n  - ") + dlerror();  // begins with the name
      continue;
    }
    const char* const missing = resolve(library, functions);
    if (missing == nullptr) return functions;
    tried += "\n  - " + candidate + ": has no " + missing;
    dlclose(library);
  }
  throw InvalidArgument("[cublaslt] expected libcublasLt to compare with, found none that loads. Tried:" + tried);
}

std::string describe(cudaError_t error) {
  return std::string("CUDA reports ") + cudaGetErrorName(error) + " (" + cudaGetErrorString(error) + ")";
}

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  cudaGetLastError();  // what can be forgotten is
  throw std::runtime_error(std::string("[cublaslt] expected ") + what + ", but " + describe(error));
}

void check(const Functions& functions, Status status, const char* function) {
  if (status == kSuccess) return;
  throw std::runtime_error(std::string("[cublaslt] expected success of ") + function + ", got status " +
                           std::to_string(status) + " (" + functions.getStatusString(status) + ")");
}

struct CudaDeleter {
  void operator()(void* memory) const { cudaFree(memory); }
  void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};
using DeviceMemory = std::unique_ptr<void, CudaDeleter>;
using Stream = std::unique_ptr<CUstream_st, CudaDeleter>;
using Event = std::unique_ptr<CUevent_st, CudaDeleter>;

// Something that a function of the library makes and another destroys.
template <class Object>
using Owned = std::unique_ptr<Object, Status (*)(Object*)>;

// Values in [-1, 1) that are over and over what a matrix holds: zeros would multiply faster than what training
// multiplies. The length is prime, so that a wrong stride meets other values.
class Series {
 public:
  Series(uint32_t seed, DType dtype) : values_(kLength) {
    for (float& value : values_) {
      seed = seed * 1664525u + 1013904223u;
      value = float(int32_t(seed)) * 0x1p-31f;
      if (dtype != DType::kBFloat16) continue;
      uint32_t bits;
      std::memcpy(&bits, &value, sizeof bits);
      bits &= 0xffff0000u;
      std::memcpy(&value, &bits, sizeof bits);
    }
  }

  double at(int64_t index) const { return values_[size_t(index % kLength)]; }

  void fill(void* device, int64_t count, DType dtype) const {
    const int64_t width = elementBytes(dtype);
    std::vector<char> block(size_t(kLength * width));
    for (int64_t i = 0; i < kLength; ++i) {
      // The upper bytes of a float32 are the bfloat16 of these values.
      std::memcpy(&block[size_t(i * width)], reinterpret_cast<const char*>(&values_[size_t(i)]) + 4 - width,
                  size_t(width));
    }
    char* const begin = static_cast<char*>(device);
    const int64_t bytes = count * width;
    int64_t filled = std::min(bytes, int64_t(block.size()));
    check(cudaMemcpy(begin, block.data(), size_t(filled), cudaMemcpyHostToDevice), "operands to be copied");
    for (; filled < bytes; filled *= 2) {
      const int64_t part = std::min(filled, bytes - filled);
      check(cudaMemcpy(begin + filled, begin, size_t(part), cudaMemcpyDeviceToDevice), "operands to be copied");
    }
  }

 private:
  static constexpr int64_t kLength = 65'537;
  std::vector<float> values_;
};

constexpr size_t kWorkspaceBytes = size_t{32} << 20;
constexpr int kMostProposals = 8;
constexpr int kTrialRuns = 3;
constexpr int kMostRuns = 10'000;
constexpr int kSamples = 64;

}  // namespace

// cuBLASLt counts along columns first, so that it sees each of our matrices, which are row after row, transposed: it is
// asked for y^T[N, M] = W x^T, with its own transpose on W^T, and for dx^T[K, M] = W^T dy^T.
struct CublasLt::State {
  State(const Options& given, const Functions& library)
      : options(given),
        functions(library),
        inner(given.gradient ? given.n : given.k),
        outer(given.gradient ? given.k : given.n),
        weightValues(1, given.dtype),
        inputValues(2, given.dtype) {
    use();
    cudaStream_t madeStream = nullptr;
    check(cudaStreamCreateWithFlags(&madeStream, cudaStreamNonBlocking), "a stream");
    stream.reset(madeStream);
    for (Event* event : {&begin, &end}) {
      cudaEvent_t made = nullptr;
      check(cudaEventCreate(&made), "an event");
      event->reset(made);
    }
    weight = allocate(options.n * options.k);
    input = allocate(options.m * inner);
    output = allocate(options.m * outer);
    workspace = allocateBytes(kWorkspaceBytes);
    weightValues.fill(weight.get(), options.n * options.k, options.dtype);
    inputValues.fill(input.get(), options.m * inner, options.dtype);
    // NaN until it is written.
    check(cudaMemset(output.get(), 0xff, size_t(options.m * outer * elementBytes(options.dtype))), "a fill to run");
    check(cudaDeviceSynchronize(), "operands to be there");

    Handle* madeHandle = nullptr;
    check(functions, functions.create(&madeHandle), "cublasLtCreate");
    handle = Owned<Handle>(madeHandle, functions.destroy);
    Operation* madeOperation = nullptr;
    check(functions, functions.operationCreate(&madeOperation, kComputeFloat32, kFloat32Data),
          "cublasLtMatmulDescCreate");
    operation = Owned<Operation>(madeOperation, functions.operationDestroy);
    if (!options.gradient) {
      check(functions, functions.operationSet(madeOperation, kTransposeA, &kTransposed, sizeof kTransposed),
            "cublasLtMatmulDescSetAttribute");
    }
    weightLayout = layout(options.k, options.n);
    inputLayout = layout(inner, options.m);
    outputLayout = layout(outer, options.m);
    choose();
  }

  void use() const { check(cudaSetDevice(options.ordinal), "a GPU of that number"); }

  DeviceMemory allocate(int64_t elements) const {
    return allocateBytes(size_t(elements * elementBytes(options.dtype)));
  }

  DeviceMemory allocateBytes(size_t bytes) const {
    void* memory = nullptr;
    const cudaError_t error = cudaMalloc(&memory, bytes);
    if (error == cudaSuccess) return DeviceMemory(memory);
    cudaGetLastError();
    throw InvalidArgument("[cublaslt] expected " + formatBytes(double(bytes)) + " more of memory on GPU " +
                          std::to_string(options.ordinal) + " for cuBLASLt's product, but " + describe(error));
  }

  Owned<Layout> layout(int64_t rows, int64_t cols) const {
    Layout* made = nullptr;
    const int type = options.dtype == DType::kBFloat16 ? kBFloat16Data : kFloat32Data;
    check(functions, functions.layoutCreate(&made, type, uint64_t(rows), uint64_t(cols), rows),
          "cublasLtMatrixLayoutCreate");
    return Owned<Layout>(made, functions.layoutDestroy);
  }

  // The fastest of those that are proposed, as whoever uses the library at its best would do.
  void choose() {
    Preference* madePreference = nullptr;
    check(functions, functions.preferenceCreate(&madePreference), "cublasLtMatmulPreferenceCreate");
    const Owned<Preference> preference(madePreference, functions.preferenceDestroy);
    const uint64_t bytes = kWorkspaceBytes;
    check(functions, functions.preferenceSet(madePreference, kMaxWorkspace, &bytes, sizeof bytes),
          "cublasLtMatmulPreferenceSetAttribute");
    // Parts of a sum are not rounded to bfloat16 before they are added: ours are not either.
    if (options.dtype == DType::kBFloat16) {
      check(functions,
            functions.preferenceSet(madePreference, kReductionSchemes, &kReduceComputed, sizeof kReduceComputed),
            "cublasLtMatmulPreferenceSetAttribute");
    }
    Proposal proposals[kMostProposals] = {};
    int count = 0;
    const Status status =
        functions.propose(handle.get(), operation.get(), weightLayout.get(), inputLayout.get(), outputLayout.get(),
                          outputLayout.get(), madePreference, kMostProposals, proposals, &count);
    double best = INFINITY;
    for (const Proposal& proposal : proposals) {
      if (&proposal - proposals >= count || proposal.state != kSuccess) continue;
      if (multiply(proposal.algorithm) != kSuccess) continue;
      const double seconds = time(proposal.algorithm, kTrialRuns);
      if (seconds < best) {
        best = seconds;
        algorithm = proposal.algorithm;
      }
    }
    if (!(best < INFINITY)) {
      throw InvalidArgument("[cublaslt] expected an algorithm of cuBLASLt that runs for M " +
                            std::to_string(options.m) + ", K " + std::to_string(options.k) + ", N " +
                            std::to_string(options.n) + ", got " + std::to_string(count) + " proposed (" +
                            functions.getStatusString(status) + ")");
    }
  }

  Status multiply(const Algorithm& chosen) const {
    const float one = 1, zero = 0;
    return functions.multiply(handle.get(), operation.get(), &one, weight.get(), weightLayout.get(), input.get(),
                              inputLayout.get(), &zero, output.get(), outputLayout.get(), output.get(),
                              outputLayout.get(), &chosen, workspace.get(), kWorkspaceBytes, stream.get());
  }

  // Seconds of one of `runs` in a row.
  double time(const Algorithm& chosen, int runs) const {
    check(cudaEventRecord(begin.get(), stream.get()), "an event to be recorded");
    for (int i = 0; i < runs; ++i) check(functions, multiply(chosen), "cublasLtMatmul");
    check(cudaEventRecord(end.get(), stream.get()), "an event to be recorded");
    check(cudaEventSynchronize(end.get()), "cuBLASLt's product to run");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "the time of cuBLASLt's product");
    return double(milliseconds) / 1e3 / runs;
  }

  // Compares elements all over the result with sums in float64. Tolerance: bfloat16's rounding of the result, and a
  // millionth of the sum of magnitudes: more than sums in float32 are off, less than products of TF32 are somewhere.
  void checkResult() const {
    uint32_t random = 3;
    const auto below = [&](int64_t limit) {
      random = random * 1664525u + 1013904223u;
      return int64_t(uint64_t(random) * uint64_t(limit) >> 32);
    };
    const double relative = options.dtype == DType::kBFloat16 ? 0x1p-8 : 0;
    const size_t width = size_t(elementBytes(options.dtype));
    for (int sample = 0; sample < kSamples; ++sample) {
      const int64_t row = sample == 0 ? options.m - 1 : below(options.m);
      const int64_t col = sample == 0 ? outer - 1 : below(outer);
      double sum = 0, magnitudes = 0;
      for (int64_t i = 0; i < inner; ++i) {
        const double term = inputValues.at(row * inner + i) *
                            weightValues.at(options.gradient ? i * options.k + col : col * options.k + i);
        sum += term;
        magnitudes += std::fabs(term);
      }
      float got = 0;
      check(cudaMemcpy(reinterpret_cast<char*>(&got) + sizeof got - width,
                       static_cast<const char*>(output.get()) + size_t(row * outer + col) * width, width,
                       cudaMemcpyDeviceToHost),
            "the result to be copied");
      if (std::fabs(double(got) - sum) <= relative * std::fabs(sum) + 1e-6 * magnitudes) continue;
      throw std::runtime_error("[cublaslt] expected " + formatNumber(sum) + " from cuBLASLt at [" +
                               std::to_string(row) + ", " + std::to_string(col) + "] of " +
                               formatShape(options.m, outer) + ", got " + formatNumber(got));
    }
  }

  const Options options;
  const Functions functions;
  const int64_t inner;  // length of the sums
  const int64_t outer;  // columns of the result
  const Series weightValues;
  const Series inputValues;
  Stream stream;
  Event begin, end;
  DeviceMemory weight, input, output, workspace;
  Owned<Handle> handle{nullptr, nullptr};
  Owned<Operation> operation{nullptr, nullptr};
  Owned<Layout> weightLayout{nullptr, nullptr}, inputLayout{nullptr, nullptr}, outputLayout{nullptr, nullptr};
  Algorithm algorithm{};
  bool checked = false;
};

CublasLt::CublasLt(const Options& options) {
  const Functions functions = load(options.library);
  if (const DriverInfo driver = driverInfo(); !driver.error.empty())
    throw InvalidArgument("[cublaslt] expected a GPU, but " + driver.error);
  state_ = std::make_unique<State>(options, functions);
}

CublasLt::~CublasLt() = default;

double CublasLt::seconds(double length) {
  State& state = *state_;
  state.use();
  const double once = state.time(state.algorithm, 1);
  const double runs = std::min(std::max(1.0, std::ceil(length / std::max(once, 1e-6))), double(kMostRuns));
  const double result = state.time(state.algorithm, int(runs));
  if (!state.checked) state.checkResult();
  state.checked = true;
  return result;
}

std::string CublasLt::version() const {
  const size_t number = state_->functions.getVersion();
  return std::to_string(number / 10'000) + "." + std::to_string(number / 100 % 100) + "." +
         std::to_string(number % 100);
}

}  // namespace lowrank::cuda
