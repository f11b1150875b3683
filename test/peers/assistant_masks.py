"""What transformers makes of conversations with the chat templates that TRL ships.

    python test/peers/assistant_masks.py TOKENIZER_JSON < conversations.json

stdin: a list of {"messages": [...], "tools": [...] | null}. stdout: {template name: {"source": ..., "rows": [...]}}, a row being
{"ids": [...], "mask": [...] | null} or {"refused": message}. The mask is that of return_assistant_tokens_mask; null where the template
marks nothing.
"""

import json
import sys
from pathlib import Path

import trl
from transformers import PreTrainedTokenizerFast


def encode(tokenizer: PreTrainedTokenizerFast, source: str, row: dict) -> dict:
    marks = "{% generation" in source or "{%- generation" in source
    try:
        encoded = tokenizer.apply_chat_template(
            row["messages"], tools=row["tools"], chat_template=source, tokenize=True, return_dict=True, return_assistant_tokens_mask=marks
        )
    except Exception as error:  # the template refuses, or fails: both are refusals
        return {"refused": f"{type(error).__name__}: {error}"}
    return {"ids": encoded["input_ids"], "mask": encoded["assistant_masks"] if marks else None}


def main() -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=sys.argv[1], eos_token="<|im_end|>", pad_token="<|endoftext|>")
    rows = json.load(sys.stdin)
    folder = Path(trl.__file__).parent / "chat_templates"
    answer = {}
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text()
        marks = "{% generation" in source or "{%- generation" in source
        answer[path.stem] = {"source": source, "marks": marks, "rows": [encode(tokenizer, source, row) for row in rows]}
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
