#include "emulator.h"

#include <cmath>
#include <string>
#include <vector>

#include "../core/fault.h"
#include "../core/format.h"
#include "../emulator/probes.h"
#include "../emulator/runtime.h"
#include "arguments.h"

namespace lowrank {
namespace {

using emulator::Generation;
using emulator::Schedule;

// Which of `names` the value is.
template <class T>
T oneOf(const std::string& option, const Napi::Value& value, const std::vector<std::pair<const char*, T>>& names) {
  std::string expected;
  for (const auto& [name, meaning] : names) {
    if (value.IsString() && value.As<Napi::String>().Utf8Value() == name) return meaning;
    expected += (expected.empty() ? "'" : name == names.back().first ? "' or '" : "', '") + std::string(name);
  }
  refuse("device", expected + "'", "emulator." + option, value);
}

double count(const std::string& name, const Napi::Value& value, double most) {
  const double number = numberOrNaN(value);
  if (number >= 1 && number <= most && number == std::floor(number)) return number;
  refuse("device", "a whole number from 1 to " + formatNumber(most), "emulator." + name, value);
}

Napi::Value kernelLaunches(const Napi::CallbackInfo& call) {
  Napi::Object result = Napi::Object::New(call.Env());
  for (const auto& [name, launches] : emulator::kernelLaunches()) result.Set(name, double(launches));
  return result;
}

Napi::Value runProbe(const Napi::CallbackInfo& call) {
  const Napi::Env env = call.Env();
  std::vector<float> values;
  const std::string fault = emulator::runProbe(call[0].As<Napi::String>(), readEmulatorOptions(call[1]), values);
  Napi::Float32Array array = Napi::Float32Array::New(env, values.size());
  for (size_t i = 0; i < values.size(); ++i) array[i] = values[i];
  Napi::Object result = Napi::Object::New(env);
  result.Set("fault", fault);
  result.Set("values", array);
  return result;
}

}  // namespace

emulator::Options readEmulatorOptions(const Napi::Value& value) {
  emulator::Options result;
  if (value.IsUndefined()) return result;
  if (!value.IsObject()) refuse("device", "an object", "emulator", value);
  const Napi::Object options = value.As<Napi::Object>();
  const Napi::Array names = options.GetPropertyNames();
  for (uint32_t i = 0; i < names.Length(); ++i) {
    const std::string name = names.Get(i).As<Napi::String>();
    const Napi::Value option = options.Get(name);
    if (option.IsUndefined()) continue;
    if (name == "generation") {
      result.generation = oneOf<Generation>(name, option, {{"sm80", Generation::kSm80}, {"sm90", Generation::kSm90}});
    } else if (name == "order") {
      using Order = Schedule::Order;
      result.schedule.order = oneOf<Order>(
          name, option, {{"forward", Order::kForward}, {"reverse", Order::kReverse}, {"random", Order::kRandom}});
    } else if (name == "copies") {
      result.schedule.lateCopies = oneOf<bool>(name, option, {{"early", false}, {"late", true}});
    } else if (name == "seed") {
      result.schedule.seed = uint32_t(count(name, option, 0x1p32 - 1));
    } else if (name == "multiprocessors") {
      result.multiprocessors = int(count(name, option, 1024));
    } else if (name == "cacheBytes") {
      result.cacheBytes = int64_t(count(name, option, 0x1p40));
    } else if (name == "hostBytes") {
      result.hostBytes = uint64_t(count(name, option, 0x1p53 - 1));
    } else {
      throw InvalidArgument(
          "[device] expected the options generation, order, copies, seed, multiprocessors, cacheBytes and hostBytes "
          "for "
          "emulator, got also '" +
          name + "'");
    }
  }
  return result;
}

void defineEmulator(Napi::Env env, Napi::Object exports) {
  exports.Set("kernelLaunches", Napi::Function::New(env, kernelLaunches, "kernelLaunches"));
  exports.Set("runProbe", Napi::Function::New(env, runProbe, "runProbe"));
  Napi::Array names = Napi::Array::New(env);
  for (const std::string& name : emulator::probeNames()) names.Set(names.Length(), name);
  exports.Set("probes", names);
}

}  // namespace lowrank
