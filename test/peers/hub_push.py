"""Downloads a repository as huggingface_hub does, pushes a file to it, and says what lies where."""

import hashlib
import json
import sys
from pathlib import Path

from huggingface_hub import HfApi, ModelCard, snapshot_download

repo_id, revision, cache = sys.argv[1:]
directory = Path(snapshot_download(repo_id, revision=revision, cache_dir=cache))
files = {
    str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in directory.rglob("*")
    if path.is_file()
}
info = HfApi().model_info(repo_id, revision=revision)
card = ModelCard.load(directory / "README.md")
json.dump({"files": files, "sha": info.sha, "library": card.data.library_name}, sys.stdout)
