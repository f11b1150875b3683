"""What the peers share: models of the shapes that lowrank's benchmarks use, filled with random weights, and one JSON line per figure.

    python3 -m venv .venv && .venv/bin/pip install -r bench/peers/requirements.txt
"""

import argparse
import json
import platform
import resource
import statistics
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model, prepare_model_for_kbit_training
from transformers import AutoConfig, AutoModelForCausalLM

ADAPTER_B_STD = 0.01
SEED = 42
SHAPES = json.loads((Path(__file__).parent.parent / "model-shapes.json").read_text())
DTYPES = ("float32", "bfloat16")


def config_of(shape: str):
    return AutoConfig.for_model(**SHAPES[shape])


def random_model(shape: str, dtype: torch.dtype, device: str = "cpu"):
    torch.manual_seed(SEED)
    config = config_of(shape)
    config.use_cache = False
    with torch.device(device):
        return AutoModelForCausalLM.from_config(config, dtype=dtype)


def to_nf4(model, compute_dtype: torch.dtype, device: str = "cpu"):
    """Every linear layer but the head as bitsandbytes' NF4 with double quantisation, as load_in_4bit would make it."""
    import bitsandbytes as bnb

    for name, module in list(model.named_modules()):
        if not isinstance(module, torch.nn.Linear) or name == "lm_head":
            continue
        layer = bnb.nn.Linear4bit(
            module.in_features,
            module.out_features,
            bias=module.bias is not None,
            compute_dtype=compute_dtype,
            compress_statistics=True,
            quant_type="nf4",
            device="meta",
        )
        layer.weight = bnb.nn.Params4bit(module.weight.data, requires_grad=False, compress_statistics=True, quant_type="nf4")
        layer.bias = module.bias
        model.set_submodule(name, layer.to(device))
    model.is_loaded_in_4bit = True
    return model


def add_adapter(model):
    """LoRA r 16, alpha 32 on all linear layers, B not zero, float32 over the base (PEFT's default)."""
    model = get_peft_model(
        model, LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear")
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, ADAPTER_B_STD)
    return model


def build(shape: str, method: str, dtype: torch.dtype, prepare: str = "kbit", device: str = "cpu"):
    model = random_model(shape, dtype, device)
    if method == "qlora":
        model = to_nf4(model, dtype, device)
        if prepare == "kbit":
            model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    return add_adapter(model).train()


def bitsandbytes_cpu_kernel() -> str:
    """Whether the CPU kernel is there that bitsandbytes fetches from a hub. Its log says so too, but peft may have imported it before anyone listens."""
    from bitsandbytes.backends.cpu import ops
    from bitsandbytes.functional import has_avx512bf16

    if not has_avx512bf16():
        return "not loaded: bitsandbytes asks the hub for it only where the processor reports AVX512_BF16"
    return "loaded" if ops.gemm_4bit_forward_kernel else "not loaded: it could not be fetched from the hub"


def options_parser(description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=description, allow_abbrev=False)
    parser.add_argument("--threads", type=int, help="PyTorch's own choice when left out")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    return parser


def use_threads(threads: int | None):
    if threads:
        torch.set_num_threads(threads)


def synchronize(device: str):
    if device != "cpu":
        torch.cuda.synchronize(device)


def about_device(device: str) -> dict:
    """The fields that say where it ran, and of a GPU the most memory that tensors took since the peak was reset."""
    if device == "cpu":
        return {"device": device}
    peak = round(torch.cuda.max_memory_allocated(device) / 2**20)
    return {"device": device, "gpu": torch.cuda.get_device_name(device), "peak_tensor_mib": peak}


def summary(values: list[float]) -> dict[str, float]:
    figures = {"min": min(values), "median": statistics.median(values), "max": max(values)}
    return {name: float(f"{value:.5g}") for name, value in figures.items()}


def peak_rss_mib() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def versions(*modules) -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__, "transformers": transformers.__version__}
    return found | {module.__name__: module.__version__ for module in modules}


def emit(bench: str, **fields):
    fields.setdefault("versions", versions(peft))
    print(json.dumps({"bench": bench, "threads": torch.get_num_threads(), **fields}), flush=True)
