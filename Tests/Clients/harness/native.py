"""The C programs and libraries in native/, compiled when they are first needed."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess

CLIENTS = pathlib.Path(__file__).resolve().parents[1]
SOURCES = CLIENTS / "native"
BUILT = CLIENTS.parents[1] / ".build/native"


class NoCompiler(Exception):
    """This machine has none."""


def compiled(folder: str, name: str, sources: list[str], *flags: str) -> pathlib.Path:
    """`name`, made of the sources in `native/<folder>`; newer than all files there."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise NoCompiler("no C compiler: apt-get install gcc libc6-dev linux-libc-dev")
    home, target = SOURCES / folder, BUILT / folder / name
    if not target.exists() or target.stat().st_mtime < max(source.stat().st_mtime for source in home.iterdir()):
        target.parent.mkdir(parents=True, exist_ok=True)
        # Under a name of its own first: another run may be using it.
        own = target.with_name(f"{name}.{os.getpid()}")
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", *flags, "-o", own, *(home / source for source in sources)], check=True)
        os.replace(own, target)
    return target
