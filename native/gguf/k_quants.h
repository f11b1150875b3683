// The "K" formats: blocks of 256 whose parts have integer scales of their own. As `Quantizer` of quantize.h.
#pragma once

#include <cstdint>

namespace lowrank::gguf {

bool quantizeQ4_K(const float* values, int64_t count, const float* importance, uint8_t* packed);
bool quantizeQ5_K(const float* values, int64_t count, const float* importance, uint8_t* packed);
bool quantizeQ6_K(const float* values, int64_t count, const float* importance, uint8_t* packed);

}  // namespace lowrank::gguf
