"""Whether a name is a user's is told to nobody, by no difference in time either: wrong passwords of users and of nobodies are tried in
turn, by each mechanism that has passwords, and how long the answers took is compared by rank (Mann and Whitney). Once without the delay
of a failure, which would hide what the checks themselves take, and once with it."""

from __future__ import annotations

import base64
import itertools
import os
import random
import statistics
import sys
import time

from harness import loopback, wire
from harness.broker import Broker, free_port
from trials.command import FAILURES, parser, remove_on_sigterm, say

MECHANISMS = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
USERS = 40
# Of names that nobody has, as long as the users'. Each is tried about once: beside a nobody one of the users is looked for, by the name, and
# with few names some users would be looked for more often than others. Those are nearer to the processor, by a tenth of a microsecond, and
# a nobody would be told from the average user, though from none by himself.
NOBODIES = 10_000_000
# Of one address the broker looks at fifty wrong ones at once, so each of the loopback's tries fewer.
TRIES_OF_ONE_ADDRESS = 30
# Of twelve comparisons one is beyond this by chance once in some thousand runs.
MOST = 4.0


class TimedBroker(Broker):
    def __init__(self, program: str, delay_ms: int):
        super().__init__("millrace", program, {"authorizer.enable": "false", "sasl.enabled.mechanisms": ",".join(MECHANISMS), "connection.failed.authentication.delay.ms": str(delay_ms)})
        self.sasl_port = free_port()

    def addresses(self) -> list[str]:
        return ["--kafka", f"PLAINTEXT://127.0.0.1:{self.kafka_port},SASL_PLAINTEXT://127.0.0.1:{self.sasl_port}", "--http", f"127.0.0.1:{self.http_port}"]

    def make_users(self) -> None:
        from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            changes = [UserScramCredentialUpsertion(f"known-{n:02}", ScramCredentialInfo(mechanism, 4096), b"pencil") for n in range(USERS)]
            for future in admin.alter_user_scram_credentials(changes).values():
                future.result(60)


class Try:
    """One connection of one address, and how long each answer to a token took."""

    def __init__(self, port: int, address: str):
        self.connection = wire.Connection.over(loopback.connect(port, address))
        self.times: list[int] = []

    def token(self, data: bytes) -> tuple[int, bytes]:
        begun = time.perf_counter_ns()
        reply = self.connection.call(wire.SASL_AUTHENTICATE, 0, wire.octets(data))
        self.times.append(time.perf_counter_ns() - begun)
        error, _ = reply.int16(), reply.string()
        return error, reply.octets()

    def log_in(self, mechanism: str, user: str) -> list[int]:
        with self.connection:
            assert self.connection.call(wire.SASL_HANDSHAKE, 1, wire.string(mechanism)).int16() == 0
            if mechanism == "PLAIN":
                error, _ = self.token(f"\0{user}\0wrong".encode())
            else:
                error, first = self.token(f"n,,n={user},r={base64.b64encode(os.urandom(12)).decode()}".encode())
                assert error == 0, error
                # Of the right length, and nobody's.
                proof = base64.b64encode(os.urandom(32 if mechanism.endswith("256") else 64)).decode()
                error, _ = self.token(f"c=biws,{first.decode().split(',')[0]},p={proof}".encode())
            assert error == 58, f"a wrong password is answered by {error}"
        return self.times


def z_of_ranks(one: list[int], other: list[int]) -> float:
    """How many standard deviations the sum of the ranks of `one` is away from what it would be if both were alike."""
    ranked = sorted([(value, 0) for value in one] + [(value, 1) for value in other])
    total, at = 0.0, 0
    for _, same in itertools.groupby(ranked, key=lambda entry: entry[0]):
        entries = list(same)
        rank = at + (len(entries) + 1) / 2
        total += rank * sum(1 for _, which in entries if which == 0)
        at += len(entries)
    m, n = len(one), len(other)
    return (total - m * (m + n + 1) / 2) / (m * n * (m + n + 1) / 12) ** 0.5


def compare(node: TimedBroker, mechanism: str, tries: int, where) -> list[tuple[str, float, float, float]]:
    """For each answer of a log-in: what it answers, z, and the medians of users and of nobodies in microseconds."""
    found: dict[str, list[list[int]]] = {"known": [], "other": []}
    order = ["known", "other"] * tries
    random.shuffle(order)
    for kind in order:
        user = f"known-{random.randrange(USERS):02}" if kind == "known" else f"o{random.randrange(NOBODIES):07}"
        found[kind].append(Try(node.sasl_port, next(where)).log_in(mechanism, user))
    answers = ["the password"] if mechanism == "PLAIN" else ["client-first", "client-final"]
    rows = []
    for index, answer in enumerate(answers):
        one, other = ([times[index] for times in found[kind]] for kind in ("known", "other"))
        rows.append((answer, z_of_ranks(one, other), statistics.median(one) / 1000, statistics.median(other) / 1000))
    return rows


def main() -> int:
    options = parser("user-timing-test", __doc__)
    options.add_argument("--tries", type=int, default=2_000, help="of users, and as many of nobodies, by each mechanism")
    options = options.parse_args()
    remove_on_sigterm()
    told = 0
    for delay_ms in (0, 5):
        node = TimedBroker(options.binary, delay_ms)
        try:
            node.start()
            node.make_users()
            where = loopback.addresses(TRIES_OF_ONE_ADDRESS)
            for mechanism in MECHANISMS:
                for answer, z, one, other in compare(node, mechanism, options.tries if delay_ms == 0 else options.tries // 4, where):
                    say(f"delay {delay_ms} ms, {mechanism}, {answer}: z = {z:+.2f}, medians {one:.1f} and {other:.1f} us")
                    if abs(z) > MOST:
                        told += 1
        except FAILURES as error:
            say(f"FAILED: {error}")
            return 1
        finally:
            node.remove()
    say("FAILED: users can be told from nobodies" if told else "no user can be told from nobody")
    return 1 if told else 0


if __name__ == "__main__":
    sys.exit(main())
