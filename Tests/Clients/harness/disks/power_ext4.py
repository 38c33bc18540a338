"""A node on a real ext4 whose disk loses its power: the ext4 is in a file on a power disk, through a loop device. Here the
kernel's own page cache and journal stand between the node and the disk, as in production."""

from __future__ import annotations

import os
import pathlib
import random
import subprocess
import tempfile

from .power_disk import NoPowerDisk
from .power_node import Killed, PowerNode


def run(*command) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise NoPowerDisk(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout.strip()


class Ext4PowerNode(PowerNode):
    death = "power cut under ext4"

    def __init__(
        self, program: str, settings: dict[str, str] | None = None, unsafe: bool = False, buffered: bool = False, size: int = 4 << 30):
        if buffered:
            raise NoPowerDisk("ext4 takes O_DIRECT")
        super().__init__(program, settings, unsafe)
        self.loop: str | None = None
        self.image = self.disk.folder / "image"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="power-ext4-"))
        # The kernel itself sends syncs to a block device.
        self.environment.pop("LD_PRELOAD")
        try:
            with open(self.image, "wb") as file:
                file.truncate(size)
            run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", self.image)
            os.sync()
            self.disk.cut(keeping="all")
            self._mount()
        except BaseException:
            self.remove()
            raise

    def _mount(self) -> None:
        self.loop = run("losetup", "--find", "--show", self.image)
        run("mount", "-t", "ext4", self.loop, self.folder)

    def _unmount(self) -> None:
        if self.loop is None:
            return
        # On a disk that fails both complain, and both are done.
        subprocess.run(["umount", str(self.folder)], capture_output=True)
        subprocess.run(["losetup", "--detach", self.loop], capture_output=True)
        self.loop = None

    def _cut(self, chance: random.Random) -> str:
        # What the kernel still holds must not reach the disk any more.
        self.disk.freeze()
        self._unmount()
        lost = super()._cut(chance)
        self._mount()
        return lost

    def remove(self) -> None:
        if self.process is not None:
            self._kill_however()
        self.disk.freeze()
        self._unmount()
        super().remove()
        self.folder.rmdir()


class KilledExt4PowerNode(Killed, Ext4PowerNode):
    death = "kill -9, start, power cut under ext4"
