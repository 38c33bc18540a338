"""What the machine is, and how its memory and disk are brought into the same state before every measurement."""

from __future__ import annotations

import concurrent.futures
import ctypes
import mmap
import os
import pathlib
import platform
import re
import shutil
import subprocess
import time

FILLER_BYTES = 512 << 20
PIECE_BYTES = 64 << 20
FREE_AFTER_FILLING = 400 << 20
MADV_POPULATE_READ = 22

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_int64]
libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


def meminfo(key: str) -> int:
    return int(re.search(rf"^{key}:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text(), re.M)[1]) * 1024


class PageCache:
    """Fills free memory with clean page cache.

    A write into a page that was just freed, or was never touched, costs something else than one into a page that must be
    reclaimed, which is what a machine sees that has run for a day. The files are sparse: their pages are as clean and as
    evictable as any, and they take no disk. Each next piece begins where the last one ended, so least recently read first.
    The pages are read into a mapping (MADV_POPULATE_READ), which copies nothing: a quarter of the CPU time of read()."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.next = folder / "page-cache", 0
        self.files: list[int] = []
        self.count = max(4, -(-meminfo("MemTotal") // FILLER_BYTES))

    def fill(self) -> None:
        pieces = FILLER_BYTES // PIECE_BYTES
        with concurrent.futures.ThreadPoolExecutor(2) as threads:
            for _ in range(0, self.count * pieces, 2):
                if meminfo("MemFree") < FREE_AFTER_FILLING:
                    return
                places = [((n // pieces) % self.count, n % pieces * PIECE_BYTES) for n in (self.next, self.next + 1)]
                self.next += 2
                list(threads.map(read_ahead, [(self.file(number), offset) for number, offset in places]))

    def file(self, number: int) -> int:
        while number >= len(self.files):
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / str(len(self.files)), os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(descriptor, FILLER_BYTES)
            self.files.append(descriptor)
        return self.files[number]

    def remove(self) -> None:
        for descriptor in self.files:
            os.close(descriptor)
        self.files = []
        shutil.rmtree(self.folder, ignore_errors=True)


def read_ahead(piece: tuple[int, int]) -> None:
    """Has the kernel read PIECE_BYTES of a file into the page cache."""
    descriptor, offset = piece
    # By address: Python's own mapping holds the interpreter's lock in madvise.
    address = libc.mmap(None, PIECE_BYTES, mmap.PROT_READ, mmap.MAP_SHARED, descriptor, offset)
    if address == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    try:
        if libc.madvise(address, PIECE_BYTES, MADV_POPULATE_READ) == 0:
            return
    finally:
        libc.munmap(address, PIECE_BYTES)
    # A kernel before 5.14.
    for start in range(offset, offset + PIECE_BYTES, 4 << 20):
        os.pread(descriptor, 4 << 20, start)


SETTLE_SECONDS = 0.5


def settle(cache: PageCache | None) -> None:
    """Nothing of an earlier measurement is left to be written, and no memory is free.

    Gigabytes filled at once keep a virtual machine's host busy for a moment, in which a sync takes 10 ms: that is nobody's round."""
    os.sync()
    if cache:
        cache.fill()
        time.sleep(SETTLE_SECONDS)


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
