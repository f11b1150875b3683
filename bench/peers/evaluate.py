"""The work of `npm run bench -- evaluate` in transformers: same weights, same ids, same JSON lines.

Prompts are sorted by length and padded on the left. Each task is done in every dtype and batch size on the first rows, then on all rows in the
fastest of them. Labels of one token take one forward pass of the prompts, with logits of the last position alone; longer labels are continued from
the prompts' cache.

    .venv/bin/python bench/peers/evaluate.py --work FOLDER
"""

import copy
import json
import time
from pathlib import Path

import torch
from common import DTYPES, about_device, emit, options_parser, peak_rss_mib, summary, synchronize, use_threads, versions
from transformers import AutoModelForCausalLM

TRIED_ROWS = 256


def parse_options():
    parser = options_parser("likelihood of labels and generated answers in transformers, as JSON lines")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--instruction", default="shared")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peer-dtypes", default=",".join(DTYPES))
    parser.add_argument("--peer-batches", default="8,16,32,64,128")
    return parser.parse_args()


def batches(prompts, size, device):
    """Padded on the left, the longest first: [B, T] ids and mask."""
    ordered = sorted(prompts, key=len, reverse=True)
    for first in range(0, len(ordered), size):
        some = ordered[first : first + size]
        width = len(some[0])
        ids = torch.tensor([[0] * (width - len(row)) + row for row in some], device=device)
        mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in some], device=device)
        yield ids, mask


def score_labels(model, contexts, labels, size, device):
    scores = []
    for ids, mask in batches(contexts, size, device):
        positions = (mask.cumsum(-1) - 1).clamp(min=0)
        is_long = any(len(label) > 1 for label in labels)
        out = model(input_ids=ids, attention_mask=mask, position_ids=positions, logits_to_keep=1, use_cache=is_long)
        first = torch.log_softmax(out.logits[:, -1].float(), -1)
        for label in labels:
            total = first[:, label[0]]
            if len(label) > 1:
                rest = torch.tensor([label[:-1]] * len(ids), device=device)
                longer = torch.cat([mask, torch.ones_like(rest)], 1)
                after = model(
                    input_ids=rest,
                    attention_mask=longer,
                    position_ids=positions[:, -1:] + 1 + torch.arange(rest.shape[1], device=device),
                    past_key_values=copy.deepcopy(out.past_key_values),
                )
                log_probs = torch.log_softmax(after.logits.float(), -1)
                total = total + sum(log_probs[:, i, id] for i, id in enumerate(label[1:]))
            scores.append(total)
    synchronize(device)
    return scores


def answer(model, prompts, tokens, size, device):
    for ids, mask in batches(prompts, size, device):
        model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=tokens,
            min_new_tokens=tokens,
            do_sample=False,
            use_cache=True,
            pad_token_id=0,
        )
    synchronize(device)


@torch.inference_mode()
def main():
    options = parse_options()
    use_threads(options.threads)
    device = options.device
    data = json.loads((options.work / "ids.json").read_text())
    models = {}
    for dtype in options.peer_dtypes.split(","):
        models[dtype] = AutoModelForCausalLM.from_pretrained(options.work / "model", dtype=getattr(torch, dtype)).to(device).eval()
        models[dtype].generation_config.eos_token_id = None
    sizes = [int(size) for size in options.peer_batches.split(",")]
    tasks = {
        "likelihood": lambda model, size, rows: score_labels(model, data["contexts"][:rows], data["labels"], size, device),
        "answers": lambda model, size, rows: answer(model, data["prompts"][:rows], options.tokens, size, device),
    }
    for task, run in tasks.items():
        tried = {}
        for dtype, model in models.items():
            for size in sizes:
                run(model, size, size)
                start = time.perf_counter()
                run(model, size, min(options.rows, TRIED_ROWS))
                tried[dtype, size] = time.perf_counter() - start
        dtype, size = min(tried, key=tried.get)
        figures = []
        for _ in range(options.rounds):
            start = time.perf_counter()
            run(models[dtype], size, options.rows)
            figures.append(options.rows / (time.perf_counter() - start))
        emit(
            "evaluate",
            task=task,
            rows=options.rows,
            tokens=options.tokens,
            instruction=options.instruction,
            dtype=dtype,
            batch=size,
            **about_device(device),
            rows_per_s=summary(figures),
            peak_rss_mib=peak_rss_mib(),
            tried=" ".join(f"{d}/{s}:{min(options.rows, TRIED_ROWS) / t:.4g}" for (d, s), t in tried.items()),
            versions=versions(),
        )


if __name__ == "__main__":
    main()
