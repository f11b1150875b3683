#include "kernel_context.h"

#include <cstdarg>
#include <cstdio>

namespace lowrank {

KernelContext::~KernelContext() {
  for (void* memory : scratch_) memory_.free(memory);
}

// The pool is for others while this stream waits: who gives memory back may need it for that.
class KernelContext::Suspended {
 public:
  explicit Suspended(KernelContext& context) : context_(context) {
    if (context_.inTurn_) context_.executor_.endTurn();
  }
  ~Suspended() {
    if (context_.inTurn_) context_.executor_.beginTurn();
  }

 private:
  KernelContext& context_;
};

// Kernels are compiled without exceptions: none may pass through them.
void* KernelContext::scratch(size_t bytes) {
  try {
    scratch_.push_back(nullptr);
    void*& memory = scratch_.back();
    memory = memory_.allocate(bytes);
    if (memory == nullptr) {
      const Suspended suspended(*this);
      memory = memory_.await(bytes);
    }
    if (memory == nullptr) record(memory_.outOfMemory(op_, bytes, "its working memory"));
    return memory;
  } catch (...) {
    fault_ = memory_.noHostMemory();
    return nullptr;
  }
}

void KernelContext::fail(const char* format, ...) {
  char text[512];
  va_list values;
  va_start(values, format);
  std::vsnprintf(text, sizeof text, format, values);
  va_end(values);
  const std::lock_guard guard(mutex_);  // several threads may find something wrong
  if (fault_) return;
  try {
    record(Fault{"[" + std::string(op_) + "] " + text});
  } catch (...) {
    fault_ = memory_.noHostMemory();
  }
}

void KernelContext::record(Fault fault) {
  fault_ = std::make_shared<const Fault>(std::move(fault));
}

KernelContext::Turn::Turn(KernelContext& context) : context_(context) {
  context_.executor_.beginTurn();
  context_.inTurn_ = true;
}

KernelContext::Turn::~Turn() {
  context_.inTurn_ = false;
  context_.executor_.endTurn();
}

}  // namespace lowrank
