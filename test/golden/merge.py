"""Write merged/: what PEFT's merge_and_unload() makes of some of the cases.

    .venv/bin/python test/golden/merge.py

`merged/<case>.safetensors` holds the tensors that merging changed, as save_pretrained() writes them; `merged/merged.json` the dtype that model
and adapter were merged in, and the names of all tensors of the merged model.
"""

import json
import tempfile
from pathlib import Path

import torch
import transformers
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

ROOT = Path(__file__).parent
CASES = {
    "gpt2-padding": "float32",
    "llama-bf16-file": "bfloat16",
    "llama-rslora": "float32",
    "llama-save-embeddings": "float32",
    "qwen2-layer-types": "float32",
}


def merge(name: str, dtype: str) -> tuple[dict[str, torch.Tensor], list[str]]:
    folder = ROOT / "cases" / name
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    before = {key: value.clone() for key, value in base.state_dict().items()}
    merged = PeftModel.from_pretrained(base, folder / "adapter").merge_and_unload()
    with tempfile.TemporaryDirectory() as saved:
        merged.save_pretrained(saved)
        tensors = load_file(Path(saved) / "model.safetensors")
    changed = {key: value.contiguous() for key, value in tensors.items() if not torch.equal(value, before[key])}
    return changed, sorted(tensors)


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    (ROOT / "merged").mkdir(exist_ok=True)
    table = {}
    for name, dtype in CASES.items():
        changed, names = merge(name, dtype)
        save_file(changed, ROOT / "merged" / f"{name}.safetensors")
        table[name] = {"dtype": dtype, "names": names}
    (ROOT / "merged" / "merged.json").write_text(json.dumps(table, indent=1) + "\n")


if __name__ == "__main__":
    main()
