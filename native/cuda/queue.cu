// What both machines share of the queue: names of kernels, and finds of kernels as sentences.
#include <cstdio>
#include <cstring>

#include "../core/ops.h"
#include "finding.h"
#include "queue.h"

namespace lowrank::LOWRANK_BACKEND {
namespace {

const Kernel* firstKernel = nullptr;

void removeAll(char* text, const char* part) {
  for (char* at; (at = std::strstr(text, part)) != nullptr;)
    std::memmove(at, at + std::strlen(part), std::strlen(at + std::strlen(part)) + 1);
}

}  // namespace

// "... prettyName() [with auto kKernel = lowrank::cuda::{anonymous}::fillKernel<float>]" becomes "fillKernel<float>".
Kernel::Kernel(const char* prettyFunction, Generation generation) : needs(generation), next(firstKernel) {
  const char* begin = std::strstr(prettyFunction, "kKernel = ");
  begin = begin != nullptr ? begin + std::strlen("kKernel = ") : prettyFunction;
  std::snprintf(name, sizeof name, "%s", begin);
  if (char* const end = std::strrchr(name, ']')) *end = '\0';
  for (const char* part :
       {"lowrank::cuda::", "lowrank::emulator::", "{anonymous}::", "(anonymous namespace)::", "<unnamed>::"})
    removeAll(name, part);
  firstKernel = this;
}

const Kernel* kernels() {
  return firstKernel;
}

std::string describeFinding(uint64_t finding, const uint64_t* limits) {
  const uint32_t code = uint32_t(finding >> 60);
  const long long position = (long long)(finding >> 32 & 0xfffffff), limit = (long long)limits[code];
  const int value = int(uint32_t(finding));
  char text[256];
  switch (FaultCode(code)) {
    case FaultCode::kIds:
      std::snprintf(text, sizeof text, "expected ids in [0, %lld), the rows of weight, got %d at position %lld", limit,
                    value, position);
      break;
    case FaultCode::kIdsOfGradient:
      std::snprintf(text, sizeof text, "expected ids in [0, %lld), the rows of dWeight, got %d at position %lld", limit,
                    value, position);
      break;
    case FaultCode::kRows:
      std::snprintf(text, sizeof text, "expected rows in [0, %lld), the rows of y, got %d at position %lld", limit,
                    value, position);
      break;
    case FaultCode::kPositions:
      std::snprintf(text, sizeof text, "expected positions in [0, %lld), the rows of cosSin, got %d at position %lld",
                    limit, value, position);
      break;
    case FaultCode::kLabels:
      std::snprintf(text, sizeof text, "expected labels in [0, %lld) or -100, got %d at row %lld", limit, value,
                    position);
      break;
    case FaultCode::kSequencesQ:
      std::snprintf(text, sizeof text, "expected cuSeqlensQ to ascend from 0 to %lld, got %d at position %lld", limit,
                    value, position);
      break;
    case FaultCode::kSequencesK:
      std::snprintf(text, sizeof text, "expected cuSeqlensK to ascend from 0 to at most %lld, got %d at position %lld",
                    limit, value, position);
      break;
    case FaultCode::kUsedKeys:
      std::snprintf(text, sizeof text, "expected seqUsedK in [0, %lld], the keys of sequence %lld, got %d", limit,
                    position, value);
      break;
    case FaultCode::kBlocks:
      std::snprintf(text, sizeof text, "expected blocks in [0, %lld), those of k, got %d for sequence %lld", limit,
                    value, position);
      break;
    case FaultCode::kChosen:
      std::snprintf(text, sizeof text, "expected ids in [0, %lld), the columns of logits, got %d at position %lld",
                    limit, value, position);
      break;
    case FaultCode::kPairRows:
      std::snprintf(text, sizeof text, "expected rows of a pair to ascend in [0, %lld], got %d and %d", limit,
                    int(position << 4) >> 4, value);
      break;
    case FaultCode::kSampling:
      std::snprintf(text, sizeof text, "%s, got others for sequence %lld", kSamplingRule, position);
      break;
    case FaultCode::kWeights: {
      float weight;
      std::memcpy(&weight, &value, sizeof weight);
      std::snprintf(text, sizeof text, "expected finite weights that are not below 0, got %g at row %lld",
                    double(weight), position);
      break;
    }
    case FaultCode::kLogits:
      std::snprintf(text, sizeof text,
                    value == 0 ? "expected a logit above -infinity for sequence %lld, got none"
                               : "expected logits that are numbers for sequence %lld, got NaN",
                    position);
      break;
  }
  return text;
}

}  // namespace lowrank::LOWRANK_BACKEND
