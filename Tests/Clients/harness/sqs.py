"""What boto3 does with a server of SQS, step by step, each with queues of its own: the same script for ours and for others. What a step
asserts is what AWS's documentation says; who differs is named in `PEERS`."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import threading
import time
import uuid

from . import aws
from .aws import refused

STEPS = {}


def step(function):
    STEPS[function.__name__] = function
    return function


def client(endpoint: str, retries: str = "standard", key: str = "AKIDEXAMPLE", secret: str = "secret", region: str = "us-east-1"):
    return aws.client("sqs", endpoint, retries, key, secret, region)


class Queues:
    """Makes queues with names of their own, and forgets them at the end."""

    def __init__(self, sqs):
        self.sqs, self.made = sqs, []

    def make(self, suffix: str = "", **attributes: str) -> str:
        url = self.sqs.create_queue(QueueName=f"q-{uuid.uuid4().hex[:12]}{suffix}", Attributes=attributes)["QueueUrl"]
        self.made.append(url)
        return url

    def fifo(self, **attributes: str) -> str:
        return self.make(".fifo", FifoQueue="true", **attributes)

    def arn(self, url: str) -> str:
        return self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]

    def receive(self, url: str, count: int = 10, wait: int = 0, **more) -> list[dict]:
        return self.sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=count, WaitTimeSeconds=wait, **more).get("Messages", [])

    def counts(self, url: str) -> tuple[int, int, int]:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"]
        found = self.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
        return tuple(int(found[name]) for name in names)

    def remove(self) -> None:
        for url in self.made:
            try:
                self.sqs.delete_queue(QueueUrl=url)
            except self.sqs.exceptions.QueueDoesNotExist:
                pass


def run(name: str, sqs) -> None:
    queues = Queues(sqs)
    try:
        STEPS[name](sqs, queues)
    finally:
        queues.remove()


def digest(attributes: dict) -> str:
    """MD5 of message attributes, as the developer guide tells it."""
    data = b""
    for name in sorted(attributes):
        kind = attributes[name]["DataType"]
        is_binary = kind.startswith("Binary")
        value = attributes[name]["BinaryValue"] if is_binary else attributes[name]["StringValue"].encode()
        for part in (name.encode(), kind.encode()):
            data += struct.pack(">I", len(part)) + part
        data += (b"\x02" if is_binary else b"\x01") + struct.pack(">I", len(value)) + value
    return hashlib.md5(data).hexdigest()


# MARK: Queues


@step
def a_queue_is_made_once(sqs, queues):
    url = queues.make(VisibilityTimeout="31")
    name = url.rsplit("/", 1)[1]
    assert sqs.create_queue(QueueName=name, Attributes={"VisibilityTimeout": "31"})["QueueUrl"] == url
    assert sqs.create_queue(QueueName=name)["QueueUrl"] == url
    assert sqs.get_queue_url(QueueName=name)["QueueUrl"] == url
    assert refused(sqs.create_queue, QueueName=name, Attributes={"VisibilityTimeout": "32"}) == ("QueueAlreadyExists", 400)


@step
def wrong_queues_are_refused(sqs, queues):
    for name in ("a b", "x" * 81, "a.b"):
        assert refused(sqs.create_queue, QueueName=name)[0] == "InvalidParameterValue", name
    assert refused(sqs.create_queue, QueueName="a", Attributes={"FifoQueue": "true"})[0] == "InvalidParameterValue"
    assert refused(sqs.create_queue, QueueName="a", Attributes={"VisibilityTimeout": "43201"})[0] == "InvalidAttributeValue"
    assert refused(sqs.create_queue, QueueName="a", Attributes={"Nonsense": "1"})[0] == "InvalidAttributeName"


@step
def attributes_read_back(sqs, queues):
    dead = queues.make()
    wanted = {
        "VisibilityTimeout": "17", "DelaySeconds": "3", "MaximumMessageSize": "2048", "MessageRetentionPeriod": "86400", "ReceiveMessageWaitTimeSeconds": "20",
        "RedrivePolicy": json.dumps({"deadLetterTargetArn": queues.arn(dead), "maxReceiveCount": 4}),
        "RedriveAllowPolicy": json.dumps({"redrivePermission": "denyAll"}),
        "Policy": json.dumps({"Version": "2012-10-17", "Id": "x", "Statement": []}),
    }
    url = queues.make()
    sqs.set_queue_attributes(QueueUrl=url, Attributes=wanted)
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    for name, value in wanted.items():
        same = json.loads(found[name]) == json.loads(value) if value.startswith("{") else found[name] == value
        assert same, f"{name}: {found.get(name)}"
    assert {"QueueArn", "CreatedTimestamp", "LastModifiedTimestamp", "ApproximateNumberOfMessages"} <= set(found)
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": ""})
    assert "RedrivePolicy" not in sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]


@step
def lists_have_pages(sqs, queues):
    prefix = f"p-{uuid.uuid4().hex[:8]}-"
    for index in range(5):
        queues.made.append(sqs.create_queue(QueueName=f"{prefix}{index}")["QueueUrl"])
    assert sorted(sqs.list_queues(QueueNamePrefix=prefix)["QueueUrls"]) == queues.made
    pages = [page["QueueUrls"] for page in sqs.get_paginator("list_queues").paginate(QueueNamePrefix=prefix, PaginationConfig={"PageSize": 2})]
    assert [len(page) for page in pages] == [2, 2, 1] and sorted(sum(pages, [])) == queues.made
    assert "QueueUrls" not in sqs.list_queues(QueueNamePrefix=f"{prefix}x")


@step
def tags_are_kept(sqs, queues):
    url = queues.make()
    sqs.tag_queue(QueueUrl=url, Tags={"a": "1", "b": "2"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["a"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"b": "2"}


@step
def permissions_are_kept(sqs, queues):
    url = queues.make()
    sqs.add_permission(QueueUrl=url, Label="one", AWSAccountIds=["123456789012"], Actions=["SendMessage"])
    policy = json.loads(sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["Policy"])["Attributes"]["Policy"])
    assert [statement["Sid"] for statement in policy["Statement"]] == ["one"]
    sqs.remove_permission(QueueUrl=url, Label="one")
    assert refused(sqs.remove_permission, QueueUrl=url, Label="one")[0] == "InvalidParameterValue"


@step
def a_queue_that_is_gone_is_told_so(sqs, queues):
    url = queues.make()
    sqs.delete_queue(QueueUrl=url)
    try:
        sqs.send_message(QueueUrl=url, MessageBody="x")
        raise AssertionError("it was taken")
    except sqs.exceptions.QueueDoesNotExist as error:
        assert error.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"


# MARK: Messages


@step
def a_message_comes_as_it_was_sent(sqs, queues):
    url = queues.make()
    attributes = {
        "text": {"DataType": "String", "StringValue": "žluťoučký 🐎\n"}, "number": {"DataType": "Number.int", "StringValue": "-42"},
        "bytes": {"DataType": "Binary.png", "BinaryValue": bytes(range(256))},
    }
    body = '{"ž":"\\u0001", "tab":"\t"}\r\n'
    trace = {"AWSTraceHeader": {"DataType": "String", "StringValue": "Root=1-5759e988-bd862e3fe1be46a994272793"}}
    sent = sqs.send_message(QueueUrl=url, MessageBody=body, MessageAttributes=attributes, MessageSystemAttributes=trace)
    assert sent["MD5OfMessageBody"] == hashlib.md5(body.encode()).hexdigest()
    assert sent["MD5OfMessageAttributes"] == digest(attributes)
    message = queues.receive(url, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"])[0]
    assert message["Body"] == body and message["MD5OfBody"] == sent["MD5OfMessageBody"] and message["MessageId"] == sent["MessageId"]
    assert message["MessageAttributes"] == attributes and message["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    told = message["Attributes"]
    assert told["ApproximateReceiveCount"] == "1" and told["AWSTraceHeader"] == trace["AWSTraceHeader"]["StringValue"]
    assert abs(int(told["SentTimestamp"]) - time.time() * 1000) < 60_000
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert queues.counts(url) == (0, 0, 0)
    # Who deletes twice is told nothing else.
    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


@step
def some_attributes_are_asked_for(sqs, queues):
    url = queues.make()
    value = {"DataType": "String", "StringValue": "v"}
    sqs.send_message(QueueUrl=url, MessageBody="x", MessageAttributes={"a.one": value, "a.two": value, "b": value})
    message = queues.receive(url, MessageAttributeNames=["a.*"], VisibilityTimeout=0)[0]
    assert set(message["MessageAttributes"]) == {"a.one", "a.two"}
    assert message["MD5OfMessageAttributes"] == digest(message["MessageAttributes"])
    assert "MessageAttributes" not in queues.receive(url, VisibilityTimeout=0)[0]


@step
def messages_that_are_none_are_refused(sqs, queues):
    url = queues.make(MaximumMessageSize="1024")
    for body in ("\u0000", "a\u0001", "\ufffe"):
        assert refused(sqs.send_message, QueueUrl=url, MessageBody=body)[0] == "InvalidMessageContents", repr(body)
    assert refused(sqs.send_message, QueueUrl=url, MessageBody="x" * 1025)[0] == "InvalidParameterValue"
    sqs.send_message(QueueUrl=url, MessageBody="x" * 1024)
    assert refused(sqs.send_message, QueueUrl=url, MessageBody="x", DelaySeconds=901)[0] == "InvalidParameterValue"
    for name in ("AWS.x", "a b", ".a"):
        assert refused(sqs.send_message, QueueUrl=url, MessageBody="x",
                       MessageAttributes={name: {"DataType": "String", "StringValue": "v"}})[0] == "InvalidParameterValue", name
    assert refused(sqs.send_message, QueueUrl=url, MessageBody="x",
                   MessageAttributes={f"a{n}": {"DataType": "String", "StringValue": "v"} for n in range(11)})[0] == "InvalidParameterValue"


@step
def a_batch_tells_of_each_entry(sqs, queues):
    url = queues.make()
    entries = [{"Id": str(n), "MessageBody": f"m{n}"} for n in range(9)] + [{"Id": "bad", "MessageBody": "\u0001"}]
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert [entry["Id"] for entry in sent["Successful"]] == [str(n) for n in range(9)]
    assert [(entry["Id"], entry["SenderFault"], entry["Code"]) for entry in sent["Failed"]] == [("bad", True, "InvalidMessageContents")]
    messages = []
    while len(messages) < 9:
        found = queues.receive(url, wait=1)
        assert found
        messages += found
    assert sorted(message["Body"] for message in messages) == [f"m{n}" for n in range(9)]
    handles = [{"Id": str(n), "ReceiptHandle": message["ReceiptHandle"]} for n, message in enumerate(messages)]
    changed = sqs.change_message_visibility_batch(QueueUrl=url, Entries=[{**handle, "VisibilityTimeout": 60} for handle in handles])
    assert len(changed["Successful"]) == 9
    deleted = sqs.delete_message_batch(QueueUrl=url, Entries=handles)
    assert len(deleted["Successful"]) == 9 and not deleted.get("Failed")
    assert queues.counts(url) == (0, 0, 0)


@step
def wrong_batches_are_refused(sqs, queues):
    url = queues.make()
    one = {"Id": "1", "MessageBody": "x"}
    prefix = "AWS.SimpleQueueService."
    for entries, code in [
        ([], f"{prefix}EmptyBatchRequest"), ([one, one], f"{prefix}BatchEntryIdsNotDistinct"),
        ([{"Id": str(n), "MessageBody": "x"} for n in range(11)], f"{prefix}TooManyEntriesInBatchRequest"),
        ([{"Id": "a b", "MessageBody": "x"}], f"{prefix}InvalidBatchEntryId"),
        ([{"Id": str(n), "MessageBody": "x" * 600_000} for n in range(2)], f"{prefix}BatchRequestTooLong"),
    ]:
        assert refused(sqs.send_message_batch, QueueUrl=url, Entries=entries) == (code, 400), code
    assert queues.counts(url) == (0, 0, 0)


# MARK: Time


@step
def a_delayed_message_waits(sqs, queues):
    url = queues.make()
    sqs.send_message(QueueUrl=url, MessageBody="late", DelaySeconds=2)
    assert queues.receive(url) == [] and queues.counts(url) == (0, 0, 1)
    assert [message["Body"] for message in queues.receive(url, wait=5)] == ["late"]


@step
def visibility_ends_and_is_changed(sqs, queues):
    url = queues.make()
    sqs.send_message(QueueUrl=url, MessageBody="x")
    first = queues.receive(url, VisibilityTimeout=60)[0]
    assert queues.receive(url) == [] and queues.counts(url) == (0, 1, 0)
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0)
    second = queues.receive(url, VisibilityTimeout=1, MessageSystemAttributeNames=["All"])[0]
    assert second["Attributes"]["ApproximateReceiveCount"] == "2" and second["ReceiptHandle"] != first["ReceiptHandle"]
    third = queues.receive(url, wait=5, MessageSystemAttributeNames=["All"])[0]
    assert third["Attributes"]["ApproximateReceiveCount"] == "3" and third["MessageId"] == first["MessageId"]


@step
def wrong_receipts_are_refused(sqs, queues):
    url, other = queues.make(), queues.make()
    sqs.send_message(QueueUrl=url, MessageBody="x")
    message = queues.receive(url)[0]
    assert refused(sqs.delete_message, QueueUrl=url, ReceiptHandle="nonsense")[0] == "ReceiptHandleIsInvalid"
    assert refused(sqs.change_message_visibility, QueueUrl=url, ReceiptHandle="nonsense", VisibilityTimeout=1)[0] == "ReceiptHandleIsInvalid"
    assert refused(sqs.delete_message, QueueUrl=other, ReceiptHandle=message["ReceiptHandle"])[0] == "ReceiptHandleIsInvalid"
    assert refused(sqs.change_message_visibility, QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=43_201)[0] == "InvalidParameterValue"
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)
    assert refused(sqs.change_message_visibility, QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=5)[0] \
        == "AWS.SimpleQueueService.MessageNotInflight"


@step
def a_receive_waits_for_a_message(sqs, queues):
    url = queues.make()
    timer = threading.Timer(1, lambda: sqs.send_message(QueueUrl=url, MessageBody="x"))
    timer.start()
    began = time.monotonic()
    assert [message["Body"] for message in queues.receive(url, wait=20)] == ["x"]
    assert time.monotonic() - began < 15
    timer.join()
    began = time.monotonic()
    assert queues.receive(url, wait=2) == []
    assert time.monotonic() - began >= 1.9


@step
def a_purge_takes_all(sqs, queues):
    url = queues.make()
    for n in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=str(n), DelaySeconds=n % 2)
    queues.receive(url, count=1)
    sqs.purge_queue(QueueUrl=url)
    assert queues.receive(url, wait=2) == [] and queues.counts(url) == (0, 0, 0)


# MARK: FIFO


@step
def a_group_is_in_order_and_blocks(sqs, queues):
    url = queues.fifo()
    sent = [sqs.send_message(QueueUrl=url, MessageBody=f"{group}{n}", MessageGroupId=group, MessageDeduplicationId=f"{group}{n}")
            for n in range(3) for group in "ab"]
    numbers = [int(message["SequenceNumber"]) for message in sent]
    assert len(set(numbers)) == 6
    first = queues.receive(url, count=1, MessageSystemAttributeNames=["All"])[0]
    group = first["Attributes"]["MessageGroupId"]
    assert first["Body"] == f"{group}0"
    other = "b" if group == "a" else "a"
    assert [message["Body"] for message in queues.receive(url, count=10)] == [f"{other}{n}" for n in range(3)]
    assert queues.receive(url) == []
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    assert [message["Body"] for message in queues.receive(url, count=10, wait=2)] == [f"{group}1", f"{group}2"]


@step
def a_message_is_sent_once(sqs, queues):
    url = queues.fifo(ContentBasedDeduplication="true")
    one = sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="d")
    two = sqs.send_message(QueueUrl=url, MessageBody="y", MessageGroupId="g", MessageDeduplicationId="d")
    assert one["MessageId"] == two["MessageId"] and one["SequenceNumber"] == two["SequenceNumber"]
    for _ in range(2):
        sqs.send_message(QueueUrl=url, MessageBody="same", MessageGroupId="g")
    assert [message["Body"] for message in queues.receive(url, count=10)] == ["x", "same"]
    strict = queues.fifo()
    assert refused(sqs.send_message, QueueUrl=strict, MessageBody="x", MessageGroupId="g")[0] == "InvalidParameterValue"
    assert refused(sqs.send_message, QueueUrl=strict, MessageBody="x", MessageDeduplicationId="d")[0] == "MissingParameter"
    assert refused(sqs.send_message, QueueUrl=queues.make(), MessageBody="x", MessageDeduplicationId="d")[0] == "InvalidParameterValue"


@step
def an_attempt_is_repeated(sqs, queues):
    url = queues.fifo()
    sqs.send_message(QueueUrl=url, MessageBody="x", MessageGroupId="g", MessageDeduplicationId="d")
    first = queues.receive(url, ReceiveRequestAttemptId="attempt")
    again = queues.receive(url, ReceiveRequestAttemptId="attempt")
    assert [message["MessageId"] for message in first] == [message["MessageId"] for message in again] != []


# MARK: Dead letters


@step
def what_fails_too_often_is_a_dead_letter(sqs, queues):
    dead = queues.make()
    url = queues.make(VisibilityTimeout="0", RedrivePolicy=json.dumps({"deadLetterTargetArn": queues.arn(dead), "maxReceiveCount": "2"}))
    sqs.send_message(QueueUrl=url, MessageBody="poison", MessageAttributes={"a": {"DataType": "String", "StringValue": "v"}})
    for _ in range(2):
        assert len(queues.receive(url, wait=2)) == 1
    assert queues.receive(url, wait=1) == []
    letter = queues.receive(dead, wait=5, MessageSystemAttributeNames=["All"], MessageAttributeNames=["All"])[0]
    assert letter["Body"] == "poison" and letter["MessageAttributes"]["a"]["StringValue"] == "v"
    assert letter["Attributes"]["DeadLetterQueueSourceArn"] == queues.arn(url)


@step
def dead_letters_are_moved_back(sqs, queues):
    dead = queues.make()
    policy = json.dumps({"deadLetterTargetArn": queues.arn(dead), "maxReceiveCount": 1})
    url = queues.make(VisibilityTimeout="0", RedrivePolicy=policy)
    assert refused(sqs.start_message_move_task, SourceArn=queues.arn(url))[0] == "InvalidParameterValue"
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    assert len(queues.receive(url, wait=2)) == 1
    assert queues.receive(url, wait=1) == []
    deadline = time.monotonic() + 10
    while queues.counts(dead)[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.1)
    handle = sqs.start_message_move_task(SourceArn=queues.arn(dead))["TaskHandle"]
    assert handle
    while (task := sqs.list_message_move_tasks(SourceArn=queues.arn(dead))["Results"][0])["Status"] == "RUNNING":
        assert time.monotonic() < deadline + 20
        time.sleep(0.1)
    assert task["Status"] == "COMPLETED" and task["ApproximateNumberOfMessagesMoved"] == 1
    assert [message["Body"] for message in queues.receive(url, wait=5)] == ["poison"]
    assert refused(sqs.cancel_message_move_task, TaskHandle="nonsense")[0] == "ResourceNotFoundException"


@step
def targets_of_dead_letters_are_checked(sqs, queues):
    def set_policy(target: str) -> dict:
        return {"QueueUrl": url, "Attributes": {"RedrivePolicy": json.dumps({"deadLetterTargetArn": target, "maxReceiveCount": 1})}}

    url, fifo = queues.make(), queues.fifo()
    assert refused(sqs.set_queue_attributes, **set_policy(queues.arn(url) + "-gone"))[0] == "InvalidParameterValue"
    assert refused(sqs.set_queue_attributes, **set_policy(queues.arn(fifo)))[0] == "InvalidParameterValue"
    assert refused(sqs.set_queue_attributes, **set_policy("nonsense"))[0] == "InvalidParameterValue"


# MARK: Others' servers


class ElasticMQ(aws.Peer):
    region = "elasticmq"

    def command(self) -> list[str]:
        return [os.environ["MILLRACE_ELASTICMQ"], "start", str(self.folder), str(self.port), "memory"]
