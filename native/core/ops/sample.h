#pragma once

#include "../tensor.h"

namespace lowrank {

// The next id of each sequence, by the steps of transformers' logits processors:
// 1. The logit of an id that was seen is divided by repetitionPenalty if it is positive, else multiplied by it.
// 2. All logits are divided by temperature.
// 3. The topK largest stay, with those that equal the last of them (0: all stay).
// 4. Of these, from the largest down, those stay before which less than topP of their probability lies.
// 5. Of these, those stay that have at least minP times the largest probability.
// 6. One of them is drawn, by Philox of (seed, sequence, step).
// Temperature 0 takes the first of the largest after the penalty. The id is marked in seen. A sequence without a logit
// above -infinity is a fault.
struct SampleArgs {
  Tensor logits;            // [S, V] float32
  Tensor steps;             // int32 [S]: another number for every draw
  Tensor seen;              // uint8 [S, V], 0 or 1; present exactly when repetitionPenalty is not 1
  Tensor ids;               // int32 [S]
  float temperature;        // >= 0
  int32_t topK;             // >= 0
  float topP;               // [0, 1]
  float minP;               // [0, 1]
  float repetitionPenalty;  // > 0
  double seed;
  template <class V>
  void visit(V& v) {
    v.in("logits", logits);
    v.in("steps", steps);
    v.optionalInout("seen", seen);
    v.out("ids", ids);
    v.number("temperature", temperature);
    v.number("topK", topK);
    v.number("topP", topP);
    v.number("minP", minP);
    v.number("repetitionPenalty", repetitionPenalty);
    v.number("seed", seed);
  }
  template <class C>
  void check(C& c) const {
    c.dtype("logits", logits, DType::kFloat32);
    c.require(logits.cols >= 1 && logits.cols < (int64_t{1} << 31), "logits", "a vocabulary of 1 to 2^31 ids",
              double(logits.cols));
    c.indices("ids", ids, logits.rows, "logits", logits, logits);
    c.indices("steps", steps, logits.rows, "logits", logits, ids);
    c.sentence(C::present(seen) == (repetitionPenalty != 1), "expected seen exactly when repetitionPenalty is not 1");
    c.matrix("seen", seen, DType::kUInt8, logits.rows, logits.cols, "logits", logits);
    c.notNegative("temperature", temperature);
    c.require(topK >= 0, "topK", "a whole number >= 0", topK);
    c.require(topP >= 0 && topP <= 1, "topP", "a number in [0, 1]", topP);
    c.require(minP >= 0 && minP <= 1, "minP", "a number in [0, 1]", minP);
    c.require(repetitionPenalty > 0 && C::isFinite(repetitionPenalty), "repetitionPenalty", "a finite number above 0",
              repetitionPenalty);
    c.counter("seed", seed);
  }
};

}  // namespace lowrank
