"""Writes event-messages.json: messages of event files as TensorBoard's own protobufs and torch's summaries make them.

Needs test/peers/requirements.txt. Run: python test/trackers/golden/event_messages.py
"""

import json
import os
import tempfile

from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.summary import scalar, text

TIME = 1700000000.25
PARAMETERS = {"learningRate": 2e-4, "lora.bias": "none", "method": "lora", "r": 8, "shuffle": True, "unicode": "Größe 中"}
SCALARS = {"train/loss": 1.25, "train/grad_norm": float("inf"), "eval/loss": 1e-30, "train/num_input_tokens_seen": 16777217}


def hexed(message):
    return message.SerializeToString(deterministic=True).hex()


def record(data):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "file")
        with open(path, "wb") as file:
            RecordWriter(file).write(data)
        with open(path, "rb") as file:
            return file.read().hex()


def hparams(**content):
    return metadata.create_summary_metadata(HParamsPluginData(**content))



def session_start(name, value):
    start = SessionStartInfo(start_time_secs=TIME)
    field = "bool_value" if isinstance(value, bool) else "string_value" if isinstance(value, str) else "number_value"
    setattr(start.hparams[name], field, value)
    values = [Summary.Value(tag=metadata.SESSION_START_INFO_TAG, metadata=hparams(session_start_info=start))]
    return hexed(Event(wall_time=TIME, step=1, summary=Summary(value=values)))


end = SessionEndInfo(status=Status.STATUS_SUCCESS, end_time_secs=TIME)
values = [value for name, number in SCALARS.items() for value in scalar(name, number).value]
wide = Event(wall_time=TIME, step=300, summary=Summary(value=values))

golden = {
    "time": TIME,
    "parameters": PARAMETERS,
    "version": hexed(Event(wall_time=TIME, step=5, file_version="brain.Event:2")),
    "restart": hexed(Event(wall_time=TIME, step=5, session_log=SessionLog(status=SessionLog.START))),
    "scalars": hexed(wide),
    "text": hexed(Event(wall_time=TIME, step=7, summary=text("args", "# Größe\n| a | b |"))),
    "sessionStart": {name: session_start(name, value) for name, value in PARAMETERS.items()},
    "sessionEnd": hexed(
        Event(
            wall_time=TIME,
            step=1,
            summary=Summary(value=[Summary.Value(tag=metadata.SESSION_END_INFO_TAG, metadata=hparams(session_end_info=end))]),
        )
    ),
    "record": record(wide.SerializeToString()),
}
with open(os.path.join(os.path.dirname(__file__), "event-messages.json"), "w") as file:
    json.dump(golden, file, indent=2, ensure_ascii=False)
    file.write("\n")
