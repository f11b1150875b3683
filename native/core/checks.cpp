#include "checks.h"

#include <cmath>
#include <utility>

#include "format.h"
#include "schema.h"

namespace lowrank {
namespace {

// Collects the first broken rule. Texts are made only when one breaks: every command of a training step passes here.
class Checker {
 public:
  bool ok() const { return error_.empty(); }
  std::string takeError() { return std::move(error_); }

  // Whether an argument is there: neither omitted on the wire nor left off this op's wire.
  static bool present(const Tensor& tensor) { return tensor.buffer != kNoBuffer && tensor.buffer != 0; }
  static bool isFloat(DType dtype) { return lowrank::isFloat(dtype); }
  static bool isFinite(double value) { return std::isfinite(value); }
  static bool whole(double value) { return value == std::floor(value); }

  // Names that follow belong to an item of a list until the Item goes.
  class Item {
   public:
    Item(Checker& checker, const char* list, int index) : checker_(checker), path_{checker.path_, list, index} {
      checker_.path_ = &path_;
    }
    ~Item() { checker_.path_ = path_.parent; }

   private:
    Checker& checker_;
    ArgumentPath path_;
  };

  void shape(const char* name, const Tensor& tensor, int64_t rows, int64_t cols, const char* otherName,
             const Tensor& other) {
    if (!ok() || !present(tensor) || (tensor.rows == rows && tensor.cols == cols)) return;
    error_ = "expected " + path(name) + " " + formatShape(rows, cols) + " for " + otherName + " " + formatShape(other) +
             ", got " + formatShape(tensor);
  }

  void dtype(const char* name, const Tensor& tensor, DType wanted) {
    if (!ok() || !present(tensor) || tensor.dtype == wanted) return;
    error_ = std::string("expected ") + dtypeName(wanted) + " for " + path(name) + ", got " + dtypeName(tensor.dtype);
  }

  // A dtype that another argument decides.
  void dtype(const char* name, const Tensor& tensor, const char* otherName, const Tensor& other) {
    if (!ok() || !present(tensor) || tensor.dtype == other.dtype) return;
    error_ = std::string("expected ") + dtypeName(other.dtype) + " for " + path(name) + " as " + otherName +
             " is, got " + dtypeName(tensor.dtype);
  }

  // The tensor that sets the compute dtype: float32, bfloat16 or float16, not empty.
  void compute(const char* name, const Tensor& tensor) {
    if (!ok()) return;
    if (!isFloat(tensor.dtype)) {
      error_ = "expected float32, bfloat16 or float16 for " + path(name) + ", got " + dtypeName(tensor.dtype);
    } else if (tensor.rows == 0 || tensor.cols == 0) {
      error_ = "expected at least one row and one column for " + path(name) + ", got " + formatShape(tensor);
    }
  }

  // Both shape and dtype.
  void matrix(const char* name, const Tensor& tensor, DType wanted, int64_t rows, int64_t cols, const char* otherName,
              const Tensor& other) {
    shape(name, tensor, rows, cols, otherName, other);
    dtype(name, tensor, wanted);
  }

  void like(const char* name, const Tensor& tensor, const char* otherName, const Tensor& other) {
    shape(name, tensor, other.rows, other.cols, otherName, other);
    dtype(name, tensor, otherName, other);
  }

  void vector(const char* name, const Tensor& tensor, int64_t cols, const char* otherName, const Tensor& other) {
    shape(name, tensor, 1, cols, otherName, other);
    dtype(name, tensor, otherName, other);
  }

  void withoutGaps(const char* name, const Tensor& tensor) {
    if (!ok() || !present(tensor) || tensor.rows <= 1 || tensor.stride == tensor.cols) return;
    error_ = "expected rows without gaps for " + path(name) + ", got " + formatShape(tensor) +
             " with a row stride of " + std::to_string(tensor.stride) + "; copy it into a tensor of its own first";
  }

  // A vector that serves each of several equal parts of a row.
  void partVector(const char* name, const Tensor& tensor, const char* otherName, const Tensor& other) {
    if (!ok()) return;
    if (tensor.rows != 1 || tensor.cols == 0 || other.cols % tensor.cols != 0) {
      error_ = "expected " + path(name) + " [1, D], D a divisor of the columns of " + otherName + " " +
               formatShape(other) + ", got " + formatShape(tensor);
    }
    dtype(name, tensor, otherName, other);
  }

  // An int32 vector whose values the kernel checks before it trusts them: nothing that the same command writes may lie
  // there.
  void indices(const char* name, const Tensor& tensor, int64_t count, const char* otherName, const Tensor& other,
               const Tensor& written) {
    matrix(name, tensor, DType::kInt32, 1, count, otherName, other);
    unwritten(name, tensor, written);
  }

  void unwritten(const char* name, const Tensor& tensor, const Tensor& written) {
    if (ok() && tensor.buffer == written.buffer)
      error_ = "expected a buffer of its own for " + path(name) + ", got one that the op writes";
  }

  void require(bool condition, const char* name, const char* expected, double value) {
    if (!ok() || condition) return;
    error_ = std::string("expected ") + expected + " for " + path(name) + ", got " + formatNumber(value);
  }

  void flag(const char* name, int32_t value) { require(value == 0 || value == 1, name, "0 or 1", value); }
  void notNegative(const char* name, double value) {
    require(std::isfinite(value) && value >= 0, name, "a finite number >= 0", value);
  }
  void positive(const char* name, double value) {
    require(std::isfinite(value) && value > 0, name, "a finite number > 0", value);
  }
  void finite(const char* name, double value) { require(std::isfinite(value), name, "a finite number", value); }

  void counter(const char* name, double value) {
    require(value >= 0 && value < 0x1p53 && whole(value), name, "a whole number >= 0 and below 2^53", value);
  }

  void blockSize(const char* name, int32_t value) {
    require(value >= 32 && value <= 4096 && (value & (value - 1)) == 0, name, "a power of two from 32 to 4096", value);
  }

  void sentence(bool condition, const char* text) {
    if (ok() && !condition) error_ = text;
  }

 private:
  std::string path(const char* name) const { return ArgumentPath{path_, name}.text(); }
  std::string error_;
  const ArgumentPath* path_ = nullptr;
};

}  // namespace

#define LOWRANK_CHECK(op, Args)         \
  std::string check(const Args& args) { \
    Checker checker;                    \
    args.check(checker);                \
    return checker.takeError();         \
  }
LOWRANK_OPS(LOWRANK_CHECK)
#undef LOWRANK_CHECK

}  // namespace lowrank
