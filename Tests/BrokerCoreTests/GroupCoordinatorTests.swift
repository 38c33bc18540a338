import BrokerTestKit
import ByteBuffers
import Coordinators
import Glibc
import KafkaModel
import KafkaWire
import LogStorage
import StorageIO
import Testing

@testable import BrokerCore

/// The coordinator's runtime: records into the log, replies behind their commit, and the same state after any stop.
@Suite struct GroupCoordinatorTests {
    @Test func aReplyCarriesTheTicketOfItsAppend() throws {
        let node = try SimulatedBroker()
        let sink = RecordingSink()
        node.broker.groups.deliver(to: sink)
        node.commit(group: "g", offset: 1, waiter: 11)
        guard case .delivered([11], let ticket)? = sink.events.last else {
            Issue.record("\(sink.events)")
            return
        }
        #expect(ticket > node.broker.store.durableTicket)
        node.broker.store.commitPending()
        #expect(node.broker.store.durableTicket == ticket)
    }

    /// A reply without records of its own may show what an earlier event has put on its way to disk.
    @Test func aReplyWithoutRecordsWaitsForTheShardsNewestAppend() throws {
        let node = try SimulatedBroker()
        let sink = RecordingSink()
        node.broker.groups.deliver(to: sink)
        node.commit(group: "g", offset: 1, waiter: 11)
        node.commit(group: "other", topic: String(repeating: "x", count: 300), offset: 1, waiter: 12)
        #expect(sink.events.count == 2)
        guard case .delivered([11], let first) = sink.events[0], case .delivered([12], let second) = sink.events[1]
        else {
            Issue.record("\(sink.events)")
            return
        }
        #expect(first == second)
        #expect(node.broker.groups.read(group: "g") { _ in 0 }.ticket == first)
        node.broker.store.commitPending()
        node.commit(group: "g", offset: 2, waiter: 13)
        guard case .delivered([13], let third)? = sink.events.last else { return }
        #expect(third > second)
    }

    /// What a deleted topic's offsets leave, with a group's id each, does not all wait in memory for one commit.
    @Test func aSweepCommitsWhatItHasQueued() throws {
        let node = try SimulatedBroker()
        let long = String(repeating: "g", count: 30_000)
        for first in stride(from: Int32(0), to: 300, by: 20) {
            node.commit(group: long, partitions: first..<first + 20, offset: 1)
            node.broker.store.commitPending()
        }
        let end = node.offsetsLog.logEndOffset
        node.broker.groups.sweepDeleted(["t"], in: node.broker.groups.shards[0])
        #expect(node.offsetsLog.logEndOffset == end + 300)
        let waiting = Int(node.offsetsLog.logEndOffset - node.offsetsLog.highWatermark) * long.utf8.count
        #expect(waiting < GroupCoordinator.maxQueuedBytes)
    }

    /// Of a broker that is let go without `stop` a worker may have pieces left.
    @Test func aPieceOfWorkHoldsTheBroker() throws {
        weak var broker: Broker?
        let (workers, busy) = try { () throws -> (WorkerPool, BusyWorkers) in
            let opened = try Broker(
                fileSystem: SimulatedFileSystem(), folder: "/data", options: SimulatedBroker.options)
            opened.admin.stop()
            opened.groups.activate()
            let workers = opened.workers
            let busy = BusyWorkers(workers.threadCount) { workers.submit($0) }
            opened.groups.begin([.assignment(groupID: "g")], isVisible: nil)
            broker = opened
            return (workers, busy)
        }()
        #expect(broker != nil)
        busy.release()
        workers.stop()
        #expect(eventually { broker == nil })
    }

    /// One that takes long is asked for again, and would take all workers.
    @Test func aGroupIsAssignedOnceAtATime() {
        var queue = GroupCoordinator.AssignmentQueue()
        func add(_ groupID: ExactString) -> Bool { queue.add(groupID) }
        func take() -> ExactString? { queue.take() }
        func end(_ groupID: ExactString) -> Bool { queue.end(groupID) }
        #expect(add("a"))
        #expect(take() == "a")
        #expect(!add("a") && !add("a"))
        #expect(add("b"))
        #expect(!add("c"))
        #expect(take() == "b")
        // Two are running; each worker goes on with what waits, and what was asked for meanwhile is made once more.
        #expect(end("b"))
        #expect(take() == "c")
        #expect(end("a"))
        #expect(take() == "a")
        #expect(!end("c"))
        #expect(!end("a"))
        #expect(take() == nil)
        // No worker took it: it is begun with the next that is asked for.
        #expect(add("a"))
        queue.stop()
        #expect(add("a"))
        #expect(take() == "a" && take() == nil)
        #expect(!end("a"))
    }

    @Test func whatAGroupAsksForManyTimesIsOnePiece() throws {
        let node = try SimulatedBroker()
        let (groups, workers) = (node.broker.groups, node.broker.workers)
        let busy = BusyWorkers(workers.threadCount) { workers.submit($0) }
        for _ in 0..<3 { groups.begin([.assignment(groupID: "g")], isVisible: nil) }
        let taken = groups.assignmentQueue.withLock { [$0.take(), $0.take()] }
        busy.release()
        #expect(taken == ["g", nil])
    }

    /// A quick look-up is asked for, and when a worker comes to it there is a large pattern, too.
    @Test func aLookUpThatHasBecomeSlowHoldsUpNoQuickOne() throws {
        let node = try SimulatedBroker()
        _ = try node.broker.createTopic("t", partitions: 1).get()
        let (groups, workers) = (node.broker.groups, node.broker.workers)
        let busy = BusyWorkers(workers.threadCount) { workers.submit($0) }
        let isSlow = Lock<[Bool]>([])
        for (member, pattern) in [("m", "t"), ("n", "t|[u]{999}|[v]{99}")] {
            var request = ConsumerGroupHeartbeatRequest()
            (request.groupID, request.memberID, request.rebalanceTimeoutMs) = ("g", member, 60_000)
            (request.subscribedTopicRegex, request.topicPartitions) = (pattern, [])
            let context = RequestContext(clientID: "c", clientHost: "/127.0.0.1", apiVersion: 1)
            let isVisible: @Sendable (String) -> Bool = { _ in
                let busy = groups.patternQueues.withLock { $0[isSlow: true].isBusy }
                isSlow.withLock { $0.append(busy) }
                return true
            }
            groups.perform(group: "g", isVisible: isVisible) { machine, now in
                machine.consumerGroupHeartbeat(request, context: context, waiter: WaiterID(1), now: now)
            }
        }
        #expect(groups.patternQueues.withLock { $0[isSlow: false].isBusy && !$0[isSlow: true].isBusy })
        busy.release()
        #expect(eventually { isSlow.withLock { !$0.isEmpty } })
        #expect(isSlow.withLock { $0 } == [true])
    }

    @Test func anAppendThatIsRefusedAbandonsItsWaiters() throws {
        let node = try SimulatedBroker()
        let sink = RecordingSink()
        node.broker.groups.deliver(to: sink)
        node.fileSystem.inject(Fault(.fail(errno: EIO), on: .write, times: .max))
        node.commit(group: "g", offset: 1, waiter: 11)
        node.broker.store.commitPending()
        #expect(node.broker.store.isOffline)
        node.commit(group: "g", offset: 2, waiter: 12)
        #expect(sink.events.last == .abandoned([12]))
        // What was refused, or never reached the disk, is not shown either.
        #expect(node.offsets(group: "g") == [:])
        #expect(node.broker.groups.read(group: "g") { _ in 0 }.ticket == 0)
        // Neither was acknowledged, and neither is there.
        try node.crash()
        #expect(node.offsets(group: "g") == [:])
        node.commit(group: "g", offset: 3, waiter: 13)
        node.broker.store.commitPending()
        #expect(node.offsets(group: "g") == ["t-0": 3])
    }

    /// An offline folder: the offsets are those that a restart would find, and requests without records are answered.
    @Test func theStateIsWhatIsStoredWhenAppendsAreRefused() throws {
        let node = try SimulatedBroker()
        let sink = RecordingSink()
        node.broker.groups.deliver(to: sink)
        node.commit(group: "g", offset: 1, waiter: 11)
        node.broker.store.commitPending()
        // Accepted, and then its commit fails.
        node.commit(group: "g", offset: 2, waiter: 12)
        #expect(node.offsets(group: "g") == ["t-0": 2])
        node.fileSystem.inject(Fault(.fail(errno: EIO), on: .write, times: .max))
        node.broker.store.commitPending()
        #expect(node.broker.store.isOffline)
        #expect(node.offsets(group: "g") == ["t-0": 1])
        for offset in 3..<6 {
            node.commit(group: "g", offset: Int64(offset), waiter: UInt64(offset))
            #expect(sink.events.last == .abandoned([UInt64(offset)]))
            node.commit(group: "new", offset: Int64(offset), waiter: UInt64(offset))
        }
        #expect(node.offsets(group: "g") == ["t-0": 1])
        #expect(node.offsets(group: "new") == [:])
        let (reply, _) = node.broker.groups.ask(group: "g", as: WaiterID(77)) { machine, now in
            machine.heartbeat(HeartbeatRequest(), waiter: WaiterID(77), now: now)
        }
        #expect(reply != nil)
        // Sweeps end although nothing is written.
        node.broker.groups.topicDeleted("t")
        #expect(node.offsets(group: "g") == ["t-0": 1])
        try node.crash()
        #expect(node.offsets(group: "g") == ["t-0": 1])
    }

    @Test func parkedRequestsAreAnsweredWhenTheStateIsReadBack() throws {
        let node = try SimulatedBroker()
        let sink = RecordingSink()
        node.broker.groups.deliver(to: sink)
        node.join(group: "g", waiter: 21)
        #expect(sink.events.isEmpty)
        node.fileSystem.inject(Fault(.fail(errno: EIO), on: .write, times: .max))
        node.commit(group: "g2", offset: 1, waiter: 22)
        node.broker.store.commitPending()
        #expect(node.offsets(group: "g") == [:])
        #expect(sink.events.last == .delivered([21], ticket: 0))
    }

    /// Many tombstones at once are several batches, none larger than the topic's limit.
    @Test func manyRecordsAreSeveralBatches() throws {
        let node = try SimulatedBroker()
        let topic = node.broker.catalog.topic(named: Topic.offsetsTopicName)!
        #expect(node.broker.alterSettings(topic, ["max.message.bytes": "2000"], validateOnly: false) == nil)
        for index: Int32 in 0..<100 { node.commit(group: "g", partition: index, offset: 1) }
        node.broker.store.commitPending()
        let start = node.offsetsLog.logEndOffset
        _ = node.broker.groups.ask(group: "g", as: WaiterID(1)) { machine, now in
            machine.deleteGroups(["g"], waiter: WaiterID(1), now: now)
        }
        node.broker.store.commitPending()
        var offset = start
        var batches = 0
        while offset < node.offsetsLog.logEndOffset {
            let found = try node.offsetsLog.read(from: offset, maxBytes: 1).get()
            #expect(found.byteCount <= 2000)
            offset = try #require(found.endOffset)
            batches += 1
        }
        #expect(batches > 1)
        #expect(node.offsetsLog.logEndOffset.rawValue - start.rawValue == 100)
        try node.restart()
        #expect(node.offsets(group: "g") == [:])
    }

    @Test func committedOffsetsAreThereAfterRestartAndCrash() throws {
        var options = SimulatedBroker.options
        options.offsetsPartitions = 5
        let node = try SimulatedBroker(options: options)
        for group in 0..<20 {
            for offset in 0..<3 { node.commit(group: "g\(group)", partition: 2, offset: Int64(offset * group)) }
        }
        node.broker.store.commitPending()
        #expect(Set((0..<20).map { node.broker.groups.partitionIndex(of: "g\($0)") }).count > 1)
        for isCrash in [true, false, true] {
            if isCrash { try node.crash() } else { try node.restart() }
            for group in 0..<20 { #expect(node.offsets(group: "g\(group)") == ["t-2": Int64(2 * group)]) }
        }
    }

    @Test func anUncommittedOffsetMayBeLostButTheOneBeforeIsNot() throws {
        for seed in UInt64(1)...20 {
            let node = try SimulatedBroker()
            node.commit(group: "g", offset: 1)
            node.broker.store.commitPending()
            node.commit(group: "g", offset: 2)
            try node.crash(keeping: .random, seed: seed)
            #expect(node.offsets(group: "g") == ["t-0": 1])
        }
    }

    /// Groups whose log cannot be opened are not served from nothing: consumers would begin where they began long ago.
    @Test func aGroupWhoseLogCannotBeOpenedIsBeingLoaded() throws {
        let node = try SimulatedBroker()
        node.commit(group: "g", offset: 5)
        node.broker.store.commitPending()
        // Its folder is there from now on.
        try node.broker.store.checkpoint()
        let folder = node.offsetsLog.folderName
        try node.crash { $0.inject(Fault(.fail(errno: EACCES), on: .list, pathContains: folder, times: .max)) }
        #expect(node.broker.store.faults.count == 1)
        let sink = RecordingSink()
        node.broker.groups.deliver(to: sink)
        node.commit(group: "g", offset: 9, waiter: 3)
        #expect(node.broker.groups.read(group: "g") { $0.phase }.answer == .loading)
        #expect(node.offsets(group: "g").isEmpty)
        node.broker.store.commitPending()
        // Other topics are served, and the next start that can read it knows what was committed.
        guard case .success(let topic) = node.broker.createTopic("t", partitions: 1) else {
            Issue.record("refused")
            return
        }
        try node.append(topic.partitions[0])
        node.broker.store.commitPending()
        try node.crash()
        #expect(node.offsets(group: "g") == ["t-0": 5])
        #expect(node.broker.catalog.topic(named: "t")?.partitions[0].highWatermark == Offset(1))
    }

    /// The start goes on, says so, and knows what the group had committed before.
    @Test func aDamagedCommitLeavesTheOneBeforeIt() throws {
        let node = try SimulatedBroker()
        node.commit(group: "g", offset: 1)
        node.broker.store.commitPending()
        let length = node.offsetsLog.sizeInBytes
        node.commit(group: "g", offset: 2)
        node.broker.store.commitPending()
        try node.broker.store.checkpoint()
        let log = "/data/partitions/\(node.offsetsLog.folderName)/00000000000000000000.log"
        node.fileSystem.flipBit(log, at: length + 80)
        try node.crash(keeping: .everything)
        #expect(node.offsets(group: "g") == ["t-0": 1])
        #expect(node.broker.store.damage.map(\.folderName) == [node.offsetsLog.folderName])
    }
}
