"""Writes what Python renders: `trl.json.gz`, `public.json.gz` and `named.json.gz` (templates x 20 conversations) and `snippets.json.gz`.

    python test/golden/templates/generate.py

Needs transformers, trl and jinja2 as in requirements.txt. Texts are stored once, and named by their number. The templates of
`public.json.gz` are those that collect.py put there, those of `named.json.gz` are written by named.mjs.
"""

import glob
import gzip
import importlib.metadata
import json
import logging
import os
import random
import warnings

import cases
import oracle
import snippets
import trl

HERE = os.path.dirname(os.path.abspath(__file__))
VERSIONS = {name: importlib.metadata.version(name) for name in ("jinja2", "transformers", "trl")}


class Texts:
    """Numbers for texts; null, a refusal, is number 0."""

    def __init__(self):
        self.numbers = {None: 0}

    def number(self, text):
        return self.numbers.setdefault(text, len(self.numbers))


def write(name, data):
    path = os.path.join(HERE, name)
    with open(path, "wb") as file:
        file.write(gzip.compress(json.dumps(data, ensure_ascii=True, separators=(",", ":")).encode(), 9, mtime=0))
    print(path, os.path.getsize(path))


def trl_sources():
    sources = {}
    for path in sorted(glob.glob(os.path.join(os.path.dirname(trl.__file__), "chat_templates", "*.jinja"))):
        with open(path, encoding="utf-8", newline="") as file:
            sources[os.path.basename(path)] = file.read()
    return sources


def stored_sources(name):
    with gzip.open(os.path.join(HERE, name)) as file:
        return json.load(file)["sources"]


def suite(sources):
    texts, rows = Texts(), []
    for name, source in sources.items():
        for conversation in cases.CONVERSATIONS:
            for with_tools in (False, True):
                for prompt in (False, True):
                    tools = json.loads(cases.TOOLS) if with_tools else None
                    text, spans = oracle.render_chat(source, cases.conversation(conversation), tools, prompt, cases.SPECIAL_TOKENS)
                    spans = [span for span in spans if span[1] > span[0]] if text is not None else []
                    rows.append([texts.number(text), spans])
    return {
        "versions": VERSIONS,
        "conversations": cases.CONVERSATIONS,
        "tools": cases.TOOLS,
        "variables": cases.SPECIAL_TOKENS,
        "sources": sources,
        "texts": list(texts.numbers),
        # For each template, conversation, without and with tools, without and with a generation prompt.
        "rows": rows,
    }


def snippet_suite():
    variables = {**json.loads(cases.VARIABLES), **cases.SPECIAL_TOKENS}
    texts, rows = Texts(), []
    # For `lipsum` and `random`, which are refused here: so that the file stays the same.
    random.seed(1)
    for source in snippets.SNIPPETS:
        text, spans = oracle.render_chat(source, cases.conversation("calls"), json.loads(cases.TOOLS), False, variables)
        # What differs from run to run has to be refused.
        if text is None or oracle.ADDRESS.search(text):
            text, spans = None, []
        rows.append([source, texts.number(text), [span for span in spans if span[1] > span[0]]])
    return {
        "versions": VERSIONS,
        "messages": cases.CONVERSATIONS["calls"],
        "tools": cases.TOOLS,
        "variables": cases.VARIABLES,
        "specialTokens": cases.SPECIAL_TOKENS,
        "texts": list(texts.numbers),
        "rows": rows,
    }


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    write("trl.json.gz", suite(trl_sources()))
    write("public.json.gz", suite(stored_sources("public.json.gz")))
    write("named.json.gz", suite(stored_sources("named.json.gz")))
    write("snippets.json.gz", snippet_suite())
