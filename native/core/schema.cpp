#include "schema.h"

#include <cmath>
#include <new>
#include <type_traits>

#include "checks.h"
#include "format.h"

namespace lowrank {
namespace {

constexpr size_t kViewWords = 6;

[[noreturn]] void refuse(const char* op, const ArgumentPath& path, const std::string& expected,
                         const std::string& got) {
  throw InvalidArgument("[" + std::string(op) + "] expected " + expected + " for " + path.text() + ", got " + got);
}

DType decodeDType(double value, const char* op, const ArgumentPath& path) {
  if (!(value >= 0 && value <= int(DType::kUInt8) && value == std::floor(value)))
    refuse(op, path, "a dtype from 0 to 4", formatNumber(value));
  return DType(int(value));
}

// Every number must be whole and below 2^53 before it becomes an integer; products are checked for overflow.
Tensor decodeView(const double* words, const BufferTable& buffers, const char* op, const ArgumentPath& path) {
  const auto whole = [&](int index, const char* what) {
    const double value = words[index];
    if (!(value >= 0 && value < 0x1p53 && value == std::floor(value))) {
      refuse(op, path, std::string("a whole number >= 0 as the ") + what, formatNumber(value));
    }
    return int64_t(value);
  };
  Buffer* const buffer = buffers.find(words[0]);
  if (buffer == nullptr) {
    refuse(op, path, "a live buffer",
           "slot " + formatNumber(words[0]) + ", which was released or never was; dispose a tensor after its last use");
  }
  Tensor tensor{};
  tensor.buffer = uint64_t(reinterpret_cast<uintptr_t>(buffer));
  tensor.byteOffset = whole(1, "byte offset");
  tensor.dtype = decodeDType(words[2], op, path);
  tensor.rows = whole(3, "rows");
  tensor.cols = whole(4, "cols");
  tensor.stride = whole(5, "row stride");
  const int64_t size = elementBytes(tensor.dtype);
  if (tensor.stride < tensor.cols) {
    refuse(op, path, "a row stride of at least " + std::to_string(tensor.cols) + " elements",
           std::to_string(tensor.stride));
  }
  if (tensor.byteOffset % size != 0) {
    refuse(op, path, "a byte offset that is a multiple of " + std::to_string(size), std::to_string(tensor.byteOffset));
  }
  int64_t end = 0;
  bool overflow = false;
  if (tensor.rows > 0 && tensor.cols > 0) {
    overflow |= __builtin_mul_overflow(tensor.rows - 1, tensor.stride, &end);
    overflow |= __builtin_add_overflow(end, tensor.cols, &end);
    overflow |= __builtin_mul_overflow(end, size, &end);
  }
  overflow |= __builtin_add_overflow(end, tensor.byteOffset, &end);
  if (overflow || uint64_t(end) > buffer->bytes) {
    refuse(op, path, "a view inside its buffer of " + std::to_string(buffer->bytes) + " bytes",
           std::string(dtypeName(tensor.dtype)) + " " + formatShape(tensor) + " with row stride " +
               std::to_string(tensor.stride) + " at byte " + std::to_string(tensor.byteOffset));
  }
  // An empty matrix may claim any size in its other dimension; kernels multiply the two.
  if (tensor.rows == 0 || tensor.cols == 0) tensor.stride = tensor.cols;
  return tensor;
}

// Lists what visit() names.
class Describer {
 public:
  explicit Describer(std::vector<Field>& fields) : fields_(fields) {}

  void in(const char* name, Tensor&) { fields_.push_back({name, "in", {}}); }
  void out(const char* name, Tensor&) { fields_.push_back({name, "out", {}}); }
  void inout(const char* name, Tensor&) { fields_.push_back({name, "inout", {}}); }
  void optionalIn(const char* name, Tensor&) { fields_.push_back({name, "optionalIn", {}}); }
  void optionalOut(const char* name, Tensor&) { fields_.push_back({name, "optionalOut", {}}); }
  void optionalInout(const char* name, Tensor&) { fields_.push_back({name, "optionalInout", {}}); }

  template <class T>
  void number(const char* name, T&) {
    fields_.push_back({name, "number", {}});
  }

  template <class G>
  void group(const char* name, G& value) {
    fields_.push_back({name, "group", {}});
    Describer inner(fields_.back().fields);
    value.visit(inner);
  }

  template <class ItemVisitor, class T>
  void list(const char* name, T*&, int32_t&) {
    fields_.push_back({name, "list", {}});
    Describer inner(fields_.back().fields);
    T item{};
    ItemVisitor::visit(inner, item);
  }

 private:
  std::vector<Field>& fields_;
};

// Fills an argument struct from the wire.
class Decoder {
 public:
  Decoder(const char* op, const double* words, size_t length, const BufferTable& buffers,
          std::pmr::memory_resource& arena)
      : op_(op), words_(words), length_(length), buffers_(buffers), arena_(arena) {}

  void in(const char* name, Tensor& tensor) { view(name, tensor, false); }
  void out(const char* name, Tensor& tensor) { view(name, tensor, false); }
  void inout(const char* name, Tensor& tensor) { view(name, tensor, false); }
  void optionalIn(const char* name, Tensor& tensor) { view(name, tensor, true); }
  void optionalOut(const char* name, Tensor& tensor) { view(name, tensor, true); }
  void optionalInout(const char* name, Tensor& tensor) { view(name, tensor, true); }

  template <class T>
  void number(const char* name, T& value) {
    const double word = *take(name, 1);
    if constexpr (std::is_integral_v<T>) {
      if (!(std::fabs(word) < 0x1p31) || word != std::floor(word))
        fail(name, "a whole number of 32 bits", formatNumber(word));
    }
    value = T(word);
  }

  template <class G>
  void group(const char* name, G& value) {
    const ArgumentPath inner{path_, name};
    path_ = &inner;
    value.visit(*this);
    path_ = inner.parent;
  }

  template <class ItemVisitor, class T>
  void list(const char* name, T*& items, int32_t& count) {
    number(name, count);
    // Every item has at least one number, which bounds what a wrong count can ask for.
    if (count < 0 || size_t(count) > length_ - used_) {
      fail(name, "a count of items that the " + std::to_string(length_ - used_) + " numbers after it can hold",
           std::to_string(count));
    }
    items = static_cast<T*>(arena_.allocate(sizeof(T) * size_t(count), alignof(T)));
    for (int32_t i = 0; i < count; ++i) new (items + i) T{};
    for (int32_t i = 0; i < count; ++i) {
      const ArgumentPath inner{path_, name, i};
      path_ = &inner;
      ItemVisitor::visit(*this, items[i]);
      path_ = inner.parent;
    }
  }

  void finish() const {
    if (used_ != length_) {
      throw InvalidArgument("[" + std::string(op_) + "] expected " + std::to_string(used_) +
                            " numbers as arguments, got " + std::to_string(length_));
    }
  }

 private:
  [[noreturn]] void fail(const char* name, const std::string& expected, const std::string& got) const {
    refuse(op_, {path_, name}, expected, got);
  }

  const double* take(const char* name, size_t count) {
    if (length_ - used_ < count) fail(name, "more arguments", "only " + std::to_string(length_) + " numbers");
    const double* words = words_ + used_;
    used_ += count;
    return words;
  }

  void view(const char* name, Tensor& tensor, bool optional) {
    const double* words = take(name, kViewWords);
    if (words[0] == -1) {
      if (!optional) fail(name, "a tensor", "none");
      tensor = {nullptr, 0, 0, 0, 0, kNoBuffer, DType::kFloat32};
    } else {
      tensor = decodeView(words, buffers_, op_, {path_, name});
    }
  }

  const char* op_;
  const double* words_;
  size_t length_;
  const BufferTable& buffers_;
  std::pmr::memory_resource& arena_;
  size_t used_ = 0;
  const ArgumentPath* path_ = nullptr;
};

// Calls back for every tensor that is there.
class TensorWalker {
 public:
  explicit TensorWalker(const TensorVisitor& visitor) : visitor_(visitor) {}

  void in(const char* name, Tensor& tensor) { visit(name, tensor, Access::kIn); }
  void out(const char* name, Tensor& tensor) { visit(name, tensor, Access::kOut); }
  void inout(const char* name, Tensor& tensor) { visit(name, tensor, Access::kInout); }
  void optionalIn(const char* name, Tensor& tensor) { visit(name, tensor, Access::kIn); }
  void optionalOut(const char* name, Tensor& tensor) { visit(name, tensor, Access::kOut); }
  void optionalInout(const char* name, Tensor& tensor) { visit(name, tensor, Access::kInout); }

  template <class T>
  void number(const char*, T&) {}

  template <class G>
  void group(const char* name, G& value) {
    const ArgumentPath inner{path_, name};
    path_ = &inner;
    value.visit(*this);
    path_ = inner.parent;
  }

  template <class ItemVisitor, class T>
  void list(const char* name, T*& items, int32_t& count) {
    for (int32_t i = 0; i < count; ++i) {
      const ArgumentPath inner{path_, name, i};
      path_ = &inner;
      ItemVisitor::visit(*this, items[i]);
      path_ = inner.parent;
    }
  }

 private:
  void visit(const char* name, Tensor& tensor, Access access) {
    if (tensor.buffer != kNoBuffer) visitor_(tensor, access, {path_, name});
  }

  const TensorVisitor& visitor_;
  const ArgumentPath* path_ = nullptr;
};

template <class Args>
std::vector<Field> describe() {
  std::vector<Field> fields;
  Describer describer(fields);
  Args args{};
  args.visit(describer);
  return fields;
}

template <class Args>
void visitTensors(void* args, const TensorVisitor& visitor) {
  TensorWalker walker(visitor);
  static_cast<Args*>(args)->visit(walker);
}

// Argument structs hold plain data only, so that the arena can drop them without destructors. An item field that its
// visitor does not name is an omitted tensor.
template <class Args>
Args* decode(const char* op, const double* words, size_t length, const BufferTable& buffers,
             std::pmr::memory_resource& arena) {
  static_assert(std::is_trivially_destructible_v<Args>);
  Args* args = new (arena.allocate(sizeof(Args), alignof(Args))) Args{};
  Decoder decoder(op, words, length, buffers, arena);
  args->visit(decoder);
  decoder.finish();
  const std::string error = check(*args);
  if (!error.empty()) throw InvalidArgument("[" + std::string(op) + "] " + error);
  return args;
}

// Where a skipped command leaves its inout tensors as they were, the argument struct says so.
template <class Args>
constexpr bool keepsInoutsWhenSkipped() {
  if constexpr (requires { Args::kKeepsInoutsWhenSkipped; }) return Args::kKeepsInoutsWhenSkipped;
  return false;
}

}  // namespace

std::string ArgumentPath::text() const {
  std::string text = parent == nullptr ? name : parent->text() + "." + name;
  if (index >= 0) text += "[" + std::to_string(index) + "]";
  return text;
}

Tensor decodeView(const double* words, const BufferTable& buffers, const char* op, const char* name) {
  return decodeView(words, buffers, op, ArgumentPath{nullptr, name});
}

DType decodeDType(double value, const char* op, const char* name) {
  return decodeDType(value, op, ArgumentPath{nullptr, name});
}

const OpInfo kOps[kOpCount] = {
#define LOWRANK_INFO(op, Args)                                                                                     \
  {#op,                                                                                                            \
   describe<Args>,                                                                                                 \
   [](const double* words, size_t length, const BufferTable& buffers, std::pmr::memory_resource& arena) -> void* { \
     return decode<Args>(#op, words, length, buffers, arena);                                                      \
   },                                                                                                              \
   visitTensors<Args>,                                                                                             \
   [](const Backend& backend, const void* args, Context& context) {                                                \
     backend.op(*static_cast<const Args*>(args), context);                                                         \
   },                                                                                                              \
   keepsInoutsWhenSkipped<Args>()},
    LOWRANK_OPS(LOWRANK_INFO)
#undef LOWRANK_INFO
};

}  // namespace lowrank
