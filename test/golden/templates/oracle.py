"""Renders templates as transformers does. Gives ("text", spans) or None where Python refuses."""

import datetime
import re

from transformers.utils import chat_template_utils as ctu

# What strftime_now tells: the test uses the same.
NOW = datetime.datetime(2024, 3, 5, 9, 7, 4)


class _Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return NOW


ctu.datetime = _Clock
ADDRESS = re.compile(r"(?:0x[0-9a-f]{6,}|<generator object|<built-in|<bound method|<function )")


def render_chat(source, messages, tools, add_generation_prompt, variables):
    """(text, spans in code points) or (None, error)."""
    try:
        messages = ctu._normalize_chat_messages(messages)
        rendered, spans = ctu.render_jinja_template(
            [messages],
            tools=tools,
            chat_template=source,
            return_assistant_tokens_mask=True,
            add_generation_prompt=add_generation_prompt,
            **variables,
        )
        return rendered[0], [list(span) for span in spans[0]]
    except RecursionError as error:
        return None, repr(error)[:200]
    except Exception as error:
        return None, repr(error)[:200]

