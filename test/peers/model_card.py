"""Reads the card of an adapter as huggingface_hub does, has PEFT load and save the adapter beside it, and reads it again."""

import json
import logging
import sys
from pathlib import Path

from huggingface_hub import ModelCard
from huggingface_hub.repocard import REGEX_YAML_BLOCK, metadata_load
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results
from peft import PeftModel
from transformers import AutoModelForCausalLM

model_path, directory = sys.argv[1:]
card_path = Path(directory) / "README.md"
warnings: list[str] = []


class Collect(logging.Handler):
    def emit(self, record):
        warnings.append(record.getMessage())


for name in ("huggingface_hub", "huggingface_hub.repocard", "huggingface_hub.repocard_data"):
    logging.getLogger(name).addHandler(Collect(level=logging.WARNING))


def read():
    card = ModelCard.load(card_path)
    metadata = metadata_load(card_path)
    index_name, results = model_index_to_eval_results(metadata["model-index"])
    again = model_index_to_eval_results(eval_results_to_model_index(index_name, results))[1]
    data = card.data
    return {
        "base_model": data.base_model,
        "library_name": data.library_name,
        "license": data.license,
        "pipeline_tag": data.pipeline_tag,
        "tags": data.tags,
        "model_name": data.model_name,
        "index_name": index_name,
        "same_results": results == data.eval_results == again,
        "results": [
            {
                "task": result.task_type,
                "dataset": result.dataset_name,
                "dataset_type": result.dataset_type,
                "metric": result.metric_type,
                "name": result.metric_name,
                "value": result.metric_value,
                "verified": result.verified,
            }
            for result in data.eval_results
        ],
        "headings": [line for line in card.text.splitlines() if line.startswith("#")],
        "header_ends": REGEX_YAML_BLOCK.search(card.content) is not None,
    }


before = read()
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model_path), directory)
model.save_pretrained(directory)
json.dump({"before": before, "after": read(), "warnings": warnings}, sys.stdout)
