"""A queue's messages posted to a receiver that fails, hangs and answers in part, while the broker is killed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import pathlib
import random
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from harness.broker import Broker
from harness.certificates import Certificates
from harness.http import call

pytestmark = pytest.mark.control

KEY = b"a key of twenty-four byte"
MESSAGES, TURNS = 40, 8  # of a turn


class Receiver:
    """Takes batches, verifies who sent them, and notes what it was done with."""

    def __init__(self, context: ssl.SSLContext | None = None):
        self.chance = random.Random(11)
        self.lock = threading.Lock()
        self.is_well = False
        self.given: list[str] = []
        self.done: list[str] = []
        self.wrong: list[str] = []
        self.hanging = threading.Event()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.take(self, body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.scheme = "https" if context else "http"
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://localhost:{self.server.server_port}/batch"

    def take(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        identifier, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        code = hmac.new(KEY, f"{identifier}.{at}.".encode() + body, hashlib.sha256).digest()
        records = json.loads(body)["Records"]
        with self.lock:
            if request.headers["webhook-signature"] != "v1," + base64.b64encode(code).decode() or abs(time.time() - int(at)) > 60:
                self.wrong.append(identifier)
            self.wrong += [record["messageId"] for record in records if hashlib.md5(record["body"].encode()).hexdigest() != record["md5OfBody"]]
            self.given += [record["body"] for record in records]
            way = "takes" if self.is_well else self.chance.choice(["takes", "takes", "in part", "fails", "is busy", "hangs", "drops", "babbles"])
            failed = [record for record in records if self.chance.random() < 0.3] if way == "in part" else []
            if way in ("takes", "in part"):
                self.done += [record["body"] for record in records if record not in failed]
        if way == "hangs":
            self.hanging.wait(3)
        if way == "drops":
            request.close_connection = True
            return
        status, fields, answer = 200, {}, b""
        if way == "fails":
            status = 500
        elif way == "is busy":
            status, fields = 429, {"Retry-After": "1"}
        elif way == "babbles":
            answer = b"<html>welcome</html>"
        elif way == "in part":
            answer = json.dumps({"batchItemFailures": [{"itemIdentifier": record["messageId"]} for record in failed]}).encode()
        try:
            request.send_response(status)
            for name, value in {**fields, "Content-Length": str(len(answer))}.items():
                request.send_header(name, value)
            request.end_headers()
            request.wfile.write(answer)
        except OSError:
            pass  # the broker has hung up

    def stop(self) -> None:
        self.hanging.set()
        self.server.shutdown()
        self.server.server_close()


def configure(broker: Broker, receiver: Receiver, folder: pathlib.Path, more: str) -> None:
    secret = folder / "secret"
    secret.write_text("whsec_" + base64.b64encode(KEY).decode())
    broker.configuration = f"""
auth: {{secrets: {{worker: {{file: {secret}}}}}}}
queues: {{jobs: {{partitions: 2, backoff: [50ms, 200ms]}}}}
subscriptions:
  worker: {{from: jobs, to: "{receiver.url}", secret: worker, batch: {{records: 10, window: 20ms}}, timeout: 1s, {more}}}
"""


@pytest.fixture
def pushing(pytestconfig, tmp_path):
    receiver = Receiver()
    broker = Broker("millrace", pytestconfig.getoption("--binary"))
    configure(broker, receiver, tmp_path, "concurrency: 4")
    broker.start()
    yield broker, receiver
    broker.stop()
    broker.remove()
    receiver.stop()


@pytest.fixture
def pushing_by_https(pytestconfig, tmp_path):
    """What the broker trusts is another's."""
    certificates = Certificates(tmp_path / "certificates")
    certificates.sign("server")
    certificates.sign_itself("stranger")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.path("server.both.pem"))
    receiver = Receiver(context)
    receiver.is_well = True
    trusted = tmp_path / "trusted.pem"
    trusted.write_text((certificates.folder / "stranger.pem").read_text())
    broker = Broker("millrace", pytestconfig.getoption("--binary"))
    configure(broker, receiver, tmp_path, f"ca: {trusted}")
    broker.start()
    yield broker, receiver, certificates, trusted
    broker.stop()
    broker.remove()
    receiver.stop()


def status(broker: Broker) -> dict:
    return call(broker.http, "GET", "/stats", b"").json["subscriptions"]["worker"]


def send(broker: Broker, texts: list[str]) -> None:
    reply = call(broker.http, "POST", "/v1/queues/jobs/messages", ("[" + ",".join(texts) + "]").encode(), "application/json")
    assert reply.status == 201, reply.body


def wait_empty(broker: Broker, seconds: float) -> None:
    until = time.monotonic() + seconds
    while status(broker)["lag"] > 0:
        assert time.monotonic() < until, status(broker)
        time.sleep(0.2)


def test_no_message_is_lost_and_what_was_stored_as_done_never_comes_again(pushing):
    broker, receiver = pushing
    sent, stored = [], set()
    for turn in range(TURNS):
        texts = [json.dumps({"number": turn * MESSAGES + n}) for n in range(MESSAGES)]
        send(broker, texts)
        sent += texts
        if turn == TURNS // 2:
            # All that there is is done and on disk.
            receiver.is_well = True
            wait_empty(broker, 300)
            stored, receiver.given, receiver.is_well = set(sent), [], False
        else:
            time.sleep(0.4)
        if turn % 2 == 0:
            broker.kill()
            broker.start()
    receiver.is_well = True
    # The leases of a broker that was killed have to end.
    wait_empty(broker, 300)
    assert receiver.wrong == []
    assert set(receiver.done) == set(sent)
    assert stored and not stored & set(receiver.given)


def test_a_receiver_by_https_is_verified(pushing_by_https):
    broker, receiver, certificates, trusted = pushing_by_https
    texts = [json.dumps({"number": number}) for number in range(25)]
    send(broker, texts)
    until = time.monotonic() + 60
    while "certificate" not in (status(broker)["trouble"] or ""):
        assert time.monotonic() < until, status(broker)
        time.sleep(0.1)
    assert receiver.given == [] and status(broker)["lag"] == len(texts)
    trusted.write_text((certificates.folder / "authority.pem").read_text())
    wait_empty(broker, 120)
    assert receiver.wrong == []
    assert sorted(receiver.given) == sorted(texts)
