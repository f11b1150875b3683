"""Write matching.json: which modules PEFT changes for settings, and with which rank and alpha. Asks PEFT's own functions, needs no model.

    .venv/bin/python test/golden/matching.py
"""

import json
from pathlib import Path

import peft
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils.other import get_pattern_key

LLAMA = ["model.embed_tokens"] + [
    f"model.layers.{layer}.{name}"
    for layer in (0, 1, 2, 10)
    for name in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.up_proj", "mlp.down_proj")
] + ["lm_head"]
GPT2 = [f"transformer.h.{layer}.{name}" for layer in (0, 1) for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")]
# Numbers at several depths, a number in first place, and a module in no layer.
NESTED = [
    "model.layers.1.experts.0.up_proj",
    "model.layers.0.experts.1.up_proj",
    "vision.blocks.1.up_proj",
    "vision.blocks.0.layers.1.up_proj",
    "0.blocks.1.up_proj",
    "layers.1.up_proj",
    "1.up_proj",
    "up_proj",
]

ROWS = [
    ("llama", {"target_modules": ["q_proj", "v_proj"]}),
    ("llama", {"target_modules": ["q_proj", "layers.1.mlp.up_proj", "lm_head"]}),
    ("llama", {"target_modules": r".*\.(q|v)_proj"}),
    ("llama", {"target_modules": "q_proj"}),
    # What is excluded
    ("llama", {"target_modules": ["q_proj", "v_proj"], "exclude_modules": ["v_proj"]}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "exclude_modules": ["1.self_attn.v_proj", "model.layers.10.self_attn.q_proj"]}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "exclude_modules": ["proj", "_proj", "attn.q_proj", "self_attn"]}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "exclude_modules": r".*layers\.(0|10)\..*"}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "exclude_modules": "q_proj"}),
    ("llama", {"target_modules": r".*_proj", "exclude_modules": r".*\.mlp\..*"}),
    ("llama", {"target_modules": r".*_proj", "exclude_modules": ["q_proj", "v_proj"]}),
    ("llama", {"target_modules": ["q_proj"], "exclude_modules": ["q_proj"]}),
    ("llama", {"target_modules": ["q_proj"], "exclude_modules": ""}),
    ("llama", {"target_modules": ["q_proj", "lm_head"], "exclude_modules": ["k_proj"], "modules_to_save": ["lm_head", "layers.2"]}),
    # Layers
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": 1}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": 0}),
    ("llama", {"target_modules": ["q_proj", "down_proj"], "layers_to_transform": [0, 10]}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": []}),
    ("llama", {"target_modules": ["q_proj", "lm_head"], "layers_to_transform": [1]}),
    ("llama", {"target_modules": ["q_proj", "model.layers.2.self_attn.k_proj"], "layers_to_transform": [1]}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "layers"}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": ["h", "layers"]}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "h"}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "layer"}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "model.layers"}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "lay.*"}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "layers|h"}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": "(layers|h)"}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": ""}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": []}),
    ("llama", {"target_modules": ["q_proj"], "layers_to_transform": [7]}),
    ("gpt2", {"target_modules": ["c_proj"], "layers_to_transform": 1, "layers_pattern": "h"}),
    ("gpt2", {"target_modules": ["mlp.c_proj", "c_attn"], "layers_to_transform": [0], "exclude_modules": r".*attn.*"}),
    ("nested", {"target_modules": ["up_proj"], "layers_to_transform": 1}),
    ("nested", {"target_modules": ["up_proj"], "layers_to_transform": 0}),
    ("nested", {"target_modules": ["up_proj"], "layers_to_transform": 1, "layers_pattern": "layers"}),
    ("nested", {"target_modules": ["up_proj"], "layers_to_transform": 1, "layers_pattern": ["experts", "blocks"]}),
    ("nested", {"target_modules": ["up_proj"], "layers_to_transform": [0, 1], "layers_pattern": "blocks"}),
    # Ranks and alphas
    ("llama", {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"q_proj": 3}}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"proj": 3, "attn.q_proj": 4, "_proj": 5}}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"self_attn.q_proj": 3, "1.self_attn.v_proj": 4}}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"layers.1.self_attn.q_proj": 3}}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"^model.layers.1.self_attn.q_proj": 3}}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"^layers.1.self_attn.q_proj": 3}}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {r"layers\.[01]\..*": 3, "q_proj": 5}}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"q_proj": 5, r"layers\.[01]\..*": 3}}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {r".*\.1\..*": 3, "q_proj|v_proj": 5}}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "rank_pattern": {"[qk]_proj": 3, ".": 4}}),
    ("llama", {"target_modules": ["q_proj", "v_proj"], "alpha_pattern": {"v_proj": 1.5, r".*": 9}}),
    ("llama", {"target_modules": r".*_proj", "rank_pattern": {"mlp.*": 2}, "alpha_pattern": {"up_proj": 7, "layers.10": 3}}),
    ("gpt2", {"target_modules": ["c_proj", "c_attn"], "rank_pattern": {"mlp.c_proj": 2}, "alpha_pattern": {"c_proj": 5}}),
    # What does not go together
    ("llama", {"target_modules": r".*q_proj", "layers_to_transform": [1]}),
    ("llama", {"target_modules": r".*q_proj", "layers_to_transform": 0}),
    ("llama", {"target_modules": "all-linear", "layers_to_transform": [1]}),
    ("llama", {"target_modules": r".*q_proj", "layers_pattern": "layers"}),
    ("llama", {"target_modules": ["q_proj"], "layers_pattern": "layers"}),
    ("llama", {"target_modules": ["q_proj"], "layers_pattern": ["layers"]}),
]


def answer(paths: list[str], options: dict) -> dict:
    try:
        config = LoraConfig(r=8, lora_alpha=16, **options)
    except ValueError as error:
        return {"error": str(error).strip()}
    matched = [path for path in paths if check_target_module_exists(config, path)]
    rank = {path: config.rank_pattern.get(get_pattern_key(config.rank_pattern, path), config.r) for path in matched}
    alpha = {path: config.alpha_pattern.get(get_pattern_key(config.alpha_pattern, path), config.lora_alpha) for path in matched}
    return {"matched": {path: [rank[path], alpha[path]] for path in matched}}


def main():
    models = {"llama": LLAMA, "gpt2": GPT2, "nested": NESTED}
    rows = [{"model": model, "lora": options, **answer(models[model], options)} for model, options in ROWS]
    lines = ",\n".join("    " + json.dumps(row) for row in rows)
    lists = ",\n".join(f"    {json.dumps(name)}: {json.dumps(paths)}" for name, paths in models.items())
    head = f'  "peft": {json.dumps(peft.__version__)},\n  "models": {{\n{lists}\n  }},\n  "rows": [\n{lines}\n  ]'
    (Path(__file__).parent / "matching.json").write_text(f"{{\n{head}\n}}\n")


if __name__ == "__main__":
    main()
