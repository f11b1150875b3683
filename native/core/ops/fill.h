#pragma once

#include "../tensor.h"

namespace lowrank {

// y = value.
struct FillArgs {
  Tensor y;
  float value;
  template <class V>
  void visit(V& v) {
    v.out("y", y);
    v.number("value", value);
  }
  template <class C>
  void check(C& c) const {
    if (C::isFloat(y.dtype)) return;
    const double top = y.dtype == DType::kUInt8 ? 255 : 0x1p31 - 128;  // the largest float below 2^31
    const double bottom = y.dtype == DType::kUInt8 ? 0 : -0x1p31;
    c.require(value >= bottom && value <= top && C::whole(value), "value", "a whole number that y can hold", value);
  }
};

}  // namespace lowrank
