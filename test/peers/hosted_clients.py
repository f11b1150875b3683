"""The vendors' own clients ask loopback services that fine-tune: python hosted_clients.py SERVICE ROWS."""

import json
import os
import sys
import time
import urllib.parse
import urllib.request

service, rows = sys.argv[1:3]
env = os.environ


def tune_openai(client, model):
    with open(rows, "rb") as file:
        training = client.files.create(file=file, purpose="fine-tune")
    while client.files.retrieve(training.id).status != "processed":
        time.sleep(0.01)
    job = client.fine_tuning.jobs.create(
        model=model,
        training_file=training.id,
        suffix="peer",
        seed=7,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
    )
    while job.status not in ("succeeded", "failed", "cancelled"):
        job = client.fine_tuning.jobs.retrieve(job.id)
    events = client.fine_tuning.jobs.list_events(job.id, limit=2)
    checkpoints = client.fine_tuning.jobs.checkpoints.list(job.id)
    return training, job, [event.id for event in events], [point.step_number for point in checkpoints]


def ask(client, model):
    reply = client.chat.completions.create(model=model, messages=[{"role": "user", "content": "What is 6 squared?"}])
    return reply.choices[0].message.content


def openai():
    from openai import OpenAI

    client = OpenAI()
    training, job, events, steps = tune_openai(client, "gpt-4.1-nano")
    answer = ask(client, job.fine_tuned_model)
    deleted = [client.models.delete(job.fine_tuned_model).deleted, client.files.delete(training.id).deleted]
    return {"status": job.status, "events": len(set(events)), "steps": steps, "answer": answer, "deleted": deleted}


def management_token():
    form = {
        "grant_type": "client_credentials",
        "client_id": env["AZURE_CLIENT_ID"],
        "client_secret": env["AZURE_CLIENT_SECRET"],
        "scope": "https://management.azure.com/.default",
    }
    url = f"{env['AZURE_AUTHORITY_HOST']}/{env['AZURE_TENANT_ID']}/oauth2/v2.0/token"
    body = urllib.parse.urlencode(form).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data=body)) as answer:
        return json.load(answer)["access_token"]


def azure():
    from azure.core.credentials import AccessToken
    from azure.core.pipeline.policies import SansIOHTTPPolicy
    from azure.mgmt.cognitiveservices import CognitiveServicesManagementClient
    from openai import OpenAI

    client = OpenAI(base_url=env["AZURE_OPENAI_ENDPOINT"] + "/openai/v1/", api_key=env["AZURE_OPENAI_API_KEY"])
    training, job, events, steps = tune_openai(client, "gpt-4.1-mini")

    # The client's own policy sends tokens over https alone.
    class Bearer(SansIOHTTPPolicy):
        def on_request(self, request):
            request.http_request.headers["Authorization"] = f"Bearer {management_token()}"

    class Credential:
        def get_token(self, *_, **__):
            return AccessToken(management_token(), int(time.time()) + 3000)

    management = CognitiveServicesManagementClient(
        Credential(),
        env["AZURE_SUBSCRIPTION_ID"],
        base_url=env["LOWRANK_AZURE_MANAGEMENT_URL"],
        credential_scopes=["https://management.azure.com/.default"],
        authentication_policy=Bearer(),
        polling_interval=0,
    )
    place = (env["AZURE_RESOURCE_GROUP"], env["AZURE_OPENAI_ACCOUNT"], "peer")
    model = {"format": "OpenAI", "name": job.fine_tuned_model, "version": "1"}
    wanted = {"sku": {"name": "standard", "capacity": 1}, "properties": {"model": model}}
    made = management.deployments.begin_create_or_update(*place, wanted).result()
    answer = ask(client, "peer")
    management.deployments.begin_delete(*place).result()
    deleted = [client.models.delete(job.fine_tuned_model).deleted, client.files.delete(training.id).deleted]
    state = made.properties.provisioning_state
    return {"status": job.status, "events": len(set(events)), "steps": steps, "answer": answer, "deleted": deleted, "state": state}


def vertex():
    import google.auth
    from google import genai
    from google.cloud import storage
    from google.genai import types

    credentials, project = google.auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"])
    bucket = storage.Client(project=project, credentials=credentials).bucket("peer-bucket")
    blob = bucket.blob("rows/train.jsonl")
    blob.upload_from_filename(rows)
    same = blob.download_as_bytes() == open(rows, "rb").read()
    client = genai.Client(
        vertexai=True,
        project=project,
        location=env["GOOGLE_CLOUD_LOCATION"],
        credentials=credentials,
        http_options=types.HttpOptions(base_url=env["GOOGLE_VERTEX_BASE_URL"]),
    )
    job = client.tunings.tune(
        base_model="gemini-3.5-flash",
        training_dataset=types.TuningDataset(gcs_uri="gs://peer-bucket/rows/train.jsonl"),
        config=types.CreateTuningJobConfig(epoch_count=2, adapter_size="ADAPTER_SIZE_FOUR", tuned_model_display_name="peer"),
    )
    while not job.has_ended:
        job = client.tunings.get(name=job.name)
    reply = client.models.generate_content(model=job.tuned_model.endpoint, contents="What is 6 squared?")
    blob.delete()
    return {"status": job.state.name, "same": same, "answer": reply.text}


print(json.dumps({"openai": openai, "azure": azure, "vertex": vertex}[service]()))
