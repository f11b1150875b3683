"""Writes row-forms.json: rows as other libraries document them, each with the token ids and labels that it becomes.

    python test/golden/row_forms.py

`by` says where ids and labels come from. "TRL": the preparation of TRL's SFTTrainer. "transformers": apply_chat_template on
messages that stand here by hand, the labels from the marks of the template, or from the length of the prompt. "text": pieces of
text that stand here by hand, encoded as one text, labels by the offsets of their tokens. The tokenizer is that of models/lowrank-base-5m.
"""

import json
import os
import types

from datasets import Dataset
from transformers import AutoTokenizer
from trl import SFTConfig, SFTTrainer

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "..", "..", "models", "lowrank-base-5m")
TEMPLATE = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}{%- if message.role == 'assistant' %}"
    "{%- generation %}{{- message.content + '<|im_end|>' }}{%- endgeneration %}{%- else %}{{- message.content + '<|im_end|>' }}"
    "{%- endif %}{{- '\\n' }}{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
END = "<|endoftext|>"
tokenizer = AutoTokenizer.from_pretrained(MODEL)
tokenizer.chat_template = TEMPLATE


def user(content):
    return {"role": "user", "content": content}


def assistant(content, **more):
    return {"role": "assistant", "content": content, **more}


def system(content):
    return {"role": "system", "content": content}


def by_trl(row, **config):
    """What SFTTrainer makes of the row."""
    args = SFTConfig(
        output_dir="unused", report_to=[], use_cpu=True, bf16=False, max_length=None, shuffle_dataset=False, **config
    )
    completion = config.get("completion_only_loss")
    trainer = types.SimpleNamespace(
        _tokenizer=tokenizer,
        chat_template=TEMPLATE,
        completion_only_loss="prompt" in row if completion is None else completion,
        _is_vlm=False,
    )
    prepared = SFTTrainer._prepare_dataset(trainer, Dataset.from_list([row]), tokenizer, args, False, None, "train")[0]
    return prepared["input_ids"], prepared["labels"]


def by_transformers(messages, last_only=False):
    """What the template makes of the messages; all answers are learnt, or what follows the prompt of the last."""
    if last_only:
        ids = tokenizer.apply_chat_template(messages, return_dict=False)
        prompt = tokenizer.apply_chat_template(messages[:-1], add_generation_prompt=True, return_dict=False)
        assert ids[: len(prompt)] == prompt
        # The line break behind the end of the turn is none that a model generates.
        end = len(ids) - 1
        return ids, [-100] * len(prompt) + ids[len(prompt) : end] + [-100]
    out = tokenizer.apply_chat_template(messages, return_dict=True, return_assistant_tokens_mask=True)
    return out["input_ids"], [i if m else -100 for i, m in zip(out["input_ids"], out["assistant_masks"])]


def by_text(*pieces):
    """Pieces of one text, each learnt or not."""
    text = "".join(piece for piece, _ in pieces)
    out = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    learnt, at = [], 0
    for piece, is_learnt in pieces:
        if is_learnt:
            learnt.append((at, at + len(piece)))
        at += len(piece)
    inside = [any(start < stop and end > begin for begin, stop in learnt) for start, end in out["offset_mapping"]]
    return out["input_ids"], [i if m else -100 for i, m in zip(out["input_ids"], inside)]


CASES = []


def case(library, name, row, by, result, **options):
    ids, labels = result
    CASES.append({"library": library, "name": name, "row": row, "by": by, "options": options, "ids": ids, "labels": labels})


def alpaca(instruction, given, output):
    kind = ", paired with an input that provides further context" if given else ""
    section = f"### Input:\n{given}\n\n" if given else ""
    prompt = (
        f"Below is an instruction that describes a task{kind}. Write a response that appropriately completes the request.\n\n"
        f"### Instruction:\n{instruction}\n\n{section}### Response:"
    )
    return by_text((prompt, False), (output + END, True))


asked = [user("What is a bird?"), assistant("An animal."), user("And a stone?"), assistant("A thing.")]
one = [user("What is a bird?"), assistant("An animal.")]
sharegpt = [{"from": "human", "value": "What is a bird?"}, {"from": "gpt", "value": "An animal."}]

# TRL
case("TRL", "text", {"text": "A bird is an animal."}, "TRL", by_trl({"text": "A bird is an animal."}))
row = {"prompt": "A bird is", "completion": " an animal."}
case("TRL", "prompt and completion", row, "TRL", by_trl(row))
case("TRL", "prompt and completion, all learnt", row, "TRL", by_trl(row, completion_only_loss=False), completionOnlyLoss=False)
row = {"prompt": one[:1], "completion": one[1:]}
case("TRL", "prompt and completion of messages", row, "TRL", by_trl(row, assistant_only_loss=True))
case("TRL", "messages", {"messages": asked}, "TRL", by_trl({"messages": asked}, assistant_only_loss=True))
case("TRL", "messages, all learnt", {"messages": asked}, "TRL", by_trl({"messages": asked}), assistantOnlyLoss=False)
# TRL renames the keys alone, not the roles.
row = {"conversations": [{"from": m["role"], "value": m["content"]} for m in one]}
case("TRL", "conversations of from and value", row, "TRL", by_trl(row, assistant_only_loss=True))
row = {"input_ids": [40, 41, 42, 43], "completion_mask": [0, 0, 1, 1]}
case("TRL", "token ids with a mask of the completion", row, "TRL", by_trl(row, completion_only_loss=True))
row = {"input_ids": [40, 41, 42, 43], "assistant_masks": [0, 1, 0, 1]}
case("TRL", "token ids with a mask of the assistant", row, "TRL", by_trl(row, assistant_only_loss=True))
row = {"input_ids": [40, 41, 42, 43], "labels": [-100, 41, 42, -100]}
case("TRL", "token ids with labels", row, "TRL", by_trl(row))

# OpenAI
row = {"messages": [asked[0], {**asked[1], "weight": 0}, asked[2], {**asked[3], "weight": 1}], "parallel_tool_calls": True}
ids, labels = by_transformers(asked)
only_last = by_transformers(asked[:3] + [asked[3]], last_only=True)
case("OpenAI", "messages with weights", row, "transformers", (ids, only_last[1]))
row = {"messages": [{"role": m["role"], "content": [{"type": "text", "text": m["content"]}]} for m in one]}
case("OpenAI", "content in parts", row, "transformers", by_transformers(one))

# mlx-lm
case("mlx-lm", "chat, mask_prompt", {"messages": asked}, "transformers", by_transformers(asked, last_only=True), trainOnTurns="last")
row = {"prompt": "What is a bird?", "completion": "An animal."}
case("mlx-lm", "completions", row, "transformers", by_transformers(one, last_only=True), columns={"question": "prompt", "answer": "completion"})
case("mlx-lm", "text", {"text": "A bird"}, "text", by_text(("A bird" + END, True)))

# LLaMA-Factory
row = {"instruction": "Name it.", "input": "a bird", "output": "Bird", "system": "Be brief.", "history": [["Hi", "Hello"]]}
joined = [system("Be brief."), user("Hi"), assistant("Hello"), user("Name it.\na bird"), assistant("Bird")]
case("LLaMA-Factory", "Alpaca with system and history", row, "transformers", by_transformers(joined))
case("LLaMA-Factory", "Alpaca, mask_history", row, "transformers", by_transformers(joined, last_only=True), trainOnTurns="last")
row = {"instruction": "Name it.", "input": "a bird", "output": "Bird"}
case("LLaMA-Factory", "Alpaca by the chat template", row, "transformers", by_transformers([user("Name it.\na bird"), assistant("Bird")]), rowForm="alpacaMessages")
row = {"conversations": sharegpt, "system": "Be brief.", "tools": "[]"}
case("LLaMA-Factory", "ShareGPT", row, "transformers", by_transformers([system("Be brief.")] + one))
case("LLaMA-Factory", "OpenAI", {"messages": one}, "transformers", by_transformers(one))

# Axolotl
case("Axolotl", "completion", {"text": "A bird"}, "text", by_text(("A bird" + END, True)))
case("Axolotl", "alpaca", {"instruction": "Name it.", "input": "a bird", "output": "Bird"}, "text", alpaca("Name it.", "a bird", "Bird"))
case("Axolotl", "gpteacher", {"instruction": "Name it.", "input": "", "response": "Bird"}, "text", alpaca("Name it.", "", "Bird"))
case("Axolotl", "oasst", {"INSTRUCTION": "Name it.", "RESPONSE": "Bird"}, "text", alpaca("Name it.", "", "Bird"))
row = {"instruction": "Name it.", "output": "Brid", "reflection": "A letter is wrong.", "corrected": "Bird"}
case("Axolotl", "reflection", row, "text", alpaca("Name it.", "", "Brid\n\nA letter is wrong.\n\nBird"), rowForm="reflection")
row = {"segments": [{"label": False, "text": "Q: What is a bird?\nA:"}, {"label": True, "text": " An animal." + END}]}
case("Axolotl", "input_output", row, "text", by_text(("Q: What is a bird?\nA:", False), (" An animal." + END, True)))
row = {"messages": [asked[0], {**asked[1], "train": False}, asked[2], {**asked[3], "train": True}]}
case("Axolotl", "chat_template, train", row, "transformers", (ids, only_last[1]))
detail = [{"begin_offset": 0, "end_offset": 2, "train": True}, {"begin_offset": 3, "end_offset": 10, "train": False}]
row = {"messages": [user("Count"), assistant("one\ntwo three", train_detail=detail)]}
pieces = ("<|im_start|>user\nCount<|im_end|>\n<|im_start|>assistant\n", False), ("one", True), ("\ntwo three", False), ("<|im_end|>", True), ("\n", False)
case("Axolotl", "chat_template, train_detail", row, "text", by_text(*pieces))
case("Axolotl", "jeopardy", {"question": "It flies.", "category": "Animals", "answer": "A bird"}, "transformers", by_transformers([user("It flies.\nAnimals"), assistant("A bird")]))
case("Axolotl", "summarizetldr", {"article": "A bird flew.", "summary": "Bird."}, "transformers", by_transformers([user("A bird flew."), assistant("Bird.")]))
case("Axolotl", "alpaca_chat.load_qa", {"question": "What is a bird?", "answer": "An animal."}, "transformers", by_transformers(one))
case("Axolotl", "context_qa", {"context": "Birds fly.", "question": "Who?", "answer": "Birds"}, "transformers", by_transformers([user("Who?\nBirds fly."), assistant("Birds")]))
case("Axolotl", "context_qa, article", {"article": "Birds fly.", "question": "Who?", "answer": "Birds"}, "transformers", by_transformers([user("Who?\nBirds fly."), assistant("Birds")]))
case("Axolotl", "camel_ai", {"message_1": "What is a bird?", "message_2": "An animal."}, "transformers", by_transformers(one))
row = {"system_prompt": "Be brief.", "question": "What is a bird?", "response": "An animal."}
case("Axolotl", "open_orca", row, "transformers", by_transformers([system("Be brief.")] + one))
case("Axolotl", "metharme", {"prompt": "A bird is", "generation": " an animal."}, "text", by_text(("A bird is", False), (" an animal." + END, True)))

# Vertex, Databricks
row = {
    "systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]},
    "contents": [{"role": "user", "parts": [{"text": "What is a bird?"}]}, {"role": "model", "parts": [{"text": "An animal."}]}],
}
case("Vertex", "contents", row, "transformers", by_transformers([system("Be brief.")] + one))
row = {"instruction": "Name it.", "context": "a bird", "response": "Bird", "category": "naming"}
case("Databricks", "Dolly's instruction, context and response", row, "text", alpaca("Name it.", "a bird", "Bird"))

if __name__ == "__main__":
    with open(os.path.join(HERE, "row-forms.json"), "w") as file:
        lines = ",\n".join(json.dumps(each) for each in CASES)
        file.write(json.dumps({"template": TEMPLATE})[:-1] + ', "cases": [\n' + lines + "\n]}\n")
    print(len(CASES))
