#include "measure.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <string>

#include "../core/fault.h"
#include "../core/start_thread.h"
#include "../core/thread_pool.h"
#include "../cpu/dispatch.h"
#include "../platform/platform.h"
#include "info.h"

namespace lowrank {
namespace {

// One block is some 30 microseconds of arithmetic, or half of a second-level cache: small beside a run, large beside a
// claim.
constexpr int64_t kRounds = 8192;
constexpr int64_t kReadBytes = int64_t{1} << 20;
constexpr int64_t kBlocksPerThread = 16;

// Pages that have been written, so that they are not all the one page of zeros.
class Pages {
 public:
  explicit Pages(int64_t bytes)
      : bytes_((size_t(bytes) + platform::kRegionAlignment - 1) / platform::kRegionAlignment *
               platform::kRegionAlignment),
        data_(platform::reservePages(bytes_)) {
    if (data_ == nullptr)
      throw InvalidArgument("[measure] expected memory for " + std::to_string(bytes) + " bytes, there is none");
    std::memset(data_, 0, bytes_);
  }
  ~Pages() { platform::releasePages(data_, bytes_); }
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;
  const char* data() const { return static_cast<const char*>(data_); }

 private:
  const size_t bytes_;
  void* const data_;
};

struct Result {
  double work = 0;
  double seconds = 0;
};

// `body(block)` for every block of a run, and run after run until the time is over. On a thread of its own, which ranks
// like those of streams.
template <class Body>
Result repeat(int threads, double seconds, int64_t blocks, double workPerRun, const Body& body) {
  Result result;
  startThread("the measurement", [&] {
    platform::becomeComputeThread("lowrank-probe");
    ThreadPool& pool = ThreadPool::instance();
    const auto run = [&] {
      pool.run(
          threads, blocks, [](void* state, int64_t block, int) { (*static_cast<const Body*>(state))(block); },
          const_cast<Body*>(&body));
    };
    using Clock = std::chrono::steady_clock;
    pool.lock();
    run();  // wakes the threads
    const auto begin = Clock::now();
    do {
      run();
      result.work += workPerRun;
      result.seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    } while (result.seconds < seconds);
    pool.unlock();
  }).join();
  return result;
}

struct Options {
  const Backend* backend;
  int threads;
  double seconds = 0.02;
  int64_t bytes = int64_t{256} << 20;
};

double inRange(const Napi::Value& value, const char* name, double least, double most, const char* expected,
               bool whole) {
  const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : NAN;
  if (number >= least && number <= most && (!whole || number == std::floor(number))) return number;
  throw InvalidArgument(std::string("[measure] expected ") + expected + " for " + name + ", got " +
                        value.ToString().Utf8Value());
}

Options readOptions(const Napi::Value& value) {
  Options options{};
  std::string isa;
  options.threads = ThreadPool::defaultThreads();
  if (value.IsObject()) {
    const Napi::Object given = value.As<Napi::Object>();
    const Napi::Array names = given.GetPropertyNames();
    for (uint32_t i = 0; i < names.Length(); ++i) {
      const std::string name = names.Get(i).As<Napi::String>();
      const Napi::Value option = given.Get(name);
      if (option.IsUndefined()) continue;
      if (name == "isa") {
        isa = option.ToString().Utf8Value();
      } else if (name == "threads") {
        options.threads =
            int(inRange(option, "threads", 1, ThreadPool::kMaxThreads, "a whole number from 1 to 1024", true));
      } else if (name == "seconds") {
        options.seconds = inRange(option, "seconds", 0, 60, "a number from 0 to 60", false);
      } else if (name == "bytes") {
        options.bytes = int64_t(inRange(option, "bytes", 1, 0x1p40, "a number of bytes", true));
      } else {
        throw InvalidArgument("[measure] expected the options isa, threads, seconds and bytes, got also '" + name +
                              "'");
      }
    }
  }
  options.backend = &chooseBackend(isa.empty() ? nullptr : isa.c_str());
  return options;
}

Result measureArithmetic(double (*probe)(int64_t), const Options& options) {
  const int64_t blocks = options.threads * kBlocksPerThread;
  return repeat(options.threads, options.seconds, blocks, double(blocks) * probe(kRounds),
                [&](int64_t) { probe(kRounds); });
}

Result measureRead(const cpu::Probes& probes, const Options& options) {
  const Pages pages(options.bytes);
  // In pieces that every thread gets some of.
  const int64_t most = (options.bytes + 4 * options.threads - 1) / (4 * options.threads);
  const int64_t piece = (std::min(kReadBytes, most) + 511) / 512 * 512;
  const int64_t blocks = (options.bytes + piece - 1) / piece;
  return repeat(options.threads, options.seconds, blocks, double(options.bytes), [&](int64_t block) {
    const int64_t begin = block * piece;
    probes.read(pages.data() + begin, std::min(piece, (options.bytes - begin + 511) / 512 * 512));
  });
}

}  // namespace

Napi::Value measure(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  const std::string kind = call[0].ToString().Utf8Value();
  Options options = readOptions(call[1]);
  if (kind == "vdpbf16ps") options.backend = &chooseBackend("avx512bf16");
  const cpu::Probes& probes = cpu::probesOf(*options.backend);
  ThreadPool::instance().grow(options.threads);
  Result result;
  if (kind == "fma") {
    result = measureArithmetic(probes.multiplyAdd, options);
  } else if (kind == "vdpbf16ps") {
    result = measureArithmetic(probes.dotBFloat16, options);
  } else if (kind == "read") {
    result = measureRead(probes, options);
  } else {
    throw InvalidArgument("[measure] expected fma, vdpbf16ps or read for kind, got '" + kind + "'");
  }
  Napi::Object object = Napi::Object::New(env);
  object.Set("work", result.work);
  object.Set("seconds", result.seconds);
  return object;
}

}  // namespace lowrank
