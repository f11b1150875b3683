// What an executor does with the process's threads, with values and with files: the work, or in a dry run none of it.
#pragma once

#include <cstring>
#include <string>

#include "context.h"
#include "thread_pool.h"
#include "views.h"

namespace lowrank {

class RealWork {
 public:
  explicit RealWork(int threads) : threads_(threads) { ThreadPool::instance().grow(threads); }

  int threads() const { return threads_; }
  void parallel(int64_t blocks, Context::Body body, void* state) {
    ThreadPool::instance().run(threads_, blocks, body, state);
  }

  // The pool is one kernel's at a time. A stream of one thread does not need it.
  void beginTurn() {
    if (threads_ > 1) ThreadPool::instance().lock();
  }
  void endTurn() {
    if (threads_ > 1) ThreadPool::instance().unlock();
  }

  bool needsValues(DType) const { return true; }

  // `convert` copies a whole tensor, as the backend's kernel does.
  template <class Convert>
  void copyOnHost(const Tensor& from, const Tensor& to, const Convert& convert) const {
    convert(from, to);
  }

  // `load` reads a file and says what is wrong with it.
  template <class Load>
  std::string load(const Load& load) const {
    return load();
  }

 private:
  const int threads_;
};

// Kernels look at ids, labels and bounds outside of parallel(), and so only integers are copied.
class DryWork {
 public:
  explicit DryWork(int threads) : threads_(threads) {}

  int threads() const { return threads_; }
  void parallel(int64_t, Context::Body, void*) {}
  void beginTurn() {}
  void endTurn() {}
  bool needsValues(DType dtype) const { return !isFloat(dtype); }

  template <class Convert>
  void copyOnHost(const Tensor& from, const Tensor& to, const Convert&) const {
    if (!needsValues(from.dtype)) return;
    for (int64_t row = 0; row < from.rows; ++row) {
      std::memcpy(part(to, row, 1, 0, 0).data, part(from, row, 1, 0, 0).data,
                  size_t(from.cols * elementBytes(from.dtype)));
    }
  }

  template <class Load>
  std::string load(const Load&) const {
    return {};
  }

 private:
  const int threads_;
};

}  // namespace lowrank
