"""A file system whose power can be cut under a running program: native/power_disk/main.c, compiled here and mounted by root."""

from __future__ import annotations

import ctypes
import os
import pathlib
import subprocess
import tempfile

from harness.native import NoCompiler, compiled

class NoPowerDisk(Exception):
    """This machine cannot mount one; the message says why."""


class PowerDisk:
    def __init__(self, size: int = 8 << 30):
        if not os.path.exists("/dev/fuse"):
            raise NoPowerDisk("/dev/fuse is not there")
        if os.geteuid() != 0:
            raise NoPowerDisk("only root may mount it")
        try:
            program = compiled("power_disk", "power_disk", ["main.c", "disk.c"])
            self.library = compiled("power_disk", "syncfs.so", ["syncfs.c"], "-shared", "-fPIC")
        except NoCompiler as reason:
            raise NoPowerDisk(str(reason)) from None
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="power-disk-"))
        self.process = subprocess.Popen(
            [program, self.folder, str(size)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "mounted\n":
            reason = self.process.stderr.read().strip()
            self.process.wait()
            os.rmdir(self.folder)
            raise NoPowerDisk(f"mounting is refused: {reason}")

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs in its environment for its syncfs to be seen."""
        return {"LD_PRELOAD": str(self.library)}

    def _tell(self, command: str) -> dict[str, int]:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        words = self.process.stdout.readline().split()
        if len(words) < 2 or words[0] == "unknown:":
            raise RuntimeError(f"power_disk: {command!r} is answered by {words}")
        return dict(zip(words[::2], map(int, words[1::2])))

    def cut(self, seed: int = 0, keeping: str = "some") -> dict[str, int]:
        """The power fails and is back. Nothing may have a file open. `keeping`: nothing, all, or a seeded part."""
        return self._tell(f"off {seed} {keeping}")

    def arm(self, changes: int) -> None:
        """From the so manyth write, sync or change of a name on, every call fails, until `cut`."""
        self._tell(f"arm {changes}")

    def freeze(self) -> None:
        """Every call fails from now on, until `cut`."""
        self._tell("freeze")

    def deafen(self, deaf: bool = True) -> None:
        """Syncs say that they succeeded and do nothing."""
        self._tell(f"deaf {int(deaf)}")

    def refuse_direct(self, refuses: bool = True) -> None:
        """Files cannot be opened with O_DIRECT, as on some file systems."""
        self._tell(f"buffered {int(refuses)}")

    def resize(self, size: int) -> None:
        self._tell(f"full {size}")

    def count(self) -> dict[str, int]:
        return self._tell("count")

    def remove(self) -> None:
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            ctypes.CDLL(None).umount2(os.fsencode(self.folder), 2)  # MNT_DETACH
        os.rmdir(self.folder)
