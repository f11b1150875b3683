"""Loads model directories through MLflow's own client, and says what they compute. Cases come as JSON on stdin."""

import json
import os
import sys

asked = json.load(sys.stdin)
for name in [name for name, value in os.environ.items() if value == ""]:
    del os.environ[name]
if asked.get("online"):
    # The Hub is a server of the test.
    os.environ["HF_HUB_OFFLINE"] = "0"

# No test depends on how fast the machine is.
os.environ["MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT"] = "600"

import mlflow
import torch
from fastapi.testclient import TestClient
from mlflow.models import Model
from mlflow.models.utils import load_serving_example
from mlflow.pyfunc import scoring_server
from mlflow.transformers.llm_inference_utils import infer_signature_from_llm_inference_task

MAX_NEW_TOKENS = 4


def look_at(uri: str, ids: list[list[int]], base: str | None) -> dict:
    model = Model.load(uri)
    path = mlflow.artifacts.download_artifacts(uri)
    options = {} if base is None else {"base_model_path": base}
    parts = mlflow.transformers.load_model(uri, return_type="components", dtype="float32", **options)
    network = parts["model"].eval()
    with torch.no_grad():
        logits = network(input_ids=torch.tensor(ids), use_cache=False).logits
    found = {
        "class": type(network).__name__,
        "logits": logits.flatten().tolist(),
        "tokenizer": parts["tokenizer"]("Hello there")["input_ids"],
        "template": parts["tokenizer"].chat_template,
        "inputs": model.signature.inputs.to_dict(),
        "outputs": model.signature.outputs.to_dict(),
        "params": model.signature.params and model.signature.params.to_dict(),
        "example": model.load_input_example(path),
        "served": json.loads(load_serving_example(uri)),
        "metadata": model.metadata["lowrank"],
        "model_id": model.model_id,
        "run_id": model.run_id,
    }
    task = model.flavors["transformers"].get("inference_task")
    if task:
        # MLflow gives models of this task their signature.
        found["is_of_task"] = model.signature == infer_signature_from_llm_inference_task(task)
        messages = [{"role": "user", "content": "Hello there"}]
        [answer] = mlflow.pyfunc.load_model(uri).predict({"messages": messages, "max_tokens": MAX_NEW_TOKENS})
        prompt = parts["tokenizer"].apply_chat_template(messages, add_generation_prompt=True)["input_ids"]
        found |= {"answer": answer, "prompt_tokens": len(prompt)}
    elif base is None:
        predict = mlflow.pyfunc.load_model(uri).predict
        # transformers' pipeline draws tokens unless it is told otherwise.
        torch.manual_seed(3)
        found["predicted"] = predict(["Hello there", "Good morning"], params={"max_new_tokens": MAX_NEW_TOKENS})
        pipeline = mlflow.transformers.load_model(uri)
        torch.manual_seed(3)
        generated = pipeline(["Hello there", "Good morning"], max_new_tokens=MAX_NEW_TOKENS)
        found["generated"] = [texts[0]["generated_text"] for texts in generated]
    if base is None:
        app = scoring_server.init(mlflow.pyfunc.load_model(uri))
        headers = {"content-type": "application/json"}
        answer = TestClient(app).post("/invocations", content=load_serving_example(uri), headers=headers)
        found["server"] = [answer.status_code, answer.json()]
    return found


if "trackingUri" in asked:
    mlflow.set_tracking_uri(asked["trackingUri"])
if "registryUri" in asked:
    mlflow.set_registry_uri(asked["registryUri"])
print(json.dumps([look_at(case["uri"], case["ids"], case.get("base")) for case in asked["cases"]]))
