"""What the page of metrics says of the process itself and of a folder without damage. What is on the page, with kinds, labels and
texts, is compared by ShownMetricsTests in Swift; these numbers need a process that nobody else works in."""

import pytest

from harness.http import call

pytestmark = pytest.mark.gateway


def test_damage_disk_and_process_are_told_of(broker, new_topic):
    assert call(broker.http, "POST", f"/v1/topics/{new_topic(1)}/events", b"{}", "application/json").status == 201
    lines = call(broker.http, "GET", "/metrics").body.decode().splitlines()
    values = {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}
    for name in ("millrace_storage_quarantined_partitions", "millrace_storage_quarantined_bytes", "millrace_storage_partitions_refusing_appends", "millrace_storage_offline", "millrace_disk_full"):
        assert values[name] == 0, name
    for name in ("millrace_disk_free_bytes", "millrace_disk_reserve_bytes", "millrace_process_resident_memory_bytes", "millrace_process_open_fds", "millrace_process_max_fds", "millrace_process_cpu_seconds_total", 'millrace_storage_sync_seconds_count{file="journal"}', "millrace_storage_commit_seconds_count", "millrace_transport_accepted_total", "millrace_transport_received_bytes_total"):
        assert values[name] > 0, name
