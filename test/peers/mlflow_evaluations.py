"""Reads the evaluations of a run back through MLflow's client: points of metrics, tables of answers, files.

Usage: mlflow_evaluations.py SERVER EXPERIMENT. Prints one line of JSON.
"""

import json
import sys

import mlflow

uri, experiment = sys.argv[1:]
mlflow.set_tracking_uri(uri)
client = mlflow.MlflowClient()
experiment_id = client.get_experiment_by_name(experiment).experiment_id
(run,) = client.search_runs([experiment_id])
keys = ["eval_loss", "eval_held_loss", "eval_short_answers_rougeL"]
points = {key: [[point.step, point.value] for point in client.get_metric_history(run.info.run_id, key)] for key in keys}
tables = [entry["path"] for entry in json.loads(run.data.tags["mlflow.loggedArtifacts"])]
print(
    json.dumps(
        {
            "points": points,
            "tables": {path: client.load_table(experiment_id, path, run_ids=[run.info.run_id]).to_dict("records") for path in tables},
            "report": mlflow.artifacts.load_text(f"{run.info.artifact_uri}/report.html"),
        }
    )
)
