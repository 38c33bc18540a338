"""What tests of services of AWS share: a client of boto3, a broker that is asked by signed requests, and other servers."""

from __future__ import annotations

import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from .broker import Broker, end_with_parent, free_port


def client(service: str, endpoint: str, retries: str = "standard", key: str = "AKIDEXAMPLE", secret: str = "secret", region: str = "us-east-1",
           attempts: int | None = None):
    import boto3
    from botocore.config import Config

    return boto3.client(service, endpoint_url=endpoint, region_name=region, aws_access_key_id=key, aws_secret_access_key=secret,
                        config=Config(retries={"mode": retries} | ({"total_max_attempts": attempts} if attempts else {}), read_timeout=40))


def refused(call, **members) -> tuple[str, int]:
    """The code that boto3 shows of an error, and the status."""
    from botocore.exceptions import ClientError

    try:
        call(**members)
    except ClientError as error:
        return error.response["Error"]["Code"], error.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError("it was not refused")


class SignedBroker(Broker):
    """Asks who asks, and has a key that signs."""

    def key(self, *words: str) -> dict:
        ran = subprocess.run([self.program, "key", "create", "User:alice", "--aws", "--json", *words, "-b", self.bootstrap], text=True, capture_output=True, timeout=30)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    def client(self, service: str, key: dict, retries: str = "standard", attempts: int | None = None):
        return client(service, f"http://{self.http}", retries, key["awsAccessKeyId"], key["awsSecretAccessKey"], attempts=attempts)


class Peer:
    """Another server in a process of its own."""

    region = "us-east-1"

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="clients-aws-"))
        self.port = free_port()
        with open(self.folder / "output.log", "wb") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=end_with_parent)
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.endpoint}/?Action=ListQueues", timeout=2)
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                assert self.process.poll() is None and time.monotonic() < deadline, (self.folder / "output.log").read_text()[-2000:]
                time.sleep(0.2)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def remove(self) -> None:
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class Moto(Peer):
    def command(self) -> list[str]:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
