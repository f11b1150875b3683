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

// What a row of SampleRowsArgs has to be, for messages. Static: no symbol of one instruction set may serve another.
static constexpr char kSamplingRule[] =
    "expected temperature >= 0, topK >= 0, topP and minP in [0, 1], repetitionPenalty > 0, and 1 where there is no "
    "seen";

// The same with parameters for each row, which are values on the device, so that a recorded step serves other requests.
// A draw is a function of the row's logits and parameters, its seed and step, not of the row's number: it is
// SampleArgs' for sequence 0.
struct SampleRowsArgs {
  Tensor logits;    // [S, V] float32
  Tensor steps;     // int32 [S]: another number for every draw of a request
  Tensor options;   // [S, 4] float32: temperature, topP, minP, repetitionPenalty; of SampleArgs' ranges
  Tensor integers;  // int32 [S, 4]: topK, the seed's low and high 32 bits, 1 where `allowed` is of this row, else 0
  Tensor seen;      // uint8 [S, V], 0 or 1, optional: without it all penalties are 1
  Tensor allowed;   // int32 [S, V / 32, rounded up], optional: bit i % 32 of word i / 32 says whether id i may be drawn
  Tensor ids;       // int32 [S]
  template <class V>
  void visit(V& v) {
    v.in("logits", logits);
    v.in("steps", steps);
    v.in("options", options);
    v.in("integers", integers);
    v.optionalInout("seen", seen);
    v.optionalIn("allowed", allowed);
    v.out("ids", ids);
  }
  template <class C>
  void check(C& c) const {
    c.dtype("logits", logits, DType::kFloat32);
    c.require(logits.cols >= 1 && logits.cols < (int64_t{1} << 31), "logits", "a vocabulary of 1 to 2^31 ids",
              double(logits.cols));
    c.indices("ids", ids, logits.rows, "logits", logits, logits);
    c.indices("steps", steps, logits.rows, "logits", logits, ids);
    c.matrix("options", options, DType::kFloat32, logits.rows, 4, "logits", logits);
    c.matrix("integers", integers, DType::kInt32, logits.rows, 4, "logits", logits);
    c.matrix("seen", seen, DType::kUInt8, logits.rows, logits.cols, "logits", logits);
    c.matrix("allowed", allowed, DType::kInt32, logits.rows, (logits.cols + 31) / 32, "logits", logits);
    const Tensor* const given[] = {&logits, &steps, &options, &integers, &allowed};
    for (const Tensor* tensor : given) {
      c.unwritten("ids", ids, *tensor);
      if (C::present(seen)) c.unwritten("seen", seen, *tensor);
    }
  }
};

// For each row the logarithm of the softmax: of the chosen id, and the largest ones with their ids, from the largest
// down, the lower of two ids first that are equal. A row with fewer ids than are asked for ends with id -1 and
// -infinity. A row with a NaN, or with nothing above -infinity, is a fault.
struct TopLogProbsArgs {
  Tensor logits;    // [S, V] float32
  Tensor chosen;    // int32 [S], each in [0, V)
  Tensor logProbs;  // [S, 1 + n] float32: of the chosen id, then of the largest
  Tensor ids;       // int32 [S, n], n from 1 to 20
  template <class V>
  void visit(V& v) {
    v.in("logits", logits);
    v.in("chosen", chosen);
    v.out("logProbs", logProbs);
    v.out("ids", ids);
  }
  template <class C>
  void check(C& c) const {
    c.dtype("logits", logits, DType::kFloat32);
    c.require(logits.cols >= 1 && logits.cols < (int64_t{1} << 31), "logits", "a vocabulary of 1 to 2^31 ids",
              double(logits.cols));
    c.indices("chosen", chosen, logits.rows, "logits", logits, ids);
    c.unwritten("chosen", chosen, logProbs);
    c.require(ids.cols >= 1 && ids.cols <= 20, "ids", "1 to 20 columns", double(ids.cols));
    c.matrix("ids", ids, DType::kInt32, logits.rows, ids.cols, "logits", logits);
    c.matrix("logProbs", logProbs, DType::kFloat32, logits.rows, 1 + ids.cols, "ids", ids);
    c.unwritten("logits", logits, ids);
    c.unwritten("logits", logits, logProbs);
    c.unwritten("ids", ids, logProbs);
  }
};

}  // namespace lowrank
