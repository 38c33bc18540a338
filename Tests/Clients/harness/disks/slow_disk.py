"""A node whose disk hiccups: native/slow_disk/shim.c, preloaded, sleeps in its syncs and reads as it is told here."""

from __future__ import annotations

import mmap
import struct
import tempfile

from harness.broker import Broker
from harness.native import compiled

FIELDS = ("sync_ms", "sync_every_ms", "read_ms", "slow_syncs", "slow_reads", "last_slow_sync")


class SlowNode(Broker):
    def __init__(self, program: str, settings: dict[str, str] | None = None):
        super().__init__("millrace", program, settings)
        self._file = tempfile.NamedTemporaryFile(prefix="slow-disk-")
        self._file.write(bytes(8 * len(FIELDS)))
        self._file.flush()
        self._map = mmap.mmap(self._file.fileno(), 8 * len(FIELDS))
        library = compiled("slow_disk", "slow_disk.so", ["shim.c"], "-shared", "-fPIC", "-ldl")
        self.environment = {"LD_PRELOAD": str(library), "SLOW_DISK_CONTROL": self._file.name}

    def _set(self, field: str, value: int) -> None:
        self._map[8 * FIELDS.index(field):8 * FIELDS.index(field) + 8] = struct.pack("=q", value)

    def count(self, field: str) -> int:
        return struct.unpack_from("=q", self._map, 8 * FIELDS.index(field))[0]

    def slow_syncs(self, milliseconds: int, every: int = 3000) -> None:
        """One sync takes so long, and the next one `every` milliseconds after it began."""
        self._set("last_slow_sync", 0)
        self._set("sync_every_ms", every)
        self._set("sync_ms", milliseconds)

    def slow_reads(self, milliseconds: int) -> None:
        self._set("read_ms", milliseconds)

    def well(self) -> None:
        self._set("sync_ms", 0)
        self._set("read_ms", 0)

    def remove(self) -> None:
        self.well()
        super().remove()
        self._map.close()
        self._file.close()
