"""Drives what runs in a workspace, and its catalog, with databricks-sdk: `databricks_compute.py clusters jobs`. Prints
what it found as one JSON object. Host and credentials come from the environment."""

import json
import sys
from datetime import timedelta

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import DatabricksError
from databricks.sdk.service.catalog import VolumeType
from databricks.sdk.service.compute import Environment, Library, PythonPyPiLibrary
from databricks.sdk.service.jobs import JobEnvironment, SubmitTask
from databricks.sdk.service.serving import EndpointCoreConfigInput, EndpointTag, ServedEntityInput

client = WorkspaceClient()
LIMIT = timedelta(seconds=60)
WAREHOUSE = "0123456789abcdef"


def refused(call):
    try:
        call()
    except DatabricksError as error:
        return [type(error).__name__, error.error_code]
    return "not refused"


def clusters():
    made = client.clusters.create(
        cluster_name="sdk", spark_version="17.3.x-scala2.13", node_type_id="i3.xlarge", num_workers=1
    ).result(LIMIT)
    library = Library(pypi=PythonPyPiLibrary(package="mlflow"))
    client.libraries.install(made.cluster_id, [library])
    statuses = [
        each.status.value for _ in range(2) for each in client.libraries.cluster_status(made.cluster_id)
    ]
    listed = [each.cluster_name for each in client.clusters.list()]
    ended = client.clusters.delete(made.cluster_id).result(LIMIT).state.value
    again = client.clusters.start(made.cluster_id).result(LIMIT).state.value
    client.clusters.permanent_delete(made.cluster_id)
    return {
        "state": made.state.value,
        "statuses": statuses,
        "listed": listed,
        "ended": ended,
        "again": again,
        "missing": refused(lambda: client.clusters.get(made.cluster_id)),
    }


def warehouses():
    stopped = client.warehouses.stop(WAREHOUSE).result(LIMIT).state.value
    started = client.warehouses.start(WAREHOUSE).result(LIMIT).state.value
    return {
        "stopped": stopped,
        "started": started,
        "listed": [(each.id, each.name, each.state.value) for each in client.warehouses.list()],
        "missing": refused(lambda: client.warehouses.get("none")),
    }


def serving():
    def entity(version):
        return ServedEntityInput(
            entity_name="main.chat.merged", entity_version=version, workload_size="Small", scale_to_zero_enabled=True
        )

    config = EndpointCoreConfigInput(name="sdk", served_entities=[entity("3")])
    tags = [EndpointTag(key="team", value="risk")]
    made = client.serving_endpoints.create(name="sdk", config=config, tags=tags).result(LIMIT)
    answer = client.serving_endpoints.query("sdk", inputs=["hi"]).predictions
    updated = client.serving_endpoints.update_config("sdk", served_entities=[entity("4")]).result(LIMIT)
    listed = [each.name for each in client.serving_endpoints.list()]
    client.serving_endpoints.delete("sdk")
    return {
        "ready": made.state.ready.value,
        "answer": answer,
        "version": updated.config.served_entities[0].entity_version,
        "listed": listed,
        "missing": refused(lambda: client.serving_endpoints.get("sdk")),
    }


def jobs():
    """The submission of lowrank comes on stdin: the SDK reads it into its types, and sends it again."""
    submission = json.load(sys.stdin)
    tasks = [SubmitTask.from_dict(task) for task in submission["tasks"]]
    environments = [JobEnvironment.from_dict(each) for each in submission["environments"]]
    waiting = client.jobs.submit(
        run_name=submission["run_name"], tasks=tasks, environments=environments, idempotency_token="once"
    )
    same = client.jobs.submit(
        run_name=submission["run_name"], tasks=tasks, environments=environments, idempotency_token="once"
    ).run_id
    active = [each.run_id for each in client.jobs.list_runs(active_only=True)]
    run = waiting.result(LIMIT)
    output = client.jobs.get_run_output(run.tasks[0].run_id)
    other = client.jobs.submit(run_name="other", tasks=tasks, environments=environments).run_id
    cancelled = client.jobs.cancel_run(other).result(LIMIT)
    return {
        "tasks": [task.as_dict() for task in tasks],
        "environments": [each.as_dict() for each in environments],
        "same": same == run.run_id,
        "active": active == [run.run_id],
        "result": run.state.result_state.value,
        "logs": output.logs,
        "cancelled": cancelled.state.result_state.value,
        "missing": refused(lambda: client.jobs.get_run(99)),
    }


def catalog():
    client.catalogs.create(name="risk", comment="of the SDK")
    client.schemas.create(name="chat", catalog_name="risk")
    volume = client.volumes.create(
        catalog_name="risk", schema_name="chat", name="files", volume_type=VolumeType.MANAGED
    )
    client.statement_execution.execute_statement(
        "CREATE TABLE risk.chat.rows (id BIGINT, body STRING)", WAREHOUSE, wait_timeout="50s"
    )
    table = client.tables.get("risk.chat.rows")
    found = {
        "catalogs": sorted(each.name for each in client.catalogs.list()),
        "schemas": [each.full_name for each in client.schemas.list("risk")],
        "volumes": [each.full_name for each in client.volumes.list("risk", "chat")],
        "volume": [volume.full_name, client.volumes.read("risk.chat.files").volume_type.value],
        "tables": [each.full_name for each in client.tables.list("risk", "chat")],
        "columns": [(each.name, each.type_text, each.position) for each in table.columns],
        "exists": [client.tables.exists(name).table_exists for name in ("risk.chat.rows", "risk.chat.none")],
        "full": refused(lambda: client.schemas.delete("risk.chat")),
        "twice": refused(lambda: client.catalogs.create(name="risk")),
    }
    client.tables.delete("risk.chat.rows")
    client.volumes.delete("risk.chat.files")
    client.schemas.delete("risk.chat")
    client.catalogs.delete("risk")
    found["gone"] = [
        refused(lambda: client.catalogs.get("risk")),
        refused(lambda: client.schemas.get("risk.chat")),
        refused(lambda: client.volumes.read("risk.chat.files")),
        refused(lambda: client.tables.get("risk.chat.rows")),
    ]
    return found


PARTS = {each.__name__: each for each in (clusters, warehouses, serving, jobs, catalog)}
print(json.dumps({name: PARTS[name]() for name in sys.argv[1:]}))
