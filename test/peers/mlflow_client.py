"""Tracks a run in a workspace with MLflow's own client, reads it back, and prints what it read as JSON."""

import json

import mlflow

mlflow.set_tracking_uri("databricks")
experiment = mlflow.set_experiment("/Users/someone@example.com/peer")
with mlflow.start_run(run_name="one") as run:
    mlflow.log_params({"lr": 0.1, "r": 8})
    for step in range(5):
        mlflow.log_metric("loss", 1 / (step + 1), step=step)
    mlflow.log_metrics({"a": 1.5, "b": float("nan")}, step=9)
    mlflow.set_tag("kind", "peer")
client = mlflow.MlflowClient()
read = client.get_run(run.info.run_id)
history = client.get_metric_history(run.info.run_id, "loss")
changed = "was taken"
try:
    client.log_param(run.info.run_id, "lr", 0.2)
except mlflow.exceptions.MlflowException as error:
    changed = error.error_code
print(
    json.dumps(
        {
            "experiment": experiment.name,
            "status": read.info.status,
            "name": read.info.run_name,
            "params": read.data.params,
            "metrics": {key: value for key, value in read.data.metrics.items() if key in ("loss", "a")},
            "tag": read.data.tags.get("kind"),
            "history": [[each.step, each.value] for each in history],
            "changed": changed,
        }
    )
)
