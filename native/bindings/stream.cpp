#include "stream.h"

#include <algorithm>
#include <cmath>
#include <future>
#include <memory>
#include <string>
#include <utility>

#include "../core/format.h"
#include "../core/thread_pool.h"
#include "arguments.h"
#include "devices.h"

namespace lowrank {
namespace {

constexpr size_t kViewWords = 6;

StreamOptions readOptions(const Napi::Value& value, std::string& device) {
  if (!value.IsObject()) refuse("device", "an object", "options", value);
  const Napi::Object options = value.As<Napi::Object>();
  StreamOptions result{nullptr, 0, {}, false, false, false, nullptr};
  std::string isa;
  Napi::Value emulator = value.Env().Undefined();
  device = "cpu";
  const Napi::Array names = options.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).As<Napi::String>();
    const Napi::Value option = options.Get(name);
    if (option.IsUndefined()) continue;
    const double count = numberOrNaN(option);
    if (name == "device") {
      if (!option.IsString()) refuse("device", "'cpu', 'cuda', 'cuda:N' or 'auto'", "device", option);
      device = option.As<Napi::String>();
    } else if (name == "threads") {
      if (!(count >= 1 && count <= ThreadPool::kMaxThreads && count == std::floor(count))) {
        refuse("device", "a whole number from 1 to 1024", "threads", option);
      }
      result.threads = int(count);
    } else if (name == "memoryBudget") {
      if (!(count >= 1 && count <= 0x1p53)) refuse("device", "a number of bytes >= 1", "memoryBudget", option);
      result.memoryBudget = uint64_t(count);
    } else if (name == "isa") {
      if (!option.IsString()) refuse("device", "the name of an instruction set level", "isa", option);
      isa = option.As<Napi::String>();
    } else if (name == "emulator") {
      emulator = option;
    } else if (name == "dryRun") {
      if (!option.IsBoolean()) refuse("device", "true or false", "dryRun", option);
      result.dryRun = option.As<Napi::Boolean>();
    } else if (name == "holdBudget") {
      if (!option.IsBoolean()) refuse("device", "true or false", "holdBudget", option);
      result.holdBudget = option.As<Napi::Boolean>();
    } else if (name == "timeOps") {
      if (!option.IsBoolean()) refuse("device", "true or false", "timeOps", option);
      result.timeOps = option.As<Napi::Boolean>();
    } else {
      throw InvalidArgument(
          "[device] expected the options device, threads, memoryBudget, isa, emulator, dryRun, holdBudget and timeOps, "
          "got also '" +
          name + "'");
    }
  }
  device = openDevice(device, isa, emulator, result);
  if (result.threads == 0) result.threads = ThreadPool::defaultThreads();
  return result;
}

void check(Napi::Env env, napi_status status) {
  if (status != napi_ok) throw Napi::Error::New(env);
}

// The array that read() resolves to: raw bytes, or values as JavaScript has them. JavaScript makes it: where it cannot,
// that is an error, while Node-API would end the process.
napi_value makeResult(Napi::Env env, const Tensor& source, bool raw, DType& dtype, void*& data) {
  dtype = !raw && isFloat(source.dtype) ? DType::kFloat32 : source.dtype;
  const bool values = !raw && (dtype == DType::kFloat32 || dtype == DType::kInt32);
  const char* const type = !values ? "Uint8Array" : dtype == DType::kInt32 ? "Int32Array" : "Float32Array";
  const double bytes = double(source.rows) * double(source.cols) * double(elementBytes(dtype));
  const double length = values ? bytes / 4 : bytes;
  Napi::Value array;
  try {
    array = env.Global().Get(type).As<Napi::Function>().New({Napi::Number::New(env, length)});
  } catch (const Napi::Error& error) {
    throw InvalidArgument("[read] expected a tensor that an array of JavaScript can hold, got one of " +
                          formatShape(source) + ", which takes " + formatBytes(bytes) + " as " + type + " (" +
                          error.Message() + "); read parts of it, as slice() and columns() give");
  }
  check(env, napi_get_typedarray_info(env, array, nullptr, nullptr, &data, nullptr, nullptr));
  return array;
}

// Left out where it is not known.
void setBytes(napi_env env, napi_value error, const char* name, uint64_t bytes) {
  napi_value value;
  if (bytes > 0 && napi_create_double(env, double(bytes), &value) == napi_ok) {
    napi_set_named_property(env, error, name, value);
  }
}

// The error that JavaScript gets for a fault; none in an environment that is being terminated.
napi_value makeError(napi_env env, const Fault& fault) {
  napi_value message, code, error;
  napi_create_string_utf8(env, fault.message.data(), fault.message.size(), &message);
  napi_create_string_utf8(env, fault.outOfMemory ? "OUT_OF_MEMORY" : "FAULT", NAPI_AUTO_LENGTH, &code);
  if (napi_create_error(env, code, message, &error) != napi_ok) return nullptr;
  setBytes(env, error, "needed", fault.needed);
  setBytes(env, error, "budget", fault.budget);
  return error;
}

FaultRef cannotQueue(const std::exception& error) {
  return std::make_shared<const Fault>(Fault{std::string("[device] cannot queue: ") + error.what(), true});
}

}  // namespace

// A read() or sync() whose promise is open.
struct StreamBinding::Pending {
  napi_deferred deferred = nullptr;
  napi_ref result = nullptr;  // the array that the worker writes; holds undefined's place for sync()
  napi_ref binding = nullptr;
  FaultRef fault;
  // Set by readSync(), whose caller waits for the worker: it is told here, and not through the event loop.
  std::shared_ptr<std::promise<void>> done;
};

Napi::Function StreamBinding::define(Napi::Env env) {
  return DefineClass(env, "Stream",
                     {
                         InstanceMethod<&StreamBinding::allocate>("allocate"),
                         InstanceMethod<&StreamBinding::retain>("retain"),
                         InstanceMethod<&StreamBinding::release>("release"),
                         InstanceMethod<&StreamBinding::label>("label"),
                         InstanceMethod<&StreamBinding::reportMemory>("reportMemory"),
                         InstanceMethod<&StreamBinding::enqueue>("enqueue"),
                         InstanceMethod<&StreamBinding::beginList>("beginList"),
                         InstanceMethod<&StreamBinding::endList>("endList"),
                         InstanceMethod<&StreamBinding::replay>("replay"),
                         InstanceMethod<&StreamBinding::releaseList>("releaseList"),
                         InstanceMethod<&StreamBinding::upload>("upload"),
                         InstanceMethod<&StreamBinding::loadFile>("loadFile"),
                         InstanceMethod<&StreamBinding::read>("read"),
                         InstanceMethod<&StreamBinding::readSync>("readSync"),
                         InstanceMethod<&StreamBinding::sync>("sync"),
                         InstanceMethod<&StreamBinding::memory>("memory"),
                         InstanceMethod<&StreamBinding::holders>("holders"),
                         InstanceMethod<&StreamBinding::resetPeak>("resetPeak"),
                         InstanceMethod<&StreamBinding::limitMemory>("limitMemory"),
                         InstanceMethod<&StreamBinding::times>("times"),
                         InstanceMethod<&StreamBinding::close>("close"),
                     });
}

StreamBinding::StreamBinding(const Napi::CallbackInfo& info) : Napi::ObjectWrap<StreamBinding>(info) {
  const Napi::Env env = info.Env();
  std::string device;
  stream_ = std::make_unique<Stream>(readOptions(info[0], device), static_cast<CompletionSink&>(*this));
  info.This().As<Napi::Object>().Set("device", device);
  check(env, napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, "lowrank"), 0, 1, nullptr,
                                             nullptr, this, onComplete, &notifier_));
  napi_unref_threadsafe_function(env, notifier_);
  napi_add_env_cleanup_hook(env, onTeardown, this);
}

StreamBinding::~StreamBinding() {
  if (tornDown_ || notifier_ == nullptr) return;
  napi_remove_env_cleanup_hook(Env(), onTeardown, this);
  stream_->abandon();
  napi_release_threadsafe_function(notifier_, napi_tsfn_abort);
  adjustMemory(-reportedBytes_);
}

// Nobody is left to hear of results. The thread-safe function may still hold completions: onComplete() gets them
// without an environment.
void StreamBinding::onTeardown(void* data) {
  StreamBinding* const binding = static_cast<StreamBinding*>(data);
  binding->tornDown_ = true;
  binding->stream_->abandon();
  while (!binding->pending_.empty()) binding->forget(*binding->pending_.begin());
}

Napi::Value StreamBinding::allocate(const Napi::CallbackInfo& info) {
  const bool onHost = info.Length() > 1 && info[1].ToBoolean();
  return Napi::Number::New(info.Env(), double(stream_->allocate(number(info, 0, "allocate", "bytes"), onHost)));
}

void StreamBinding::retain(const Napi::CallbackInfo& info) {
  stream_->retain(number(info, 0, "retain", "slot"));
}

void StreamBinding::release(const Napi::CallbackInfo& info) {
  stream_->release(number(info, 0, "release", "slot"));
}

void StreamBinding::label(const Napi::CallbackInfo& info) {
  if (!info[1].IsString()) refuse("label", "a string", "what", info[1]);
  stream_->label(number(info, 0, "label", "slot"), info[1].As<Napi::String>());
}

// Tells the garbage collector of native bytes that wait for it: `change` more than before. What will be freed without
// it is not its concern: told of everything, it would collect in every training step.
void StreamBinding::reportMemory(const Napi::CallbackInfo& info) {
  const double change = number(info, 0, "reportMemory", "change");
  if (!(std::abs(change) <= double(uint64_t{1} << 53)))
    throw InvalidArgument("[reportMemory] expected a number of bytes for change");
  if (!stream_->closed()) adjustMemory(int64_t(change));
}

void StreamBinding::enqueue(const Napi::CallbackInfo& info) {
  const double op = number(info, 0, "enqueue", "op");
  const Words args = words(info[1], "enqueue", "args");
  const double length = number(info, 2, "enqueue", "length");
  if (!(length >= 0 && length <= double(args.length) && length == std::floor(length)))
    refuse("enqueue", "a length within args", "length", info[2]);
  stream_->enqueue(op, args.data, size_t(length));
}

void StreamBinding::beginList(const Napi::CallbackInfo&) {
  stream_->beginList();
}

Napi::Value StreamBinding::endList(const Napi::CallbackInfo& info) {
  return Napi::Number::New(info.Env(), double(stream_->endList()));
}

void StreamBinding::replay(const Napi::CallbackInfo& info) {
  stream_->replay(number(info, 0, "replay", "list"));
}

void StreamBinding::releaseList(const Napi::CallbackInfo& info) {
  stream_->releaseList(number(info, 0, "releaseList", "list"));
}

Tensor StreamBinding::view(const Napi::CallbackInfo& info, const char* caller, const char* name) const {
  const Words view = words(info[0], caller, name);
  if (view.length < kViewWords) refuse(caller, "a view of six numbers", name, info[0]);
  return stream_->view(view.data, caller, name);
}

void StreamBinding::upload(const Napi::CallbackInfo& info) {
  const Tensor target = view(info, "upload", "target");
  const Bytes source = bytes(info[1], "upload", "source");
  const DType dtype = decodeDType(number(info, 2, "upload", "sourceDType"), "upload", "sourceDType");
  stream_->upload(target, source.data, source.length, dtype);
}

void StreamBinding::loadFile(const Napi::CallbackInfo& info) {
  const Tensor target = view(info, "loadFile", "target");
  if (!info[1].IsString()) refuse("loadFile", "a path", "path", info[1]);
  std::string path = info[1].As<Napi::String>();
  if (path.find('\0') != std::string::npos)
    throw InvalidArgument("[loadFile] expected a path without NUL characters for path");
  const double offset = number(info, 2, "loadFile", "fileOffset");
  const DType dtype = decodeDType(number(info, 3, "loadFile", "sourceDType"), "loadFile", "sourceDType");
  stream_->loadFile(target, std::move(path), offset, dtype);
}

Napi::Value StreamBinding::read(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  stream_->requireReady("read");
  const Tensor source = view(info, "read", "source");
  DType dtype;
  void* destination;
  const napi_value result = makeResult(env, source, info[1].ToBoolean(), dtype, destination);
  return submit(env, result, [&](Pending* token) { stream_->read(source, dtype, destination, token); });
}

// Waits on JavaScript's thread. Nothing that the worker does before complete() needs that thread: a read() that is
// still open is completed through a queue that takes any number of entries.
Napi::Value StreamBinding::readSync(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  stream_->requireReady("readSync");
  const Tensor source = view(info, "readSync", "source");
  DType dtype;
  void* destination;
  const napi_value result = makeResult(env, source, info[1].ToBoolean(), dtype, destination);
  Pending pending;
  pending.done = std::make_shared<std::promise<void>>();
  const std::future<void> isDone = pending.done->get_future();
  try {
    stream_->read(source, dtype, destination, &pending);
    isDone.wait();
  } catch (const std::exception& error) {
    pending.fault = cannotQueue(error);
  }
  if (pending.fault) throw Napi::Error(env, makeError(env, *pending.fault));
  return Napi::Value(env, result);
}

Napi::Value StreamBinding::sync(const Napi::CallbackInfo& info) {
  stream_->requireReady("sync");
  return submit(info.Env(), nullptr, [&](Pending* token) { stream_->sync(token); });
}

Napi::Value StreamBinding::memory(const Napi::CallbackInfo& info) {
  const MemoryInfo memory = stream_->memory();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("live", double(memory.live));
  result.Set("peak", double(memory.peak));
  result.Set("touched", double(memory.touched));
  result.Set("reserved", double(memory.reserved));
  result.Set("budget", double(memory.budget));
  result.Set("hostLive", double(memory.hostLive));
  return result;
}

// { own, others, otherBytes }: what the memory is used for, here and by other streams that share the budget.
Napi::Value StreamBinding::holders(const Napi::CallbackInfo& info) {
  const MemoryUser::Others others = stream_->others();
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("own", stream_->holdings());
  result.Set("others", others.text);
  result.Set("otherBytes", double(others.bytes));
  return result;
}

void StreamBinding::resetPeak(const Napi::CallbackInfo&) {
  stream_->resetPeak();
}

void StreamBinding::limitMemory(const Napi::CallbackInfo& info) {
  stream_->limitMemory(number(info, 0, "limitMemory", "bytes"));
}

// { op: { calls, seconds } } of the ops that ran.
Napi::Value StreamBinding::times(const Napi::CallbackInfo& info) {
  Napi::Object result = Napi::Object::New(info.Env());
  for (int op = 0; op < kOpCount; ++op) {
    const OpTime& time = stream_->times()[size_t(op)];
    if (time.calls == 0) continue;
    Napi::Object entry = Napi::Object::New(info.Env());
    entry.Set("calls", double(time.calls));
    entry.Set("seconds", double(time.nanoseconds) * 1e-9);
    result.Set(kOps[op].name, entry);
  }
  return result;
}

void StreamBinding::close(const Napi::CallbackInfo&) {
  stream_->close();
  adjustMemory(-reportedBytes_);
}

void StreamBinding::adjustMemory(int64_t change) {
  int64_t total;
  reportedBytes_ += change;
  napi_adjust_external_memory(Env(), change, &total);
}

// Queues a command by queue(token); its promise resolves to `result`.
template <class Queue>
Napi::Promise StreamBinding::submit(Napi::Env env, napi_value result, const Queue& queue) {
  auto pending = std::make_unique<Pending>();
  napi_value promise;
  check(env, napi_create_promise(env, &pending->deferred, &promise));
  if (result != nullptr) check(env, napi_create_reference(env, result, 1, &pending->result));
  check(env, napi_create_reference(env, Value(), 1, &pending->binding));
  Pending* const token = *pending_.insert(pending.get()).first;
  pending.release();
  if (pending_.size() == 1) napi_ref_threadsafe_function(env, notifier_);
  try {
    queue(token);
  } catch (const std::exception& error) {
    token->fault = cannotQueue(error);
    settle(env, token);
  }
  return Napi::Promise(env, promise);
}

void StreamBinding::complete(void* token, FaultRef fault) noexcept {
  Pending* const pending = static_cast<Pending*>(token);
  pending->fault = std::move(fault);
  // Once it is set the waiting thread ends the life of `pending`.
  if (const std::shared_ptr<std::promise<void>> done = pending->done) {
    done->set_value();
    return;
  }
  napi_call_threadsafe_function(notifier_, token, napi_tsfn_nonblocking);
}

void StreamBinding::ended() noexcept {
  napi_call_threadsafe_function(notifier_, nullptr, napi_tsfn_nonblocking);
}

void StreamBinding::onComplete(napi_env env, napi_value, void* binding, void* pending) {
  if (env == nullptr) return;
  StreamBinding* const self = static_cast<StreamBinding*>(binding);
  if (pending == nullptr) {
    self->stream_->join();
  } else {
    self->settle(env, static_cast<Pending*>(pending));
  }
}

// Plain Node-API, whose failures can be ignored: an environment that is being terminated refuses to run JavaScript.
void StreamBinding::settle(napi_env env, Pending* pending) {
  if (pending->fault) {
    const napi_value error = makeError(env, *pending->fault);
    if (error != nullptr) napi_reject_deferred(env, pending->deferred, error);
  } else {
    napi_value result;
    if (pending->result != nullptr) {
      napi_get_reference_value(env, pending->result, &result);
    } else {
      napi_get_undefined(env, &result);
    }
    napi_resolve_deferred(env, pending->deferred, result);
  }
  if (pending_.size() == 1) napi_unref_threadsafe_function(env, notifier_);
  forget(pending);
}

void StreamBinding::forget(Pending* pending) {
  if (pending->result != nullptr) napi_delete_reference(Env(), pending->result);
  napi_delete_reference(Env(), pending->binding);
  pending_.erase(pending);
  delete pending;
}

}  // namespace lowrank
