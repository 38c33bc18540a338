"""The producer that costs almost nothing: native/raw_load/main.c."""

from __future__ import annotations

import json
import subprocess

from harness.broker import Broker
from harness.native import compiled


def start(node: Broker, topic: str, partitions: int, **options: int) -> subprocess.Popen:
    """Options are the program's letters: `c=64, d=5` for 64 connections and 5 seconds."""
    program = compiled("raw_load", "raw_load", ["main.c"])
    command = [program, "-p", str(node.kafka_port), "-t", topic, "-n", str(partitions)]
    for letter, value in options.items():
        command += [f"-{letter}", str(value)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(node: Broker, topic: str, partitions: int, **options: int) -> dict:
    process = start(node, topic, partitions, **options)
    out, complaint = process.communicate()
    if process.returncode:
        raise RuntimeError(f"raw_load: {complaint.strip()}\n{node.log_tail()}")
    return json.loads(out)
