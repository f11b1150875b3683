"""Write the golden cases: tiny random models, their adapters, and what PyTorch + transformers + PEFT compute with them.

    python3 -m venv .venv && .venv/bin/pip install -r test/golden/requirements.txt
    .venv/bin/python test/golden/generate.py            # all of cases/ and schedules.json
    .venv/bin/python test/golden/generate.py llama-plain gpt2-plain

The files in the repository were made with Python 3.11, torch 2.13.0 (CPU), transformers 5.23.0 and peft 0.21.2
(NF4: bitsandbytes 0.50.2), one thread, eager attention, dropout off. README.md describes every file and key. Everything is computed from the saved files, so a test
that reads them sees what PyTorch saw.
"""

import json
import math
import shutil
import sys
import tempfile
from pathlib import Path

import bitsandbytes
import peft
import torch
import transformers
from cases import CASES, Batch, Case
from nf4 import bnb_config, dequantized, load_quantized, state_tensors
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch.optim import AdamW
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.optimization import get_scheduler

ROOT = Path(__file__).parent
STEPS = 5
SECOND = "adapter-second"
NEW_TOKENS = 20
WEIGHT_STD = 0.15
ADAPTER_B_STD = 0.1
ADAPTER_BIAS_STD = 0.05

# PyTorch's own float32 error must stay well inside the tolerances that the tests give an independent implementation.
NOISE_LIMITS = {"logits": 5e-6, "loss": 5e-7, "grad": 2e-5, "step5": 3e-6}
# A greedy choice closer than this could flip by rounding.
SMALLEST_MARGIN = 2e-3
DISTINCT_TOKENS = 5


# ---- models and adapters ----


def build_model(case: Case):
    options = dict(case.config)
    config = AutoConfig.for_model(options.pop("model_type"), **options)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    randomize(model)
    return model


@torch.no_grad()
def randomize(model):
    """Give every parameter a value that matters: fresh models have unit norms and zero biases, which hide mistakes."""
    for name, parameter in model.named_parameters():
        is_norm = any(part.startswith("ln_") or "norm" in part for part in name.split("."))
        if is_norm and name.endswith("weight"):
            parameter.normal_(1.0, 0.2)
        else:
            parameter.normal_(0.0, WEIGHT_STD)


@torch.no_grad()
def randomize_adapter(model):
    """B starts at zero in PEFT, and copies of saved modules and trained biases equal the base: none would test anything."""
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.normal_(0.0, ADAPTER_B_STD)
        elif "modules_to_save" in name:
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
        elif parameter.requires_grad and name.endswith("bias"):
            parameter.add_(torch.randn_like(parameter), alpha=ADAPTER_BIAS_STD)


def save_model(case: Case, model, folder: Path):
    model = model.to(getattr(torch, case.file_dtype))
    if case.prequantized is not None:
        save_quantized(case, model, folder)
        return
    bytes_total = sum(p.numel() * p.element_size() for p in model.parameters())
    shard_size = math.ceil(bytes_total / (case.shards - 0.5)) if case.shards > 1 else 2**30
    model.save_pretrained(folder, max_shard_size=shard_size)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if case.published_names:
        file = folder / "model.safetensors"
        save_file(published_tensors(case, load_file(file)), file, {"format": "pt"})
    shards = len(list(folder.glob("model*.safetensors")))
    assert shards == case.shards, f"{case.name}: wanted {case.shards} weight files, got {shards}"
    check_saved(case, model, folder)
    if case.legacy:
        write_json(folder / "config.legacy.json", legacy_config(case, read_json(folder / "config.json")))


def save_quantized(case: Case, model, folder: Path):
    with tempfile.TemporaryDirectory() as dense:
        model.save_pretrained(dense)
        config = bnb_config(**case.prequantized)
        model = AutoModelForCausalLM.from_pretrained(dense, dtype=model.dtype, quantization_config=config, device_map="cpu")
    model.save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)


def check_saved(case: Case, model, folder: Path):
    """transformers fills a weight that it does not find with random values, so look that every one came back."""
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=model.dtype).state_dict()
    for name, value in model.state_dict().items():
        assert torch.equal(loaded[name], value), f"{case.name}: {name} was not read back"


def published_tensors(case: Case, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same weights as well-known checkpoints hold them: GPT-2 without a prefix and with its causal masks,
    Llama 2 with rotary frequencies, and a tied head that is stored all the same."""
    if case.config["model_type"] == "gpt2":
        mask = torch.ones(case.config["n_positions"], case.config["n_positions"]).tril()[None, None]
        masks = {f"h.{layer}.attn.bias": mask.clone() for layer in range(case.config["n_layer"])}
        return {name.removeprefix("transformer."): value for name, value in tensors.items()} | masks
    size = case.config["hidden_size"] // case.config["num_attention_heads"]
    frequencies = 10000.0 ** (-torch.arange(0, size, 2) / size)
    layers = range(case.config["num_hidden_layers"])
    extra = {f"model.layers.{layer}.self_attn.rotary_emb.inv_freq": frequencies.clone() for layer in layers}
    return tensors | extra | {"lm_head.weight": tensors["model.embed_tokens.weight"].clone()}


def legacy_config(case: Case, config: dict) -> dict:
    """The same config as transformers 4 wrote it: rope_theta, rope_scaling and torch_dtype, no layer_types, and a window
    that is there whether it is used or not."""
    legacy = {key: value for key, value in config.items() if key not in ("rope_parameters", "dtype", "layer_types")}
    if "sliding_window" in config:
        legacy["sliding_window"] = case.config["sliding_window"]
    rope = dict(config["rope_parameters"])
    legacy["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    legacy["rope_scaling"] = None if kind == "default" else {case.legacy_rope_key: kind, **rope}
    legacy["torch_dtype"] = config["dtype"]
    legacy["transformers_version"] = "4.46.0"
    return dict(sorted(legacy.items()))


def save_adapter(case: Case, model, folder: Path, lora: dict):
    """The adapter in a folder of its own."""
    wrapped = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **lora))
    randomize_adapter(wrapped)
    wrapped.peft_config["default"].base_model_name_or_path = f"golden/{case.name}"
    wrapped.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    saved = read_json(path)
    for key, value in saved.items():  # PEFT writes sets in hash order; sorted, a second run gives the same bytes
        saved[key] = sorted(value) if isinstance(value, list) else value  # lists of names and of layers alike
    write_json(path, saved)


def load(case: Case, folder: Path, dtype: torch.dtype, config_name: str = "config.json"):
    """The saved model in dtype; adapters stay float32 over a bfloat16 base, as PEFT has them."""
    if case.nf4:
        return load_nf4(case, folder, dtype)
    config = AutoConfig.from_pretrained(folder / config_name)
    model = AutoModelForCausalLM.from_pretrained(folder, config=config, dtype=dtype, attn_implementation="eager")
    if case.lora is not None:
        model = PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True)
        if case.second is not None:
            model.load_adapter(folder / SECOND, "second")  # frozen until it is switched to
        if dtype == torch.float64:
            model = model.double()
    else:
        model.requires_grad_(True)
    return model.eval()


def load_nf4(case: Case, folder: Path, dtype: torch.dtype):
    exact = dtype == torch.float64
    model = load_quantized(folder, torch.float32 if exact else dtype, case.prequantized is not None)
    if exact:
        model = dequantized(folder, model)
    model = PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True)
    return (model.double() if exact else model).eval()


# ---- batches ----


def make_batch(batch: Batch, vocab_size: int) -> dict[str, torch.Tensor]:
    """input_ids, attention_mask and labels [B, T]. Padding has id 0, and no label, nor has a row's first token:
    nothing predicts it (with left padding transformers would predict it from a padding position)."""
    width = max(batch.lengths)
    shape = (len(batch.lengths), width)
    ids, mask, labels = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long), torch.full(shape, -100)
    for row, length in enumerate(batch.lengths):
        start = width - length if batch.padding == "left" else 0
        tokens = torch.randint(3, vocab_size, (length,))
        prompt = max(1, batch.prompts[row] if batch.prompts else 1)
        ids[row, start : start + length] = tokens
        mask[row, start : start + length] = 1
        labels[row, start + prompt : start + length] = tokens[prompt:]
    made = {"input_ids": ids, "attention_mask": mask, "labels": labels}
    if batch.weighted:
        made["weights"] = torch.where(labels == -100, 0.0, torch.randint(0, 17, shape) / 8)
    return made


def supervised(batch: dict[str, torch.Tensor]) -> int:
    return int((batch["labels"][:, 1:] != -100).sum())


def counted(batch: dict[str, torch.Tensor]) -> float:
    """What the window's sum of losses is divided by: the supervised tokens, or the sum of their weights."""
    return batch["weights"][:, 1:].double().sum().item() if "weights" in batch else supervised(batch)


# ---- what is measured ----


def forward(model, batch, items: float):
    """Logits, zero where the attention mask is zero, and the summed loss over `items`."""
    if "weights" in batch:
        given = {name: batch[name] for name in ("input_ids", "attention_mask")}
        out = model(**given, use_cache=False)
        wide = out.logits[:, :-1].to(torch.promote_types(out.logits.dtype, torch.float32))
        losses = torch.nn.functional.cross_entropy(wide.transpose(1, 2), batch["labels"][:, 1:], reduction="none")
        loss = (batch["weights"][:, 1:] * losses).sum() / items
        return out.logits.detach().masked_fill(batch["attention_mask"].unsqueeze(-1) == 0, 0.0), loss
    out = model(**batch, num_items_in_batch=torch.tensor(items), use_cache=False)
    return out.logits.detach().masked_fill(batch["attention_mask"].unsqueeze(-1) == 0, 0.0), out.loss


def window(model, batches) -> tuple[list[torch.Tensor], float]:
    """Forward and backward over an accumulation window; gradients are left in the parameters."""
    items = sum(counted(batch) for batch in batches)
    logits, loss = [], 0.0
    for batch in batches:
        part_logits, part_loss = forward(model, batch, items)
        part_loss.backward()
        logits.append(part_logits)
        loss += part_loss.detach().double().item()
    return logits, loss


def named(case: Case, model, of, adapter: str = "default") -> dict[str, torch.Tensor]:
    """of(parameter) for everything trainable, under the names of adapter_model.safetensors or model.safetensors."""
    values = {name: of(p).detach().clone() for name, p in model.named_parameters() if p.requires_grad}
    if case.lora is None:
        return values
    return get_peft_model_state_dict(model, state_dict=values, adapter_name=adapter, save_embedding_layers=False)


def switch(case: Case, model, batches) -> dict:
    """What the second adapter computes on a model that has two, and the model without either."""
    model.set_adapter("second")
    logits, loss = window(model, batches)
    result = {"logits": logits, "loss": loss, "grad": named(case, model, lambda p: p.grad, "second")}
    with torch.no_grad(), model.disable_adapter():
        result["base"] = [forward(model, batch, 1)[0] for batch in batches]
    return result


def check_switch(case: Case, folder: Path, batches, switched: dict):
    """The same in float64, and what cannot be otherwise: the three ways to compute differ."""
    exact = switch(case, load(case, folder, torch.float64), batches)
    for kind in ("logits", "base"):
        assert max(distance(a, b) for a, b in zip(switched[kind], exact[kind])) < NOISE_LIMITS["logits"]
    assert max(distance(value, exact["grad"][name]) for name, value in switched["grad"].items()) < NOISE_LIMITS["grad"]
    assert distance(switched["logits"][0], switched["base"][0]) > 0.01


def train(case: Case, model, batches) -> dict:
    """Logits, loss and gradients at the start, then STEPS AdamW steps on the same window."""
    options = dict(case.optimizer, betas=tuple(case.optimizer["betas"]))
    optimizer = AdamW([p for p in model.parameters() if p.requires_grad], **options)
    result = {"losses": []}
    for step in range(STEPS):
        optimizer.zero_grad()
        logits, loss = window(model, batches)
        if step == 0:
            result |= {"logits": logits, "loss": loss, "grad": named(case, model, lambda p: p.grad)}
        result["losses"].append(loss)
        optimizer.step()
    result["step5"] = named(case, model, lambda p: p)
    return result


def generate(model, prompt: list[int]) -> tuple[list[int], float]:
    """Greedy continuation that never stops early, and the smallest lead of a chosen token over the runner-up."""
    model.generation_config.eos_token_id = None
    out = model.generate(
        input_ids=torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=NEW_TOKENS,
        do_sample=False,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
    )
    leads = [(top := score[0].topk(2).values)[0] - top[1] for score in out.scores]
    return out.sequences[0, len(prompt) :].tolist(), float(min(leads))


def robust_generation(model, vocab_size: int) -> dict:
    """The first random prompt whose greedy choices are all clear and not always the same token."""
    for _ in range(100):
        prompt = torch.randint(3, vocab_size, (6,)).tolist()
        ids, margin = generate(model, prompt)
        if margin > SMALLEST_MARGIN and len(set(ids)) >= DISTINCT_TOKENS:
            return {"prompt": prompt, "ids": ids, "smallest_margin": margin}
    raise RuntimeError("no prompt with clear greedy choices")


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Largest difference, relative to the largest value of b."""
    return float((a.double() - b.double()).abs().max() / b.double().abs().max())


def noise(case: Case, folder: Path, batches, run: dict) -> dict[str, float] | None:
    """How far PyTorch's float32 run lies from its float64 run (norms, softmax and rotary angles stay float32 there).
    None with left padding: the float64 mask overflows in the float32 softmax, and NaN spreads from the padding."""
    if any(batch.padding == "left" for batch in case.batches):
        return None
    exact = train(case, load(case, folder, torch.float64), batches)
    far = {
        "logits": max(distance(a, b) for a, b in zip(run["logits"], exact["logits"])),
        "loss": abs(run["loss"] - exact["loss"]) / exact["loss"],
    }
    for kind in ("grad", "step5"):
        far[kind] = max(distance(run[kind][name], exact[kind][name]) for name in run[kind])
    for kind, limit in NOISE_LIMITS.items():
        assert far[kind] < limit, f"{case.name}: float32 noise of {kind} is {far[kind]:.2e}, above {limit}"
    return far


# ---- files ----


def read_json(path: Path):
    return json.loads(path.read_text())


def write_json(path: Path, value):
    path.write_text(json.dumps(value, indent=2) + "\n")


def batch_tensors(batches, logits, bf16_logits) -> dict[str, torch.Tensor]:
    tensors = {}
    for index, batch in enumerate(batches):
        prefix = f"micro{index}." if len(batches) > 1 else ""
        tensors |= {prefix + name: value if value.is_floating_point() else value.int() for name, value in batch.items()}
        tensors[f"{prefix}logits"] = logits[index]
        tensors[f"{prefix}bf16.logits"] = bf16_logits[index].float()
    return tensors


def write_case(case: Case):
    folder = ROOT / "cases" / case.name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    torch.manual_seed(sum(case.name.encode()))

    model = build_model(case)
    save_model(case, model, folder)
    if case.lora is not None:
        save_adapter(case, model.float(), folder / "adapter", case.lora)
    if case.second is not None:
        base = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        save_adapter(case, base, folder / SECOND, case.second)
    vocab_size = case.config["vocab_size"]
    batches = [make_batch(batch, vocab_size) for batch in case.batches]
    items = sum(supervised(batch) for batch in batches)

    model = load(case, folder, torch.float32)
    generation = robust_generation(model, vocab_size)
    run = train(case, model, batches)
    far = noise(case, folder, batches, run)
    with torch.no_grad():
        if case.legacy:
            legacy_logits, _ = forward(load(case, folder, torch.float32, "config.legacy.json"), batches[0], sum(map(counted, batches)))
            assert torch.equal(legacy_logits, run["logits"][0]), f"{case.name}: config.legacy.json gives another model"
        bf16 = [forward(load(case, folder, torch.bfloat16), batch, sum(map(counted, batches))) for batch in batches]
    bf16_loss = sum(loss.item() for _, loss in bf16)

    tensors = batch_tensors(batches, run["logits"], [logits for logits, _ in bf16])
    tensors["loss"] = torch.tensor([run["loss"]], dtype=torch.float32)
    tensors["bf16.loss"] = torch.tensor([bf16_loss], dtype=torch.float32)
    tensors["losses"] = torch.tensor(run["losses"], dtype=torch.float32)
    tensors["generation.prompt"] = torch.tensor(generation["prompt"], dtype=torch.int32)
    tensors["generation.ids"] = torch.tensor(generation["ids"], dtype=torch.int32)
    for kind in ("grad", "step5"):
        tensors |= {f"{kind}.{name}": value for name, value in run[kind].items()}
    if case.second is not None:
        switched = switch(case, load(case, folder, torch.float32), batches)
        check_switch(case, folder, batches, switched)
        tensors |= {"second.logits": switched["logits"][0], "base.logits": switched["base"][0]}
        tensors["second.loss"] = torch.tensor([switched["loss"]], dtype=torch.float32)
        tensors |= {f"second.grad.{name}": value for name, value in switched["grad"].items()}
    if case.nf4 and case.prequantized is None:
        tensors |= state_tensors(load_quantized(folder, torch.float32, False))
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / "golden.safetensors")
    write_json(folder / "case.json", describe(case, run, bf16_loss, items, generation, far))


def describe(case: Case, run: dict, bf16_loss: float, items: int, generation: dict, far: dict | None) -> dict:
    return {
        "name": case.name,
        "focus": case.focus,
        "model_type": case.config["model_type"],
        "method": "full" if case.lora is None else "lora",
        "lora": case.lora,
        **({"second": case.second} if case.second is not None else {}),
        "file_dtype": case.file_dtype,
        **({"quantization": "nf4" if case.prequantized is None else "file"} if case.nf4 else {}),
        "shards": case.shards,
        "has_legacy_config": case.legacy,
        "published_names": case.published_names,
        "micro_batches": len(case.batches),
        "supervised_tokens": items,
        "trainable_parameters": sum(value.numel() for value in run["grad"].values()),
        "optimizer": dict(case.optimizer, steps=STEPS),
        "loss": run["loss"],
        "losses": run["losses"],
        "bf16_loss": bf16_loss,
        "generation": generation,
        "noise": far,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__, "peft": peft.__version__} | ({"bitsandbytes": bitsandbytes.__version__} if case.nf4 else {}),
    }


# ---- learning-rate schedules ----


def learning_rates(name: str, lr: float, warmup: int, total: int) -> list[float]:
    """The rate that each of the `total` optimizer steps uses."""
    optimizer = AdamW([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=warmup, num_training_steps=total)
    rates = []
    for _ in range(total):
        rates.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return rates


def write_schedules():
    rows = []
    for name in ("cosine", "linear", "constant", "constant_with_warmup"):
        for lr, warmup, total in ((2e-4, 0, 10), (2e-4, 2, 37), (1e-3, 5, 23), (3e-5, 1, 1), (1e-3, 7, 5)):
            rates = learning_rates(name, lr, warmup, total)
            rows.append({"lr_scheduler_type": name, "learning_rate": lr, "warmup_steps": warmup, "total_steps": total, "rates": rates})
    write_json(ROOT / "schedules.json", rows)


def main(names: list[str]):
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    unknown = set(names) - {case.name for case in CASES}
    if unknown:
        sys.exit(f"unknown cases: {', '.join(sorted(unknown))}")
    for case in CASES:
        if not names or case.name in names:
            write_case(case)
            print(case.name, flush=True)
    if not names:
        write_schedules()


if __name__ == "__main__":
    main(sys.argv[1:])
