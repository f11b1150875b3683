// addon.Stream: core/stream.h as a JavaScript class. No math, no rules of its own beyond the types of arguments.
#pragma once

#include <memory>
#include <unordered_set>

#include "../core/stream.h"
#include "../napi.h"

namespace lowrank {

// 1. All members are used on the thread of the environment that made the object, except complete(), which the stream's
//    worker calls.
// 2. A pending read() or sync() keeps the event loop and this object alive; nothing else does.
// 3. When the environment goes (process exit, worker.terminate()), a cleanup hook stops the stream and joins its thread
//    before anything that the thread could touch is gone. The hook is added after the thread-safe function, because
//    hooks run in reverse order.
class StreamBinding final : public Napi::ObjectWrap<StreamBinding>, private CompletionSink {
 public:
  static Napi::Function define(Napi::Env env);

  explicit StreamBinding(const Napi::CallbackInfo& info);
  ~StreamBinding();

 private:
  struct Pending;

  Napi::Value allocate(const Napi::CallbackInfo& info);
  void retain(const Napi::CallbackInfo& info);
  void release(const Napi::CallbackInfo& info);
  void label(const Napi::CallbackInfo& info);
  void reportMemory(const Napi::CallbackInfo& info);
  void enqueue(const Napi::CallbackInfo& info);
  void beginList(const Napi::CallbackInfo& info);
  Napi::Value endList(const Napi::CallbackInfo& info);
  void replay(const Napi::CallbackInfo& info);
  void releaseList(const Napi::CallbackInfo& info);
  void upload(const Napi::CallbackInfo& info);
  void loadFile(const Napi::CallbackInfo& info);
  Napi::Value read(const Napi::CallbackInfo& info);
  Napi::Value readSync(const Napi::CallbackInfo& info);
  Napi::Value sync(const Napi::CallbackInfo& info);
  Napi::Value memory(const Napi::CallbackInfo& info);
  Napi::Value holders(const Napi::CallbackInfo& info);
  void resetPeak(const Napi::CallbackInfo& info);
  void limitMemory(const Napi::CallbackInfo& info);
  Napi::Value times(const Napi::CallbackInfo& info);
  void close(const Napi::CallbackInfo& info);

  Tensor view(const Napi::CallbackInfo& info, const char* caller, const char* name) const;
  template <class Queue>
  Napi::Promise submit(Napi::Env env, napi_value result, const Queue& queue);
  void complete(void* token, FaultRef fault) noexcept override;
  void ended() noexcept override;
  void settle(napi_env env, Pending* pending);
  void forget(Pending* pending);
  void adjustMemory(int64_t change);
  static void onComplete(napi_env env, napi_value callback, void* binding, void* pending);
  static void onTeardown(void* binding);

  std::unique_ptr<Stream> stream_;
  napi_threadsafe_function notifier_ = nullptr;
  std::unordered_set<Pending*> pending_;
  int64_t reportedBytes_ = 0;  // to the garbage collector
  bool tornDown_ = false;
};

}  // namespace lowrank
