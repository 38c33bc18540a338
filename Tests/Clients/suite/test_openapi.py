"""What schemathesis makes up from the description that the gateway serves: valid and invalid requests of each operation, and each answer held
against the description."""

import os
import pathlib
import subprocess
import sys

import pytest

pytestmark = pytest.mark.gateway

SUITE = pathlib.Path(__file__).resolve().parent


@pytest.mark.timeout(600)
def test_schemathesis_finds_nothing(broker, seed, tmp_path):
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": "harness.openapi_hooks", "PYTHONPATH": str(SUITE.parent)}
    command = [str(pathlib.Path(sys.executable).parent / "schemathesis"), "--config-file", str(SUITE / "openapi.toml"), "run", f"http://{broker.http}/openapi.json",
               "--phases", "examples,coverage,fuzzing", "--max-examples", "30", "--seed", str(seed), "--workers", "1", "--continue-on-failure", "--request-timeout", "30", "--warnings", "off",
               # How many of its tries the tool throws away says nothing of the gateway.
               "--suppress-health-check", "filter_too_much"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    broker.check_alive()
