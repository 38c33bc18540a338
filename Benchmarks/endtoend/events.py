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


def generated(kind: str, count: int = 10_000) -> list[dict]:
    """Made-up events, the same in every run. `flat`: members with short values. `nested`: objects and arrays in each other, numbers
    with fractions, literals. `text`: words in several scripts, with escapes."""
    random_numbers = random.Random(42)
    choice, integer = random_numbers.choice, random_numbers.randrange
    kinds = ["click", "view", "purchase", "scroll"]
    words = ["order", "größer", "naïve", "été", "東京", "привет", "with", "words", "of", "some", "length", "😀", "\"quoted\"", "C:\\temp\\file", "first\nsecond"]

    def flat(n: int) -> dict:
        return {"event_id": f"{random_numbers.getrandbits(48):012x}", "type": choice(kinds), "user": integer(100_000), "at": f"2026-11-21T12:{n // 60 % 60:02}:{n % 60:02}Z",
                "amount": integer(50_000) / 100, "session": f"s-{random_numbers.getrandbits(32):08x}"}

    def nested(n: int) -> dict:
        return {"id": f"{random_numbers.getrandbits(48):012x}", "type": choice(kinds), "user": {"id": integer(100_000), "new": integer(2) == 1, "place": {"lat": integer(1_800_000) / 10_000, "lon": integer(3_600_000) / 10_000}},
                "items": [{"sku": f"A-{integer(1000)}", "count": integer(1, 9), "price": integer(10_000) / 100} for _ in range(integer(1, 3))], "tags": ["a", None, n % 2 == 0]}

    def text(n: int) -> dict:
        return {"id": n, "author": choice(["José", "Zoë", "山田太郎", "Иван"]), "title": " ".join(choice(words) for _ in range(4)), "body": " ".join(choice(words) for _ in range(integer(8, 24))), "lang": choice(["de", "ja", "ru"])}

    return [{"flat": flat, "nested": nested, "text": text}[kind](n) for n in range(count)]


CSV_COLUMNS = ("event_id", "type", "user", "at", "amount", "session")


def csv_rows(count: int = 10_000) -> list[str]:
    """Flat events as lines of cells, of which every tenth has one in quotes, with a comma in it."""
    rows = []
    for n, event in enumerate(generated("flat", count)):
        if n % 10 == 0:
            event["type"] = f'"{event["type"]}, again"'
        rows.append(",".join(str(event[name]) for name in CSV_COLUMNS))
    return rows


# A row's figure for one kind of events says little of another.
KINDS = ("flat", "nested", "text")


def load(path: pathlib.Path | None, kind: str = "flat") -> list[str]:
    """Events, one JSON object each, without spaces between tokens. Flat ones are those of the file, if there is one."""
    if path is None or kind != "flat":
        events = generated(kind)
    else:
        text = path.read_text()
        events = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines() if line.strip()]
    return [json.dumps(event, separators=(",", ":"), ensure_ascii=False) for event in events]
