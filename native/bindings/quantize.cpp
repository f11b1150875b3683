#include "quantize.h"

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "../core/thread_pool.h"
#include "../gguf/quantize.h"
#include "arguments.h"

namespace lowrank {
namespace {

// Values that a thread takes at a time: a multiple of every block.
constexpr int64_t kPiece = 8192;
// Pieces for each thread before other work may have the pool: some 10 ms.
constexpr int64_t kPiecesPerTurn = 4;

class QuantizeWorker : public Napi::AsyncWorker {
 public:
  QuantizeWorker(Napi::Env env, const gguf::Format& format, Napi::Float32Array values, Napi::Value importance)
      : Napi::AsyncWorker(env, "lowrank quantize"),
        deferred_(Napi::Promise::Deferred::New(env)),
        format_(format),
        values_(values.Data()),
        count_(int64_t(values.ElementLength())),
        heldValues_(Napi::Persistent(values.As<Napi::Object>())) {
    Napi::Uint8Array packed = Napi::Uint8Array::New(env, size_t(count_ / format.size * format.bytes));
    packed_ = packed.Data();
    heldPacked_ = Napi::Persistent(packed.As<Napi::Object>());
    if (!importance.IsTypedArray()) return;
    const Napi::Float32Array columns = importance.As<Napi::Float32Array>();
    importance_.assign(columns.Data(), columns.Data() + columns.ElementLength());
  }

  Napi::Promise promise() const { return deferred_.Promise(); }

 protected:
  void Execute() override {
    ThreadPool& pool = ThreadPool::instance();
    const int threads = ThreadPool::defaultThreads();
    pool.grow(threads);
    const int64_t pieces = (count_ + kPiece - 1) / kPiece;
    for (first_ = 0; first_ < pieces && isFinite_; first_ += threads * kPiecesPerTurn) {
      pool.lock();
      pool.run(
          threads, std::min(pieces - first_, threads * kPiecesPerTurn),
          [](void* self, int64_t block, int) {
            QuantizeWorker& worker = *static_cast<QuantizeWorker*>(self);
            worker.quantizePiece(worker.first_ + block);
          },
          this);
      pool.unlock();
    }
  }

  void OnOK() override {
    if (isFinite_)
      deferred_.Resolve(heldPacked_.Value());
    else
      deferred_.Resolve(Env().Null());
  }

  void OnError(const Napi::Error& error) override { deferred_.Reject(error.Value()); }

 private:
  void quantizePiece(int64_t piece) {
    const int64_t begin = piece * kPiece;
    const int64_t count = std::min(kPiece, count_ - begin);
    float weights[kPiece];
    const int64_t columns = int64_t(importance_.size());
    for (int64_t i = 0, column = columns > 0 ? begin % columns : 0; i < count && columns > 0; ++i) {
      weights[i] = importance_[size_t(column)];
      column = column + 1 == columns ? 0 : column + 1;
    }
    uint8_t* const to = packed_ + begin / format_.size * format_.bytes;
    if (!format_.quantize(values_ + begin, count, columns > 0 ? weights : nullptr, to)) isFinite_ = false;
  }

  const Napi::Promise::Deferred deferred_;
  const gguf::Format& format_;
  const float* const values_;
  const int64_t count_;
  uint8_t* packed_ = nullptr;
  std::vector<float> importance_;
  int64_t first_ = 0;
  std::atomic<bool> isFinite_{true};
  Napi::ObjectReference heldValues_;
  Napi::ObjectReference heldPacked_;
};

bool isFloats(const Napi::Value& value) {
  return value.IsTypedArray() && value.As<Napi::TypedArray>().TypedArrayType() == napi_float32_array;
}

}  // namespace

Napi::Value quantize(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  const gguf::Format* const format = gguf::findFormat(call[0].ToString().Utf8Value().c_str());
  if (format == nullptr) refuse("quantize", "a format of GGUF that is written", "format", call[0]);
  if (!isFloats(call[1])) refuse("quantize", "a Float32Array", "values", call[1]);
  const Napi::Float32Array values = call[1].As<Napi::Float32Array>();
  if (int64_t(values.ElementLength()) % format->size != 0)
    refuse("quantize", "whole blocks of " + std::to_string(format->size), "the number of values",
           Napi::Number::New(env, double(values.ElementLength())));
  if (!call[2].IsNull()) {
    if (!isFloats(call[2])) refuse("quantize", "a Float32Array or null", "importance", call[2]);
    const size_t columns = call[2].As<Napi::Float32Array>().ElementLength();
    if (columns == 0 || values.ElementLength() % columns != 0)
      refuse("quantize", "a divisor of " + std::to_string(values.ElementLength()), "the length of importance",
             Napi::Number::New(env, double(columns)));
  }
  QuantizeWorker* const worker = new QuantizeWorker(env, *format, values, call[2]);
  const Napi::Promise promise = worker->promise();
  worker->Queue();
  return promise;
}

}  // namespace lowrank
