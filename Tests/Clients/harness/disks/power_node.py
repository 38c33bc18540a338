"""A Millrace node whose data folder is on a power disk: it dies by a power cut, and loses what was not synced."""

from __future__ import annotations

import pathlib
import random
import tempfile
import time

from harness.broker import Broker
from .power_disk import PowerDisk


class PowerNode(Broker):
    death = "power cut"

    def __init__(self, program: str, settings: dict[str, str] | None = None, unsafe: bool = False, buffered: bool = False):
        self.disk = PowerDisk()
        if buffered:
            self.disk.refuse_direct()
        super().__init__("millrace", program, settings, folder=str(self.disk.folder))
        self.log_path = pathlib.Path(tempfile.mkdtemp(prefix="power-node-")) / "output.log"
        self.environment = dict(self.disk.environment)
        if unsafe:
            self.environment["MILLRACE_UNSAFE_WITHOUT_SYNC"] = "1"

    def _cut(self, chance: random.Random) -> str:
        keeping = chance.choices(["nothing", "some", "all"], [35, 55, 10])[0]
        before = self.disk.count()
        after = self.disk.cut(chance.getrandbits(48), keeping)
        lost = f"{after['dropped_bytes'] - before['dropped_bytes']} bytes, {after['dropped_names'] - before['dropped_names']} names lost"
        return f"keeping {keeping}: {lost}"

    def die(self, chance: random.Random) -> str:
        """At once, or with one of the next writes, syncs or names that it asks for."""
        if chance.random() < 0.5:
            self.kill()
            return f"cut {self._cut(chance)}"
        changes = int(10 ** chance.uniform(0, 3.3))
        self.disk.arm(changes)
        self._wait_frozen(3)
        self._kill_however()
        return f"cut at change {changes} {self._cut(chance)}"

    def die_at_start(self, chance: random.Random) -> str:
        changes = int(10 ** chance.uniform(0, 2))
        self.disk.arm(changes)
        self._wait_frozen(1)
        self._kill_however()
        return f"in recovery at change {changes} {self._cut(chance)}"

    def _wait_frozen(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self.disk.count()["frozen"] and time.monotonic() < deadline:
            time.sleep(0.005)

    def _kill_however(self) -> None:
        """A node whose disk fails may have ended by itself."""
        process, self.process = self.process, None
        process.kill()
        process.wait()

    def remove(self) -> None:
        super().remove()
        self.disk.remove()


class Killed:
    """Before a node whose disk can lose its power: most deaths are kill -9, started again, and then the power cut. The process that
    finds what another left in the kernel's cache has to make it durable before it relies on it."""

    rests = True
    # From 16 changed partitions on a checkpoint syncs the whole file system, which would hide that one of them is forgotten.
    produced_partitions = 3

    def die(self, chance: random.Random) -> str:
        if chance.random() < 0.1:
            return super().die(chance)
        how = [self._kill()]
        while chance.random() < 0.3 and len(how) < 4:
            self.start(wait=False)
            how.append(self._kill_at_start(chance))
        if chance.random() < 0.1:
            return ", ".join(how)
        self.start(wait=False)
        if chance.random() < 0.3:
            return ", ".join([*how, super().die_at_start(chance)])
        self.wait_ready()
        # Soon: with each second of load more of what was found is synced by those who write behind it.
        time.sleep(10 ** chance.uniform(-3, 0))
        if chance.random() < 0.3:
            return ", ".join([*how, "started", super().die(chance)])
        self.kill()
        return ", ".join([*how, f"started, cut {self._cut(chance)}"])

    def die_at_start(self, chance: random.Random) -> str:
        return self._kill_at_start(chance) if chance.random() < 0.5 else super().die_at_start(chance)

    def _kill(self) -> str:
        self.kill()
        return "killed"

    def _kill_at_start(self, chance: random.Random) -> str:
        time.sleep(chance.uniform(0, 0.15))
        return f"{self._kill()} in recovery"


class KilledPowerNode(Killed, PowerNode):
    death = "kill -9, start, power cut"
