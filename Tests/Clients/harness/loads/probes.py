"""What needs no disk, asked again and again, and how long the longest answer took."""

from __future__ import annotations

import threading
import time

from harness import http, wire


class Member:
    """The only member of a group, heartbeat by heartbeat."""

    def __init__(self, bootstrap: str, group: str, session_ms: int = 6000):
        self.connection = wire.Connection(bootstrap, timeout=60)
        self.group = group
        protocols = wire.array([wire.string("range") + wire.octets(b"")])
        joined = self.connection.call(
            11, 1, wire.string(group) + wire.int32(session_ms) + wire.int32(60_000) + wire.string("") + wire.string("consumer") + protocols)
        self._expect(joined.int16())
        self.generation, _, _, self.member = joined.int32(), joined.string(), joined.string(), joined.string()
        assignments = wire.array([wire.string(self.member) + wire.octets(b"all")])
        self._expect(self.connection.call(14, 0, self._who() + assignments).int16())

    def _who(self) -> bytes:
        return wire.string(self.group) + wire.int32(self.generation) + wire.string(self.member)

    @staticmethod
    def _expect(error: int) -> None:
        if error:
            raise wire.refusal(error, "a member's request")

    def heartbeat(self) -> None:
        self._expect(self.connection.call(12, 0, self._who()).int16())

    def send_commit(self, topic: str, offset: int) -> int:
        """Sends an OffsetCommit and does not wait for its answer."""
        entry = wire.int32(0) + wire.int64(offset) + wire.string("")
        return self.connection.send(8, 2, self._who() + wire.int64(-1) + wire.array([wire.string(topic) + wire.array([entry])]))


class Probe(threading.Thread):
    def __init__(self, name: str, ask, pause: float = 0.005):
        super().__init__(name=name, daemon=True)
        self.ask, self.pause = ask, pause
        self.longest, self.count, self.failure = 0.0, 0, None
        self.ending = threading.Event()

    def run(self) -> None:
        try:
            while not self.ending.is_set():
                began = time.monotonic()
                self.ask()
                self.longest = max(self.longest, time.monotonic() - began)
                self.count += 1
                time.sleep(self.pause)
        except Exception as failure:  # told by whoever evaluates the probe
            self.failure = failure

    def end(self) -> "Probe":
        self.ending.set()
        self.join(60)
        return self


def probes(node, topic: str, offset: int, group: str) -> list[Probe]:
    """/healthz, ListOffsets, a fetch of the newest records, a heartbeat: all on connections of their own."""
    web = http.Connection(node.http, timeout=60)
    offsets, fetches = wire.Connection(node.bootstrap, timeout=60), wire.Connection(node.bootstrap, timeout=60)
    member = Member(node.bootstrap, group)

    def healthz():
        assert web.request("GET", "/healthz").status == 200

    def fetch():
        error, _, records = fetches.fetch(topic, 0, offset, max_wait_ms=0)
        assert error == 0 and records

    return [
        Probe("/healthz", healthz), Probe("ListOffsets", lambda: offsets.list_offset(topic, 0, -1)), Probe("fetch from memory", fetch),
        Probe("heartbeat", member.heartbeat)]
