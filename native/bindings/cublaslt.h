// addon.CublasLt, which only an addon with CUDA has: cuda/cublaslt.h as a JavaScript class.
#pragma once

#include <memory>

#include "../cuda/cublaslt.h"
#include "../napi.h"

namespace lowrank {

// new CublasLt({ ordinal, dtype, direction, m, k, n, library }); `version`; seconds(length), while JavaScript waits;
// close() gives its memory back.
class CublasLtBinding final : public Napi::ObjectWrap<CublasLtBinding> {
 public:
  static Napi::Function define(Napi::Env env);

  explicit CublasLtBinding(const Napi::CallbackInfo& info);

 private:
  cuda::CublasLt& product() const;
  Napi::Value version(const Napi::CallbackInfo& info);
  Napi::Value seconds(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  std::unique_ptr<cuda::CublasLt> product_;
};

}  // namespace lowrank
