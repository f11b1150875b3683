"""Logits of token ids by mlx-lm, or by transformers and PEFT; what is loaded, and the ids, are JSON on stdin."""

import json
import sys
from pathlib import Path


def by_mlx(model, adapter, ids):
    import mlx.core as mx
    from mlx_lm.tuner.utils import load_adapters
    from mlx_lm.utils import load_model

    mx.set_default_device(mx.cpu)
    loaded, _ = load_model(Path(model))
    if adapter:
        loaded = load_adapters(loaded, adapter)
    loaded.eval()
    return [loaded(mx.array([row])).astype(mx.float32)[0].tolist() for row in ids]


def by_transformers(model, adapter, ids):
    import torch
    from transformers import AutoModelForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="eager")
    if adapter:
        from peft import PeftModel

        loaded = PeftModel.from_pretrained(loaded, adapter)
    loaded.eval()
    with torch.no_grad():
        return [loaded(torch.tensor([row])).logits[0].tolist() for row in ids]


asked = json.load(sys.stdin)
compute = {"mlx": by_mlx, "transformers": by_transformers}[asked["by"]]
json.dump(compute(asked["model"], asked.get("adapter"), asked["ids"]), sys.stdout)
