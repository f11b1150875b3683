#include "process.h"

#include <string>
#include <vector>

#include "../platform/platform.h"

namespace lowrank {
namespace {

class LockWorker : public Napi::AsyncWorker {
 public:
  LockWorker(Napi::Env env, int descriptor, bool exclusive)
      : Napi::AsyncWorker(env, "lowrank lock"),
        deferred_(Napi::Promise::Deferred::New(env)),
        descriptor_(descriptor),
        exclusive_(exclusive) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override { result_ = platform::lockFile(descriptor_, exclusive_); }

  void OnOK() override {
    const bool isKnown = result_ != platform::LockResult::kUnsupported;
    if (isKnown)
      deferred_.Resolve(Napi::Boolean::New(Env(), result_ == platform::LockResult::kLocked));
    else
      deferred_.Resolve(Env().Null());
  }

 private:
  const Napi::Promise::Deferred deferred_;
  const int descriptor_;
  const bool exclusive_;
  platform::LockResult result_ = platform::LockResult::kUnsupported;
};

}  // namespace

Napi::Value guardSignals(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  if (call.Length() < 3 || !call[0].IsArray() || !call[1].IsArray() || !call[2].IsString())
    throw Napi::TypeError::New(env, "[signals] expected two lists of numbers and a text");
  const Napi::Array signals = call[0].As<Napi::Array>();
  const Napi::Array endsAt = call[1].As<Napi::Array>();
  if (signals.Length() != endsAt.Length() || signals.Length() > 64)
    throw Napi::TypeError::New(env, "[signals] expected two lists of one length, up to 64");
  std::vector<platform::SignalRule> rules;
  for (uint32_t i = 0; i < signals.Length(); ++i) {
    const Napi::Value signal = signals.Get(i);
    const Napi::Value end = endsAt.Get(i);
    if (!signal.IsNumber() || !end.IsNumber()) throw Napi::TypeError::New(env, "[signals] expected numbers");
    rules.push_back({signal.As<Napi::Number>().Int32Value(), end.As<Napi::Number>().Int32Value()});
  }
  return Napi::Boolean::New(env, platform::guardSignals(rules, call[2].As<Napi::String>().Utf8Value()));
}

Napi::Value lockFile(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  if (call.Length() < 2 || !call[0].IsNumber() || !call[1].IsBoolean())
    throw Napi::TypeError::New(env, "[lock] expected a file descriptor and whether the lock is exclusive");
  LockWorker* const worker = new LockWorker(env, call[0].As<Napi::Number>().Int32Value(), call[1].As<Napi::Boolean>());
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

}  // namespace lowrank
