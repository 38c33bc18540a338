"""JSON events for the gateway's rows and text for the producers': real ones from a file, or generated."""

from __future__ import annotations

import json
import pathlib
import random


def source(named: str | None) -> pathlib.Path | None:
    """The file with JSON text: the one named, or the first .json or .ndjson of the folder named."""
    if not named:
        return None
    path = pathlib.Path(named)
    if path.is_dir():
        found = sorted([*path.glob("*.json"), *path.glob("*.ndjson")])
        if not found:
            raise SystemExit(f"bench: no .json or .ndjson in {path}")
        path = found[0]
    return path


def load(path: pathlib.Path | None) -> list[str]:
    """Events, one JSON object each, without spaces between tokens."""
    if path is None:
        random_numbers = random.Random(42)
        kinds = ["click", "view", "purchase", "scroll"]
        events = [{"event_id": f"{random_numbers.getrandbits(48):012x}", "type": random_numbers.choice(kinds), "user": random_numbers.randrange(100_000), "at": f"2026-11-21T12:{n // 60 % 60:02}:{n % 60:02}Z",
                   "amount": random_numbers.randrange(50_000) / 100, "session": f"s-{random_numbers.getrandbits(32):08x}"} for n in range(10_000)]
    else:
        text = path.read_text()
        events = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines() if line.strip()]
    return [json.dumps(event, separators=(",", ":"), ensure_ascii=False) for event in events]
