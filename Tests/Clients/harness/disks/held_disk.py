"""A disk held to what a rented one does: a control group's limits of bytes and operations a second around one process.

Version 2 (`io.max`) where the kernel has that controller, else version 1 (`blkio.throttle`), where reads and writes are held
each for itself and bytes on their way from the page cache to the disk are not."""

from __future__ import annotations

import os
import pathlib

VERSION_1 = pathlib.Path("/sys/fs/cgroup/blkio")
VERSION_2 = pathlib.Path("/sys/fs/cgroup")


class NoHeldDisk(Exception):
    """This machine cannot hold one; the message says why."""


def device(folder: str) -> str:
    """major:minor of the disk that holds `folder`: not of the partition, which cannot be held."""
    number = os.stat(folder).st_dev
    home = pathlib.Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}")
    if not home.exists():
        raise NoHeldDisk(f"{folder} is not on a block device")
    if (home / "partition").exists():
        home = home.resolve().parent
    return (home / "dev").read_text().strip()


class HeldDisk:
    def __init__(self, folder: str, bytes_per_second: int = 125_000_000, operations: int = 3000):
        if os.geteuid() != 0:
            raise NoHeldDisk("only root may make control groups")
        disk, name = device(folder), f"held-disk-{os.getpid()}"
        try:
            if (VERSION_1 / "blkio.throttle.write_bps_device").exists():
                self.group = VERSION_1 / name
                self.group.mkdir()
                for file, most in (("bps", bytes_per_second), ("iops", operations)):
                    for way in ("read", "write"):
                        (self.group / f"blkio.throttle.{way}_{file}_device").write_text(f"{disk} {most}")
            elif "io" in (VERSION_2 / "cgroup.controllers").read_text().split():
                (VERSION_2 / "cgroup.subtree_control").write_text("+io")
                self.group = VERSION_2 / name
                self.group.mkdir()
                (self.group / "io.max").write_text(f"{disk} rbps={bytes_per_second} wbps={bytes_per_second} riops={operations} wiops={operations}")
            else:
                raise NoHeldDisk("no controller of block devices")
        except OSError as reason:
            raise NoHeldDisk(f"a control group is refused: {reason}") from None

    def hold(self, process: int) -> None:
        (self.group / "cgroup.procs").write_text(str(process))

    def remove(self) -> None:
        """When nothing runs in it any more."""
        self.group.rmdir()
