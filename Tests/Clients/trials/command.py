"""What the trials' command lines share. Exit statuses: 0 passed, 1 a promise is broken, 77 this machine lacks what it takes."""

from __future__ import annotations

import argparse
import os
import pathlib
import signal
import sys

from harness.broker import BrokerFailure
from harness.loads.writers import Violation
from harness.wire import DamagedBatch, WireError

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
SKIPPED = 77
FAILURES = (Violation, BrokerFailure, WireError, DamagedBatch)


def parser(tool: str, about: str | None, seeded: bool = False) -> argparse.ArgumentParser:
    """The command line of `tools/<tool>`, with the options that every trial has."""
    parser = argparse.ArgumentParser(prog=f"tools/{tool}", description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=os.path.abspath, default=str(REPOSITORY / ".build/release/millrace"), help="the millrace binary")
    if seeded:
        parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4), "big"), help="default: a new one, printed")
    return parser


def kafka_launcher() -> str | None:
    """The launcher of an Apache Kafka distribution; says that the trial is skipped where the environment names none."""
    launcher = os.environ.get("MILLRACE_KAFKA")
    if not launcher:
        say("SKIPPED: MILLRACE_KAFKA is not set, so there is no Apache Kafka on this machine: it names the launcher of a distribution")
    return launcher


def remove_on_sigterm() -> None:
    """What is mounted or started is removed on the way out."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def say(text: str) -> None:
    print(text, flush=True)
