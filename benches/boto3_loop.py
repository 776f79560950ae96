"""What teams write today: list the pipelines, ask each for its state with ten threads, print what waits.

Takes the endpoint; prints one line of JSON: seconds, calls, throttled (calls that were refused and repeated by boto3),
missed (pipelines that could not be read at all), waiting.
"""

import json
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import boto3
from botocore.config import Config

config = Config(region_name="eu-west-1", max_pool_connections=10)
client = boto3.client(
    "codepipeline",
    endpoint_url=sys.argv[1],
    aws_access_key_id="AKIABENCH",
    aws_secret_access_key="bench",
    config=config,
)
lock = threading.Lock()
counts = {"calls": 0, "throttled": 0, "missed": 0}


def count(response, **_):
    status = response[0].status_code if response else 0
    with lock:
        counts["calls"] += 1
        counts["throttled"] += status == 400


client.meta.events.register("needs-retry.codepipeline", count)


def waiting(name):
    try:
        state = client.get_pipeline_state(name=name)
    except Exception:
        with lock:
            counts["missed"] += 1
        return 0
    actions = [action for stage in state["stageStates"] for action in stage.get("actionStates", [])]
    return sum(
        1
        for action in actions
        if action.get("latestExecution", {}).get("status") == "InProgress" and action["latestExecution"].get("token")
    )


began = time.monotonic()
names = [p["name"] for page in client.get_paginator("list_pipelines").paginate() for p in page["pipelines"]]
with ThreadPoolExecutor(10) as threads:
    found = sum(threads.map(waiting, names))
print(json.dumps({"seconds": time.monotonic() - began, **counts, "waiting": found}))
