"""Each form in which the gateway takes events, as requests with a key or with a key in each event: what is sent, and what says that it is
stored."""

from __future__ import annotations

import dataclasses
import gzip
import json
import random
from collections.abc import Callable

# Beside the built-in routes.
ROUTES = """
routes:
  - {id: rows, path: /rows, formats: [csv], to: {topic: rows}}
  - {id: clouds, path: /clouds, formats: [cloudevents], to: {topic: clouds}}
  - {id: own-clouds, path: /own-clouds, formats: [cloudevents], idempotency: {cloudevents: true}, reply: event, to: {topic: own-clouds}}
  - {id: bytes, path: /bytes, formats: [raw], to: {topic: bytes}}
  - {id: forms, path: /forms, formats: [form], reply: event, to: {topic: forms}}
  - {id: orders, path: /orders, formats: [json], idempotency: {pointers: [/id], required: true}, reply: event, to: {topic: orders}}
  - {id: typed, path: /typed, formats: [json, ndjson], schema: {type: object, required: [id]}, to: {topic: typed}}
  - {id: lists, path: /lists, formats: [json, ndjson, csv], key: /id, idempotency: {pointers: [/id], required: true}, to: {topic: lists}}
  - {id: sky, path: /sky, formats: [cloudevents], idempotency: {cloudevents: true, required: true}, to: {topic: sky}}
"""
TOPICS = ("plain", "keyed", "events", "ingest", "second", "third", "entries", "rows", "clouds", "own-clouds", "bytes", "forms", "orders", "typed", "lists", "sky")
# Above 128 KiB a body with a key is a worker's.
PADS = (10, 10, 200, 200, 3_000, 3_000, 3_000, 180_000)
KEY = "Idempotency-Key"


@dataclasses.dataclass
class Sent:
    path: str
    fields: dict[str, str]
    body: bytes
    ids: list[str]
    """Of the events, by which they are known again."""


def padded(chance: random.Random) -> str:
    return "x" * chance.choice(PADS)


def _events(key: str, chance: random.Random, most: int = 5) -> list[dict[str, str]]:
    return [{"id": f"{key}-{index}", "pad": padded(chance)} for index in range(chance.choice((1, 1, 1, most)))]


def _ids(events: list[dict[str, str]]) -> list[str]:
    return [event["id"] for event in events]


def _sent(path: str, kind: str, body: bytes, ids: list[str], key: str, **fields: str) -> Sent:
    return Sent(path, {"Content-Type": kind, KEY: f'"{key}"', **{name.replace("_", "-"): value for name, value in fields.items()}}, body, ids)


def json_object(key: str, chance: random.Random, cluster: str) -> Sent:
    events = _events(key, chance, 1)
    return _sent("/v1/topics/plain/events", "application/json", json.dumps(events[0]).encode(), _ids(events), key)


def json_array(key: str, chance: random.Random, cluster: str) -> Sent:
    events = _events(key, chance)
    return _sent("/v1/topics/keyed/events", "application/json", json.dumps(events).encode(), _ids(events), key, Partition_Key=str(len(key)))


def lines(key: str, chance: random.Random, cluster: str) -> Sent:
    events = _events(key, chance)
    return _sent("/v1/topics/plain/events", "application/x-ndjson", "\n".join(map(json.dumps, events)).encode(), _ids(events), key)


def packed(key: str, chance: random.Random, cluster: str) -> Sent:
    sent = chance.choice((json_object, json_array, lines, second, csv, typed))(key, chance, cluster)
    return dataclasses.replace(sent, body=gzip.compress(sent.body, mtime=0), fields={**sent.fields, "Content-Encoding": "gzip"})


def typed(key: str, chance: random.Random, cluster: str) -> Sent:
    events = _events(key, chance)
    return _sent("/typed", "application/x-ndjson", "\n".join(map(json.dumps, events)).encode(), _ids(events), key)


def webhook(key: str, chance: random.Random, cluster: str) -> Sent:
    events = _events(key, chance, 1)
    return _sent("/events", "application/json", json.dumps(events[0]).encode(), _ids(events), key)


def ingest(key: str, chance: random.Random, cluster: str) -> Sent:
    events = _events(key, chance, 1)
    return _sent("/ingest", "application/json", json.dumps({"event_type": "a", "payload": events[0]}).encode(), _ids(events), key)


def second(key: str, chance: random.Random, cluster: str) -> Sent:
    """Kafka REST's version 2."""
    events = _events(key, chance)
    return _sent("/topics/second", "application/vnd.kafka.json.v2+json", json.dumps({"records": [{"value": event} for event in events]}).encode(), _ids(events), key)


def third(key: str, chance: random.Random, cluster: str) -> Sent:
    """Version 3: one record behind the other."""
    events = _events(key, chance)
    return _sent(f"/v3/clusters/{cluster}/topics/third/records", "application/json", "".join(json.dumps({"value": {"type": "JSON", "data": event}}) for event in events).encode(), _ids(events), key)


def entries(key: str, chance: random.Random, cluster: str) -> Sent:
    """Version 3: a batch, each of whose entries has a name."""
    events = _events(key, chance)
    named = [{"id": str(index), "value": {"type": "JSON", "data": event}} for index, event in enumerate(events)]
    return _sent(f"/v3/clusters/{cluster}/topics/entries/records:batch", "application/json", json.dumps({"entries": named}).encode(), _ids(events), key)


def csv(key: str, chance: random.Random, cluster: str) -> Sent:
    events = _events(key, chance)
    return _sent("/rows", "text/csv", ("id,pad\r\n" + "".join(f'{event["id"]},"{event["pad"]}"\r\n' for event in events)).encode(), _ids(events), key)


def form(key: str, chance: random.Random, cluster: str) -> Sent:
    return _sent("/forms", "application/x-www-form-urlencoded", f"id={key}&pad={padded(chance)}".encode(), [key], key)


def raw(key: str, chance: random.Random, cluster: str) -> Sent:
    return _sent("/bytes", "text/plain", f"{key} {padded(chance)}".encode(), [key], key)


def pointed(key: str, chance: random.Random, cluster: str) -> Sent:
    """Its key is a member of the event."""
    return Sent("/orders", {"Content-Type": "application/json"}, json.dumps({"id": key, "pad": padded(chance)}).encode(), [key])


def _cloud(name: str, chance: random.Random) -> dict:
    return {"specversion": "1.0", "id": name, "source": "/trial", "type": "t", "data": {"id": name, "pad": padded(chance)}}


def cloud_structured(key: str, chance: random.Random, cluster: str) -> Sent:
    return _sent("/clouds", "application/cloudevents+json", json.dumps(_cloud(key, chance)).encode(), [key], key)


def cloud_batch(key: str, chance: random.Random, cluster: str) -> Sent:
    ids = [f"{key}-{index}" for index in range(3)]
    return _sent("/clouds", "application/cloudevents-batch+json", json.dumps([_cloud(name, chance) for name in ids]).encode(), ids, key)


def cloud_binary(key: str, chance: random.Random, cluster: str) -> Sent:
    """Its key is its source and id."""
    fields = {"Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": key, "ce-source": "/trial", "ce-type": "t"}
    return Sent("/own-clouds", fields, json.dumps({"id": key, "pad": padded(chance)}).encode(), [key])


FORMS: dict[str, Callable[[str, random.Random, str], Sent]] = {
    form.__name__: form for form in (json_object, json_array, lines, packed, typed, webhook, ingest, second, third, entries, csv, form, raw, pointed, cloud_structured, cloud_batch, cloud_binary)
}


# Events with keys of their own, several in a request. A sender that was cut off sends them with others the next time.


@dataclasses.dataclass
class OwnKeys:
    """A form whose events each have a key within."""

    make: Callable[[str, random.Random], dict]
    encode: Callable[[list[dict], random.Random], Sent]


def _compact(event: dict) -> str:
    """The same bytes whichever way it is sent: those that a row of CSV becomes, too."""
    return json.dumps(event, separators=(",", ":"))


def _order(name: str, chance: random.Random) -> dict:
    return {"id": name, "pad": padded(chance)}


def _orders(events: list[dict], chance: random.Random) -> Sent:
    """As an array, as lines or as rows, as chance has it: it is the same event."""
    kind = chance.choice(("application/json", "application/x-ndjson", "text/csv"))
    if kind == "text/csv":
        body = "id,pad\n" + "".join(f'{event["id"]},{event["pad"]}\n' for event in events)
    elif kind == "application/json":
        body = f"[{', '.join(map(_compact, events))}]"
    else:
        body = "\n".join(map(_compact, events))
    return _maybe_packed(Sent("/lists", {"Content-Type": kind}, body.encode(), _ids(events)), chance)


def _sky(events: list[dict], chance: random.Random) -> Sent:
    if len(events) == 1 and chance.random() < 0.5:
        return Sent("/sky", {"Content-Type": "application/cloudevents+json"}, _compact(events[0]).encode(), _ids(events))
    body = f"[{','.join(map(_compact, events))}]".encode()
    return _maybe_packed(Sent("/sky", {"Content-Type": "application/cloudevents-batch+json"}, body, _ids(events)), chance)


def _maybe_packed(sent: Sent, chance: random.Random) -> Sent:
    if chance.random() < 0.7:
        return sent
    return dataclasses.replace(sent, body=gzip.compress(sent.body, mtime=0), fields={**sent.fields, "Content-Encoding": "gzip"})


OWN_KEYS: dict[str, OwnKeys] = {"own_keys": OwnKeys(_order, _orders), "own_clouds": OwnKeys(_cloud, _sky)}


def is_acknowledged(status: int, body: bytes) -> bool:
    """Whether that reply says of every event that it is stored. Version 3 of Kafka REST says it record by record, under 200, and of a batch
    under 207."""
    if status == 207:
        return b'"failures":[]' in body
    if status not in (200, 201, 202):
        return False
    told = [json.loads(line) for line in body.splitlines() if b'"error_code"' in line]
    # Of version 2 each record has a place in `offsets`.
    return all(one.get("error_code") in (200, None) for part in told for one in part.get("offsets", [part]))


def id_of(value) -> str:
    """Of a record's value, as the gateway shows it."""
    if isinstance(value, str):
        return value.split(" ")[0]
    return value["id"] if "id" in value else value["payload"]["id"]
