"""Writes gguf/smollm2-training.json.gz: how PEFT trains an adapter on SmolLM2-135M-Instruct from GGUF, in float32, in bfloat16 and on NF4.

    python smollm2_training.py PATH/SmolLM2-135M-Instruct.Q4_1.gguf

Rows are those of examples/quickstart/data (WordNet 3.0, see the README there). The adapter begins with A from `uniform()` and B zero.
"""

import gzip
import json
import math
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from nf4 import dequantized, load_quantized
from peft import LoraConfig, get_peft_model
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).parent
DATA = HERE / "../../examples/quickstart/data"
STEPS, ROWS, HELDOUT, LR = 40, 4, 32, 5e-4
LORA = {"r": 8, "lora_alpha": 16, "target_modules": "all-linear", "lora_dropout": 0.0}


def uniform(index, size, bound):
    """The element i of matrix `index`: a multiplicative hash of 2^20 index + i, in [-bound, bound)."""
    words = (np.arange(size, dtype=np.uint64) + np.uint64(index << 20)) * np.uint64(2654435761) & np.uint64(0xFFFFFFFF)
    return ((words.astype(np.float64) / 2**31 - 1) * bound).astype(np.float32)


def rows(tokenizer, name, count):
    lines = (DATA / name).read_text().splitlines()[:count]
    result = []
    for line in map(json.loads, lines):
        prompt = tokenizer.encode(line["prompt"], add_special_tokens=False)
        completion = tokenizer.encode(line["completion"], add_special_tokens=False) + [tokenizer.eos_token_id]
        result.append({"prompt": prompt, "completion": completion})
    return result


def collate(batch):
    length = max(len(row["prompt"]) + len(row["completion"]) for row in batch)
    ids, mask, labels = [], [], []
    for row in batch:
        own = row["prompt"] + row["completion"]
        pad = length - len(own)
        ids.append(own + [0] * pad)
        mask.append([1] * len(own) + [0] * pad)
        labels.append([-100] * len(row["prompt"]) + row["completion"] + [-100] * pad)
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask), "labels": torch.tensor(labels)}


def heldout_loss(model, data):
    """Mean over all labelled tokens."""
    total = tokens = 0
    with torch.no_grad():
        for start in range(0, len(data), ROWS):
            batch = collate(data[start : start + ROWS])
            count = (batch["labels"][:, 1:] != -100).sum().item()
            total += model(**batch).loss.double().item() * count
            tokens += count
    return total / tokens


def train(model, train_rows, heldout):
    before = heldout_loss(model, heldout)
    model = get_peft_model(model, LoraConfig(**LORA, task_type="CAUSAL_LM"))
    index = 0
    for name, parameter in model.named_parameters():
        if "lora_A" in name:
            values = uniform(index, parameter.numel(), 1 / math.sqrt(parameter.shape[1]))
            parameter.data = torch.from_numpy(values).reshape(parameter.shape)
            index += 1
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert all(parameter.dtype == torch.float32 for parameter in parameters)
    optimizer = torch.optim.AdamW(parameters, lr=LR, weight_decay=0.0)
    losses = []
    for step in range(STEPS):
        loss = model(**collate(train_rows[step * ROWS : (step + 1) * ROWS])).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.double().item())
    return {"losses": losses, "heldout": [before, heldout_loss(model, heldout)]}


def main(path):
    path = Path(path)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    # See gguf_cases.py.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    train_rows, heldout = rows(tokenizer, "train.jsonl", STEPS * ROWS), rows(tokenizer, "heldout.jsonl", HELDOUT)
    runs = {}
    with tempfile.TemporaryDirectory() as directory:
        read = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
        # A model of its own: transformers saves none that it read from GGUF.
        config = read.config
        del config.quantization_config
        base = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        base.load_state_dict(read.state_dict())
        base.tie_weights()
        base.eval()
        base.save_pretrained(directory)
        runs["float32"] = train(base, train_rows, heldout)
        runs["bfloat16"] = train(AutoModelForCausalLM.from_pretrained(directory, dtype=torch.bfloat16), train_rows, heldout)
        # Dense weights with the values that NF4 stands for: training on bitsandbytes' own layers in bfloat16 goes astray on a CPU, its loss rises again.
        dense = dequantized(directory, load_quantized(directory, torch.bfloat16, False))
        runs["nf4"] = train(dense.to(torch.bfloat16).eval(), train_rows, heldout)
    for name, run in runs.items():
        print(name, run["losses"][0], "->", sum(run["losses"][-5:]) / 5, "held out", run["heldout"])
    golden = {"lr": LR, "rowsPerStep": ROWS, "lora": LORA, "train": train_rows, "heldout": heldout, "runs": runs}
    with gzip.GzipFile(HERE / "gguf/smollm2-training.json.gz", "wb", mtime=0) as file:
        file.write(json.dumps(golden, separators=(",", ":")).encode())


if __name__ == "__main__":
    main(sys.argv[1])
