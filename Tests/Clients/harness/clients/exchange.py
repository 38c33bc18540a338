"""Produces or reads with a client as another interpreter has it, such as the distribution's own packages: one pickled
request on standard input, one pickled answer on standard output."""

from __future__ import annotations

import pathlib
import pickle
import subprocess
import sys

DISTRIBUTION_PYTHON = "/usr/bin/python3"


def ask(interpreter: str, method: str, client: str, *arguments):
    """`DRIVERS[client].method(*arguments)`, run by that interpreter."""
    done = subprocess.run([interpreter, __file__], input=pickle.dumps((method, client, arguments), protocol=4), capture_output=True, timeout=90)
    if done.returncode:
        raise AssertionError(f"{client} by {interpreter}: {done.stderr.decode(errors='replace')[-3000:]}")
    return pickle.loads(done.stdout)


def has(interpreter: str, module: str) -> bool:
    return subprocess.run([interpreter, "-c", f"import {module}"], capture_output=True).returncode == 0


if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
    from harness.clients.drivers import DRIVERS

    method, client, arguments = pickle.loads(sys.stdin.buffer.read())
    sys.stdout.buffer.write(pickle.dumps(getattr(DRIVERS[client], method)(*arguments), protocol=4))
