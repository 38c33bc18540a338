"""Opens many connections to the gateway that then do nothing, of HTTP/1.1 and of HTTP/2, plain and by TLS, each kind to a node of its
own, and tells what the node's resident memory has grown by. Each connection has made one request and read its reply, as those of a
client's pool have. The kernel's memory of the sockets is not in it."""

from __future__ import annotations

import argparse
import pathlib
import resource
import socket
import ssl
import struct
import sys
import tempfile
import time
from collections.abc import Callable

from harness.broker import Broker
from harness.certificates import Certificates
from harness.http import request
from harness.loads.writers import Violation
from harness.tls_broker import TLSBroker
from trials.command import FAILURES, SKIPPED, parser, remove_on_sigterm, say

CONNECTIONS = 10_000
# What the first ones need for all is there before anything is counted.
WARMING = 100
# Connections from one address: the node's usual limit is 256.
PER_ADDRESS = 250
SPARE_DESCRIPTORS = 500
SETTLED_SECONDS = 2.0
# Bytes of a connection. 10,000 plain ones are to hold less than 100 MB, and what TLS adds has a limit of its own.
LIMITS = {"h1": 10_000, "h2": 10_000, "h1-tls": 20_000, "h2-tls": 30_000}

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
END_STREAM, END_HEADERS, ACKNOWLEDGED = 1, 4, 1
HEADERS, SETTINGS, GOAWAY = 1, 4, 7


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def remembered(name: bytes, value: bytes) -> bytes:
    """A field that both sides keep in their tables, as clients have it for what they send with each request."""
    return bytes([0x40, len(name)]) + name + bytes([len(value)]) + value


FIELDS = bytes([0x82, 0x86, 0x04, 8]) + b"/healthz" + remembered(b":authority", b"localhost") + remembered(b"user-agent", b"idle-test") + remembered(b"accept", b"*/*")


def exactly(stream: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        part = stream.recv(count - len(found))
        if not part:
            raise Violation("the node has closed a connection")
        found += part
    return found


def ask_first(stream: socket.socket, number: int) -> None:
    """A request of HTTP/1.1."""
    stream.sendall(request("GET", "/healthz"))
    head = b""
    while b"\r\n\r\n" not in head:
        head += exactly(stream, 1)
    if not head.startswith(b"HTTP/1.1 200"):
        raise Violation(f"a connection was answered {head!r}")
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    exactly(stream, int(length.split(b":")[1]))


def ask_second(stream: socket.socket, number: int) -> None:
    """The connection's first, second … of HTTP/2, from 0."""
    opening = PREFACE + frame(SETTINGS, 0, 0) if number == 0 else b""
    own = 2 * number + 1
    stream.sendall(opening + frame(HEADERS, END_STREAM | END_HEADERS, own, FIELDS))
    while True:
        head = exactly(stream, 9)
        payload = exactly(stream, int.from_bytes(head[:3], "big"))
        if head[3] == SETTINGS and not head[4] & ACKNOWLEDGED:
            stream.sendall(frame(SETTINGS, ACKNOWLEDGED, 0))
        if head[3] == GOAWAY:
            raise Violation(f"the node ends a connection: {payload!r}")
        if int.from_bytes(head[5:9], "big") == own and head[4] & END_STREAM:
            return


def idle_node(program: str, certificates: Certificates, connections: int) -> TLSBroker:
    # They stay while others are opened, however long that takes. Clients of Kafka leave them their descriptors.
    settings = {"http.keep.alive.ms": "3600000", "http.max.connections": str(connections + WARMING + 100), "max.connections": "100"}
    return TLSBroker(program, certificates, settings)


def measure(node: TLSBroker, kind: str, connections: int) -> float:
    """Bytes of a connection, of so many of a kind to a node that was just started."""
    context = None
    if kind.endswith("-tls"):
        context = ssl.create_default_context(cafile=node.certificates.path("authority.pem"))
        context.set_alpn_protocols(["h2"] if kind == "h2-tls" else ["http/1.1"])
    ask = ask_second if kind.startswith("h2") else ask_first
    port = node.https_port if context else node.http_port
    held: list[socket.socket] = []

    def open_more(count: int) -> None:
        for _ in range(count):
            address = len(held) // PER_ADDRESS
            stream = socket.create_connection(("127.0.0.1", port), timeout=60, source_address=(f"127.0.{address // 250 + 1}.{address % 250 + 1}", 0))
            if context:
                stream = context.wrap_socket(stream, server_hostname="localhost")
            held.append(stream)
            ask(stream, 0)

    try:
        open_more(WARMING)
        time.sleep(SETTLED_SECONDS)
        before = node.resident_bytes()
        open_more(connections)
        time.sleep(SETTLED_SECONDS)
        after = node.resident_bytes()
        # All of them are there, and some that were idle all the time are served.
        for stream in held[:WARMING]:
            ask(stream, 1)
        open_now = _open_connections(node)
        if open_now < len(held):
            raise Violation(f"{kind}: of {len(held)} connections the node has {open_now}")
        return (after - before) / connections
    finally:
        for stream in held:
            stream.close()


def _open_connections(node: Broker) -> int:
    """As the node counts them, without the one that asks."""
    with socket.create_connection(("127.0.0.1", node.http_port), timeout=60) as stream:
        stream.sendall(request("GET", "/metrics", None, {"Connection": "close"}))
        page = b""
        while part := stream.recv(1 << 16):
            page += part
    line = next(line for line in page.decode().splitlines() if line.startswith("millrace_http_connections "))
    return int(line.split()[1]) - 1


def run(program: str, kinds: list[str], connections: int, say: Callable[[str], None] = lambda _: None) -> None:
    with tempfile.TemporaryDirectory(prefix="clients-idle-") as folder:
        certificates = Certificates(pathlib.Path(folder))
        certificates.sign("server")
        too_much = []
        for kind in kinds:
            node = idle_node(program, certificates, connections)
            try:
                node.start()
                each = measure(node, kind, connections)
                node.check_alive()
            finally:
                node.remove()
            say(f"{kind}: {connections:,} idle connections hold {each * connections / 1e6:.1f} MB, {each:,.0f} bytes each (limit {LIMITS[kind]:,})")
            if each > LIMITS[kind]:
                too_much.append(kind)
        if too_much:
            raise Violation(f"idle connections hold too much: {', '.join(too_much)}")


def allowed_connections() -> int:
    """As many as this process and its nodes may have descriptors for. A node keeps a quarter of them for files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard * 3 // 4 - SPARE_DESCRIPTORS if hard != resource.RLIM_INFINITY else 1 << 30


def kinds_of(text: str) -> list[str]:
    kinds = text.split(",")
    if not kinds or any(kind not in LIMITS for kind in kinds):
        raise argparse.ArgumentTypeError(f"kinds are {', '.join(LIMITS)}")
    return kinds


def main() -> int:
    arguments = parser("idle-test", __doc__)
    arguments.add_argument("--connections", type=int, default=CONNECTIONS, help=f"of each kind (default: {CONNECTIONS:,})")
    arguments.add_argument("--kinds", type=kinds_of, default=list(LIMITS), help=f"some of {','.join(LIMITS)} (default: all)")
    options = arguments.parse_args()
    remove_on_sigterm()
    if options.connections > allowed_connections():
        say(f"SKIPPED: this machine lets a process have descriptors for {allowed_connections():,} connections; `ulimit -n {(options.connections + SPARE_DESCRIPTORS) * 4 // 3 + 1}` as root raises that")
        return SKIPPED
    try:
        run(options.binary, options.kinds, options.connections, say)
    except FAILURES as failure:
        say(f"FAILED: {failure}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
