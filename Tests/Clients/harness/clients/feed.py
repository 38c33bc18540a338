"""Records for a group to read, while it does."""

from __future__ import annotations

import threading
import time


class Feed:
    """Produces numbered records to all partitions in the background until it is stopped."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, pause: float = 0.02):
        from confluent_kafka import Producer

        self.producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, "linger.ms": 0, "message.timeout.ms": 60_000})
        self.topic, self.partitions, self.pause = topic, partitions, pause
        self.acknowledged: set[tuple[int, int]] = set()
        self.failures: list[str] = []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _delivered(self, error, message) -> None:
        if error:
            self.failures.append(str(error))
        else:
            self.acknowledged.add((message.partition(), message.offset()))

    def _run(self) -> None:
        number = 0
        while not self.stopped.is_set():
            for partition in range(self.partitions):
                self.producer.produce(self.topic, f"{number}", partition=partition, on_delivery=self._delivered)
                number += 1
            self.producer.poll(0)
            time.sleep(self.pause)

    def stop(self) -> set[tuple[int, int]]:
        self.stopped.set()
        self.thread.join()
        assert self.producer.flush(30) == 0
        assert not self.failures, self.failures[:3]
        return self.acknowledged
