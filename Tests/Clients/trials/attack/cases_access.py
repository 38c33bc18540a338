"""Storms of those who are let in nowhere: handshakes, wrong passwords, tokens that nobody signed. Each comes from ever other addresses of
the loopback, for of one address few are looked at."""

from __future__ import annotations

import base64
import collections.abc
import json
import os
import socket
import ssl
import threading
import time
import zlib

from harness import loopback
from harness.broker import Broker, free_port
from harness.certificates import Certificates
from harness.issuer import Key, encode
from harness.wire import SASL_AUTHENTICATE, SASL_HANDSHAKE, Closed, Connection, octets, string
from .stage import Stage, case

THREADS = 8
_addresses = loopback.addresses()
_next_address = threading.Lock()


class GuardedBroker(Broker):
    """Beside the open listeners, which others use, those that ask who somebody is: SASL, TLS, https, and an issuer whose keys are in a file."""

    def __init__(self, kind: str, program: str, settings: dict[str, str] | None = None):
        super().__init__(kind, program, settings)
        self.certificates = Certificates(self.folder / "certificates")
        self.certificates.sign("server")
        self.key = Key(self.folder, "k1")
        keys = self.folder / "keys.json"
        keys.write_text(json.dumps({"keys": [self.key.jwk]}))
        self.sasl_port, self.ssl_port = free_port(), free_port()
        self.settings.update({
            "authorizer.enable": "false", "http.auth": "optional", "ssl.keystore.location": self.certificates.path("server.both.pem"),
            "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,OAUTHBEARER", "sasl.oauthbearer.jwks.endpoint.url": f"file://{keys}",
            "sasl.oauthbearer.expected.issuer": "https://issuer", "sasl.oauthbearer.expected.audience": "millrace"})

    def addresses(self) -> list[str]:
        return ["--kafka", f"PLAINTEXT://127.0.0.1:{self.kafka_port},SASL_PLAINTEXT://127.0.0.1:{self.sasl_port},SSL://127.0.0.1:{self.ssl_port}",
                "--http", f"127.0.0.1:{self.http_port}"]


def storm(stage: Stage, what: str, turn: collections.abc.Callable[[str], None]) -> None:
    """Runs `turn` with an address of its own each time, in several threads; a storm that did not blow is a fault."""
    end, counts, failures = time.monotonic() + stage.size(20, 4), [0] * THREADS, []

    def run(place: int) -> None:
        while time.monotonic() < end:
            with _next_address:
                address = next(_addresses)
            try:
                turn(address)
                counts[place] += 1
            except (OSError, Closed):
                counts[place] += 1  # refused, or ended: that is an answer
            except Exception as failure:  # told below
                failures.append(repr(failure))
                return

    threads = [threading.Thread(target=run, args=(place,)) for place in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stage.must(not failures, f"an attacker failed: {failures[:1]}")
    stage.must(sum(counts) > 200, f"only {sum(counts)} {what}")
    stage.notes.append(f"{sum(counts)} {what}")


@case("Handshakes of TLS, whole ones and ones that are not gone on with, without end", broker=GuardedBroker)
def tls_handshakes(stage: Stage) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    address, half = f"127.0.0.1:{stage.broker.ssl_port}", bytes([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])
    for silent in stage.connect_many(stage.size(1_500, 300), address)[::2]:
        silent.sendall(half)

    def turn(source: str) -> None:
        with loopback.connect(stage.broker.ssl_port, source) as plain, context.wrap_socket(plain):
            pass

    storm(stage, "handshakes", turn)


@case("Wrong passwords by PLAIN and SCRAM without end", broker=GuardedBroker)
def wrong_passwords(stage: Stage) -> None:
    def turn(source: str) -> None:
        with Connection.over(loopback.connect(stage.broker.sasl_port, source)) as connection:
            if os.urandom(1)[0] & 1:
                connection.call(SASL_HANDSHAKE, 1, string("PLAIN"))
                connection.call(SASL_AUTHENTICATE, 0, octets(b"\0alice\0wrong"))
            else:
                connection.call(SASL_HANDSHAKE, 1, string("SCRAM-SHA-256"))
                connection.call(SASL_AUTHENTICATE, 0, octets(b"n,,n=alice,r=" + base64.b64encode(os.urandom(12))))
                # And goes: what was begun is left alone.

    storm(stage, "tries", turn)


@case("Tokens that nobody signed, by both edges, without end", broker=GuardedBroker)
def wrong_tokens(stage: Stage) -> None:
    claims = {"iss": "https://issuer", "aud": "millrace", "sub": "alice", "iat": int(time.time()), "exp": int(time.time()) + 3_600}
    unsigned = encode({"alg": "RS256", "kid": "k1"}) + "." + encode(claims) + "."

    def turn(source: str) -> None:
        token = unsigned + encode(os.urandom(256))
        if os.urandom(1)[0] & 1:
            with loopback.connect(stage.broker.http_port, source) as connection:
                connection.sendall(f"GET /stats HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
                status = connection.recv(12, socket.MSG_WAITALL)
                assert status[9:] in (b"401", b"429", b"503"), status
        else:
            with Connection.over(loopback.connect(stage.broker.sasl_port, source)) as connection:
                connection.call(SASL_HANDSHAKE, 1, string("OAUTHBEARER"))
                connection.call(SASL_AUTHENTICATE, 0, octets(f"n,,\1auth=Bearer {token}\1\1".encode()))

    storm(stage, "tokens", turn)


def key_of_nobody() -> str:
    """As long as a key is and with its check, so that only the table of keys can tell that it is none."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    text = f"gk_{os.urandom(6).hex()}_{(os.urandom(22).hex())[:43]}"
    total = zlib.crc32(text.encode())
    for _ in range(6):
        text, total = text + digits[total % 62], total // 62
    return text


@case("Wrong keys and passwords over HTTP without end", broker=GuardedBroker)
def wrong_credentials(stage: Stage) -> None:
    def turn(source: str) -> None:
        shown = f"X-API-Key: {key_of_nobody()}" if os.urandom(1)[0] & 1 else "Authorization: Basic " + base64.b64encode(b"alice:" + os.urandom(6).hex().encode()).decode()
        with loopback.connect(stage.broker.http_port, source) as connection:
            connection.sendall(f"GET /stats HTTP/1.1\r\nHost: a\r\n{shown}\r\n\r\n".encode())
            status = connection.recv(12, socket.MSG_WAITALL)
            assert status[9:] in (b"401", b"429", b"503"), status

    storm(stage, "credentials", turn)
