// The numbers of a step of AdamW that all elements share, made in float64 and rounded once, the same for every backend.
#pragma once

#include "inline.h"
#include "ops/adamw.h"

namespace lowrank {

struct AdamwRates {
  float b1Rest;  // 1 - b1
  float b2;
  float b2Rest;
  float step;       // lr / (1 - b1^t)
  float rootScale;  // 1 / sqrt(1 - b2^t)
  float eps;
};

// base to a whole exponent, by products alone, so that results do not depend on a library.
LOWRANK_INLINE double power(double base, double exponent) {
  double result = 1.0;
  for (int64_t n = static_cast<int64_t>(exponent); n > 0; n >>= 1, base *= base) {
    if (n & 1) result *= base;
  }
  return result;
}

LOWRANK_INLINE AdamwRates adamwRates(const AdamwArgs& args) {
  AdamwRates rates{};
  rates.b1Rest = static_cast<float>(1.0 - args.beta1);
  rates.b2 = static_cast<float>(args.beta2);
  rates.b2Rest = static_cast<float>(1.0 - args.beta2);
  rates.step = static_cast<float>(args.lr / (1.0 - power(args.beta1, args.step)));
  rates.rootScale = static_cast<float>(1.0 / __builtin_sqrt(1.0 - power(args.beta2, args.step)));
  rates.eps = static_cast<float>(args.eps);
  return rates;
}

}  // namespace lowrank
