"""Writes sampling.json: what transformers' logits processors leave of random logits, in the order that generate() has them."""

import json
from pathlib import Path

import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

OPTIONS = [
    {"temperature": 0.7},
    {"topK": 5},
    {"topP": 0.8},
    {"minP": 0.1},
    {"repetitionPenalty": 1.4},
    {"repetitionPenalty": 0.6, "topK": 9},
    {"temperature": 1.7, "topK": 30, "topP": 0.9},
    {"temperature": 0.5, "topP": 0.95, "minP": 0.02},
    {"temperature": 0.9, "topK": 20, "topP": 0.7, "minP": 0.05, "repetitionPenalty": 1.2},
    {"topP": 0.01},
]


def processors(options):
    chain = LogitsProcessorList()
    if "repetitionPenalty" in options:
        chain.append(RepetitionPenaltyLogitsProcessor(options["repetitionPenalty"]))
    if "temperature" in options:
        chain.append(TemperatureLogitsWarper(options["temperature"]))
    if "topK" in options:
        chain.append(TopKLogitsWarper(options["topK"]))
    if "topP" in options:
        chain.append(TopPLogitsWarper(options["topP"]))
    if "minP" in options:
        chain.append(MinPLogitsWarper(options["minP"]))
    return chain


def main():
    generator = torch.Generator().manual_seed(3)
    cases = []
    for options in OPTIONS:
        logits = (4 * torch.randn(1, 40, generator=generator)).round(decimals=4)
        prompt = torch.randint(40, (1, 12), generator=generator)
        scores = processors(options)(prompt, logits.clone())
        probabilities = scores.double().softmax(-1)[0]
        kept = {str(i): p.item() for i, p in enumerate(probabilities) if p > 0}
        cases.append({"options": options, "logits": logits[0].tolist(), "prompt": prompt[0].tolist(), "kept": kept})
    path = Path(__file__).parent / "sampling.json"
    path.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
