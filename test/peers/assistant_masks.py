"""What transformers makes of conversations with the chat templates that TRL ships.

    python test/peers/assistant_masks.py TOKENIZER_JSON < conversations.json

stdin: a list of {"messages": [...], "tools": [...] | null}. stdout: {template name: {"source": ..., "rows": [...]}}, a row being
{"ids": [...], "mask": [...] | null} or {"refused": message}. The mask is that of return_assistant_tokens_mask; null where the template
marks nothing. Contents are given as strings, or as parts to templates that print nothing of a string.
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


def in_parts(row: dict) -> dict:
    wrap = lambda content: [{"type": "text", "text": content}] if isinstance(content, str) else content
    return {**row, "messages": [{**message, "content": wrap(message.get("content"))} for message in row["messages"]]}


def reads_parts_alone(tokenizer: PreTrainedTokenizerFast, source: str) -> bool:
    probe = {"messages": [{"role": "user", "content": "probe0q"}, {"role": "assistant", "content": "probe1a"}]}

    def prints(row: dict) -> bool:
        try:
            text = tokenizer.apply_chat_template(row["messages"], chat_template=source, tokenize=False)
        except Exception:
            return False
        return "probe0q" in text and "probe1a" in text

    return not prints(probe) and prints(in_parts(probe))


def main() -> None:
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=sys.argv[1], eos_token="<|im_end|>", pad_token="<|endoftext|>")
    rows = json.load(sys.stdin)
    folder = Path(trl.__file__).parent / "chat_templates"
    answer = {}
    for path in sorted(folder.glob("*.jinja")):
        source = path.read_text()
        marks = "{% generation" in source or "{%- generation" in source
        given = [in_parts(row) for row in rows] if reads_parts_alone(tokenizer, source) else rows
        answer[path.stem] = {
            "source": source,
            "marks": marks,
            "inParts": given is not rows,
            "rows": [encode(tokenizer, source, row) for row in given],
        }
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
