"""HTTP/1.1 by hand, so that requests may be wrong in every way, and a reply reader that trusts nothing."""

from __future__ import annotations

import dataclasses
import json
import socket


class NoReply(Exception):
    """The peer closed the connection instead of answering."""


@dataclasses.dataclass
class Reply:
    status: int
    fields: list[tuple[str, str]]
    body: bytes

    def field(self, name: str) -> str | None:
        found = [value for key, value in self.fields if key.lower() == name.lower()]
        assert len(found) <= 1, f"{name} is there {len(found)} times"
        return found[0] if found else None

    @property
    def json(self):
        return json.loads(self.body)


class Connection:
    def __init__(self, address: str, timeout: float = 15, source: str = ""):
        host, port = address.rsplit(":", 1)
        self.address = address
        self.socket = socket.create_connection((host, int(port)), timeout=timeout, source_address=(source, 0) if source else None)
        self.socket.settimeout(timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffered = b""

    def __enter__(self): return self
    def __exit__(self, *_): self.socket.close()

    def send(self, raw: bytes) -> None:
        try:
            self.socket.sendall(raw)
        except (BrokenPipeError, ConnectionResetError):
            pass  # an early refusal: the reply, or the end of the connection, is still to be read

    def _more(self) -> bool:
        try:
            part = self.socket.recv(65536)
        except ConnectionResetError:
            part = b""
        self.buffered += part
        return bool(part)

    def receive(self, head_only: bool = False) -> Reply:
        while b"\r\n\r\n" not in self.buffered:
            if not self._more():
                raise NoReply(f"closed after {self.buffered[:100]!r}")
        head, _, rest = self.buffered.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        version, status, *_ = lines[0].split(" ")
        assert version == "HTTP/1.1", lines[0]
        fields = [tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:]]
        reply = Reply(int(status), fields, b"")
        self.buffered = rest
        if reply.status < 200 or reply.status in (204, 304) or head_only:
            return reply
        if (reply.field("Transfer-Encoding") or "").lower() == "chunked":
            reply.body = self._chunked()
        else:
            length = reply.field("Content-Length")
            assert length is not None, f"a reply without length: {lines}"
            reply.body = self._exactly(int(length))
        return reply

    def _exactly(self, count: int) -> bytes:
        pieces, missing = [self.buffered], count - len(self.buffered)
        while missing > 0:
            self.buffered = b""
            if not self._more():
                raise NoReply(f"closed inside a body: {count - missing} of {count} bytes")
            pieces.append(self.buffered)
            missing -= len(self.buffered)
        whole = b"".join(pieces)
        self.buffered = whole[count:]
        return whole[:count]

    def _chunked(self) -> bytes:
        pieces = []  # joined at the end: a reply may have thousands
        while True:
            while b"\r\n" not in self.buffered:
                if not self._more():
                    raise NoReply("closed inside a chunk")
            size, _, self.buffered = self.buffered.partition(b"\r\n")
            chunk = self._exactly(int(size, 16) + 2)[:-2]
            if not int(size, 16):
                return b"".join(pieces)
            pieces.append(chunk)

    def request(self, method: str, path: str, body: bytes | None = None, fields: dict[str, str] | None = None) -> Reply:
        self.send(request(method, path, body, {"Host": self.address, **(fields or {})}))
        return self.receive(head_only=method == "HEAD")


def request(method: str, path: str, body: bytes | None = None, fields: dict[str, str] | None = None) -> bytes:
    fields = dict(fields or {})
    if body is not None:
        fields.setdefault("Content-Length", str(len(body)))
    head = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "localhost", **fields}.items())
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + (body or b"")


def call(address: str, method: str, path: str, body: bytes | None = None, content_type: str | None = None, **fields: str) -> Reply:
    """One request on a connection of its own; `X_Request_Id="a"` becomes a field."""
    named = {name.replace("_", "-"): value for name, value in fields.items()}
    if content_type:
        named["Content-Type"] = content_type
    with Connection(address) as connection:
        return connection.request(method, path, body, named)
