"""The training step of `npm run bench -- step`, done by PyTorch + PEFT: same shapes, same work, same JSON line.

    python3 -m venv .venv && .venv/bin/pip install -r bench/peers/requirements.txt
    .venv/bin/python bench/peers/step.py --model-shape smollm2-135m --method lora --dtype bfloat16 --batch 1 --seq 512

Random weights of the real shape; LoRA r 16, alpha 32 on all linear layers, B not zero, float32 adapters over the base dtype (PEFT's
default). Each step takes new random ids with every position labelled, runs forward, backward and AdamW, and keeps no
activation checkpoints. Attention is transformers' default (scaled_dot_product_attention): the peer should be as fast as it comes.
"""

import argparse
import json
import platform
import resource
import statistics
import time

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

LEARNING_RATE = 2e-4
ADAPTER_B_STD = 0.01
SEED = 42


def smollm2_135m():
    return LlamaConfig(
        vocab_size=49152,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=30,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=8192,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 100000.0},
        tie_word_embeddings=True,
    )


def qwen2_5_0_5b():
    return Qwen2Config(
        vocab_size=151936,
        hidden_size=896,
        intermediate_size=4864,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
        tie_word_embeddings=True,
    )


def llama_3_2_1b():
    return LlamaConfig(
        vocab_size=128256,
        hidden_size=2048,
        intermediate_size=8192,
        num_hidden_layers=16,
        num_attention_heads=32,
        num_key_value_heads=8,
        max_position_embeddings=131072,
        rms_norm_eps=1e-5,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 32.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 8192,
        },
        tie_word_embeddings=True,
    )


def tiny():
    """For a quick look that everything runs; its speed says nothing."""
    return LlamaConfig(
        vocab_size=1003,
        hidden_size=60,
        intermediate_size=100,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=True,
    )


SHAPES = {"smollm2-135m": smollm2_135m, "qwen2.5-0.5b": qwen2_5_0_5b, "llama-3.2-1b": llama_3_2_1b, "tiny": tiny}


def build(shape: str, dtype: torch.dtype):
    config = SHAPES[shape]()
    config.use_cache = False
    model = get_peft_model(
        AutoModelForCausalLM.from_config(config, dtype=dtype),
        LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear"),
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0.0, ADAPTER_B_STD)
    return model.train(), config.vocab_size


def run_step(model, optimizer, ids: torch.Tensor) -> tuple[float, list[float]]:
    """The loss and the seconds of forward, backward and optimizer."""
    times = [time.perf_counter()]
    loss = model(input_ids=ids, labels=ids).loss
    value = loss.item()
    times.append(time.perf_counter())
    loss.backward()
    times.append(time.perf_counter())
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    times.append(time.perf_counter())
    return value, [end - start for start, end in zip(times, times[1:])]


def spread(values: list[float]) -> dict[str, float]:
    return {"min": round(min(values), 2), "median": round(statistics.median(values), 2), "max": round(max(values), 2)}


def parse_options():
    parser = argparse.ArgumentParser(description="one LoRA training step in PyTorch + PEFT, as one JSON line")
    parser.add_argument("--model-shape", choices=SHAPES, required=True)
    parser.add_argument("--method", choices=["lora"], default="lora")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seq", type=int, default=512)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--threads", type=int, help="PyTorch's own choice when left out")
    return parser.parse_args()


def main():
    options = parse_options()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(SEED)
    model, vocab_size = build(options.model_shape, getattr(torch, options.dtype))
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=LEARNING_RATE, weight_decay=0.0)
    losses, parts = [], []
    for _ in range(options.warmup + options.steps):
        ids = torch.randint(0, vocab_size, (options.batch, options.seq))
        loss, seconds = run_step(model, optimizer, ids)
        losses.append(loss)
        parts.append(seconds)
    measured = parts[options.warmup :]
    forward, backward, step = (round(statistics.median(part), 4) for part in zip(*measured))
    tokens = options.batch * options.seq
    print(
        json.dumps(
            {
                "engine": "pytorch+peft",
                "model_shape": options.model_shape,
                "method": options.method,
                "dtype": options.dtype,
                "batch": options.batch,
                "seq": options.seq,
                "warmup": options.warmup,
                "steps": options.steps,
                "threads": torch.get_num_threads(),
                "tokens_per_s": spread([tokens / sum(seconds) for seconds in measured]),
                "forward_s": forward,
                "backward_s": backward,
                "optimizer_s": step,
                "peak_rss_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
                "losses": [round(loss, 6) for loss in losses],
                "trainable_params": sum(parameter.numel() for parameter in trainable),
                "versions": {
                    "python": platform.python_version(),
                    "torch": torch.__version__,
                    "transformers": transformers.__version__,
                    "peft": peft.__version__,
                },
            }
        )
    )


if __name__ == "__main__":
    main()
