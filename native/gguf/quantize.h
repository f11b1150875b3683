// The block formats of ggml that are written. Layouts: ggml-common.h of https://github.com/ggml-org/ggml; the reader of
// them is src/gguf/block-formats.ts.
#pragma once

#include <cstdint>

namespace lowrank::gguf {

// Packs `count` values, whole blocks of one row or of several, into `packed`. `importance` has a number >= 0 for each
// value, or is null: how much an error there counts. Returns false where a value is not finite, or becomes so.
using Quantizer = bool (*)(const float* values, int64_t count, const float* importance, uint8_t* packed);

struct Format {
  const char* name;
  int64_t size;   // values in a block
  int64_t bytes;  // bytes of a block
  Quantizer quantize;
};

// nullptr where no format is called so.
const Format* findFormat(const char* name);

}  // namespace lowrank::gguf
