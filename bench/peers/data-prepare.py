"""The preparation of `npm run bench -- data-prepare` by TRL's SFTTrainer: the same rows, tokenizers and templates, in one process.

    .venv/bin/python bench/peers/data-prepare.py --work FOLDER

FOLDER holds rows.jsonl and a folder for each tokenizer, as `npm run bench -- data-prepare --work FOLDER` writes them. The model is as small as
transformers makes one: it is never run.
"""

import tempfile
import time
from pathlib import Path

import trl
from common import emit, options_parser, summary, use_threads, versions
from datasets import disable_caching, load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig
from trl import SFTConfig, SFTTrainer

TOKENIZERS = ["gpt2", "llama3", "qwen3"]


def main():
    parser = options_parser("TRL's preparation of chat rows, as JSON lines")
    parser.add_argument("--work", required=True)
    parser.add_argument("--rows", type=int, default=8000)
    options = parser.parse_args()
    use_threads(options.threads)
    disable_caching()
    for name in TOKENIZERS:
        tokenizer = AutoTokenizer.from_pretrained(Path(options.work, name))
        tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
        sizes = dict(hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1, num_key_value_heads=1)
        model = AutoModelForCausalLM.from_config(LlamaConfig(vocab_size=len(tokenizer), **sizes))
        with tempfile.TemporaryDirectory() as folder:
            rows = load_dataset("json", data_files=str(Path(options.work, "rows.jsonl")), split="train", cache_dir=folder)
            config = SFTConfig(
                output_dir=folder, assistant_only_loss=True, max_length=2048, report_to=[], use_cpu=True, bf16=False
            )
            began = time.process_time()
            trainer = SFTTrainer(model=model, args=config, train_dataset=rows, processing_class=tokenizer)
            seconds = time.process_time() - began
            tokens = sum(min(len(ids), 2048) for ids in trainer.train_dataset["input_ids"])
        emit(
            bench="data-prepare",
            versions=versions(trl),
            tokenizer=name,
            rows=options.rows,
            tokens=tokens,
            cpu_s=summary([seconds]),
            tokens_per_cpu_s=summary([tokens / seconds]),
        )


if __name__ == "__main__":
    main()
