"""What the chat templates are rendered with: 20 conversations, tools, and a template for each feature of the language."""

import json

# Raw JSON, so that numbers and keys reach both sides as a file would bring them.
CONVERSATIONS = {
    "plain": '[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]',
    "system": '[{"role": "system", "content": "Be terse."}, {"role": "user", "content": "2+2?"}, {"role": "assistant", "content": "4"}]',
    "open": '[{"role": "system", "content": "  padded system \\n"}, {"role": "user", "content": "Who?"}]',
    "multi": '[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "user", "content": "c"}, {"role": "assistant", "content": "d"}, {"role": "user", "content": "e"}, {"role": "assistant", "content": "f"}]',
    "code": '[{"role": "user", "content": "Indent it"}, {"role": "assistant", "content": "\\n    def f(x):\\n\\treturn x\\n\\n"}]',
    "blanks": '[{"role": "user", "content": "\\n\\n   lead and trail \\t\\n"}, {"role": "assistant", "content": "   \\n  answer\\n    "}]',
    "unicode": '[{"role": "user", "content": "Gr\u00fc\u00dfe \U0001f600\u00a0\u2028x\u3000"}, {"role": "assistant", "content": "\u00a0\u3000\U0001d54f\ufeff\u0085 e\u0301 \u202e\u200d"}]',
    "crlf": '[{"role": "user", "content": "one\\r\\ntwo\\rthree\\u000bfour\\u001cfive"}, {"role": "assistant", "content": "\\r\\nsix\\r\\n"}]',
    "empty": '[{"role": "system", "content": ""}, {"role": "user", "content": ""}, {"role": "assistant", "content": ""}]',
    "parts": '[{"role": "user", "content": [{"type": "text", "text": "first"}, {"type": "text", "text": " second"}]}, {"role": "assistant", "content": [{"type": "text", "text": "yes"}]}]',
    "image": '[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}, {"role": "assistant", "content": "A cat."}]',
    "reasoning": '[{"role": "user", "content": "Think"}, {"role": "assistant", "reasoning_content": "\\nhm\\n  so", "content": "\\n\\nDone"}, {"role": "user", "content": "Again"}, {"role": "assistant", "content": "<think>\\nshort\\n</think>\\n\\n    Fine"}]',
    "thinking": '[{"role": "system", "content": "S"}, {"role": "user", "content": "U"}, {"role": "assistant", "thinking": "T1", "content": "A1"}]',
    "calls": '[{"role": "user", "content": "Weather?"}, {"role": "assistant", "content": "", "tool_calls": [{"id": "call_001aB", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "K\u00f6ln \\"x\\"", "days": 2.0, "big": 12345678901234567890, "10": 1, "2": [true, null, 1e-7], "nested": {"b": {}, "a": []}}}}]}, {"role": "tool", "tool_call_id": "call_001aB", "name": "get_weather", "content": "{\\"t\\": 7}"}, {"role": "assistant", "content": "7 degrees."}]',
    "call-text": '[{"role": "user", "content": "Sum"}, {"role": "assistant", "tool_calls": [{"type": "function", "id": "123456789", "function": {"name": "add", "arguments": "{\\"a\\": 1, \\"b\\": 2.50}"}}]}, {"role": "tool", "name": "add", "tool_call_id": "123456789", "content": "3.5"}, {"role": "assistant", "content": "3.5"}]',
    "parallel": '[{"role": "system", "content": "Use tools."}, {"role": "user", "content": "Both"}, {"role": "assistant", "content": "On it.", "tool_calls": [{"id": "a23456789", "function": {"name": "f", "arguments": {}}}, {"id": "b23456789", "function": {"name": "g", "arguments": {"x": "<b>&\'"}}}]}, {"role": "tool", "content": "r1", "tool_call_id": "a23456789", "name": "f"}, {"role": "tool", "content": "r2", "tool_call_id": "b23456789", "name": "g"}, {"role": "assistant", "content": "Done"}, {"role": "user", "content": "Thanks"}]',
    "unknown-role": '[{"role": "human", "content": "x"}, {"role": "gpt", "content": "y"}]',
    "developer": '[{"role": "developer", "content": "Dev"}, {"role": "user", "content": "x"}, {"role": "assistant", "content": null, "name": "bot", "weight": 0}]',
    "two-users": '[{"role": "user", "content": "one"}, {"role": "user", "content": "two"}, {"role": "assistant", "content": "three"}, {"role": "assistant", "content": "four"}]',
    "no-user": '[{"role": "assistant", "content": "I begin"}]',
}

TOOLS = '[{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city \\u2014 \\"now\\"", "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "Name"}, "days": {"type": "integer", "default": 1.0, "enum": [1, 2, 3]}, "unit": {"type": ["string", "null"]}}, "required": ["city"]}}}, {"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {}}, "return": {"type": "object"}}}]'

SPECIAL_TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}

# Variables of the snippets, beside the conversation "calls" and TOOLS.
VARIABLES = '''{
 "i": 7, "j": -3, "zero": 0, "big": 123456789012345678901234567890, "f": 2.5, "whole": 2.0, "tiny": 1e-7, "huge": 1e+22, "nz": -0.0,
 "t": true, "n": null, "s": "Hello World", "e": "", "u": "Stra\u00dfe \u01c6x \U0001f600 na\u00efve \u03a3\u0391\u03a3", "sp": " \\t\\n\u00a0x\u3000y\\u001c ",
 "lines": "a\\nb\\r\\nc\\rd\\u000be\\u2028f", "q": "it's \\"q\\" \\\\ \\u0000\\u007f\u00ad\u2028", "num": " 42 ", "hex": "0x1F", "flt": "1_0.5e1",
 "l": [3, 1, 2], "mixed": [1, 1.0, true, "a", null, [1], {"k": 1}], "words": ["b", "A", "c", "a", "B"], "el": [],
 "d": {"b": 1, "A": 2, "10": 3, "2": 4, "items": 5, "x y": null}, "ed": {},
 "rows": [{"n": "x", "g": "B", "v": 1, "o": {"p": [5, 6]}}, {"n": "y", "g": "a", "v": 2.5}, {"n": "z", "g": "b", "v": 3, "o": {"p": []}}],
 "html": "<a href=\\"x\\">T & 'C'</a>  <!-- c -->  z", "long": "The quick brown fox jumps over the lazy dog and runs away"
}'''


def conversation(name):
    return json.loads(CONVERSATIONS[name])
