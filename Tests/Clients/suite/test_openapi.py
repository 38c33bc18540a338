"""What schemathesis makes up from the description that the gateway serves: valid and invalid requests of each operation, and each answer held
against the description."""

import os
import pathlib
import re
import subprocess
import sys

import pytest
from conftest import program
from harness.broker import Broker

pytestmark = pytest.mark.gateway

SUITE = pathlib.Path(__file__).resolve().parent


# Routes of every format and of keys that are required, beside the built-in ones.
ROUTES = """
routes:
  - {path: /rows, to: {topic: rows}, formats: [csv, ndjson]}
  - path: /typed
    to: {topic: typed}
    formats: [csv]
    schema: {type: object, properties: {id: {type: integer}}}
  - {path: /contact, to: {topic: contact}, formats: [form, json], reply: event}
  - {path: /anything, to: {topic: anything}, formats: [raw], reply: event}
  - {path: /cloud, to: {topic: cloud}, formats: [cloudevents], idempotency: {cloudevents: true}}
  - {path: /keyed, to: {topic: keyed}, formats: [json], idempotency: {pointers: [/id, /source/name], required: true}}
  - {path: /keyed-event, to: {topic: keyed}, reply: event, idempotency: {pointers: [/id], required: true}, schema: {type: object, required: [a]}}
  - {path: /once, to: {topic: once}, idempotency: {header: X-Delivery, required: true}}
  - {path: /named, to: {topic: once}, idempotency: {header: Idempotency-Key, required: true}}
  - {path: /by-key, to: {topic: by-key}, formats: [json], key: /user, key_required: true}
  - {path: /quick, to: {topic: quick}, ack: none, success: 202}
"""


def schemathesis_finds_nothing(broker, seed, folder, *arguments):
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "harness.openapi_hooks", "PYTHONPATH": str(SUITE.parent)}
    command = [str(pathlib.Path(sys.executable).parent / "schemathesis"), "--config-file", str(SUITE / "openapi.toml"), "run", f"http://{broker.http}/openapi.json",
               "--phases", "examples,coverage,fuzzing", "--max-examples", "30", "--seed", str(seed), "--workers", "1", "--continue-on-failure", "--request-timeout", "30", "--warnings", "off",
               # How many of its tries the tool throws away says nothing of the gateway.
               "--suppress-health-check", "filter_too_much", *arguments]
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    broker.check_alive()


@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing(broker, seed, tmp_path):
    schemathesis_finds_nothing(broker, seed, tmp_path)


@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing_in_configured_routes(pytestconfig, seed, tmp_path):
    node = Broker("millrace", program(pytestconfig))
    node.configuration = ROUTES
    try:
        schemathesis_finds_nothing(node.start(), seed, tmp_path, "--include-path-regex", "^/(" + "|".join(re.findall("path: /([a-z-]+)", ROUTES)) + ")$")
    finally:
        node.remove()
