"""The training step of `npm run bench -- step`, done by PyTorch + PEFT (+ bitsandbytes): same shapes, same work, same JSON line.

    .venv/bin/python bench/peers/step.py --model-shape smollm2-135m --method lora --dtype bfloat16 --batch 1 --seq 512

Each step takes new random ids, runs forward, backward and AdamW. Attention is transformers' default (scaled_dot_product_attention):
the peer should be as fast as it comes, and --peer-compile and --peer-dtype let it be faster.
"""

import time

import peft
import torch
from common import (
    DTYPES,
    SHAPES,
    about_device,
    bitsandbytes_cpu_kernel,
    build,
    emit,
    options_parser,
    peak_rss_mib,
    summary,
    synchronize,
    use_threads,
    versions,
)

LEARNING_RATE = 1e-4
IGNORE_INDEX = -100


def run_step(model, optimizer, ids: torch.Tensor, labels: torch.Tensor) -> tuple[float, list[float]]:
    """The loss and the seconds of forward, backward and optimizer."""
    times = [time.perf_counter()]
    loss = model(input_ids=ids, labels=labels).loss
    value = loss.item()
    times.append(time.perf_counter())
    loss.backward()
    synchronize(str(ids.device))
    times.append(time.perf_counter())
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    synchronize(str(ids.device))
    times.append(time.perf_counter())
    return value, [end - start for start, end in zip(times, times[1:])]


def parse_options():
    parser = options_parser("one LoRA training step in PyTorch + PEFT, as one JSON line")
    parser.add_argument("--model-shape", choices=SHAPES, required=True)
    parser.add_argument("--method", choices=["lora", "qlora"], default="lora")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--seq", type=int, default=512)
    parser.add_argument("--labelled", type=float, default=1)
    parser.add_argument("--gradient-checkpointing", action="store_true")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--peer-dtype", choices=DTYPES)
    parser.add_argument("--peer-prepare", choices=["kbit", "none"], default="kbit")
    parser.add_argument("--peer-compile", action="store_true")
    return parser.parse_args()


def main():
    options = parse_options()
    use_threads(options.threads)
    dtype = options.peer_dtype or options.dtype
    model = build(options.model_shape, options.method, getattr(torch, dtype), options.peer_prepare, options.device)
    if options.gradient_checkpointing:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=LEARNING_RATE, weight_decay=0.0)
    run = torch.compile(model) if options.peer_compile else model
    vocab_size = SHAPES[options.model_shape]["vocab_size"]
    prompt = round(options.seq * (1 - options.labelled))
    losses, parts = [], []
    if options.device != "cpu":
        torch.cuda.reset_peak_memory_stats(options.device)
    for _ in range(options.warmup + options.steps):
        ids = torch.randint(0, vocab_size, (options.batch, options.seq)).to(options.device)
        labels = ids.clone()
        labels[:, :prompt] = IGNORE_INDEX
        loss, seconds = run_step(run, optimizer, ids, labels)
        losses.append(round(loss, 6))
        parts.append(seconds)
    measured = parts[options.warmup :]
    forward, backward, update = (summary(list(part)) for part in zip(*measured))
    tokens = options.batch * options.seq
    quantised = {}
    if options.method == "qlora":
        import bitsandbytes

        quantised = {
            "peer_prepare": options.peer_prepare,
            **({"bitsandbytes_cpu_kernel": bitsandbytes_cpu_kernel()} if options.device == "cpu" else {}),
            "versions": versions(peft, bitsandbytes),
        }
    emit(
        "step",
        model_shape=options.model_shape,
        method=options.method,
        dtype=options.dtype,
        peer_dtype=dtype,
        peer_compile=options.peer_compile,
        batch=options.batch,
        seq=options.seq,
        labelled=options.labelled,
        gradient_checkpointing=options.gradient_checkpointing,
        **about_device(options.device),
        tokens_per_s=summary([tokens / sum(seconds) for seconds in measured]),
        forward_s=forward,
        backward_s=backward,
        optimizer_s=update,
        peak_rss_mib=peak_rss_mib(),
        losses=losses,
        trainable_params=sum(parameter.numel() for parameter in trainable),
        **quantised,
    )


if __name__ == "__main__":
    main()
