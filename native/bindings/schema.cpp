#include "schema.h"

#include "../core/schema.h"

namespace lowrank {
namespace {

Napi::Array describeFields(Napi::Env env, const std::vector<Field>& fields) {
  Napi::Array list = Napi::Array::New(env, fields.size());
  for (size_t i = 0; i < fields.size(); ++i) {
    Napi::Object field = Napi::Object::New(env);
    field.Set("name", fields[i].name);
    field.Set("kind", fields[i].kind);
    if (!fields[i].fields.empty()) field.Set("fields", describeFields(env, fields[i].fields));
    list.Set(uint32_t(i), field);
  }
  return list;
}

}  // namespace

Napi::Object describeOps(Napi::Env env) {
  Napi::Object ops = Napi::Object::New(env);
  for (int id = 0; id < kOpCount; ++id) {
    Napi::Object op = Napi::Object::New(env);
    op.Set("id", id);
    op.Set("fields", describeFields(env, kOps[id].describe()));
    ops.Set(kOps[id].name, op);
  }
  return ops;
}

}  // namespace lowrank
