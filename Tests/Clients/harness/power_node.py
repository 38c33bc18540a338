"""A Millrace node whose data folder is on a power disk: it dies by a power cut, and loses what was not synced."""

from __future__ import annotations

import pathlib
import random
import tempfile
import time

from .broker import Broker
from .power_disk import PowerDisk


class PowerNode(Broker):
    death = "power cut"

    def __init__(self, program: str, settings: dict[str, str] | None = None, unsafe: bool = False):
        self.disk = PowerDisk()
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
