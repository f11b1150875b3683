"""Registers a model with MLflow's own client, reads it back, downloads it, and prints what it saw as JSON.

Arguments: the registry's URI, the model's name, a folder for files. "read" as fourth argument: only reads NAME's alias
or version that follows.
"""

import json
import os
import pathlib
import sys

os.environ["MLFLOW_ENABLE_ASYNC_LOGGING"] = "false"
import mlflow
from mlflow.entities.model_registry import ModelVersionTag
from mlflow.exceptions import MlflowException

registry, name, folder, *rest = sys.argv[1:]
is_open_source = registry.startswith("uc:")
mlflow.set_registry_uri(registry)
if registry.startswith("databricks"):
    mlflow.set_tracking_uri("databricks")
else:
    mlflow.set_tracking_uri(f"sqlite:///{folder}/tracking.db" if is_open_source else registry)
client = mlflow.MlflowClient()


def tree(path):
    root = pathlib.Path(path)
    files = {str(each.relative_to(root)): each.read_bytes().hex() for each in sorted(root.rglob("*")) if each.is_file()}
    # MLflow's client writes down where it has a version from.
    files.pop("registered_model_meta", None)
    return files


def shown(version):
    return {
        "version": int(version.version),
        "status": version.status,
        "source": version.source,
        "run": version.run_id or None,
        "description": version.description or None,
        # Of versions that a search gave, these are methods that fail.
        "tags": {} if callable(version.tags) else dict(version.tags or {}),
        "aliases": [] if callable(version.aliases) else sorted(version.aliases or []),
    }


def refusal(action):
    try:
        action()
        return "done"
    except MlflowException as error:
        return error.error_code


if rest:
    alias = rest[1]
    version = client.get_model_version(name, alias) if alias.isdigit() else client.get_model_version_by_alias(name, alias)
    uri = f"models:/{name}/{version.version}"
    files = tree(mlflow.artifacts.download_artifacts(uri, dst_path=f"{folder}/read"))
    model = mlflow.models.Model.load(f"{folder}/read")
    signature = model.signature.to_dict() if model.signature else None
    print(json.dumps({**shown(version), "files": files, "flavors": sorted(model.flavors), "signature": signature}))
    sys.exit(0)

source = pathlib.Path(folder) / "model"
(source / "peft").mkdir(parents=True)
(source / "MLmodel").write_text(
    """artifact_path: model
flavors:
  python_function:
    loader_module: nothing
model_uuid: 5f0e1a4c2b6d4e0f8a3b9c7d1e2f3a4b
mlflow_version: 3.17.2
utc_time_created: '2026-11-29 00:00:00.000000'
signature:
  inputs: '[{"type": "string", "required": true}]'
  outputs: '[{"type": "string", "required": true}]'
  params: null
"""
)
(source / "peft" / "adapter_config.json").write_text("{}")
(source / "peft" / "weights (1).bin").write_bytes(bytes(range(256)) * 33)
tags = None if is_open_source else {"team": "risk"}
client.create_registered_model(name, tags=tags, description="all of it")
twice = refusal(lambda: client.create_registered_model(name))
store = client._get_registry_client().store
version_tags = None if is_open_source else [ModelVersionTag("kind", "peer")]
version = store.create_model_version(
    name, source=str(source), tags=version_tags, description="first", local_model_path=str(source)
)
seen = {"twice": twice, "created": shown(version)}
if not is_open_source:
    client.set_registered_model_alias(name, "champion", 1)
    client.set_model_version_tag(name, "1", "score", "0.5")
    client.set_model_version_tag(name, "1", "gone", "x")
    client.delete_model_version_tag(name, "1", "gone")
    seen["by alias"] = shown(client.get_model_version_by_alias(name, "champion"))
    seen["reserved"] = refusal(lambda: store.set_registered_model_alias(name, "v3", 1))
seen["read"] = shown(client.get_model_version(name, "1"))
seen["listed"] = [shown(each) for each in client.search_model_versions(f"name='{name}'")]
seen["model"] = client.get_registered_model(name).description
if not is_open_source:
    files = tree(mlflow.artifacts.download_artifacts(f"models:/{name}/1", dst_path=f"{folder}/down"))
    seen["same"] = files == tree(source)
    client.delete_registered_model_alias(name, "champion")
    seen["no alias"] = refusal(lambda: client.get_model_version_by_alias(name, "champion"))
client.update_model_version(name, "1", "second")
seen["updated"] = client.get_model_version(name, "1").description
store.delete_model_version(name, "1") if is_open_source else client.delete_model_version(name, "1")
seen["deleted"] = refusal(lambda: client.get_model_version(name, "1"))
client.delete_registered_model(name)
print(json.dumps(seen))
