"""An issuer of tokens for a test: keys by the `openssl` command, tokens signed by it, and a server that hands the public keys out."""

from __future__ import annotations

import base64
import http.server
import json
import pathlib
import ssl
import subprocess
import threading
import time


def encode(data: bytes | dict) -> str:
    """Base64url without padding, as JSON Web Tokens have it."""
    raw = json.dumps(data).encode() if isinstance(data, dict) else data
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


class Key:
    """A key pair of RS256, ES256 or EdDSA."""

    def __init__(self, folder: pathlib.Path, name: str, algorithm: str = "RS256"):
        self.name, self.algorithm, self.file = name, algorithm, folder / f"{name}.key"
        kind = {"RS256": ["RSA", "-pkeyopt", "rsa_keygen_bits:2048"], "ES256": ["EC", "-pkeyopt", "ec_paramgen_curve:P-256"], "EdDSA": ["ED25519"]}[algorithm]
        self._run("genpkey", "-algorithm", *kind, "-out", str(self.file))

    @staticmethod
    def _run(*words: str, given: bytes | None = None) -> bytes:
        return subprocess.run(["openssl", *words], input=given, check=True, capture_output=True).stdout

    @property
    def jwk(self) -> dict:
        public = self._run("pkey", "-in", str(self.file), "-pubout", "-outform", "DER")
        common = {"kid": self.name, "use": "sig", "alg": self.algorithm}
        if self.algorithm == "RS256":
            modulus = self._run("rsa", "-in", str(self.file), "-noout", "-modulus").decode().strip().split("=")[1]
            return {"kty": "RSA", "n": encode(bytes.fromhex(modulus)), "e": "AQAB", **common}
        if self.algorithm == "ES256":
            return {"kty": "EC", "crv": "P-256", "x": encode(public[-64:-32]), "y": encode(public[-32:]), **common}
        return {"kty": "OKP", "crv": "Ed25519", "x": encode(public[-32:]), **common}

    def sign(self, message: bytes) -> bytes:
        if self.algorithm == "EdDSA":
            text = self.file.with_suffix(".text")
            text.write_bytes(message)
            return self._run("pkeyutl", "-sign", "-inkey", str(self.file), "-rawin", "-in", str(text))
        found = self._run("dgst", "-sha256", "-sign", str(self.file), given=message)
        return found if self.algorithm == "RS256" else b"".join(self._integers(found))

    @staticmethod
    def _integers(der: bytes) -> list[bytes]:
        """Two numbers of a signature in DER, 32 bytes each."""
        at, numbers = 2, []
        for _ in range(2):
            length = der[at + 1]
            numbers.append(der[at + 2:at + 2 + length].lstrip(b"\0").rjust(32, b"\0"))
            at += 2 + length
        return numbers


class Issuer:
    """`keys` are what its server hands out just now; tokens may be signed by others."""

    def __init__(self, folder: pathlib.Path, certificate: str | None = None):
        """`certificate`: a PEM file with key and certificate, for https."""
        self.folder, self.keys, self.asked, self.answer = folder, [], [], None
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                issuer.asked.append(self.path)
                status, body = issuer.reply(self.path)
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            scheme = "https"
        self.name = f"{scheme}://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def reply(self, path: str) -> tuple[int, bytes]:
        if self.answer:
            return self.answer
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps({"issuer": self.name, "jwks_uri": f"{self.name}/keys"}).encode()
        return 200, json.dumps({"keys": [key.jwk for key in self.keys]}).encode()

    def key(self, name: str, algorithm: str = "RS256") -> Key:
        """A new key, which is handed out from now on."""
        made = Key(self.folder, name, algorithm)
        self.keys.append(made)
        return made

    def token(self, key: Key | None = None, lifetime: float = 300, header: dict | None = None, **claims) -> str:
        """A token of `key`, the last one unless given; a claim of None is left out."""
        key, now = key or self.keys[-1], time.time()
        full = {"iss": self.name, "sub": "alice", "aud": "orders", "iat": int(now), "exp": int(now + lifetime), **claims}
        text = encode({"alg": key.algorithm, "kid": key.name, **(header or {})}) + "." + encode({name: value for name, value in full.items() if value is not None})
        return text + "." + encode(key.sign(text.encode()))

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()
