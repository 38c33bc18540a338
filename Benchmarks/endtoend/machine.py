"""What the machine is, and how its memory and disk are brought into the same state before every measurement."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import shutil
import subprocess
import time

FILLER_BYTES = 512 << 20
FREE_AFTER_FILLING = 400 << 20


def meminfo(key: str) -> int:
    return int(re.search(rf"^{key}:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.M)[1]) * 1024


class PageCache:
    """Fills free memory with clean page cache.

    A write into a page that was just freed, or was never touched, costs something else than one into a page that must be
    reclaimed, which is what a machine sees that has run for a day. The files are sparse: their pages are as clean and as
    evictable as any, and they take no disk. Each next read begins where the last one ended, so least recently read first."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.next = folder / "page-cache", 0
        self.count = max(4, -(-meminfo("MemTotal") // FILLER_BYTES))

    def fill(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        buffer = bytearray(4 << 20)
        for _ in range(self.count):
            if meminfo("MemFree") < FREE_AFTER_FILLING:
                return
            path = self.folder / f"{self.next % self.count}"
            self.next += 1
            if not path.exists():
                with open(path, "wb") as file:
                    file.truncate(FILLER_BYTES)
            with open(path, "rb", buffering=0) as file:
                while file.readinto(buffer):
                    if meminfo("MemFree") < FREE_AFTER_FILLING:
                        return

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def settle(cache: PageCache | None) -> None:
    """Nothing of an earlier measurement is left to be written, and no memory is free."""
    os.sync()
    if cache:
        cache.fill()


def wait_for_disk(folder: pathlib.Path, needed: int, seconds: float = 90) -> None:
    """Apache Kafka deletes a topic's files a minute after the topic."""
    deadline = time.monotonic() + seconds
    while shutil.disk_usage(folder).free < needed:
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: {shutil.disk_usage(folder).free / 1e9:.1f} GB free under {folder}, {needed / 1e9:.0f} needed; name another folder with --scratch")
        time.sleep(1)


def file_system(folder: pathlib.Path) -> str:
    done = subprocess.run(["findmnt", "-no", "FSTYPE", "-T", str(folder)], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def describe(folder: pathlib.Path) -> dict[str, str]:
    cpu = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return {
        "cpu": f"{os.cpu_count()} x {cpu[1] if cpu else platform.machine()}",
        "memory": f"{meminfo('MemTotal') / (1 << 30):.1f} GiB",
        "kernel": f"Linux {platform.release()}",
        "file system": file_system(folder),
        "load before": " ".join(f"{value:.2f}" for value in os.getloadavg()),
    }


def drop(folder: pathlib.Path) -> None:
    """Puts a folder's files out of the page cache; what is dirty was synced before."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
