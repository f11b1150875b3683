"""Drives a workspace with databricks-sdk, one part of it after the other: `databricks_client.py files dbfs`. Prints what
it found as one JSON object. Host and credentials come from the environment, as for every program with the SDK."""

import base64
import hashlib
import io
import json
import sys
import tempfile

from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import DatabricksError, NotFound
from databricks.sdk.service.workspace import ExportFormat, ImportFormat

MIB = 2**20
client = WorkspaceClient()


def content(size):
    return bytes(bytearray((index * 7 + index // 251) % 256 for index in range(4099))) * (size // 4099 + 1)


def refused(call):
    try:
        call()
    except DatabricksError as error:
        return [type(error).__name__, str(error).split("\n")[0][:120]]
    return "not refused"


def auth():
    me = client.current_user.me()
    return {"user": me.user_name, "auth": client.config.auth_type, "workspace": client.get_workspace_id()}


def files():
    root = "/Volumes/main/chat/files/sdk"
    data = content(60 * MIB)[: 60 * MIB + 5]
    small = b"small file"
    client.files.create_directory(f"{root}/a b")
    client.files.upload(f"{root}/a b/small+#\u00fc.txt", io.BytesIO(small), overwrite=True)
    client.files.upload(f"{root}/large.bin", io.BytesIO(data), overwrite=True, part_size=7 * MIB)
    with tempfile.NamedTemporaryFile() as file:
        file.write(data[: 51 * MIB])
        file.flush()
        client.files.upload_from(f"{root}/parallel.bin", file.name, overwrite=True)
        client.files.download_to(f"{root}/large.bin", file.name + ".back", use_parallel=True)
        with open(file.name + ".back", "rb") as back:
            downloaded = hashlib.sha256(back.read()).hexdigest()
    streamed = client.files.download(f"{root}/large.bin").contents.read()
    head = client.files.get_metadata(f"{root}/parallel.bin")
    listed = sorted((each.path, each.is_directory, each.file_size) for each in client.files.list_directory_contents(root))
    exists = refused(lambda: client.files.upload(f"{root}/large.bin", io.BytesIO(b"x"), overwrite=False))
    full = refused(lambda: client.files.delete_directory(root))
    for name in ("a b/small+#\u00fc.txt", "large.bin", "parallel.bin"):
        client.files.delete(f"{root}/{name}")
    client.files.delete_directory(f"{root}/a b")
    client.files.delete_directory(root)
    return {
        "downloaded": downloaded == hashlib.sha256(data).hexdigest(),
        "streamed": streamed == data,
        "head": head.content_length,
        "listed": listed,
        "exists": exists,
        "full": full,
        "gone": refused(lambda: client.files.get_directory_metadata(root)),
        "missing": refused(lambda: client.files.download(f"{root}/large.bin")),
    }


def dbfs():
    data = content(3 * MIB)
    with client.dbfs.open("/sdk/file.bin", write=True, overwrite=True) as file:
        file.write(data)
    with client.dbfs.open("/sdk/file.bin", read=True) as file:
        read = b""
        while piece := file.read(MIB):
            read += piece
    client.dbfs.put("/sdk/small.txt", contents=base64.b64encode(b"abc").decode(), overwrite=True)
    listed = sorted((each.path, each.file_size) for each in client.dbfs.list("/sdk"))
    status = client.dbfs.get_status("/sdk/small.txt")
    client.dbfs.delete("/sdk", recursive=True)
    return {
        "read": read == data,
        "listed": listed,
        "size": status.file_size,
        "missing": refused(lambda: client.dbfs.get_status("/sdk/small.txt")),
    }


def workspace():
    folder = "/Users/someone@example.com/sdk"
    client.workspace.mkdirs(folder)
    client.workspace.upload(f"{folder}/notes.txt", io.BytesIO(b"some notes"), format=ImportFormat.AUTO, overwrite=True)
    listed = sorted((each.path, each.object_type.value) for each in client.workspace.list(folder))
    read = client.workspace.download(f"{folder}/notes.txt").read().decode()
    exported = base64.b64decode(client.workspace.export(f"{folder}/notes.txt", format=ExportFormat.AUTO).content).decode()
    client.workspace.delete(folder, recursive=True)
    return {
        "listed": listed,
        "read": read,
        "exported": exported,
        "missing": refused(lambda: client.workspace.get_status(f"{folder}/notes.txt")),
    }


PARTS = {each.__name__: each for each in (auth, files, dbfs, workspace)}
print(json.dumps({name: PARTS[name]() for name in sys.argv[1:]}))
