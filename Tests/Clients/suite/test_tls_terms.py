"""What a listener of TLS agrees to, row by row, by `openssl s_client`: versions, suites, curves, names, protocols, sessions, and what a client may
not do behind its handshake."""

from __future__ import annotations

import re
import subprocess
import time

import pytest

from conftest import program
from harness.certificates import Certificates
from harness.tls_broker import TLSBroker

pytestmark = [pytest.mark.gateway, pytest.mark.control]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory) -> Certificates:
    found = Certificates(tmp_path_factory.mktemp("terms"))
    found.sign("server")
    found.sign("other", hosts="DNS:other.example.net,DNS:*.example.org")
    found.sign("rsa", algorithm="RSA")
    return found


@pytest.fixture(scope="module")
def node(pytestconfig, certificates):
    """Two certificates of P-256; the first is for who asks for no name."""
    files = ",".join(certificates.path(f"{name}.both.pem") for name in ("server", "other"))
    made = TLSBroker(program(pytestconfig), certificates, {"ssl.keystore.location": files})
    yield made.start()
    made.check_alive()
    made.remove()


@pytest.fixture(scope="module")
def rsa_node(pytestconfig, certificates):
    made = TLSBroker(program(pytestconfig), certificates, {"ssl.keystore.location": certificates.path("rsa.both.pem")})
    yield made.start()
    made.check_alive()
    made.remove()


class Session:
    """One run of `openssl s_client`: what it printed, and whether its handshake came to its end."""

    def __init__(self, port: int, *words: str, typed: bytes = b""):
        command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *words]
        # Of security level 0 the client itself refuses nothing: what is refused, the listener has.
        if "-cipher" not in words:
            command += ["-cipher", "ALL:@SECLEVEL=0"]
        ended = subprocess.run(command, input=typed, capture_output=True, timeout=30)
        self.output = (ended.stdout + ended.stderr).decode(errors="replace")
        found = re.search(r"New, (TLSv[\d.]+), Cipher is (\S+)", self.output)
        self.version, self.suite = (found[1], found[2]) if found else (None, None)

    def value(self, pattern: str) -> str | None:
        found = re.search(pattern, self.output)
        return found[1] if found else None

    @property
    def owner(self) -> str | None:
        return self.value(r"subject= ?CN ?= ?(\w+)")


ALERT = "alert number "


# MARK: Versions and suites


@pytest.mark.parametrize("listener", ["ssl_port", "https_port"])
@pytest.mark.parametrize("version", ["-tls1", "-tls1_1"])
def test_older_versions_get_an_alert(node, listener, version):
    session = Session(getattr(node, listener), version)
    assert session.version is None
    assert ALERT + "70" in session.output, session.output  # protocol_version


@pytest.mark.parametrize("version, name", [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")])
def test_versions_that_are_spoken(node, version, name):
    assert Session(node.ssl_port, version).version == name
    assert Session(node.https_port, version).version == name


GOOD = ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"]
BAD = ["AES128-SHA", "AES128-GCM-SHA256", "AES256-SHA256", "ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "ECDHE-ECDSA-AES128-CCM",
       "ECDHE-RSA-AES128-SHA256", "DHE-RSA-AES256-GCM-SHA384", "DHE-RSA-AES128-SHA", "ECDHE-ECDSA-NULL-SHA", "AECDH-AES128-SHA", "ADH-AES128-GCM-SHA256", "PSK-AES128-GCM-SHA256"]


@pytest.mark.parametrize("suite", GOOD)
def test_suites_of_forward_secrecy_are_taken(node, rsa_node, suite):
    assert Session(node.ssl_port, "-tls1_2", "-cipher", suite).suite == suite
    rsa = suite.replace("ECDSA", "RSA")
    assert Session(rsa_node.ssl_port, "-tls1_2", "-cipher", rsa).suite == rsa


@pytest.mark.parametrize("suite", BAD)
def test_other_suites_are_refused(node, rsa_node, suite):
    """No CBC, no key exchange by RSA, no DHE, nothing anonymous; whatever the certificate."""
    for port in (node.ssl_port, node.https_port, rsa_node.ssl_port):
        options = ["-psk", "00"] if suite.startswith("PSK") else []
        session = Session(port, "-tls1_2", "-cipher", f"{suite}:@SECLEVEL=0", *options)
        assert session.suite in (None, "(NONE)"), session.output
        assert ALERT + "40" in session.output, session.output  # handshake_failure


@pytest.mark.parametrize("suite", ["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"])
def test_suites_of_tls_13(node, suite):
    assert Session(node.ssl_port, "-tls1_3", "-ciphersuites", suite).suite == suite


def test_the_order_is_ours_but_for_who_wants_chacha(node):
    """Whoever has ChaCha20 first has no AES in hardware."""
    for offered in ("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256"):
        first = Session(node.ssl_port, "-tls1_2", "-cipher", offered).suite
        assert first == Session(node.ssl_port, "-tls1_2", "-cipher", ":".join(reversed(offered.split(":")))).suite
    assert "CHACHA20" in Session(node.ssl_port, "-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES256-GCM-SHA384").suite
    assert "AES" in Session(node.ssl_port, "-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305").suite


@pytest.mark.parametrize("version, offered, chosen", [
    *((version, *row) for version in ("-tls1_2", "-tls1_3") for row in (("X25519:P-256", "X25519"), ("P-256", "prime256v1"), ("P-384", "secp384r1"), ("P-521", None), ("X448", None))),
    ("-tls1_2", "P-256:X25519", "X25519"),
    ("-tls1_3", "P-256:X25519", "prime256v1"),  # of what is there already, for another curve costs a round trip
])
def test_curves_in_our_order(rsa_node, version, offered, chosen):
    """By a certificate of RSA: in TLS 1.2 the curves that a client offers are about the certificate's, too."""
    session = Session(rsa_node.ssl_port, version, "-groups", offered)
    if chosen is None:
        assert session.version is None and ALERT in session.output
    else:
        assert chosen in session.value(r"Server Temp Key: (.*)"), session.output


def test_no_signature_by_sha1(node):
    session = Session(node.ssl_port, "-tls1_2", "-sigalgs", "ECDSA+SHA1")
    assert session.version is None and ALERT in session.output, session.output
    assert Session(node.ssl_port, "-tls1_2", "-sigalgs", "ECDSA+SHA1:ECDSA+SHA256").version == "TLSv1.2"


# MARK: Names and protocols


@pytest.mark.parametrize("listener", ["ssl_port", "https_port"])
@pytest.mark.parametrize("name, owner", [("localhost", "server"), ("other.example.net", "other"), ("OTHER.Example.NET", "other"), ("a.example.org", "other"), ("a.b.example.org", "server"),
                                         ("unknown.example", "server"), (None, "server")])
def test_the_name_chooses_the_certificate(node, listener, name, owner):
    """An unknown one gets the first and no alert: clients connect by address."""
    session = Session(getattr(node, listener), *(["-servername", name] if name else ["-noservername"]))
    assert session.owner == owner and session.version


@pytest.mark.parametrize("offered, chosen", [("http/1.1", "http/1.1"), ("http/1.1,h2", "h2"), ("spdy/3,http/1.1", "http/1.1"), (None, None)])
def test_protocols_of_https(node, offered, chosen):
    session = Session(node.https_port, *(["-alpn", offered] if offered else []))
    assert session.version and session.value(r"ALPN protocol: (\S+)") == chosen


def test_a_foreign_protocol_gets_an_alert(node):
    session = Session(node.https_port, "-alpn", "spdy/3,ftp")
    assert session.version is None and ALERT + "120" in session.output  # no_application_protocol
    # Kafka's listeners do not look.
    kafka = Session(node.ssl_port, "-alpn", "h2")
    assert kafka.version and kafka.value(r"ALPN protocol: (\S+)") is None


def test_hosts_outside_of_the_certificate_are_misdirected(node, certificates):
    def status(name: str, host: str) -> str:
        request = f"GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        session = Session(node.https_port, "-servername", name, "-ign_eof", "-quiet", typed=request)
        return session.value(r"HTTP/1\.1 (\d+)")

    assert status("localhost", "localhost") == status("localhost", "127.0.0.1:1") == status("other.example.net", "x.example.org") == "200"
    assert status("localhost", "other.example.net") == status("other.example.net", "localhost") == "421"
    assert status("unknown.example", "unknown.example") == "200"


# MARK: Sessions


def reused(node, port: int, version: str, tmp_path) -> bool:
    path = str(tmp_path / "session")
    first = Session(port, version, "-sess_out", path, "-ign_eof", "-quiet", typed=b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert "200 OK" in first.output, first.output
    return "Reused, " in Session(port, version, "-sess_in", path).output


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_sessions_of_https_are_resumed(node, tmp_path, version):
    assert reused(node, node.https_port, version, tmp_path)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_kafkas_clients_get_no_ticket(node, version):
    output = Session(node.ssl_port, version).output
    assert "TLS session ticket:" not in output and "New Session Ticket arrived" not in output
    assert "Reused, " not in Session(node.ssl_port, version, "-reconnect").output


def test_early_data_is_not_offered(node, tmp_path):
    path = str(tmp_path / "session")
    Session(node.https_port, "-tls1_3", "-sess_out", path, "-ign_eof", "-quiet", typed=b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert "Max Early Data: 0" in subprocess.run(["openssl", "sess_id", "-in", path, "-text", "-noout"], capture_output=True, timeout=20).stdout.decode()


# MARK: Behind the handshake


def commands(port: int, version: str, text: bytes, times: int = 1) -> str:
    """What `s_client` says while it is typed to, a line at a time: a letter at the beginning of one is a command."""
    words = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", version, "-msg"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        for _ in range(times):
            time.sleep(0.15)
            try:
                client.stdin.write(text)
                client.stdin.flush()
            except BrokenPipeError:
                break
        try:
            output, _ = client.communicate(timeout=3)
        except subprocess.TimeoutExpired:
            client.kill()
            output, _ = client.communicate()
    return output.decode(errors="replace")


@pytest.mark.parametrize("listener", ["ssl_port", "https_port"])
def test_renegotiation_is_refused(node, listener):
    output = commands(getattr(node, listener), "-tls1_2", b"R\n")
    assert "RENEGOTIATING" in output
    assert output.count("Finished") == 2, output  # one on each side: that of the handshake
    assert "no_renegotiation" in output or "no renegotiation" in output or ALERT + "100" in output, output


def test_new_keys_are_taken_and_not_without_end(node):
    once = commands(node.https_port, "-tls1_3", b"K\n")
    assert ">>> TLS 1.3, Handshake [length 0005], KeyUpdate" in once and "fatal" not in once, once
    flood = commands(node.https_port, "-tls1_3", b"K\n", times=40)
    assert flood.count(">>> TLS 1.3, Handshake [length 0005], KeyUpdate") < 40
    assert Session(node.https_port, "-tls1_3").version == "TLSv1.3"
