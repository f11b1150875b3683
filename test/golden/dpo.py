"""Writes dpo/: five steps of TRL's DPOTrainer on the model and adapter of cases/llama-all-linear.

    pip install trl==1.16.0 datasets==5.2.0
    python dpo.py

The reference is the base model, its adapter disabled. Losses and rewards are TRL's own; gradients are those that its optimizer gets.
"""

import json
import random
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import DPOConfig, DPOTrainer

HERE = Path(__file__).parent
CASE = HERE / "cases/llama-all-linear"
STEPS, ACCUMULATION, PAIRS, MAX_LENGTH, BETA, LR = 5, 2, 2, 18, 0.25, 2e-3
FIGURES = ["rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"]


def tokenizer(size):
    vocab = {"<unk>": 0, "<s>": 1, "</s>": 2, **{f"w{i}": i for i in range(3, size)}}
    words = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="<unk>")


def rows(count, size):
    """Texts of random words; the last answer of each fourth row is longer than MAX_LENGTH leaves room for."""
    draw = random.Random(7)
    words = lambda least, most: " ".join(f"w{draw.randrange(3, size)}" for _ in range(draw.randint(least, most)))
    return [
        {"prompt": words(2, 6), "chosen": " " + words(1, 7), "rejected": " " + (words(14, 17) if row % 4 == 3 else words(1, 7))}
        for row in range(count)
    ]


class Recorder(DPOTrainer):
    """Keeps each micro-batch with its loss and figures."""

    batches = []

    def _get_train_sampler(self, *_):
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def _compute_loss(self, model, inputs, return_outputs):
        loss = super()._compute_loss(model, inputs, return_outputs)
        labels = inputs["input_ids"].masked_fill(inputs["completion_mask"] == 0, -100)
        kept = [mask.bool() for mask in inputs["attention_mask"]]
        self.batches.append(
            {
                "inputIds": [ids[mask].tolist() for ids, mask in zip(inputs["input_ids"], kept, strict=True)],
                "labels": [ids[mask].tolist() for ids, mask in zip(labels, kept, strict=True)],
                "loss": loss.item(),
                "figures": {name: self._metrics["train"][name][-1] for name in FIGURES},
            }
        )
        return loss


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    base = AutoModelForCausalLM.from_pretrained(CASE, dtype=torch.float32, attn_implementation="eager")
    lora = json.loads((CASE / "case.json").read_text())["lora"]
    gradients = {}

    class Gradients(TrainerCallback):
        def on_pre_optimizer_step(self, args, state, control, model=None, **_):
            for name, parameter in model.named_parameters():
                if parameter.requires_grad:
                    plain = name.replace(".default.", ".")
                    gradients[f"step{state.global_step}.{plain}"] = parameter.grad.clone()

    with tempfile.TemporaryDirectory() as folder:
        trainer = Recorder(
            model=base,
            args=DPOConfig(
                output_dir=folder,
                beta=BETA,
                max_length=MAX_LENGTH,
                per_device_train_batch_size=PAIRS,
                gradient_accumulation_steps=ACCUMULATION,
                max_steps=STEPS,
                learning_rate=LR,
                lr_scheduler_type="constant",
                max_grad_norm=0,
                weight_decay=0.0,
                optim="adamw_torch",
                logging_steps=1,
                save_strategy="no",
                report_to=[],
                bf16=False,
                gradient_checkpointing=False,
                disable_dropout=True,
                use_cpu=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=Dataset.from_list(rows(STEPS * ACCUMULATION * PAIRS, base.config.vocab_size)),
            processing_class=tokenizer(base.config.vocab_size),
            peft_config=LoraConfig(task_type="CAUSAL_LM", **lora),
            callbacks=[Gradients()],
        )
        set_peft_model_state_dict(trainer.model, load_file(CASE / "adapter/adapter_model.safetensors"))
        trainer.train()
        last = {f"last.{name}": value.clone() for name, value in get_peft_model_state_dict(trainer.model).items()}
    save_file({**gradients, **last}, HERE / "dpo/dpo.safetensors")
    info = {"beta": BETA, "learningRate": LR, "accumulation": ACCUMULATION, "batches": Recorder.batches}
    (HERE / "dpo/dpo.json").write_text(json.dumps(info, separators=(",", ":")) + "\n")


main()
