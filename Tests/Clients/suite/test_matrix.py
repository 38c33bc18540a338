"""Every client produces with every codec, and every client reads what each other produced, byte for byte."""

import dataclasses

import pytest

from harness.clients import exchange
from harness.clients.drivers import CODECS, DRIVERS, as_kcat_prints
from harness.clients.records import awkward_records, differences

PARTITIONS = 2


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("producer", DRIVERS)
def test_all_clients_read_what_one_produced(broker, new_topic, producer, codec):
    driver = DRIVERS[producer]
    records = [r for r in awkward_records(PARTITIONS, driver.plain) if driver.can_send(r)]
    topic = new_topic(PARTITIONS)
    driver.produce(broker.bootstrap, topic, records, codec)
    timestamps = None
    for name, consumer in DRIVERS.items():
        expected = records
        if name == "kcat":
            expected = [dataclasses.replace(r, headers=as_kcat_prints(r.headers)) for r in records]
        received = consumer.consume(broker.bootstrap, topic, PARTITIONS)
        assert differences(expected, received) == [], f"produced by {producer} with {codec}, read by {name}"
        seen = sorted((r.partition, r.offset, r.timestamp) for r in received)
        timestamps = timestamps or seen
        assert seen == timestamps, "two clients read different timestamps"


@pytest.mark.parametrize("producer", ["confluent-kafka", "kafka-python", "aiokafka"])
@pytest.mark.parametrize("acks", ["0", "1", "all"])
def test_every_level_of_acknowledgement(broker, new_topic, producer, acks):
    topic = new_topic(PARTITIONS)
    records = [dataclasses.replace(r, timestamp=None) for r in awkward_records(PARTITIONS, plain=True)]
    DRIVERS[producer].produce(broker.bootstrap, topic, records, acks=acks)
    # Nothing says when a record of acks=0 has arrived: one more, acknowledged, goes by the same way first.
    DRIVERS[producer].produce(broker.bootstrap, topic, [dataclasses.replace(records[0], partition=p) for p in range(PARTITIONS)])
    received = DRIVERS["confluent-kafka"].consume(broker.bootstrap, topic, PARTITIONS)
    if acks == "0":
        assert len(received) <= len(records) + PARTITIONS
        assert [r.offset for r in received if r.partition == 0] == list(range(sum(r.partition == 0 for r in received)))
    else:
        assert differences(records + [dataclasses.replace(records[0], partition=p) for p in range(PARTITIONS)], received) == []


@pytest.mark.parametrize("producer", ["confluent-kafka", "kafka-python", "aiokafka"])
def test_idempotent_producers_read_back_alike(broker, new_topic, producer):
    topic = new_topic(PARTITIONS)
    records = [r for r in awkward_records(PARTITIONS) if DRIVERS[producer].can_send(r)]
    DRIVERS[producer].produce(broker.bootstrap, topic, records, "lz4", idempotent=True)
    received = DRIVERS["kafka-python"].consume(broker.bootstrap, topic, PARTITIONS)
    assert differences(records, received) == []


# MARK: The distribution's packages, years older than what PyPI has


@pytest.mark.parametrize("codec", ["none", "gzip"])
@pytest.mark.parametrize("client", ["confluent-kafka", "kafka-python"])
def test_the_distributions_clients_and_new_ones_read_each_other(broker, new_topic, client, codec):
    python = exchange.DISTRIBUTION_PYTHON
    if not exchange.has(python, "kafka, confluent_kafka"):
        pytest.skip(f"{python} has no python3-kafka and python3-confluent-kafka of the distribution")
    old_to_new, new_to_old = new_topic(PARTITIONS), new_topic(PARTITIONS)
    records = [r for r in awkward_records(PARTITIONS) if DRIVERS["kafka-python"].can_send(r)]
    exchange.ask(python, "produce", client, broker.bootstrap, old_to_new, records, codec)
    assert differences(records, DRIVERS["aiokafka"].consume(broker.bootstrap, old_to_new, PARTITIONS)) == []
    DRIVERS["aiokafka"].produce(broker.bootstrap, new_to_old, records, codec)
    assert differences(records, exchange.ask(python, "consume", client, broker.bootstrap, new_to_old, PARTITIONS)) == []
