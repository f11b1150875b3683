"""Reads a run back through MLflow's own client, as JSON."""

import json
import os
import sys

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts

uri, name, folder = sys.argv[1:]
client = MlflowClient(uri)
experiment = client.get_experiment_by_name(name)
[run] = client.search_runs([experiment.experiment_id])
run_id = run.info.run_id
history = {key: [m.step for m in client.get_metric_history(run_id, key)] for key in run.data.metrics}
[model] = client.search_logged_models([experiment.experiment_id])
path = download_artifacts(artifact_uri=model.artifact_location, dst_path=folder, tracking_uri=uri)
print(
    json.dumps(
        {
            "experiment": experiment.experiment_id,
            "run": run_id,
            "status": run.info.status,
            "name": run.info.run_name,
            "params": run.data.params,
            "tags": run.data.tags,
            "history": history,
            "inputs": [[i.dataset.name, i.dataset.digest, {t.key: t.value for t in i.tags}["mlflow.data.context"]] for i in run.inputs.dataset_inputs],
            "outputs": [output.model_id for output in run.outputs.model_outputs],
            "artifacts": sorted(file.path for file in client.list_artifacts(run_id)),
            "model": {"id": model.model_id, "status": str(model.status), "files": sorted(os.listdir(path))},
            "folder": path,
        }
    )
)
