// Ops that have no kernel yet.
#include "kernels.h"

namespace lowrank::LOWRANK_BACKEND {

void embedding(const EmbeddingArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void embeddingBackward(const EmbeddingBackwardArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void scatterRows(const ScatterRowsArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void rmsNorm(const RmsNormArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void rmsNormBackward(const RmsNormBackwardArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void layerNorm(const LayerNormArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void layerNormBackward(const LayerNormBackwardArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void dropout(const DropoutArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void rope(const RopeArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void swiglu(const SwigluArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void swigluBackward(const SwigluBackwardArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void gelu(const GeluArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void geluBackward(const GeluBackwardArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void adamw(const AdamwArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void argmax(const ArgmaxArgs&, Context& context) {
  context.fail("has no kernel yet");
}
void sample(const SampleArgs&, Context& context) {
  context.fail("has no kernel yet");
}

}  // namespace lowrank::LOWRANK_BACKEND
