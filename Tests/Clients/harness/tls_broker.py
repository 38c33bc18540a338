"""A node that speaks TLS."""

from __future__ import annotations

from harness.broker import Broker, free_port
from harness.certificates import Certificates


class TLSBroker(Broker):
    """Beside the plain listeners one of SSL and one of https."""

    def __init__(self, program: str, certificates: Certificates, settings: dict[str, str]):
        super().__init__("millrace", program, settings)
        self.certificates = certificates
        self.ssl_port, self.https_port = free_port(), free_port()
        self.settings.update({"ssl.keystore.location": certificates.path("server.both.pem"), **settings})

    def addresses(self) -> list[str]:
        return ["--kafka", f"PLAINTEXT://127.0.0.1:{self.kafka_port},SSL://127.0.0.1:{self.ssl_port}",
                "--http", f"http://127.0.0.1:{self.http_port},https://127.0.0.1:{self.https_port}"]

    @property
    def secure(self) -> str:
        return f"127.0.0.1:{self.ssl_port}"
