"""Certificates for a test's node and its clients, by the `openssl` command of the distribution: an authority, what it signed, and a stranger."""

from __future__ import annotations

import pathlib
import subprocess


class Certificates:
    """PEM files in a folder: `authority.pem`, `NAME.pem` (certificate), `NAME.key` (PKCS#8), `NAME.both.pem`."""

    def __init__(self, folder: pathlib.Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.sign_itself("authority")

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def _run(self, *words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)

    def _key(self, name: str, algorithm: str) -> None:
        options = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"] if algorithm == "P-256" else ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"]
        self._run("genpkey", *options, "-out", self.path(f"{name}.key"))

    def sign_itself(self, name: str, algorithm: str = "P-256") -> None:
        self._key(name, algorithm)
        self._run("req", "-x509", "-new", "-key", self.path(f"{name}.key"), "-days", "30", "-subj", f"/CN={name}", "-out", self.path(f"{name}.pem"))

    def sign(self, name: str, subject: str | None = None, hosts: str = "DNS:localhost,IP:127.0.0.1", algorithm: str = "P-256") -> str:
        """A certificate of the authority; the file with both it and its key."""
        self._key(name, algorithm)
        self._run("req", "-new", "-key", self.path(f"{name}.key"), "-subj", subject or f"/CN={name}", "-out", self.path(f"{name}.csr"))
        extensions = self.folder / f"{name}.ext"
        extensions.write_text(f"subjectAltName={hosts}\n")
        self._run("x509", "-req", "-in", self.path(f"{name}.csr"), "-CA", self.path("authority.pem"), "-CAkey", self.path("authority.key"), "-CAcreateserial",
                  "-days", "30", "-extfile", str(extensions), "-out", self.path(f"{name}.pem"))
        return self.join(name)

    def join(self, name: str, into: str | None = None) -> str:
        """Key and certificate in one file, put there whole (a rename), as tools that renew certificates do."""
        both = self.folder / (into or f"{name}.both.pem")
        fresh = both.with_suffix(".fresh")
        fresh.write_text((self.folder / f"{name}.key").read_text() + (self.folder / f"{name}.pem").read_text())
        fresh.rename(both)
        return str(both)
