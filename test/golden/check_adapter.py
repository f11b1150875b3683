"""Does an adapter that lowrank wrote compute the same in PEFT?

    python test/golden/check_adapter.py MODEL_DIR ADAPTER_DIR LOGITS.safetensors [--tolerance 2e-5]

LOGITS.safetensors holds `input_ids` and `attention_mask` (int32, [B, T]) and the float32 `logits` [B, T, V] that lowrank computed;
positions whose mask is 0 are not compared. Exit code 0: they agree within tolerance x the largest logit, and PEFT found exactly
the tensors that it wanted. 1: they do not. 2: wrong usage. Needs the packages of requirements.txt.
"""

import argparse
import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM


def load(model_dir: Path, adapter_dir: Path) -> PeftModel:
    base = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32, attn_implementation="eager")
    return PeftModel.from_pretrained(base, adapter_dir).eval()


def unmatched(model: PeftModel, adapter_dir: Path) -> list[str]:
    """Names in the file only or in the model only: PEFT itself merely warns."""
    wanted = {name: tuple(value.shape) for name, value in get_peft_model_state_dict(model, save_embedding_layers=False).items()}
    present = {name: tuple(value.shape) for name, value in load_file(adapter_dir / "adapter_model.safetensors").items()}
    return sorted(f"{name} {shape}" for name, shape in wanted.items() ^ present.items())


def largest_difference(model: PeftModel, sample: dict[str, torch.Tensor]) -> float:
    mask = sample["attention_mask"].long()
    with torch.no_grad():
        expected = model(input_ids=sample["input_ids"].long(), attention_mask=mask, use_cache=False).logits
    real = mask.bool()
    difference = (sample["logits"].float() - expected).abs()[real].max()
    return float(difference / expected.abs()[real].max())


def main() -> int:
    parser = argparse.ArgumentParser(description="compare lowrank's logits with PEFT's for one adapter")
    parser.add_argument("model", type=Path)
    parser.add_argument("adapter", type=Path)
    parser.add_argument("logits", type=Path)
    parser.add_argument("--tolerance", type=float, default=2e-5, help="relative to the largest logit (default 2e-5)")
    options = parser.parse_args()
    model = load(options.model, options.adapter)
    names = unmatched(model, options.adapter)
    difference = largest_difference(model, load_file(options.logits))
    agrees = not names and difference <= options.tolerance  # false for NaN too
    print(json.dumps({"agrees": agrees, "difference": difference, "tolerance": options.tolerance, "unmatched": names}))
    return 0 if agrees else 1


if __name__ == "__main__":
    sys.exit(main())
