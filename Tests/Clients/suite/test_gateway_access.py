"""Who asks over HTTP: API keys of `millrace key`, tokens of an issuer, users with passwords, and what ACLs let them do."""

from __future__ import annotations

import base64
import http.client
import json
import subprocess
import threading
import time

import pytest

from harness.broker import Broker, free_port
from harness.certificates import Certificates
from harness.issuer import Issuer

pytestmark = [pytest.mark.control, pytest.mark.gateway]


class GuardedBroker(Broker):
    """With ACLs, which whoever comes over Kafka's plain port may change; http and https."""

    def __init__(self, program: str, certificates: Certificates, settings: dict[str, str]):
        super().__init__("millrace", program)
        self.https_port = free_port()
        self.certificates = certificates
        self.settings.update({"http.auth": "required", "authorizer.enable": "true", "allow.everyone.if.no.acl.found": "true",
                              "ssl.keystore.location": certificates.path("server.both.pem"), **settings})

    def addresses(self) -> list[str]:
        return ["--kafka", self.bootstrap, "--http", f"http://127.0.0.1:{self.http_port},https://127.0.0.1:{self.https_port}"]

    def run(self, *words: str, given: str = "") -> str:
        ran = subprocess.run([self.program, *words, "-b", self.bootstrap], input=given, text=True, capture_output=True, timeout=30)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def key(self, *words: str) -> str:
        return self.run("key", "create", *words).strip()

    def allow(self, principal: str, operation: str, *resource: str) -> None:
        self.run("acl", "add", "--principal", principal, "--operation", operation, *resource)

    def ask(self, method: str, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=10)
        fields = {"Content-Type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request(method, path, body, fields)
        reply = connection.getresponse()
        text = reply.read().decode()
        connection.close()
        return reply.status, text

    def post(self, topic: str, **headers: str) -> int:
        return self.ask("POST", f"/v1/topics/{topic}/events", '{"a":1}', **headers)[0]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    found = Certificates(tmp_path_factory.mktemp("certificates"))
    found.sign("server")
    return found


@pytest.fixture
def guarded(pytestconfig, certificates):
    nodes = []

    def make(settings: dict | None = None) -> GuardedBroker:
        node = GuardedBroker(pytestconfig.getoption("--binary"), certificates, settings or {})
        nodes.append(node)
        node.start()
        # No topic is without an ACL from here on.
        node.allow("User:nobody", "all", "--topic", "*")
        node.allow("User:alice", "all", "--topic", "orders")
        return node

    yield make
    for node in nodes:
        node.check_alive()
        node.remove()


def test_a_key_from_its_creation_to_its_end(guarded):
    node = guarded()
    assert node.post("orders") == 401
    key = node.key("alice")
    assert node.post("orders", Authorization=f"Bearer {key}") == 201
    assert node.post("orders", X_API_Key=key) == 201
    assert node.post("others", Authorization=f"Bearer {key}") == 404
    ident = key.split("_")[1]
    second = node.run("key", "rotate", ident, "--overlap", "1h").strip()
    assert node.post("orders", Authorization=f"Bearer {key}") == node.post("orders", Authorization=f"Bearer {second}") == 201
    node.run("key", "revoke", ident, "--previous")
    assert node.post("orders", Authorization=f"Bearer {key}") == 401 and node.post("orders", Authorization=f"Bearer {second}") == 201
    deadline = time.monotonic() + 10
    while json.loads(node.run("key", "list", "--json"))[0]["lastUse"] is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert json.loads(node.run("key", "list", "--json"))[0]["lastUse"]
    node.stop()
    node.start()
    assert node.post("orders", Authorization=f"Bearer {second}") == 201
    node.run("key", "revoke", ident)
    assert node.post("orders", Authorization=f"Bearer {second}") == 401
    for shown in (key, second):
        assert shown not in node.log_tail(1_000_000)


def test_a_key_for_a_while(guarded):
    node = guarded()
    key = node.key("alice", "--expires", "2s")
    assert node.post("orders", Authorization=f"Bearer {key}") == 201
    deadline = time.monotonic() + 10
    while node.post("orders", Authorization=f"Bearer {key}") == 201 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert node.post("orders", Authorization=f"Bearer {key}") == 401


def test_users_and_passwords(guarded, certificates):
    node = guarded()
    node.run("user", "create", "alice", "--password-file", "-", given="pencil: with a colon")
    basic = "Basic " + base64.b64encode(b"alice:pencil: with a colon").decode()
    assert node.post("orders", Authorization=basic) == 201
    assert node.post("orders", Authorization="Basic " + base64.b64encode(b"alice:pen").decode()) == 401
    ran = subprocess.run(["curl", "-sS", "--cacert", certificates.path("authority.pem"), "-u", "alice:pencil: with a colon", "-o", "/dev/null", "-w", "%{http_code}",
                          f"https://localhost:{node.https_port}/v1/topics/orders/events", "-H", "Content-Type: application/json", "-d", "{}"], capture_output=True, text=True)
    assert ran.stdout == "201", ran.stderr


def test_tokens_of_an_issuer_by_new_keys_too(guarded, tmp_path):
    issuer = Issuer(tmp_path)
    issuer.key("first")
    node = guarded({"sasl.oauthbearer.expected.issuer": issuer.name, "sasl.oauthbearer.expected.audience": "orders", "sasl.oauthbearer.groups.claim.name": "groups"})
    node.allow("Group:drivers", "all", "--topic", "rides")
    token = issuer.token(groups=["drivers"])
    assert node.post("orders", Authorization=f"Bearer {token}") == node.post("rides", Authorization=f"Bearer {token}") == 201
    assert node.post("orders", Authorization=token) == 401
    for wrong in (issuer.token(aud="others"), issuer.token(lifetime=-60), token[:-4] + "AAAA"):
        assert node.post("orders", Authorization=f"Bearer {wrong}") == 401
    second = issuer.key("second", "ES256")
    # Half a minute after the last fetch; until then it is nobody's key.
    deadline = time.monotonic() + 45
    while node.post("orders", Authorization=f"Bearer {issuer.token(second)}") != 201 and time.monotonic() < deadline:
        time.sleep(1)
    assert node.post("orders", Authorization=f"Bearer {issuer.token(second)}") == 201
    issuer.stop()


def test_keys_change_under_load_and_no_request_goes_by_old_ones(guarded):
    """Thirty keys are made and revoked while others post: after a revocation was told, its key opens nothing."""
    node = guarded()
    steady = node.key("alice")
    failures, posted, ends = [], [0], threading.Event()

    def load():
        connection = http.client.HTTPConnection("127.0.0.1", node.http_port, timeout=10)
        while not ends.is_set():
            connection.request("POST", "/v1/topics/orders/events", "{}", {"Content-Type": "application/json", "Authorization": f"Bearer {steady}"})
            reply = connection.getresponse()
            reply.read()
            posted[0] += 1
            if reply.status != 201:
                failures.append(reply.status)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        key = node.key("alice")
        assert node.post("orders", Authorization=f"Bearer {key}") == 201
        node.run("key", "revoke", key.split("_")[1])
        assert node.post("orders", Authorization=f"Bearer {key}") == 401
        if len(failures):
            break
    ends.set()
    for thread in threads:
        thread.join()
    assert failures == [] and posted[0] > 30
