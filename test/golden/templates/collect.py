"""Collects chat templates from source packages, for `public.json.gz`.

    python test/golden/templates/collect.py FOLDER

FOLDER holds these source distributions of PyPI, unpacked: transformers 4.41.2, 4.48.3, 4.51.3 and 4.57.1, unsloth 2026.3.4 and
vllm 0.33.0, all of them under the Apache License 2.0. Run generate.py behind it, which renders what was collected.
"""

import ast
import glob
import os
import re
import sys

import generate
from transformers_tests import TEMPLATES


def strings(path):
    """Templates among the constants of a Python file, each with its line."""
    with open(path, encoding="utf-8", errors="replace") as file:
        text = file.read()
    if "{%" not in text and "{{" not in text:
        return
    tree = ast.parse(text)
    bodies = [node.body for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.Module))]
    documents = {id(body[0].value) for body in bodies if body and isinstance(body[0], ast.Expr)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str) or id(node) in documents:
            continue
        if re.search(r"\{[%{]", node.value) and ("message" in node.value or "strftime_now" in node.value):
            yield node.lineno, node.value


def collected(folder):
    sources = {}

    def add(name, source):
        if source not in sources.values():
            sources[name] = source

    for name, source in TEMPLATES.items():
        add(f"transformers/tests/models/{name}", source)
    for package in sorted(os.listdir(folder)):
        root = os.path.join(folder, package)
        for path in sorted(glob.glob(os.path.join(root, "**", "*.py"), recursive=True)):
            inner = os.path.relpath(path, root)
            if package.startswith("transformers") or inner == os.path.join("unsloth", "chat_templates.py"):
                for line, source in strings(path):
                    add(f"{package}/{inner}:{line}", source)
        for path in sorted(glob.glob(os.path.join(root, "**", "*.jinja"), recursive=True)):
            with open(path, encoding="utf-8", newline="") as file:
                add(f"{package}/{os.path.relpath(path, root)}", file.read())
    return sources


if __name__ == "__main__":
    generate.write("public.json.gz", {"sources": collected(sys.argv[1])})
