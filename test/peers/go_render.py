"""Renders templates by Go's own text/template; templates and values are JSON on stdin."""

import json
import sys
import tempfile
from pathlib import Path

import go_template

asked = json.load(sys.stdin)
texts = []
for template, values in asked:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "template"
        path.write_text(template)
        texts.append(go_template.render(path, values).decode())
json.dump(texts, sys.stdout)
