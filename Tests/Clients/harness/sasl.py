"""The client's half of SCRAM-SHA-256 by hand, and any request of kafka-python's over one authenticated connection."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import socket
import struct

from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from .wire import Closed


class Session:
    """A connection on which a user has shown who he is."""

    def __init__(self, bootstrap: str, user: str, password: str):
        host, port = bootstrap.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=8)
        self.log_in(user, password)

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()

    def call(self, request, version: int):
        """Sends a request of kafka-python's and returns its decoded reply."""
        request.with_header(correlation_id=7, client_id="by-hand")
        request.API_VERSION = version
        self.socket.sendall(request.encode(version=version, header=True, framed=True))
        (length,) = struct.unpack(">i", self.read(4))
        return self.response(request).decode(self.read(length), version=version, header=True)

    @staticmethod
    def response(request):
        module = __import__(type(request).__module__, fromlist=["x"])
        return getattr(module, type(request).__name__.split("_v")[0].replace("Request", "Response"))

    def read(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            more = self.socket.recv(count - len(found))
            if not more:
                raise Closed("the broker closed the connection")
            found += more
        return found

    def log_in(self, user: str, password: str) -> None:
        assert self.call(SaslHandshakeRequest(mechanism="SCRAM-SHA-256"), 1).error_code == 0
        bare = f"n={user},r={base64.b64encode(os.urandom(12)).decode()}"
        first = self.token(b"n,," + bare.encode())
        nonce, salt, iterations = (field[2:] for field in first.decode().split(","))
        salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), int(iterations))
        without_proof = f"c=biws,r={nonce}"
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), f"{bare},{first.decode()},{without_proof}".encode(), "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
        self.token(f"{without_proof},p={proof}".encode())

    def token(self, data: bytes) -> bytes:
        reply = self.call(SaslAuthenticateRequest(auth_bytes=data), 2)
        assert reply.error_code == 0, reply.error_message
        return reply.auth_bytes
