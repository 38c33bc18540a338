"""The servers under measurement: each a process with a data folder of its own on the same file system."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request

from events import CSV_COLUMNS

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "Tests/Clients"))

from harness.broker import end_with_parent, free_port  # noqa: E402
from harness.certificates import Certificates  # noqa: E402
from harness.issuer import Issuer  # noqa: E402

TICKS = os.sysconf("SC_CLK_TCK")
READY_SECONDS = 60
DELETED_SECONDS = 20


class NodeFailure(Exception):
    pass


class Node:
    """One server. Subclasses say how it is started and when it is ready."""

    key, label = "", ""
    has_topics = True  # topics are made and deleted; otherwise they exist once they are named
    restarts_each_round = False
    warms_slowly = False  # code that a virtual machine compiles while it runs
    client_options: tuple[str, ...] = ()  # what librdkafka's programs need to reach it
    http_fields: tuple[tuple[str, str], ...] = ()  # by which a client of the gateway shows who it is
    authority: str | None = None  # a file with the certificate that signed its own; None: it speaks plain text

    def __init__(self, program: str, folder: pathlib.Path):
        self.program, self.folder = program, folder / self.key
        self.port, self.http_port = free_port(), free_port()
        self.process: subprocess.Popen | None = None

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def http(self) -> str:
        return f"127.0.0.1:{self.http_port}"

    @property
    def url(self) -> str:
        """Where events are posted to."""
        return f"http://{self.http}"

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def start(self) -> float:
        """Starts on an empty folder; the seconds until it answers."""
        self.launch()
        return self.wait_ready()

    def launch(self) -> None:
        """Only ever on the main thread: the node ends with the thread that started it (`end_with_parent`)."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        # MILLRACE_ variables would be configuration to the broker: it gets none.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("MILLRACE_")}
        log = open(self.folder.parent / f"{self.key}.log", "ab")
        self.began = time.monotonic()
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, preexec_fn=end_with_parent)
        log.close()

    def wait_ready(self) -> float:
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() - self.began > READY_SECONDS:
                tail = (self.folder.parent / f"{self.key}.log").read_text(errors="replace")[-2000:]
                raise NodeFailure(f"{self.label} did not start:\n{tail}")
            time.sleep(0.005)
        return time.monotonic() - self.began

    def remove(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        shutil.rmtree(self.folder, ignore_errors=True)

    def restart_empty(self) -> None:
        self.remove()
        self.start()

    def wait_deleted(self, topic: str) -> None:
        """Until the files of a deleted topic are gone, so that their removal falls into nobody's measurement."""
        deadline = time.monotonic() + DELETED_SECONDS
        while any(topic in name for _, folders, _ in os.walk(self.folder) for name in folders):
            if time.monotonic() > deadline:
                raise NodeFailure(f"{self.label} still has files of {topic} {DELETED_SECONDS} s after it was deleted")
            time.sleep(0.02)

    @property
    def pid(self) -> int:
        if self.process is None or self.process.poll() is not None:
            raise NodeFailure(f"{self.label} is not running; see {self.key}.log")
        return self.process.pid

    def cpu_seconds(self) -> float:
        """User and system time, with that of children: those that ended, and those that run."""
        total = 0
        for pid in [self.pid, *self.children()]:
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
            total += sum(int(field) for field in fields[11:15])
        return total / TICKS

    def children(self) -> list[int]:
        try:
            return [int(pid) for pid in pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]
        except FileNotFoundError:
            return []

    def resident_bytes(self) -> int:
        total = 0
        for pid in [self.pid, *self.children()]:
            for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
        return total


class Millrace(Node):
    """As a user starts it: no setting but the addresses and the folder."""

    key, label = "millrace", "Millrace"

    def command(self) -> list[str]:
        return [self.program, "serve", "--data-dir", str(self.folder / "data"), "--kafka", self.bootstrap, "--http", self.http]

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.http}/readyz", timeout=2) as reply:
                return reply.status == 200
        except (OSError, urllib.error.URLError):
            return False


class MillraceBefore(Millrace):
    """Another build, measured in turn with this one: what a change costs."""

    key, label = "millrace-before", "Millrace before"


CSV_PATH = "/csv"


class MillraceRoutes(Millrace):
    """With a route for CSV, which there is none of without configuration; its records have the one header that those of G-lines have."""

    key, label = "millrace-routes", "Millrace, own route"

    def launch(self) -> None:
        self.configuration = self.folder.parent / f"{self.key}.yaml"
        # The topic is made once and serves all rounds: it keeps little.
        self.configuration.write_text(
            f"topics: {{bench-csv: {{retention.bytes: 268435456, segment.bytes: 67108864}}}}\n"
            f"routes:\n  - {{path: {CSV_PATH}, to: bench-csv, formats: csv, csv: {{columns: [{', '.join(CSV_COLUMNS)}]}}, enrich: {{headers: {{event_id: uuidv7}}}}}}\n")
        super().launch()

    def command(self) -> list[str]:
        return [*super().command(), "--config", str(self.configuration)]


class ByTLS:
    """The same server by TLS alone, with a P-256 certificate made for the run."""

    def launch(self) -> None:
        self.certificates = Certificates(self.folder.parent / f"{self.key}-certificates")
        self.pair = self.certificates.sign("server")
        self.authority = self.certificates.path("authority.pem")
        self.client_options = ("-x", "security.protocol=ssl", "-x", f"ssl.ca.location={self.authority}")
        super().launch()


class MillraceTLS(ByTLS, Millrace):
    key, label = "millrace-tls", "Millrace, TLS"

    def command(self) -> list[str]:
        return [self.program, "serve", "--data-dir", str(self.folder / "data"), "--kafka", f"SSL://{self.bootstrap}", "--http", self.http, "--set", f"ssl.keystore.location={self.pair}"]


class MillraceHTTPS(Millrace):
    """With https beside http, by a P-256 certificate made for the run."""

    key, label = "millrace-https", "Millrace, https"

    def launch(self) -> None:
        self.pair = Certificates(self.folder.parent / f"{self.key}-certificates").sign("server")
        self.https_port = free_port()
        super().launch()

    def command(self) -> list[str]:
        return [self.program, "serve", "--data-dir", str(self.folder / "data"), "--kafka", self.bootstrap, "--http", f"http://{self.http},{self.url}", "--set", f"ssl.keystore.location={self.pair}"]

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.https_port}"


class Guarded(Millrace):
    """Asks everybody who they are, over HTTP; what they may is by ACLs, of which there are none."""

    settings: tuple[str, ...] = ()

    def command(self) -> list[str]:
        settings = ("http.auth=required", "authorizer.enable=true", "allow.everyone.if.no.acl.found=true", *self.settings)
        return [*super().command(), *[word for setting in settings for word in ("--set", setting)]]


class MillraceKey(Guarded):
    key, label = "millrace-key", "Millrace, API key"

    def wait_ready(self) -> float:
        took = super().wait_ready()
        made = subprocess.run([self.program, "key", "create", "alice", "-b", self.bootstrap], capture_output=True, text=True, timeout=30)
        if made.returncode:
            raise NodeFailure(f"no API key: {made.stderr}")
        self.http_fields = (("Authorization", f"Bearer {made.stdout.strip()}"),)
        return took


class MillraceToken(Guarded):
    """One token for the whole run, signed by ES256: after the first request it is known."""

    key, label = "millrace-token", "Millrace, token"

    def launch(self) -> None:
        folder = self.folder.parent / f"{self.key}-issuer"
        folder.mkdir(exist_ok=True)
        issuer = Issuer(folder)
        issuer.key("one", "ES256")
        keys = folder / "keys.json"
        keys.write_bytes(issuer.reply("/keys")[1])
        self.http_fields = (("Authorization", f"Bearer {issuer.token(lifetime=86_400)}"),)
        issuer.stop()
        self.settings = (f"sasl.oauthbearer.jwks.endpoint.url=file://{keys}", f"sasl.oauthbearer.expected.issuer={issuer.name}", "sasl.oauthbearer.expected.audience=orders")
        super().launch()


class Kafka(Node):
    key, label, warms_slowly = "kafka", "Kafka", True
    # Files of deleted topics go at once; by default a minute later, which would be during another server's measurement.
    settings = ["log.segment.delete.delay.ms=100", "log.initial.task.delay.ms=500"]

    def command(self) -> list[str]:
        return [self.program, "start", str(self.folder), str(self.port), *self.settings]

    def is_ready(self) -> bool:
        """Answers ApiVersions (key 18, version 0), which a Kafka node does once it serves clients."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                connection.sendall(bytes([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF]))
                return len(connection.recv(16)) > 0
        except OSError:
            return False


class KafkaSync(Kafka):
    """Every append is synced before it is acknowledged: the promise that Millrace makes."""

    key, label = "kafka-fsync", "Kafka fsync"
    settings = [*Kafka.settings, "log.flush.interval.messages=1"]


class KafkaTLS(ByTLS, Kafka):
    """As Kafka speaks it out of the box: the JVM's own TLS. Its listener between brokers stays plain; it has no other broker."""

    key, label = "kafka-tls", "Kafka, TLS"

    def command(self) -> list[str]:
        between = free_port()
        listeners = f"SSL://{self.bootstrap},BETWEEN://127.0.0.1:{between}"
        return [*super().command(), f"listeners={listeners},CONTROLLER://127.0.0.1:{self.port + 1}", f"advertised.listeners={listeners}", "inter.broker.listener.name=BETWEEN",
                "listener.security.protocol.map=SSL:SSL,BETWEEN:PLAINTEXT,CONTROLLER:PLAINTEXT", "ssl.keystore.type=PEM", f"ssl.keystore.location={self.pair}"]

    def is_ready(self) -> bool:
        """It answers a handshake, which it does once it serves clients."""
        context = ssl.create_default_context(cafile=self.authority)
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=2) as connection:
                context.wrap_socket(connection, server_hostname="127.0.0.1").close()
                return True
        except OSError:
            return False


class ElasticMQ(Node):
    """The SQS server that people run on their own machines, with queues and messages on disk."""

    key, label, has_topics, warms_slowly = "elasticmq", "ElasticMQ, disk", False, True

    def command(self) -> list[str]:
        self.http_port = self.port
        return [self.program, "start", str(self.folder), str(self.port), "disk"]


class Lightspeed(Node):
    """A bound, not a broker: its log only grows, so each round has a new one."""

    has_topics, restarts_each_round, mode = False, True, ""
    partitions = 1

    def command(self) -> list[str]:
        return [self.program, str(self.folder), str(self.port), self.mode, str(self.partitions)]


class LightspeedSync(Lightspeed):
    key, label, mode = "lightspeed-sync", "lightspeed sync", "sync"


class LightspeedJournal(Lightspeed):
    key, label, mode = "lightspeed-journal", "lightspeed journal", "journal"


class LightspeedDirect(Lightspeed):
    key, label, mode = "lightspeed-direct", "lightspeed direct", "direct"


class Nginx(Node):
    """The anchor of the gateway's rows: one worker that reads the body and answers a constant 202."""

    key, label, has_topics = "nginx", "nginx, constant 202", False
    speaks, settings = "", ""  # behind its address, and beside it

    def command(self) -> list[str]:
        self.http_port = self.port
        configuration = self.folder / "nginx.conf"
        configuration.write_text(
            f"daemon off; worker_processes 1; pid {self.folder}/pid; error_log {self.folder}/error.log; "
            "events { worker_connections 4096; }\n"
            f"http {{ access_log off; keepalive_requests 1000000000; client_max_body_size 64m; client_body_buffer_size 1m; client_body_temp_path {self.folder}/body;\n"
            f"proxy_temp_path {self.folder}/proxy; fastcgi_temp_path {self.folder}/fastcgi; uwsgi_temp_path {self.folder}/uwsgi; scgi_temp_path {self.folder}/scgi;\n"
            f"server {{ listen 127.0.0.1:{self.port}{self.speaks}; {self.settings} location / {{ return 202 '{{\"status\":\"accepted\"}}'; }} }} }}\n")
        return [self.program, "-c", str(configuration), "-p", str(self.folder), "-e", str(self.folder / "error.log")]

    def remove(self) -> None:
        if self.process is not None and self.process.poll() is None:
            # The master ends its worker.
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        super().remove()


class NginxHTTP2(Nginx):
    """The same by HTTP/2, to clients that know that it is spoken."""

    key, label, speaks = "nginx-h2", "nginx, constant 202, HTTP/2", " http2"


class NginxHTTP2TLS(ByTLS, Nginx):
    key, label, speaks = "nginx-h2-tls", "nginx, constant 202, HTTP/2 by TLS", " ssl http2"

    def command(self) -> list[str]:
        self.settings = f"ssl_certificate {self.pair}; ssl_certificate_key {self.pair};"
        return super().command()

    @property
    def url(self) -> str:
        return f"https://{self.http}"
