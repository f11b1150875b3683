"""Reads event files of runs as TensorBoard does: by its own reader, and by what its server tells dashboards.

Usage: tensorboard_read.py LOGDIR. Prints one line of JSON: by run its scalars [step, value] and texts by tag, as the
reader (event_accumulator) and the two servers (in Python, and the fast one) have them, and the hparams dashboard.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.parse
import urllib.request

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

logdir = sys.argv[1]
EVERYTHING = {"scalars": 0, "tensors": 0}
PATIENCE = 120


def runs():
    for directory, _, names in os.walk(logdir):
        if any("tfevents" in name for name in names):
            yield os.path.relpath(directory, logdir)


def read(run):
    events = EventAccumulator(os.path.join(logdir, run), size_guidance=EVERYTHING)
    events.Reload()
    tags = events.Tags()
    texts = events.PluginTagToContent("text") if "text" in events.summary_metadata_plugins() else {}
    return {
        "scalars": {tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in tags["scalars"]},
        "texts": {
            tag: [[event.step, text_of(event)] for event in events.Tensors(tag)] for tag in tags["tensors"] if tag in texts
        },
    }


def text_of(event):
    return tensor_util.make_ndarray(event.tensor_proto)[0].decode()


def plugins(self):
    return list(self._plugin_to_tag_to_content)


EventAccumulator.summary_metadata_plugins = plugins


def served(load_fast):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = os.path.join(os.path.dirname(sys.executable), "tensorboard")
    options = ["--logdir", logdir, "--port", str(port), "--host", "127.0.0.1", f"--load_fast={load_fast}"]
    options += ["--samples_per_plugin", "scalars=100000,text=1000", "--reload_interval", "1"]
    server = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}/data"

    def get(path, body=None):
        request = urllib.request.Request(base + path, data=body and json.dumps(body).encode(), method="POST" if body else "GET")
        if body:
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request) as answer:
            return json.loads(re.sub(rb"\b(NaN|-?Infinity)\b", rb'"\1"', answer.read()))

    try:
        wanted = set(runs())
        end = time.time() + PATIENCE
        while True:
            try:
                if wanted <= set(get("/plugin/scalars/tags")) and "hparams" in get("/plugins_listing"):
                    break
            except OSError:
                pass
            if time.time() > end or server.poll() is not None:
                sys.exit("the server of TensorBoard does not answer")
            time.sleep(0.1)
        scalars = {}
        for run, tags in get("/plugin/scalars/tags").items():
            scalars[run] = {}
            for tag in tags:
                query = urllib.parse.urlencode({"run": run, "tag": tag})
                scalars[run][tag] = [[step, value] for _, step, value in get(f"/plugin/scalars/scalars?{query}")]
        texts = {}
        for run, tags in get("/plugin/text/tags").items():
            texts[run] = {}
            for tag in tags:
                query = urllib.parse.urlencode({"run": run, "tag": tag})
                texts[run][tag] = [[entry["step"], entry["text"]] for entry in get(f"/plugin/text/text?{query}")]
        experiment = get("/plugin/hparams/experiment", {"experimentName": ""})
        wanted = {
            "experimentName": "",
            "allowedStatuses": ["STATUS_UNKNOWN", "STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING"],
            "colParams": [{"metric": metric["name"], "includeInResult": True} for metric in experiment["metricInfos"]]
            + [{"hparam": info["name"], "includeInResult": True} for info in experiment["hparamInfos"]],
            "startIndex": 0,
            "sliceSize": 100,
        }
        groups = get("/plugin/hparams/session_groups", wanted)["sessionGroups"]
        return {"scalars": scalars, "texts": texts, "hparams": groups}
    finally:
        server.terminate()
        server.wait()


print(json.dumps({"read": {run: read(run) for run in runs()}, "served": served("false"), "fast": served("true")}))
