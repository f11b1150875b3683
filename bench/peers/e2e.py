"""The run of `npm run bench -- e2e` as a TRL SFTTrainer script: the same model directory and data file, timed from the start of this process.

    .venv/bin/python bench/peers/e2e.py --work FOLDER

FOLDER holds model/ and data.jsonl, as `npm run bench -- e2e --work FOLDER` writes them.
"""

import os
import time


def process_age() -> float:
    """Seconds since this process was started, interpreter and imports included; good to 10 ms."""
    with open("/proc/self/stat") as stat, open("/proc/uptime") as uptime:
        started = int(stat.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return float(uptime.read().split()[0]) - started


AGE_AT_IMPORT, CLOCK_AT_IMPORT = process_age(), time.perf_counter()


def seconds() -> float:
    return AGE_AT_IMPORT + time.perf_counter() - CLOCK_AT_IMPORT


import peft  # noqa: E402
import torch  # noqa: E402
import trl  # noqa: E402
from common import DTYPES, bitsandbytes_cpu_kernel, emit, options_parser, peak_rss_mib, summary, use_threads, versions  # noqa: E402
from datasets import load_dataset  # noqa: E402
from peft import LoraConfig  # noqa: E402
from transformers import BitsAndBytesConfig, TrainerCallback  # noqa: E402
from trl import SFTConfig, SFTTrainer  # noqa: E402


class Stopwatch(TrainerCallback):
    def __init__(self):
        self.steps = []

    def on_step_end(self, args, state, control, **kwargs):
        self.steps.append(seconds())


def parse_options():
    parser = options_parser("a TRL run from process start, as one JSON line")
    parser.add_argument("--work", required=True)
    parser.add_argument("--model-shape", default="", help="repeated in the result; the model is the one in --work")
    parser.add_argument("--method", choices=["lora", "qlora"], default="lora")
    parser.add_argument("--dtype", choices=DTYPES, default="bfloat16")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--seq", type=int, default=128)
    parser.add_argument("--peer-dtype", choices=DTYPES)
    return parser.parse_args()


def main():
    options = parse_options()
    use_threads(options.threads)
    dtype = options.peer_dtype or options.dtype
    init = {"dtype": dtype}
    if options.method == "qlora":
        init["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=getattr(torch, dtype),
        )
    stopwatch = Stopwatch()
    trainer = SFTTrainer(
        model=os.path.join(options.work, "model"),
        args=SFTConfig(
            output_dir=os.path.join(options.work, "trl"),
            model_init_kwargs=init,
            max_steps=options.steps,
            per_device_train_batch_size=options.batch,
            gradient_accumulation_steps=1,
            gradient_checkpointing=False,
            learning_rate=2e-4,
            lr_scheduler_type="cosine",
            max_length=options.seq,
            bf16=False,  # the base is in its dtype already; autocast would only add casts
            use_cpu=True,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
        ),
        train_dataset=load_dataset(
            "json",
            data_files=os.path.join(options.work, "data.jsonl"),
            split="train",
            cache_dir=os.path.join(options.work, "cache"),
        ),
        peft_config=LoraConfig(task_type="CAUSAL_LM", r=16, lora_alpha=32, lora_dropout=0.0, target_modules="all-linear"),
        callbacks=[stopwatch],
    )
    trainer.train()
    trainer.save_model(os.path.join(options.work, "trl", "adapter"))
    modules, quantised = [peft, trl], {}
    if options.method == "qlora":
        import bitsandbytes

        modules.append(bitsandbytes)
        quantised["bitsandbytes_cpu_kernel"] = bitsandbytes_cpu_kernel()
    emit(
        "e2e",
        model_shape=options.model_shape,
        method=options.method,
        dtype=options.dtype,
        peer_dtype=dtype,
        steps=options.steps,
        batch=options.batch,
        seq=options.seq,
        first_step_s=summary(stopwatch.steps[:1]),
        last_step_s=summary(stopwatch.steps[-1:]),
        total_s=summary([seconds()]),
        peak_rss_mib=peak_rss_mib(),
        versions=versions(*modules),
        **quantised,
    )


if __name__ == "__main__":
    main()
