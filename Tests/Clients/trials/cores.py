"""What limits acknowledged writes on more cores than this machine has: service times measured on one and on two cores, a model of the
broker's stages that must foretell both, and what it says of 8, 16 and 64 cores. A measurement: it fails only when something does
not work; how far the model is off stands in its table."""

from __future__ import annotations

import heapq
import os
import pathlib
import re
import statistics
import sys
import urllib.request
from dataclasses import dataclass, replace

from harness import wire
from harness.broker import Broker
from harness.loads import raw_load
from trials.command import parser, remove_on_sigterm, say

TOPIC = "cores"
VALUE_BYTES = 1024
CLIENTS = (1, 2, 4, 8, 16, 32, 64)
SIMULATED_SECONDS = 0.4
WARM_SHARE = 0.25
CLIENT_STEP = 4  # requests that the client program sends before the broker may see the first of them


# MARK: What is measured


@dataclass
class Measured:
    """Of one run: rates a second, and shares of CPU."""

    clients: int
    acks: float
    commits: float
    commit_seconds: float  # of one commit, from its first write to the end of its sync
    loop_cpu: float  # of the loops, seconds a second
    client_cpu: float

    @property
    def batch(self) -> float:
        """Records a commit."""
        return self.acks / self.commits


def thread_seconds(process_id: int, name: str) -> float:
    total = 0
    for task in pathlib.Path(f"/proc/{process_id}/task").iterdir():
        if (task / "comm").read_text().startswith(name):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def commits(node: Broker) -> tuple[float, float]:
    """How many there were, and the seconds that they took."""
    page = urllib.request.urlopen(f"http://{node.http}/metrics", timeout=10).read().decode()
    return tuple(float(re.search(rf"^millrace_storage_commit_seconds_{what} (\S+)$", page, re.M)[1]) for what in ("count", "sum"))


def measure(program: str, clients: int, cores: int, seconds: int) -> Measured:
    """One broker with one loop and one client program, both on the first `cores` of this process's cores."""
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(own)[:cores])
    try:
        node = Broker("millrace", program, {"num.network.threads": "1"}).start()
        try:
            with wire.Connection(node.bootstrap) as connection:
                if error := connection.create_topic(TOPIC, 1):
                    raise RuntimeError(f"the topic cannot be created: error {error}")
            raw_load.run(node, TOPIC, 1, c=clients, s=VALUE_BYTES, d=1, w=0)
            count, took, cpu = *commits(node), thread_seconds(node.process.pid, "loop-")
            before = os.times()
            result = raw_load.run(node, TOPIC, 1, c=clients, s=VALUE_BYTES, d=seconds, w=0)
            after = os.times()
            more, longer = commits(node)
            cpu = thread_seconds(node.process.pid, "loop-") - cpu
            client = after.children_user + after.children_system - before.children_user - before.children_system
            return Measured(clients, result["per_second"], (more - count) / seconds, (longer - took) / (more - count), cpu / seconds, client / seconds)
        finally:
            node.remove()
    finally:
        os.sched_setaffinity(0, own)


# MARK: What follows from it


@dataclass(frozen=True)
class Costs:
    """Seconds of CPU, but for `wait`."""

    request: float  # a loop's for one request and its reply
    turn: float  # and for one turn with a commit in it, the commit included
    client: float  # a client's for one record
    client_turn: float
    wait: float  # the disk's, of a commit of nothing
    wait_each: float  # and for each record in it
    commit: float  # of `turn`, what falls into the commit
    handover: float = 30e-6  # a thread is woken by another one (the page Who waits for the disk)


def line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Least squares: (what 0 gives, what each one more adds), neither below 0."""
    fit = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    slope = max(0.0, fit.slope)
    return max(0.0, statistics.fmean(y - slope * x for x, y in points)), slope


def costs(found: list[Measured]) -> Costs:
    turn, request = line([(m.batch, m.loop_cpu / m.commits) for m in found])
    client_turn, client = line([(m.batch, m.client_cpu / m.commits) for m in found])
    commit_all, wait_each = line([(m.batch, m.commit_seconds) for m in found])
    # A commit's own CPU is part of both: a third of the turn's, which the profile of one client gives.
    commit = turn / 3
    return Costs(request, turn - commit, client, client_turn, max(0.0, commit_all - commit), wait_each, commit)


# MARK: The model


@dataclass(frozen=True)
class Machine:
    cores: int
    loops: int
    clients: int
    own_clients: bool  # they share the cores
    lanes: int = 1  # journals, each with a commit at a time
    side_by_side: int = 1  # syncs that the disk takes at once


class Model:
    """Loops, lanes and a client program that send events to each other; bursts of CPU wait for a free core, syncs for the disk."""

    def __init__(self, machine: Machine, costs: Costs):
        self.machine, self.costs = machine, costs
        self.time, self.serial = 0.0, 0
        self.events: list = []
        self.free_cores, self.waiting_bursts = machine.cores, []
        self.free_syncs, self.waiting_syncs = machine.side_by_side, []
        self.inbox: list[list[int]] = [[] for _ in range(machine.loops)]
        self.loop_busy = [False] * machine.loops
        self.lane_busy = [False] * machine.lanes
        self.queued: list[list[int]] = [[] for _ in range(machine.lanes)]
        self.replies: list[int] = list(range(machine.clients))
        self.client_busy = False
        self.acknowledged = 0
        self.used = {"loops": 0.0, "lanes": 0.0, "cores": 0.0}

    def at(self, delay: float, then) -> None:
        self.serial += 1
        heapq.heappush(self.events, (self.time + delay, self.serial, then))

    def burst(self, seconds: float, then, own: bool = True) -> None:
        """CPU: on one of the machine's cores, or, of a client elsewhere, at once."""
        if not own:
            self.at(seconds, then)
        elif self.free_cores:
            self.free_cores -= 1
            self.used["cores"] += seconds

            def end():
                self.free_cores += 1
                if self.waiting_bursts:
                    self.burst(*self.waiting_bursts.pop(0))
                then()

            self.at(seconds, end)
        else:
            self.waiting_bursts.append((seconds, then))

    def sync(self, seconds: float, then) -> None:
        if not self.free_syncs:
            self.waiting_syncs.append((seconds, then))
            return
        self.free_syncs -= 1

        def end():
            self.free_syncs += 1
            if self.waiting_syncs:
                self.sync(*self.waiting_syncs.pop(0))
            then()

        self.at(seconds, end)

    # The client program: takes the replies that are there one after the other, and sends a request for each.
    def wake_client(self, is_awake: bool = False) -> None:
        if self.client_busy or not self.replies:
            return
        if not self.machine.own_clients:
            # Each by a program of its own on another machine.
            taken, self.replies = self.replies, []
            self.at(self.costs.client_turn + self.costs.client, lambda: self.send(taken))
            return
        self.client_busy, taken, self.replies = True, self.replies[:CLIENT_STEP], self.replies[CLIENT_STEP:]

        def end():
            self.client_busy = False
            self.send(taken)
            self.wake_client(is_awake=True)

        self.burst(self.costs.client * len(taken) + (0 if is_awake else self.costs.client_turn), end)

    def send(self, connections: list[int]) -> None:
        for connection in connections:
            self.inbox[connection % self.machine.loops].append(connection)
        for loop in {connection % self.machine.loops for connection in connections}:
            self.turn(loop)

    # A loop: a turn reads what is there, appends, and commits when the lane of it is free and nobody else has queued.
    def turn(self, loop: int) -> None:
        if self.loop_busy[loop] or not self.inbox[loop]:
            return
        self.loop_busy[loop], taken, self.inbox[loop] = True, self.inbox[loop], []
        seconds = self.costs.turn + self.costs.request * len(taken)
        self.used["loops"] += seconds

        def end():
            for connection in taken:
                self.queued[connection % self.machine.lanes].append(connection)
            lanes = [lane for lane in {c % self.machine.lanes for c in taken} if not self.lane_busy[lane]]
            if len(lanes) == 1 and self.machine.loops == 1:
                self.commit(lanes[0], lambda: self.free_loop(loop))
            else:
                for lane in lanes:
                    self.lane_busy[lane] = True
                    self.at(self.costs.handover, lambda lane=lane: self.commit(lane, None))
                self.free_loop(loop)

        self.burst(seconds, end)

    def free_loop(self, loop: int) -> None:
        self.loop_busy[loop] = False
        self.turn(loop)

    # A lane: one commit at a time, of all that was queued when it began.
    def commit(self, lane: int, then) -> None:
        self.lane_busy[lane], taken, self.queued[lane] = True, self.queued[lane], []
        wait = self.costs.wait + self.costs.wait_each * len(taken)
        self.used["lanes"] += self.costs.commit + wait

        def end():
            self.lane_busy[lane] = False
            self.acknowledged += len(taken)
            self.replies += taken
            self.wake_client()
            if then:
                then()
            if self.queued[lane] and not self.lane_busy[lane]:
                self.commit(lane, None)

        self.burst(self.costs.commit, lambda: self.sync(wait, end))

    def run(self) -> tuple[float, dict[str, float]]:
        """Acknowledgements a second, and the share of its time that each stage is busy."""
        self.wake_client()
        warm, end = SIMULATED_SECONDS * WARM_SHARE, SIMULATED_SECONDS
        while self.events and self.time < warm:
            self.time, _, then = heapq.heappop(self.events)
            then()
        self.acknowledged, self.used, began = 0, dict.fromkeys(self.used, 0.0), self.time
        while self.events and self.time < end:
            self.time, _, then = heapq.heappop(self.events)
            then()
        took, machine = self.time - began, self.machine
        shares = {"loops": machine.loops, "lanes": machine.lanes, "cores": machine.cores}
        return self.acknowledged / took, {name: self.used[name] / took / shares[name] for name in shares}


def foretell(machine: Machine, costs: Costs) -> tuple[float, dict[str, float]]:
    return Model(machine, costs).run()


# MARK: The tables


def microseconds(seconds: float) -> str:
    return f"{seconds * 1e6:.2f}"


def check(found: dict[int, list[Measured]], costs: Costs) -> None:
    say("\nThe model beside what was measured, acknowledgements a second:")
    say(f"{'clients':>8}" + "".join(f"{f'{cores} core' + 's' * (cores > 1):>12}{'model':>10}{'ratio':>7}" for cores in found))
    for index, clients in enumerate(CLIENTS):
        text = f"{clients:>8}"
        for cores, runs in found.items():
            rate, _ = foretell(Machine(cores, 1, clients, own_clients=True), costs)
            text += f"{runs[index].acks:>12,.0f}{rate:>10,.0f}{rate / runs[index].acks:>7.2f}"
        say(text)


def extrapolate(costs: Costs) -> None:
    say("\nWith clients on other machines; loops: half of the cores, at most 8, or as named. In brackets the share of its time that a stage is busy:")
    say(f"{'cores':>6}{'loops':>6}{'lanes':>6}{'syncs at once':>14}{'clients':>9}{'acks/s':>12}   {'loops':>6}{'lanes':>7}{'cores':>7}")
    for cores, loops in ((2, 1), (8, 4), (16, 8), (64, 8), (64, 32)):
        for lanes, side_by_side in ((1, 1), (4, 1), (4, 4)):
            for clients in (64, 4096):
                rate, busy = foretell(Machine(cores, loops, clients, False, lanes, side_by_side), costs)
                say(f"{cores:>6}{loops:>6}{lanes:>6}{side_by_side:>14}{clients:>9,}{rate:>12,.0f}   {busy['loops']:>6.0%}{busy['lanes']:>7.0%}{busy['cores']:>7.0%}")
    say("\nThe same on a disk whose sync takes 20 us and 1 ms, 16 cores, 8 loops, 4,096 clients:")
    for wait in (20e-6, 1e-3):
        for lanes, side_by_side in ((1, 1), (4, 4)):
            rate, busy = foretell(Machine(16, 8, 4096, False, lanes, side_by_side), replace(costs, wait=wait))
            say(f"{f'{wait * 1e6:,.0f} us':>10}{lanes:>6} lanes{rate:>12,.0f} acks/s   loops {busy['loops']:.0%}, lanes {busy['lanes']:.0%}")


def main() -> int:
    arguments = parser("cores-model", __doc__)
    arguments.add_argument("--seconds", type=int, default=3, help="of each run (default: 3)")
    options = arguments.parse_args()
    remove_on_sigterm()
    available = len(os.sched_getaffinity(0))
    found = {cores: [measure(options.binary, clients, cores, options.seconds) for clients in CLIENTS] for cores in (1, 2) if cores <= available}
    say(f"One record of {VALUE_BYTES} bytes in flight a client, acks=all, one loop; clients and broker on the same cores:")
    for cores, runs in found.items():
        say(f"{cores} core{'s' * (cores > 1)}: clients, acks/s, records a commit, us a commit, CPU of the loop and of the clients")
        for m in runs:
            say(f"{m.clients:>8}{m.acks:>12,.0f}{m.batch:>8.1f}{m.commit_seconds * 1e6:>9.0f}{m.loop_cpu:>8.0%}{m.client_cpu:>8.0%}")
    measured = costs(found[max(found)])
    say("\nService times, microseconds:")
    for name, about in (
        ("request", "of a loop, a request"), ("turn", "of a loop, a turn, its commit left out"), ("commit", "CPU of a commit"), ("wait", "of the disk, a commit"),
        ("wait_each", "and for each record in it"), ("client", "of a client, a record"), ("client_turn", "of a client, a turn"), ("handover", "from thread to thread"),
    ):
        say(f"  {about:<40}{microseconds(getattr(measured, name)):>9}")
    check(found, measured)
    extrapolate(measured)
    return 0


if __name__ == "__main__":
    sys.exit(main())
