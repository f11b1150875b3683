"""Greedy generation of `npm run bench -- generate` in transformers, with its key/value cache: same shapes, same work, same JSON line.

    .venv/bin/python bench/peers/generate.py --model-shape smollm2-135m --dtype bfloat16 --prompt 512 --tokens 64
"""

import time

import peft
import torch
from common import (
    DTYPES,
    SHAPES,
    about_device,
    add_adapter,
    emit,
    options_parser,
    peak_rss_mib,
    random_model,
    summary,
    to_nf4,
    use_threads,
    versions,
)
from transformers.generation.streamers import BaseStreamer


class Stopwatch(BaseStreamer):
    """When each token came. The prompt comes first, before anything is computed."""

    def __init__(self):
        self.times = []

    def put(self, value):
        self.times.append(time.perf_counter())

    def end(self):
        pass


def parse_options():
    parser = options_parser("greedy generation in transformers, as one JSON line")
    parser.add_argument("--model-shape", choices=SHAPES, required=True)
    parser.add_argument("--dtype", choices=[*DTYPES, "nf4"], default="bfloat16")
    parser.add_argument("--adapter", action="store_true")
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-dtype", choices=DTYPES)
    parser.add_argument("--peer-compile", action="store_true")
    return parser.parse_args()


@torch.inference_mode()
def main():
    options = parse_options()
    use_threads(options.threads)
    dtype = options.peer_dtype or ("float32" if options.dtype == "float32" else "bfloat16")
    model = random_model(options.model_shape, getattr(torch, dtype), options.device)
    modules = [peft]
    if options.dtype == "nf4":
        import bitsandbytes

        modules.append(bitsandbytes)
        model = to_nf4(model, getattr(torch, dtype), options.device)
    if options.adapter:
        model = add_adapter(model)
    model.eval()
    model.generation_config.eos_token_id = None
    settings = {"cache_implementation": "static"} if options.peer_compile else {}
    ids = torch.randint(0, SHAPES[options.model_shape]["vocab_size"], (1, options.prompt)).to(options.device)
    prefill, decode = [], []
    for _ in range(options.rounds + 1):
        stopwatch = Stopwatch()
        model.generate(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=options.tokens + 1,
            do_sample=False,
            use_cache=True,
            pad_token_id=0,
            streamer=stopwatch,
            **settings,
        )
        start, first, *_, last = stopwatch.times
        prefill.append(options.prompt / (first - start))
        decode.append(options.tokens / (last - first))
    emit(
        "generate",
        model_shape=options.model_shape,
        dtype=options.dtype,
        peer_dtype=dtype,
        peer_compile=options.peer_compile,
        adapter=options.adapter,
        **about_device(options.device),
        prompt=options.prompt,
        tokens=options.tokens,
        prefill_tokens_per_s=summary(prefill[1:]),
        decode_tokens_per_s=summary(decode[1:]),
        peak_rss_mib=peak_rss_mib(),
        versions=versions(*modules),
    )


if __name__ == "__main__":
    main()
