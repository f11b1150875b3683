"""Write peft-files/: adapters as PEFT saves them in ways that are not the plain one, and the logits that PEFT computes with each.

    .venv/bin/python test/golden/peft_files.py

Two bases, with a head of its own and with a tied one, and for each the adapters of CASES. expected.json says of each which of the bases it is of and
its logits of IDS, or what in it is not as in the base, which PEFT loads over the base and lowrank refuses.
"""

import json
import shutil
import warnings
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = Path(__file__).parent / "peft-files"
IDS = [[3, 14, 15, 9, 2, 6, 5]]
PREFIX = "base_model.model."
SIZES = dict(hidden_size=8, intermediate_size=12, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1, vocab_size=23)
EMBEDDING, HEAD = f"{PREFIX}model.embed_tokens.weight", f"{PREFIX}lm_head.weight"


def base(tied):
    torch.manual_seed(7)
    config = LlamaConfig(**SIZES, max_position_embeddings=32, tie_word_embeddings=tied)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return model


@torch.no_grad()
def randomize(model):
    for name, parameter in model.named_parameters():
        if "lora_B" in name or "modules_to_save" in name:
            parameter.add_(torch.randn_like(parameter), alpha=0.3)


def settings(change):
    """Changes adapter_config.json."""

    def apply(folder, _):
        path = folder / "adapter_config.json"
        config = json.loads(path.read_text())
        path.write_text(json.dumps(change(config), indent=2, sort_keys=True))

    return apply


def tensors(change):
    """Changes adapter_model.safetensors, given its tensors and those of the base."""

    def apply(folder, model):
        path = folder / "adapter_model.safetensors"
        save_file(change(load_file(path), model), path, {"format": "pt"})

    return apply


def embedding_of(model):
    return model.get_input_embeddings().weight.detach().clone()


# What PEFT 0.3 wrote, with what 0.2 had beside it.
OLD_KEYS = "base_model_name_or_path bias fan_in_fan_out inference_mode init_lora_weights lora_alpha lora_dropout modules_to_save peft_type r target_modules task_type".split()
old = settings(lambda config: {key: config[key] for key in OLD_KEYS} | {"enable_lora": None, "merge_weights": False})
new = settings(lambda config: config | {"some_later_config": None, "use_later": False, "peft_version": "0.30.0"})
unknown = settings(lambda config: config | {"target_modules": [*config["target_modules"], "query_key_value", "dense"]})
# PEFT 0.6 to 0.10 saved the embedding beside a changed head.
with_embedding = tensors(lambda values, model: values | {EMBEDDING: embedding_of(model)})
changed_embedding = tensors(lambda values, model: values | {EMBEDDING: embedding_of(model) + 0.01})
changed_head = tensors(lambda values, _: values | {f"{PREFIX}lm_head.base_layer.weight": values[f"{PREFIX}lm_head.base_layer.weight"] * 1.01})
resized = tensors(lambda values, model: values | {EMBEDDING: torch.cat([embedding_of(model), torch.zeros(1, 8)])})
half = tensors(lambda values, _: {name: value.half() for name, value in values.items()})
bfloat16 = tensors(lambda values, _: {name: value.bfloat16() for name, value in values.items()})

HEAD_TOO = dict(target_modules=["q_proj", "lm_head"])
PLAIN = dict(target_modules=["q_proj", "down_proj"])
# name: LoraConfig, arguments of save_pretrained, what is changed afterwards, the weight that is then not the base's
CASES = {
    "head": (HEAD_TOO, {}, [], None),
    "head-by-expression": (dict(target_modules=r".*\.q_proj|lm_head"), {}, [], None),
    "head-and-embedding": (HEAD_TOO, {}, [with_embedding], None),
    "head-of-another-base": (HEAD_TOO, {}, [changed_head], "lm_head.weight"),
    "embedding-of-another-base": (HEAD_TOO, {}, [changed_embedding], "model.embed_tokens.weight"),
    "embedding-resized": (PLAIN, {}, [resized], "model.embed_tokens.weight"),
    "embeddings-forced": (PLAIN, dict(save_embedding_layers=True), [], None),
    "saved-embedding-forced": (PLAIN | dict(modules_to_save=["embed_tokens"]), dict(save_embedding_layers=True), [], None),
    "saved-and-missing": (PLAIN | dict(modules_to_save=["lm_head", "score"]), {}, [], None),
    "unknown-targets": (PLAIN, {}, [unknown], None),
    "old-keys": (PLAIN, {}, [old], None),
    "new-keys": (PLAIN, {}, [new], None),
    "float16": (PLAIN, {}, [half], None),
    "bfloat16": (PLAIN, {}, [bfloat16], None),
}


def write(name, tied):
    lora, arguments, changes, differs = CASES[name]
    folder = ROOT / f"{name}-{'tied' if tied else 'untied'}"
    model = base(tied)
    adapter = get_peft_model(model, LoraConfig(r=2, lora_alpha=4, task_type="CAUSAL_LM", **lora))
    randomize(adapter)
    adapter.save_pretrained(folder, **arguments)
    (folder / "README.md").unlink(missing_ok=True)
    plain = base(tied)
    for change in changes:
        change(folder, plain)
    path = folder / "adapter_config.json"
    config = {key: sorted(value) if isinstance(value, list) else value for key, value in json.loads(path.read_text()).items()}
    path.write_text(json.dumps(config, indent=2) + "\n")
    if differs is not None:
        return {"base": "tied" if tied else "untied", "differs": differs}
    loaded = PeftModel.from_pretrained(base(tied), folder).eval()
    with torch.no_grad():
        logits = loaded(input_ids=torch.tensor(IDS)).logits
    return {"base": "tied" if tied else "untied", "logits": logits.flatten().tolist()}


def main():
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    shutil.rmtree(ROOT, ignore_errors=True)
    for tied in (False, True):
        folder = ROOT / ("tied" if tied else "untied")
        base(tied).save_pretrained(folder)
        (folder / "generation_config.json").unlink(missing_ok=True)
    # A weight that is saved apart from a tied one unties the two in PEFT's file alone.
    pairs = [(name, tied) for name in CASES for tied in (False, True) if not (tied and "saved" in name)]
    expected = {f"{name}-{'tied' if tied else 'untied'}": write(name, tied) for name, tied in pairs}
    (ROOT / "expected.json").write_text(json.dumps({"ids": IDS, "adapters": expected}) + "\n")


main()
