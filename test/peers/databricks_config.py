"""Says for each environment which host and which kind of credentials Config of databricks-sdk finds, or why it refuses.

Reads a list of {name, env, options} from stdin and writes {name: {host, authType} or {refused, message}} to stdout.
"""

import json
import os
import re
import sys

from databricks.sdk import config

# Asking hosts that are not there takes minutes, and Config goes on without the answer.
ask = config.get_host_metadata


def host_metadata(host, client):
    if "127.0.0.1" not in host:
        raise ValueError("no such host here")
    return ask(host, client=client)


config.get_host_metadata = host_metadata

KINDS = {
    "two kinds": "more than one authorization method",
    "no such profile": "has no .* profile configured",
    "reserved": "reserved section",
    "no credentials": "cannot configure default credentials",
}


def look(case):
    os.environ.clear()
    os.environ.update(case["env"])
    options = {re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name): value for name, value in case["options"].items()}
    try:
        found = config.Config(**options)
        return {"host": found.host, "authType": found.auth_type}
    except Exception as error:
        kinds = [kind for kind, text in KINDS.items() if re.search(text, str(error))]
        return {"refused": kinds[0] if kinds else "otherwise", "message": str(error)}


print(json.dumps({case["name"]: look(case) for case in json.load(sys.stdin)}))
