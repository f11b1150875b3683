// THE op list. From it come the ops' ids, every backend's table and the schema that TypeScript encodes against. A
// kernel that a backend lacks is a link error.
//
// ops/NAME.h declares one op, forward and backward: each argument struct with its fields, visit() and check().
//
// Shapes: N tokens (ragged, all sequences in one axis), D width, F feed-forward width, K input and O output features, V
// vocabulary, H query heads, Hkv key/value heads, hd head width, r rank, S sequences. "compute" is the dtype of
// activations: float32, bfloat16 or float16, one per call. Every sum is accumulated in float32 and rounded once on the
// way out.
//
// 1. visit(v) names the fields in wire order. in: read. out: wholly written, allocated when the command runs. inout:
//    read and written, or accumulated into. Optional tensors say so.
// 2. check(c) states the rules of shapes and dtypes: once it passes, no kernel can read or write outside its tensors.
//    It may see only what visit() names, through the Checker of checks.cpp. Values (ids, positions, cumulative lengths)
//    arrive later, and the kernels check them.
// 3. Both are templates, and the headers use nothing of the standard library but integer types: kernels include them,
//    and a function that one instruction set compiles must not serve another (tensor.h).
#pragma once

#include "ops/adamw.h"
#include "ops/add.h"
#include "ops/argmax.h"
#include "ops/attention.h"
#include "ops/copy.h"
#include "ops/dropout.h"
#include "ops/embedding.h"
#include "ops/fill.h"
#include "ops/gelu.h"
#include "ops/layer_norm.h"
#include "ops/linear.h"
#include "ops/linear_cross_entropy.h"
#include "ops/linear_log_probs.h"
#include "ops/nf4.h"
#include "ops/rms_norm.h"
#include "ops/rope.h"
#include "ops/sample.h"
#include "ops/scatter_rows.h"
#include "ops/swiglu.h"

namespace lowrank {

#define LOWRANK_OPS(X)                                  \
  X(fill, FillArgs)                                     \
  X(copy, CopyArgs)                                     \
  X(add, AddArgs)                                       \
  X(embedding, EmbeddingArgs)                           \
  X(embeddingBackward, EmbeddingBackwardArgs)           \
  X(scatterRows, ScatterRowsArgs)                       \
  X(rmsNorm, RmsNormArgs)                               \
  X(rmsNormBackward, RmsNormBackwardArgs)               \
  X(layerNorm, LayerNormArgs)                           \
  X(layerNormBackward, LayerNormBackwardArgs)           \
  X(dropout, DropoutArgs)                               \
  X(quantizeNf4, QuantizeNf4Args)                       \
  X(dequantizeNf4, DequantizeNf4Args)                   \
  X(linear, LinearArgs)                                 \
  X(linearBackward, LinearBackwardArgs)                 \
  X(rope, RopeArgs)                                     \
  X(attention, AttentionArgs)                           \
  X(attentionBackward, AttentionBackwardArgs)           \
  X(swiglu, SwigluArgs)                                 \
  X(swigluBackward, SwigluBackwardArgs)                 \
  X(gelu, GeluArgs)                                     \
  X(geluBackward, GeluBackwardArgs)                     \
  X(linearCrossEntropy, LinearCrossEntropyArgs)         \
  X(linearLogProbs, LinearLogProbsArgs)                 \
  X(linearLogProbsBackward, LinearLogProbsBackwardArgs) \
  X(adamw, AdamwArgs)                                   \
  X(argmax, ArgmaxArgs)                                 \
  X(sample, SampleArgs)                                 \
  X(sampleRows, SampleRowsArgs)                         \
  X(topLogProbs, TopLogProbsArgs)

// A backend: one function per op, in list order.
class Context;
struct Backend {
  const char* name;
#define LOWRANK_FIELD(op, Args) void (*op)(const Args& args, Context& context);
  LOWRANK_OPS(LOWRANK_FIELD)
#undef LOWRANK_FIELD
};

}  // namespace lowrank
