"""The members of one consumer group, each a process, and what the group as a whole must have done."""

from __future__ import annotations

import json
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

# The errors of a commit in a generation that is over, by each client's words for them.
REBALANCED = re.compile(r"rebalance|illegal.?generation|unknown.?member|CommitFailed", re.IGNORECASE)
# The errors of a commit while the node is away or just back.
UNREACHABLE = re.compile(r"connect|ECONN|transport|brokers down|timed.?out|not.?coordinator|not.?available|load.?in.?progress|NodeNotReady", re.IGNORECASE)
WORKER = pathlib.Path(__file__).with_name("group_worker.py")


class Member:
    """Starts a worker and keeps its events with the time they arrived."""

    def __init__(self, client: str, bootstrap: str, group: str, topic: str, *extra: str):
        self.client = client
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), "--client", client, "--bootstrap", bootstrap, "--group", group, "--topic", topic, *extra],
            stdout=subprocess.PIPE, stderr=self.stderr, stdin=subprocess.DEVNULL)
        self.events: list[tuple[float, list]] = []
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            try:
                self.events.append((time.monotonic(), json.loads(line)))
            except ValueError:
                pass  # the last line of a killed process may be half a line

    def of(self, kind: str) -> list[list]:
        return [event for _, event in list(self.events) if event[0] == kind]

    def assignment(self) -> list[int] | None:
        """The partitions held now; None before the first assignment and while a rebalance is under way."""
        held: set[int] | None = None
        for _, event in list(self.events):
            if event[0] == "assigned":
                held = (held or set()) | set(event[1])
            elif event[0] == "revoked" and held is not None:
                held = held - set(event[1]) or None
        return None if held is None else sorted(held)

    def records(self) -> list[tuple[int, int, str]]:
        return [(event[1], offset, value) for event in self.of("records") for offset, value in event[2]]

    def committed(self) -> dict[int, int]:
        """The highest offset whose commit was acknowledged, by partition."""
        highest: dict[int, int] = {}
        for event in self.of("committed"):
            for partition, offset in event[1].items():
                highest[int(partition)] = max(offset, highest.get(int(partition), 0))
        return highest

    def refused(self, node_was_away: bool = False) -> dict[int, int]:
        """The highest offset whose commit was refused because of a rebalance, or because the node was away, by partition: what was to be committed
        comes again."""
        highest: dict[int, int] = {}
        asked: dict[str, int] = {}
        for _, event in list(self.events):
            if event[0] == "committing":
                asked = event[1]
            elif event[0] == "commit refused":
                assert REBALANCED.search(event[1]) or node_was_away and UNREACHABLE.search(event[1]), f"{self.client}: a commit was refused for another reason: {event[1]}"
                for partition, offset in asked.items():
                    highest[int(partition)] = max(offset, highest.get(int(partition), 0))
        return highest

    def history(self) -> str:
        """What it told beside its records, with seconds before now."""
        now = time.monotonic()
        told = [f"{at - now:.1f} {json.dumps(event)}" for at, event in list(self.events) if event[0] not in ("records", "committing", "committed")]
        return f"{self.client}, {'running' if self.process.poll() is None else f'ended with {self.process.returncode}'}: {'; '.join(told[-20:])}"

    def leave(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.crash()
            raise AssertionError(f"{self.client} did not leave its group within 20 s: {self.errors()}") from None
        self.thread.join(5)
        assert self.process.returncode == 0, self.errors()

    def crash(self) -> None:
        """kill -9: no LeaveGroup, no commit."""
        self.process.kill()
        self.process.wait()
        self.thread.join(5)

    def errors(self) -> str:
        self.stderr.seek(0)
        return self.stderr.read().decode(errors="replace")[-3000:]


class Group:
    def __init__(self, bootstrap: str, name: str, topic: str, partitions: int):
        self.bootstrap, self.name, self.topic, self.partitions = bootstrap, name, topic, partitions
        self.members: list[Member] = []

    def join(self, client: str, *extra: str) -> Member:
        member = Member(client, self.bootstrap, self.name, self.topic, *extra)
        self.members.append(member)
        return member

    def wait_shared(self, *members: Member, seconds: float = 40) -> None:
        """Until these members hold all partitions among them, none twice, none idle (if there are enough)."""
        def shared() -> bool:
            held = [m.assignment() for m in members]
            if any(h is None for h in held):
                return False
            flat = sorted(p for h in held for p in h)
            return flat == list(range(self.partitions)) and (len(members) > self.partitions or all(held))

        wait_until(shared, seconds, lambda: f"assignments {[m.assignment() for m in members]}\n" + "\n".join(f"{m.history()}\n{m.errors()}" for m in members))

    def wait_consumed(self, expected: set, seconds: float = 40) -> None:
        def consumed() -> bool:
            return {(p, o) for m in self.members for p, o, _ in m.records()} >= expected

        wait_until(consumed, seconds, lambda: f"missing {sorted(expected - {(p, o) for m in self.members for p, o, _ in m.records()})[:20]}")

    def close(self) -> None:
        for member in self.members:
            if member.process.poll() is None:
                member.crash()

    def duplicates(self, node_was_away: bool = False) -> list[tuple[int, int]]:
        """What came more than once, but for records whose commit was refused: a client starts a rebalance by its own timers, too, when
        the machine is busy, and then the protocol has them come again."""
        counts: dict[tuple[int, int], int] = {}
        excused: dict[int, int] = {}
        for member in self.members:
            for partition, offset, _ in member.records():
                counts[partition, offset] = counts.get((partition, offset), 0) + 1
            for partition, offset in member.refused(node_was_away).items():
                excused[partition] = max(offset, excused.get(partition, 0))
        return sorted(place for place, count in counts.items() if count > 1 and place[1] >= excused.get(place[0], 0))

    def check_order(self) -> None:
        """Within one assignment, a member sees each partition's offsets in order and without a gap."""
        for member in self.members:
            last: dict[int, int] = {}
            for _, event in member.events:
                if event[0] in ("assigned", "revoked"):
                    last.clear()
                elif event[0] == "records":
                    for offset, _value in event[2]:
                        before = last.get(event[1])
                        assert before is None or offset == before + 1, f"{member.client}: partition {event[1]} went from {before} to {offset}"
                        last[event[1]] = offset


def wait_until(condition, seconds: float, explain=lambda: "") -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s; {explain()}")
        time.sleep(0.05)
