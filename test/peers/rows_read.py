"""Reads metrics.csv and metrics.jsonl of a directory with pandas and Python's csv module. Usage: rows_read.py DIRECTORY

Prints one line of JSON: by reader the rows of log events and evaluations as [event, step, loss, eval_loss].
"""

import csv
import json
import os
import sys

import pandas

directory = sys.argv[1]
COLUMNS = ["event", "step", "loss", "eval_loss"]


def told(frame):
    rows = frame[frame["event"].isin(["log", "evaluate"])][COLUMNS]
    return [[event, int(step), *(None if pandas.isna(value) else value for value in rest)] for event, step, *rest in rows.values]


path = os.path.join(directory, "metrics.csv")
with open(path, newline="") as file:
    plain = [row for row in csv.DictReader(file) if row["event"] in ("log", "evaluate")]
print(
    json.dumps(
        {
            "pandas": told(pandas.read_csv(path, float_precision="round_trip")),
            "csv": [[row["event"], int(row["step"]), *(float(row[name]) if row[name] else None for name in COLUMNS[2:])] for row in plain],
            "jsonl": told(pandas.read_json(os.path.join(directory, "metrics.jsonl"), lines=True, precise_float=True, convert_dates=False)),
        }
    )
)
