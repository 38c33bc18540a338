"""Who asks over HTTP: API keys of `millrace key`, tokens of an issuer, users with passwords, and what ACLs let them do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.client
import json
import pathlib
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

from harness.broker import Broker, end_with_parent, free_port
from harness.certificates import Certificates
from harness.issuer import Issuer

pytestmark = [pytest.mark.control, pytest.mark.gateway]


class GuardedBroker(Broker):
    """With ACLs, which whoever comes over Kafka's plain port may change; http and https."""

    def __init__(self, program: str, certificates: Certificates, settings: dict[str, str]):
        super().__init__("millrace", program)
        self.configuration = settings.pop("config", None)
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

    def make(settings: dict | None = None, **environment: str) -> GuardedBroker:
        node = GuardedBroker(pytestconfig.getoption("--binary"), certificates, settings or {})
        node.environment.update(environment)
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


SECRETS = {"github": "It's a Secret to Everybody", "stripe": "whsec_stripe-canary-4711", "old": "old-canary-4711"}


def signed(secret: str, body: bytes, sender: str = "github") -> dict[str, str]:
    """The header fields of a webhook, as its sender makes them."""
    if sender == "github":
        return {"X-Hub-Signature-256": "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest(), "X-GitHub-Delivery": "72d3162e"}
    now = int(time.time())
    return {"Stripe-Signature": f"t={now},v1=" + hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()}


def test_webhooks_by_their_signature_and_secrets_that_change(guarded, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text(SECRETS["github"] + "\n")
    configuration = f"""
auth:
  secrets: {{github: {{file: {secret}}}, stripe: {{env: HOOK_STRIPE}}, old: {{env: HOOK_OLD}}}}
routes:
  - {{id: gh, path: /hooks/github, formats: [json, form], to: hooks, auth: {{webhook: {{from: github, secrets: github}}}}}}
  - {{id: st, path: /hooks/stripe, to: hooks, auth: {{webhook: {{from: stripe, secrets: [old, stripe]}}}}}}
"""
    node = guarded({"config": configuration}, HOOK_STRIPE=SECRETS["stripe"], HOOK_OLD=SECRETS["old"])
    node.allow("Webhook:gh", "write", "--topic", "hooks")
    node.allow("Webhook:st", "write", "--topic", "hooks")
    node.allow("Webhook:st", "create", "--topic", "hooks")

    def post(path: str, body: bytes, fields: dict[str, str]) -> int:
        return node.ask("POST", path, body.decode(), **fields)[0]

    body = b'{"action": "opened", "number": 1}'
    assert post("/hooks/stripe", body, signed(SECRETS["stripe"], body, "stripe")) == 201
    assert post("/hooks/stripe", body, signed(SECRETS["old"], body, "stripe")) == 201
    assert post("/hooks/stripe", body, signed(SECRETS["github"], body, "stripe")) == 401
    assert post("/hooks/github", body, signed(SECRETS["github"], body)) == 201
    assert post("/hooks/github", body, {}) == 401
    form = b"payload=%7B%7D"
    assert post("/hooks/github", form, {**signed(SECRETS["github"], form), "Content-Type": "application/x-www-form-urlencoded"}) == 201
    # Another one, by the file that it is read from: no request is lost, and the old one opens nothing.
    secret.write_text("second\n")
    node.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while post("/hooks/github", body, signed("second", body)) != 201 and time.monotonic() < deadline:
        time.sleep(0.1)
    assert post("/hooks/github", body, signed("second", body)) == 201
    assert post("/hooks/github", body, signed(SECRETS["github"], body)) == 401
    shown = node.log_tail(1_000_000).encode() + b"".join(path.read_bytes() for path in (node.folder / "data").rglob("*") if path.is_file())
    for word in SECRETS.values():
        assert word.encode() not in shown and word.encode() not in pathlib.Path(f"/proc/{node.process.pid}/cmdline").read_bytes()


def test_a_client_certificate_is_who_asks(guarded, certificates):
    certificates.sign("alice", "/O=riders/CN=alice")
    certificates.sign_itself("stranger")
    certificates.join("stranger")
    node = guarded({"http.ssl.client.auth": "requested", "ssl.truststore.location": certificates.path("authority.pem"),
                    "ssl.principal.mapping.rules": "RULE:^CN=([a-z]+),O=riders$/$1/,DEFAULT"})

    def post(topic: str, *words: str) -> str:
        ran = subprocess.run(["curl", "-sS", "--cacert", certificates.path("authority.pem"), "-o", "/dev/null", "-w", "%{http_code}", *words,
                              f"https://localhost:{node.https_port}/v1/topics/{topic}/events", "-H", "Content-Type: application/json", "-d", "{}"],
                             capture_output=True, text=True)
        return ran.stdout

    own = ["--cert", certificates.path("alice.both.pem")]
    assert post("orders", *own) == "201" and post("others", *own) == "404" and post("orders") == "401"
    assert post("orders", "--cert", certificates.path("stranger.both.pem")) == "000"
    key = node.key("bob")
    # What a request shows goes before the certificate.
    assert post("orders", *own, "-H", f"X-API-Key: {key}") == "404"
    # No session is resumed: the certificate is looked at each time.
    context = ssl.create_default_context(cafile=certificates.path("authority.pem"))
    context.load_cert_chain(certificates.path("alice.both.pem"))
    session, reused = None, []
    for _ in range(2):
        with context.wrap_socket(socket.create_connection(("127.0.0.1", node.https_port)), server_hostname="localhost", session=session) as stream:
            stream.sendall(b"POST /v1/topics/orders/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
            assert stream.recv(65536).startswith(b"HTTP/1.1 201"), reused
            session = stream.session
            reused.append(stream.session_reused)
    assert reused == [False, False]


def test_proxies_that_are_trusted_say_for_whom_they_ask(guarded, tmp_path):
    """A real one: HAProxy, by its header and by the PROXY protocol, in plain and below TLS."""
    by_field, by_tls = free_port(), free_port()
    # The second listener is https, so that the plain one is left to the fields.
    node = guarded({"http.trusted.proxies": "127.0.0.1", "http.proxy.protocol": "https", "http.auth": "optional"})
    configuration = tmp_path / "haproxy.cfg"
    configuration.write_text(f"""
defaults
  timeout connect 5s
  timeout client 20s
  timeout server 20s
listen fields
  mode http
  bind 127.0.0.1:{by_field}
  option forwardfor
  server millrace 127.0.0.1:{node.http_port}
listen below
  mode tcp
  bind 127.0.0.1:{by_tls}
  server millrace 127.0.0.1:{node.https_port} send-proxy-v2
""")
    node.run("acl", "add", "--principal", "User:*", "--operation", "write", "--operation", "create", "--topic", "near", "--host", "127.0.0.7")
    proxy = subprocess.Popen(["haproxy", "-f", str(configuration), "-db"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, preexec_fn=end_with_parent)
    try:
        def post(port: int, scheme: str, source: str, *words: str) -> str:
            ran = subprocess.run(["curl", "-sSk", "--retry", "20", "--retry-connrefused", "--retry-delay", "1", "--interface", source, "-o", "/dev/null", "-w", "%{http_code}",
                                  *words, f"{scheme}://127.0.0.1:{port}/v1/topics/near/events", "-H", "Content-Type: application/json", "-d", "{}"],
                                 capture_output=True, text=True)
            return ran.stdout

        for port, scheme in ((by_field, "http"), (by_tls, "https")):
            assert post(port, scheme, "127.0.0.7") == "201", scheme
            assert post(port, scheme, "127.0.0.8") == "404", scheme
        # What the client writes itself stands to the left of what the proxy knows.
        assert post(by_field, "http", "127.0.0.8", "-H", "X-Forwarded-For: 127.0.0.7") == "404"
        # Without the header nobody is served there.
        with socket.create_connection(("127.0.0.1", node.https_port), timeout=10) as direct:
            direct.sendall(b"\x16\x03\x01\x00\x05hello")
            try:
                answer = direct.recv(1)
            except ConnectionResetError:
                answer = b""
            assert answer == b""
    finally:
        proxy.terminate()
        proxy.wait()
