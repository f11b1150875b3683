"""The matrix products of `npm run bench -- gemm` in PyTorch: torch.nn.functional.linear forward, dy @ W for the gradient of x.

    .venv/bin/python bench/peers/gemm.py --model-shape smollm2-135m --product qkv,down --m 512 --dtype float32,bfloat16

A group of projections (q, k, v; gate, up) is one product with their weights stacked, the most that PyTorch could make of it.
"""

import time

import torch
from common import DTYPES, SHAPES, about_device, config_of, emit, options_parser, summary, synchronize, use_threads, versions

NF4 = "nf4"  # has no product of its own here: bitsandbytes multiplies with a matrix that it has made dense


def sizes_of(shape: str, product: str) -> tuple[int, int]:
    """Input and output features."""
    config = config_of(shape)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    queries, keys = config.num_attention_heads * head_dim, config.num_key_value_heads * head_dim
    return {
        "qkv": (config.hidden_size, queries + 2 * keys),
        "o": (queries, config.hidden_size),
        "gate_up": (config.hidden_size, 2 * config.intermediate_size),
        "down": (config.intermediate_size, config.hidden_size),
        "head": (config.hidden_size, config.vocab_size),
    }[product]


def seconds_of(run, seconds: float, device: str) -> float:
    """The time of one run, from as many as fit into `seconds`."""
    start = time.perf_counter()
    run()
    synchronize(device)
    runs = max(1, round(seconds / max(time.perf_counter() - start, 1e-6)))
    start = time.perf_counter()
    for _ in range(runs):
        run()
    synchronize(device)
    return (time.perf_counter() - start) / runs


def measure(direction: str, m: int, k: int, n: int, dtype: torch.dtype, rounds: int, seconds: float, device: str) -> list[float]:
    """GFLOP/s of each round."""
    weight = torch.rand(n, k, device=device).sub_(0.5).mul_(0.1).to(dtype)
    given = torch.rand(m, k if direction == "forward" else n, device=device).to(dtype)
    run = (lambda: torch.nn.functional.linear(given, weight)) if direction == "forward" else (lambda: given @ weight)
    run()
    synchronize(device)
    return [2e-9 * m * k * n / seconds_of(run, seconds, device) for _ in range(rounds)]


def parse_options():
    def texts(text):
        return text.split(",")

    parser = options_parser("matrix products in PyTorch, a JSON line each")
    parser.add_argument("--model-shape", type=texts, default=[name for name in SHAPES if name != "tiny"])
    parser.add_argument("--product", type=texts, default=["qkv", "o", "gate_up", "down", "head"])
    parser.add_argument("--direction", type=texts, default=["forward", "dx"])
    parser.add_argument("--m", type=lambda text: [int(item) for item in text.split(",")], default=[128, 512, 2048])
    parser.add_argument("--dtype", type=texts, default=list(DTYPES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.1)
    return parser.parse_args()


@torch.inference_mode()
def main():
    options = parse_options()
    use_threads(options.threads)
    for shape in options.model_shape:
        for product in options.product:
            k, n = sizes_of(shape, product)
            for direction in options.direction:
                for m in options.m:
                    for dtype in [name for name in options.dtype if name != NF4]:
                        gflops = measure(direction, m, k, n, getattr(torch, dtype), options.rounds, options.seconds, options.device)
                        work = dict(model_shape=shape, product=product, direction=direction, m=m, k=k, n=n, dtype=dtype)
                        emit("gemm", **work, **about_device(options.device), gflops=summary(gflops), versions=versions())


if __name__ == "__main__":
    main()
