"""A small real disk to fill: an ext4 in a file, mounted through a loop device; needs root."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import tempfile


class NoSmallDisk(Exception):
    """This machine cannot mount one; the message says why."""


def _run(*command) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise NoSmallDisk(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout.strip()


class SmallDisk:
    def __init__(self, size: int):
        for tool in ("mkfs.ext4", "losetup", "mount", "umount"):
            if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
                raise NoSmallDisk(f"{tool} is not there: apt-get install e2fsprogs mount")
        if os.geteuid() != 0:
            raise NoSmallDisk("only root may mount it")
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="small-disk-"))
        self.folder = self.home / "mounted"
        self.folder.mkdir()
        image = self.home / "image"
        try:
            with open(image, "wb") as file:
                # Taken from the host's disk now, so that only this disk can be full.
                os.posix_fallocate(file.fileno(), 0, size)
            # Nothing is kept back for root, which the broker may run as.
            _run("mkfs.ext4", "-q", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
            _run("mount", "-o", "loop", image, self.folder)
        except (NoSmallDisk, OSError):
            shutil.rmtree(self.home)
            raise

    def free(self) -> int:
        state = os.statvfs(self.folder)
        return state.f_bavail * state.f_frsize

    def take(self, name: str, leaving: int) -> pathlib.Path:
        """Ballast: a file so large that `leaving` bytes stay free."""
        path = self.folder / name
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(self.free() - leaving, 1))
        return path

    def take_all(self, name: str) -> pathlib.Path:
        """Ballast that leaves nothing, by writing until the disk refuses."""
        path = self.folder / name
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
        for size in (1 << 20, 1 << 12):
            try:
                while True:
                    os.write(descriptor, bytes(size))
            except OSError:
                pass
        os.fsync(descriptor)
        os.close(descriptor)
        return path

    def remove(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], check=False)
        shutil.rmtree(self.home, ignore_errors=True)
