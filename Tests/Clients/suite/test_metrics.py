"""The page of metrics in the documentation says what a running broker shows: names, kinds, labels and texts."""

import pathlib
import re

import pytest

from harness.http import call

pytestmark = pytest.mark.gateway

PAGE = pathlib.Path(__file__).resolve().parents[3] / "Sources/Telemetry/Telemetry.docc/Metrics.md"


def shown(broker) -> tuple[dict[str, list[str]], list[tuple[str, str]]]:
    """(name: [kind, labels, text]) of each family of /metrics, and all series with their values."""
    reply = call(broker.http, "GET", "/metrics")
    assert reply.status == 200
    families: dict[str, list[str]] = {}
    labels: dict[str, set[str]] = {}
    series = []
    for line in reply.body.decode().splitlines():
        if line.startswith("# HELP "):
            name, _, text = line[7:].partition(" ")
            families[name] = ["", "", text]
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            families.setdefault(name, ["", "", ""])[0] = kind
        elif line:
            family = line.split("{")[0].split(" ")[0]
            if family not in families:
                family = re.sub("_(bucket|sum|count)$", "", family)
            labels.setdefault(family, set()).update(name for name in re.findall(r'[{,]([a-z_]+)="', line) if name != "le")
            series.append(tuple(line.rsplit(" ", 1)))
    for name, found in labels.items():
        families[name][1] = ", ".join(f"`{label}`" for label in sorted(found))
    return families, series


def listed() -> dict[str, list[str]]:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `millrace_")]
    return {name.strip("`"): rest for name, *rest in (row[2:-2].split(" | ") for row in rows)}


def test_the_page_lists_what_is_shown(broker, new_topic):
    topic = new_topic(1)
    # So that the metrics whose labels are not known before have a series.
    assert call(broker.http, "POST", f"/v1/topics/{topic}/events", b"{}", "application/json").status == 201
    assert call(broker.http, "POST", f"/v1/topics/{topic}/events", b"not json", "application/json").status == 400
    families, _ = shown(broker)
    lines = "\n".join(f"| `{name}` | {kind} | {labels} | {text} |" for name, (kind, labels, text) in sorted(families.items()))
    assert all(name.startswith("millrace_") and text for name, (_, _, text) in families.items())
    assert listed() == families, f"the page should have these rows:\n{lines}"


def test_damage_disk_and_process_are_there_from_the_start(broker):
    _, series = shown(broker)
    values = {name: float(value) for name, value in series}
    for name in ("millrace_storage_quarantined_partitions", "millrace_storage_quarantined_bytes", "millrace_storage_partitions_refusing_appends", "millrace_storage_offline", "millrace_disk_full"):
        assert values[name] == 0, name
    for name in ("millrace_disk_free_bytes", "millrace_disk_reserve_bytes", "millrace_process_resident_memory_bytes", "millrace_process_open_fds", "millrace_process_max_fds", "millrace_process_cpu_seconds_total", 'millrace_storage_sync_seconds_count{file="journal"}', "millrace_storage_commit_seconds_count", "millrace_transport_accepted_total", "millrace_transport_received_bytes_total"):
        assert values[name] > 0, name
