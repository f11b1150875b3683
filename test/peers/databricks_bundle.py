"""Reads jobs into the types of databricks-bundles: `{job, wrong}` as JSON on stdin. Prints what the first one became,
and why the second one was refused."""

import json
import sys

from databricks.bundles.jobs import Job

given = json.load(sys.stdin)
loaded = Job.from_dict(given["job"]).as_dict()
try:
    Job.from_dict(given["wrong"])
    refused = "not refused"
except Exception as error:
    refused = f"{type(error).__name__}: {error}"
print(json.dumps({"loaded": loaded, "refused": refused}))
