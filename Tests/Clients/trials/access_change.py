"""Users and ACLs are changed many times under load. Every answer that was asked for after a change was acknowledged, and that came
before the next one was begun, has to be by that change; sessions of a changed password serve nothing more; no other connection
is dropped."""

from __future__ import annotations

import sys
import time

from harness.broker import Broker, free_port
from harness.wire import Closed, Connection
from trials.command import FAILURES, parser, remove_on_sigterm, say

PASSWORD = "pencil"


class GuardedBroker(Broker):
    def __init__(self, program: str):
        super().__init__("millrace", program, {"authorizer.enable": "true", "super.users": "User:admin", "allow.everyone.if.no.acl.found": "true"})
        self.sasl_port = free_port()

    def addresses(self) -> list[str]:
        return ["--kafka", f"PLAINTEXT://127.0.0.1:{self.kafka_port},SASL_PLAINTEXT://127.0.0.1:{self.sasl_port}", "--http", f"127.0.0.1:{self.http_port}"]

    @property
    def guarded(self) -> str:
        return f"127.0.0.1:{self.sasl_port}"


def change(node: GuardedBroker, changes: int) -> tuple[int, int]:
    """As `Changes.run`."""
    from confluent_kafka.admin import (AclBinding, AclBindingFilter, AclOperation, AclPermissionType, AdminClient, ResourcePatternType, ResourceType,
                                       ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion)
    from kafka.protocol import metadata

    from harness.loads.changes import TOPIC, Changes
    from harness.sasl import Session

    with Connection(node.bootstrap) as connection:
        connection.create_topic(TOPIC, 1)
    admin = AdminClient({"bootstrap.servers": node.bootstrap})

    def set_password(user: str, password: str) -> None:
        admin.alter_user_scram_credentials([UserScramCredentialUpsertion(user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_256, 4096), password.encode())])[user].result(20)

    def acl(kind, operation, permission):
        return kind(ResourceType.TOPIC, TOPIC, ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", operation, permission)

    for future in admin.create_acls([acl(AclBinding, AclOperation.ALL, AclPermissionType.ALLOW)]).values():
        future.result(20)

    def change_acl(deny: bool) -> None:
        if deny:
            done = admin.create_acls([acl(AclBinding, AclOperation.ALL, AclPermissionType.DENY)])
        else:
            done = admin.delete_acls([acl(AclBindingFilter, AclOperation.ANY, AclPermissionType.DENY)])
        for future in done.values():
            future.result(20)

    class LoggedIn:
        def __init__(self, user: str, password: str):
            self.session = Session(node.guarded, user, password)

        def ask(self) -> None:
            try:
                self.session.call(metadata.MetadataRequest(topics=[], allow_auto_topic_creation=False), 8)
            except ConnectionError as error:
                raise Closed(str(error)) from error

    return Changes(node.bootstrap, change_acl, set_password, LoggedIn).run(changes)


def main() -> int:
    options = parser("access-change-test", __doc__)
    options.add_argument("--changes", type=int, default=1_000)
    options = options.parse_args()
    remove_on_sigterm()
    node = GuardedBroker(options.binary)
    try:
        node.start()
        began = time.monotonic()
        checked, ended = change(node, options.changes)
        node.check_alive()
        say(f"{options.changes} changes in {time.monotonic() - began:.1f} s: {checked:,} answers by the rules of their time, {ended:,} sessions ended with their passwords, 0 by old rules")
        return 0
    except FAILURES as failure:
        say(f"FAILED: {failure}")
        return 1
    finally:
        node.remove()


if __name__ == "__main__":
    sys.exit(main())
