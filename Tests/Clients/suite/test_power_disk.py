"""The file system that loses what was not synced: were it to keep too much or too little, tools/power-off-test would prove
nothing."""

import ctypes
import mmap
import os

import pytest

from harness.disks.power_disk import NoPowerDisk, PowerDisk


@pytest.fixture
def disk():
    try:
        disk = PowerDisk()
    except NoPowerDisk as reason:
        pytest.skip(f"no power disk on this machine: {reason}")
    yield disk
    disk.remove()


def sync_folder(folder) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    os.fsync(descriptor)
    os.close(descriptor)


def durable_file(disk, name: str, content: bytes):
    path = disk.folder / name
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(disk.folder)
    return path


def block(byte: bytes, size: int = 4096) -> mmap.mmap:
    """Page-aligned memory, as O_DIRECT wants it."""
    memory = mmap.mmap(-1, size)
    memory.write(byte * size)
    return memory


def test_unsynced_bytes_are_seen_by_programs_and_lost_by_the_cut(disk):
    path = durable_file(disk, "a", b"old" * 1000)
    with open(path, "r+b") as file:
        file.write(b"new" * 2000)
    assert path.read_bytes() == b"new" * 2000
    disk.cut(keeping="nothing")
    assert path.read_bytes() == b"old" * 1000


@pytest.mark.parametrize("sync", [os.fsync, os.fdatasync])
def test_synced_bytes_and_size_survive(disk, sync):
    path = durable_file(disk, "a", b"old")
    with open(path, "r+b") as file:
        file.write(b"new" * 100_000)
        file.flush()
        sync(file.fileno())
    disk.cut(keeping="nothing")
    assert path.read_bytes() == b"new" * 100_000


@pytest.mark.parametrize("direct", [0, os.O_DIRECT])
@pytest.mark.parametrize("durable", [0, os.RWF_DSYNC])
def test_a_write_with_rwf_dsync_survives_and_one_without_does_not(disk, direct, durable):
    path = durable_file(disk, "a", b"o" * 8192)
    descriptor = os.open(path, os.O_RDWR | direct)
    assert os.pwritev(descriptor, [block(b"n")], 4096, durable) == 4096
    os.close(descriptor)
    disk.cut(keeping="nothing")
    assert path.read_bytes() == b"o" * 4096 + (b"n" if durable else b"o") * 4096


def test_a_file_opened_with_o_dsync_needs_no_sync(disk):
    path = durable_file(disk, "a", b"old")
    descriptor = os.open(path, os.O_WRONLY | os.O_DSYNC)
    os.write(descriptor, b"new")
    os.close(descriptor)
    disk.cut(keeping="nothing")
    assert path.read_bytes() == b"new"


def test_a_new_name_needs_a_sync_of_its_folder(disk):
    for name in ("a", "b"):
        with open(disk.folder / name, "wb") as file:
            file.write(b"content")
            file.flush()
            os.fsync(file.fileno())
        if name == "a":
            sync_folder(disk.folder)
    disk.cut(keeping="nothing")
    assert os.listdir(disk.folder) == ["a"] and (disk.folder / "a").read_bytes() == b"content"


def test_a_rename_is_durable_with_its_folder_and_in_one_step(disk):
    durable_file(disk, "a", b"first")
    durable_file(disk, "b", b"second")
    os.rename(disk.folder / "b", disk.folder / "a")
    assert os.listdir(disk.folder) == ["a"]
    disk.cut(keeping="nothing")
    assert sorted(os.listdir(disk.folder)) == ["a", "b"] and (disk.folder / "a").read_bytes() == b"first"
    os.rename(disk.folder / "b", disk.folder / "a")
    sync_folder(disk.folder)
    disk.cut(keeping="nothing")
    assert os.listdir(disk.folder) == ["a"] and (disk.folder / "a").read_bytes() == b"second"


def test_an_unsynced_removal_and_truncation_come_back(disk):
    durable_file(disk, "a", b"first")
    path = durable_file(disk, "b", b"second")
    os.unlink(disk.folder / "a")
    os.truncate(path, 2)
    disk.cut(keeping="nothing")
    assert (disk.folder / "a").read_bytes() == b"first" and path.read_bytes() == b"second"


def test_syncfs_makes_everything_durable(disk):
    library = ctypes.CDLL(str(disk.library), use_errno=True)
    os.makedirs(disk.folder / "x" / "y")
    (disk.folder / "x" / "y" / "file").write_bytes(b"content")
    descriptor = os.open(disk.folder, os.O_RDONLY)
    assert library.syncfs(descriptor) == 0
    os.close(descriptor)
    disk.cut(keeping="nothing")
    assert (disk.folder / "x" / "y" / "file").read_bytes() == b"content"


def test_a_cut_keeps_a_seeded_part_of_each_write(disk):
    found = set()
    for seed in range(40):
        path = durable_file(disk, "a", b"o" * 65536)
        with open(path, "r+b") as file:
            file.write(b"n" * 65536)
        disk.cut(seed)
        content = path.read_bytes()
        assert len(content) == 65536 and set(content) <= set(b"on")
        found.add("old" if b"n" not in content else "new" if b"o" not in content else "torn")
    assert found == {"old", "new", "torn"}


def test_an_armed_disk_fails_from_that_change_on(disk):
    path = durable_file(disk, "a", b"o" * 4096)
    descriptor = os.open(path, os.O_WRONLY)
    disk.arm(2)
    os.pwrite(descriptor, b"1", 0)
    with pytest.raises(OSError):
        os.fsync(descriptor)
    with pytest.raises(OSError):
        os.pwrite(descriptor, b"2", 1)
    os.close(descriptor)
    disk.cut(keeping="nothing")
    assert path.read_bytes() == b"o" * 4096


def test_a_deaf_disk_loses_what_was_synced(disk):
    path = durable_file(disk, "a", b"old")
    disk.deafen()
    durable_file(disk, "a", b"new")
    disk.deafen(False)
    disk.cut(keeping="nothing")
    assert path.read_bytes() == b"old"


def test_a_buffered_disk_refuses_o_direct_and_loses_the_same(disk):
    disk.refuse_direct()
    path = durable_file(disk, "a", b"o" * 4096)
    for flags in (os.O_RDWR, os.O_RDWR | os.O_CREAT):
        with pytest.raises(OSError, match="Invalid argument"):
            os.open(disk.folder / ("b" if flags & os.O_CREAT else "a"), flags | os.O_DIRECT)
    assert not (disk.folder / "b").exists()
    path.write_bytes(b"n" * 4096)
    disk.cut(keeping="nothing")
    assert path.read_bytes() == b"o" * 4096


def test_a_full_disk_says_so_and_has_room_again_after_a_removal(disk):
    disk.resize(1 << 20)
    (disk.folder / "a").write_bytes(b"a" * 1_000_000)
    with pytest.raises(OSError, match="No space"):
        (disk.folder / "b").write_bytes(b"b" * 1_000_000)
    os.unlink(disk.folder / "a")
    (disk.folder / "b").write_bytes(b"b" * 1_000_000)
