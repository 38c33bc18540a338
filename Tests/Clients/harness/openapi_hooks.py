"""What schemathesis cannot know from the description alone: a key of a request is used once, for a repeat gets the first reply, whatever its
parameters say; and what a text of CSV is."""

import csv
import io
import json
import re
import uuid

import schemathesis
from hypothesis import strategies


@schemathesis.hook
def before_call(context, case, *args):
    fields = case.headers or {}
    for name in ("idempotency-key", "x-delivery"):
        if re.fullmatch(r"[!#-~][ -~]{0,254}", str(fields.get(name, ""))):
            case.headers[name] = str(uuid.uuid4())


def text_of(rows):
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


NAMES = strategies.text("abcdefghij_0123456789", min_size=1, max_size=12)
CELLS = strategies.text(strategies.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
ROWS = strategies.lists(NAMES, min_size=1, max_size=6, unique=True).flatmap(
    lambda names: strategies.lists(strategies.lists(CELLS, min_size=len(names), max_size=len(names)), max_size=5).map(lambda rows: [names, *rows]))
schemathesis.openapi.media_type("text/csv", ROWS.map(text_of))

VALUES = strategies.recursive(strategies.none() | strategies.booleans() | strategies.integers() | CELLS, lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(CELLS, inner, max_size=3))
LINES = strategies.lists(VALUES, min_size=1, max_size=5).map(lambda values: "\n".join(map(json.dumps, values)).encode())
for name in ("application/x-ndjson", "application/jsonl"):
    schemathesis.openapi.media_type(name, LINES)
