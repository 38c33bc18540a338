"""Who may do what is changed again and again while clients write and read. A request that was sent after a change was acknowledged,
and answered before the next one was begun, has to be decided by that change; and no connection that should stay is dropped."""

from __future__ import annotations

import threading
import time

from harness.loads.writers import Violation
from harness.wire import Batch, Closed, Connection

TOPIC, ALLOWED, DENIED = "changed", 0, 29
USER = "worker"


class Rule:
    """What holds as of the last acknowledged change. Replaced as a whole; `pending`: the next one is under way, and either may hold."""

    def __init__(self, version: int, code: int, pending: bool):
        self.version, self.code, self.pending = version, code, pending


class Worker(threading.Thread):
    """One connection that asks all the time, and counts the answers that only one rule explains."""

    def __init__(self, bootstrap: str, changes: "Changes", ask):
        super().__init__(daemon=True)
        self.connection, self.changes, self.ask = Connection(bootstrap), changes, ask
        self.checked = self.seen = 0  # answers that were held against a rule, and the last such rule
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            while not self.changes.is_over:
                before = self.changes.rule
                code = self.ask(self.connection)
                after = self.changes.rule
                if before is not after or before.pending:
                    continue
                if code != before.code:
                    raise Violation(f"after change {before.version} a request was answered by {code}, not by {before.code}")
                self.checked, self.seen = self.checked + 1, before.version
        except BaseException as failure:
            self.failure = failure


class Changes:
    def __init__(self, node, change_acl, set_password, log_in):
        """`change_acl(operation, deny)` and `set_password(user, password)` return when they are acknowledged; `log_in(user, password)`
        returns an object with `ask()`, which raises Closed where the connection has ended."""
        self.node, self.change_acl, self.set_password, self.log_in = node, change_acl, set_password, log_in
        self.rule, self.is_over = Rule(0, ALLOWED, False), False
        batch = Batch([b"x" * 100]).encode()
        asks = [lambda c: c.produce(TOPIC, 0, batch).error] * 4 + [lambda c: c.fetch(TOPIC, 0, 0, max_bytes=1000, max_wait_ms=0)[0]] * 4
        self.workers = [Worker(node, self, ask) for ask in asks]

    def run(self, changes: int) -> tuple[int, int]:
        """(answers that were held against a rule, sessions that a change of a password has ended)"""
        for worker in self.workers:
            worker.start()
        ended = 0
        try:
            for number in range(1, changes + 1):
                # Half of them change an ACL, half a password.
                if number % 2:
                    self.change_rule(number)
                else:
                    ended += self.change_user(number)
            return sum(worker.checked for worker in self.workers), ended
        finally:
            self.is_over = True
            for worker in self.workers:
                worker.join(20)

    def change_rule(self, number: int) -> None:
        code = DENIED if self.rule.code == ALLOWED else ALLOWED
        self.rule = Rule(self.rule.version, self.rule.code, True)
        self.change_acl(code == DENIED)
        self.rule = Rule(number, code, False)
        # Each worker has had an answer by it before the next one.
        deadline = time.monotonic() + 20
        while any(worker.seen < number for worker in self.workers):
            for worker in self.workers:
                if worker.failure:
                    raise worker.failure
            if time.monotonic() > deadline:
                raise Violation(f"no answer for 20 s after change {number}")
            time.sleep(0.0005)

    def change_user(self, number: int) -> int:
        password = f"password {number}"
        self.set_password(USER, password)
        sessions = [self.log_in(USER, password) for _ in range(2)]
        for session in sessions:
            session.ask()
        self.set_password(USER, password + " changed")
        for session in sessions:
            try:
                session.ask()
            except Closed:
                continue
            raise Violation(f"after change {number} a session by the old password was served")
        return len(sessions)
