import BrokerTestKit
import ByteBuffers
import Coordinators
import Glibc
import KafkaModel
import LogStorage
import RecordFormat
import StorageIO
import Testing

@testable import BrokerCore

/// The coordinator of transactions on a disk that fails: what is decided ends once, is tried less and less often while it cannot,
/// and no list leaves out what cannot be seen just now. The rules of the state machine are in `TransactionShardTests`.
@Suite struct TransactionCoordinatorTests {
    private let id: ExactString = "payments"

    /// A node with one shard of transactions, and a topic.
    private final class Rig {
        let node: SimulatedBroker
        var timers = TransactionCoordinator.Timers(0)
        /// Far from the clock's own time, as retries are.
        var nowMs: Int64 = 1_000_000_000

        init() throws {
            var options = SimulatedBroker.options
            options.transactionPartitions = 1
            node = try SimulatedBroker(options: options)
            try #require(node.broker.createTopic("t", partitions: 1).get().partitions.count == 1)
            node.broker.transactions.makeTopic()
            try #require(coordinator.shards.count == 1)
            timers = TransactionCoordinator.Timers(nowMs)
        }

        var coordinator: TransactionCoordinator { node.broker.transactions }
        var log: PartitionLog { node.broker.catalog.topic(named: "t")!.partitions[0] }
        var stateLog: PartitionLog { node.broker.catalog.topic(named: Topic.transactionsTopicName)!.partitions[0] }
        var ending: Int { coordinator.waiting.withLock { $0.ends.count } }

        @discardableResult
        func turn(after ms: Int64 = 0) -> TransactionCoordinator.Wake {
            nowMs += ms
            return coordinator.turn(&timers, nowMs)
        }

        /// Commits and turns until nothing is left to do at this time.
        func settle() {
            for _ in 0..<6 {
                node.broker.store.commitPending()
                turn()
            }
        }

        /// An id whose transaction has one partition.
        func begin(_ id: ExactString) throws -> ProducerIdentity {
            let fresh = try #require(node.broker.producerIDs.next()).rawValue
            let made = coordinator.perform(id, refused: { .refused($0) }) { shard, now in
                shard.initProducer(id, timeoutMs: 60_000, known: nil, fresh: fresh, now: now)
            }.answer
            guard case .identity(let producer) = made else {
                Issue.record("\(made)")
                return ProducerIdentity(-1, -1)
            }
            let code = coordinator.perform(id, refused: { $0 }) { shard, now in
                shard.addPartitions(id, producer, ["t": [0]], isVersion2: true, now: now)
            }.answer
            #expect(code == .none)
            return producer
        }

        func commit(_ id: ExactString, _ producer: ProducerIdentity) {
            let answer = coordinator.perform(id, refused: { .refused($0) }) { shard, now in
                shard.endTransactionBumping(id, producer, isCommit: true, fresh: nil, now: now)
            }.answer
            #expect(answer == .identity(ProducerIdentity(producer.id, producer.epoch + 1)))
        }

        func state(_ id: ExactString) -> TransactionState? {
            coordinator.read(id, refused: { _ in nil }) { try? $0.describe(id).get().state }.answer
        }

        /// A journal without room: what comes is written through to its segment.
        func fillJournal() throws {
            let known = node.broker.catalog.topic(named: "filling")
            let topic = try known ?? node.broker.createTopic("filling", partitions: 1).get()
            for _ in 0..<80 {
                try node.append(topic.partitions[0])
                node.broker.store.commitPending()
            }
        }

        func failWrites(of log: PartitionLog) {
            node.fileSystem.inject(
                Fault(.fail(errno: EPERM), on: .write, pathContains: log.folderName, times: .max))
        }

        /// The transaction's partition takes nothing any more, not even markers.
        func failMarkers() throws {
            // Something that a checkpoint cannot write.
            try node.append(log)
            node.broker.store.commitPending()
            failWrites(of: log)
            node.broker.store.maintain(nowMs: BrokerClock.now().wallClockMs)
            try #require(log.refusal(.broker) != nil)
        }

        func mend(after ms: Int64 = 20_000) {
            node.fileSystem.removeFaults()
            node.broker.store.maintain(nowMs: BrokerClock.now().wallClockMs + ms)
        }
    }

    @Test func whatIsDecidedEndsAndIsForgotten() throws {
        let rig = try Rig()
        let producer = try rig.begin(id)
        rig.commit(id, producer)
        #expect(rig.ending == 1)
        rig.turn()
        // No marker before the decision is on disk.
        #expect(rig.log.logEndOffset.rawValue == 0)
        rig.settle()
        #expect(rig.log.logEndOffset.rawValue == 1 && rig.ending == 0)
        #expect(rig.state(id) == .completeCommit)
    }

    /// The thread sleeps while nothing can be done: a commit of what a transaction's end waits for wakes it.
    @Test func aCommitWakesWhoWaitsForIt() throws {
        let rig = try Rig()
        let producer = try rig.begin(id)
        rig.settle()
        _ = rig.coordinator.signal.take()
        rig.commit(id, producer)
        let ticket = try #require(rig.coordinator.waiting.withLock { $0.ends.first?.ticket })
        rig.coordinator.committed(through: ticket - 1)
        #expect(!rig.coordinator.signal.take())
        rig.coordinator.committed(through: ticket)
        #expect(rig.coordinator.signal.take())
    }

    /// The transaction's partition takes no markers, and the coordinator's log comes and goes meanwhile.
    @Test func aLogThatFlapsEndsATransactionOnce() throws {
        let rig = try Rig()
        let producer = try rig.begin(id)
        rig.commit(id, producer)
        rig.node.broker.store.commitPending()
        try rig.failMarkers()
        rig.settle()
        #expect(rig.ending == 1)
        for round in Int64(1)...3 {
            try rig.fillJournal()
            rig.failWrites(of: rig.stateLog)
            // Anything that is appended to the log is left out by the commit.
            _ = try rig.begin(ExactString("other \(round)"))
            rig.node.broker.store.commitPending()
            try #require(rig.stateLog.hasLeftOutAppends)
            #expect(rig.state(id) == nil)
            rig.turn(after: Backoff.mostMs)
            #expect(rig.ending == 0, "the log says anew what is to be ended")
            rig.node.fileSystem.removeFaults()
            rig.failWrites(of: rig.log)
            rig.node.broker.store.maintain(nowMs: BrokerClock.now().wallClockMs + round * 60_000)
            try #require(!rig.stateLog.hasLeftOutAppends)
            rig.turn(after: Backoff.mostMs)
            #expect(rig.state(id) == .prepareCommit)
            rig.settle()
            #expect(rig.ending == 1)
        }
        rig.mend(after: 400_000)
        let before = rig.log.logEndOffset.rawValue
        rig.turn(after: Backoff.mostMs)
        rig.settle()
        #expect(rig.state(id) == .completeCommit && rig.ending == 0)
        #expect(rig.log.logEndOffset.rawValue == before + 1)
    }

    @Test func aPartitionThatTakesNoMarkersIsAskedLessAndLessOften() throws {
        let rig = try Rig()
        let producer = try rig.begin(id)
        rig.commit(id, producer)
        rig.node.broker.store.commitPending()
        try rig.failMarkers()
        var waits: [Int64] = []
        var wake = rig.turn()
        for _ in 0..<9 {
            waits.append(wake.atMs - rig.nowMs)
            // Too early: nothing is tried, and nothing is put off.
            #expect(rig.turn(after: 10).atMs == wake.atMs)
            wake = rig.turn(after: wake.atMs - rig.nowMs)
        }
        #expect(waits == [100, 200, 400, 800, 1600, 3200, 6400, 6400, 6400])
        rig.mend()
        rig.turn(after: Backoff.mostMs)
        rig.settle()
        #expect(rig.state(id) == .completeCommit)
        #expect(rig.coordinator.refusing.withLock { $0.isEmpty })
    }

    /// However many transactions wait for it, there is one line when it begins and one when it is over.
    @Test func aPartitionThatTakesNoMarkersIsToldOfOnce() throws {
        let rig = try Rig()
        let names = (0..<5).map { ExactString("id \($0)") }
        for name in names { rig.commit(name, try rig.begin(name)) }
        rig.node.broker.store.commitPending()
        try rig.failMarkers()
        rig.turn()
        #expect(rig.coordinator.refusing.withLock { $0 } == ["t-0"])
        // A deleted one needs no marker, and is nobody's trouble.
        rig.node.fileSystem.removeFaults()
        let topic = try #require(rig.node.broker.catalog.topic(named: "t"))
        #expect(rig.node.broker.deleteTopic(topic) == nil)
        rig.turn(after: Backoff.mostMs)
        rig.settle()
        #expect(names.allSatisfy { rig.state($0) == .completeCommit })
        #expect(rig.coordinator.refusing.withLock { $0.isEmpty })
    }

    @Test func aListSaysWhatItCannotSee() throws {
        let rig = try Rig()
        _ = try rig.begin(id)
        rig.node.broker.store.commitPending()
        func listed() -> ([Int], ErrorCode?) {
            let looks = rig.coordinator.readAll { $0.count }
            return (looks.answers, looks.refusal)
        }
        #expect(listed() == ([1], nil))
        try rig.fillJournal()
        rig.failWrites(of: rig.stateLog)
        _ = try rig.begin("other")
        rig.node.broker.store.commitPending()
        try #require(rig.stateLog.hasLeftOutAppends)
        #expect(listed() == ([], .coordinatorLoadInProgress))
        rig.mend()
        rig.turn(after: Backoff.mostMs)
        #expect(listed() == ([2], nil))
        // The ids of a partition that another node leads are that one's to list.
        let epoch = LeaderEpoch(rig.stateLog.leaderEpoch.rawValue + 1)
        #expect(rig.node.broker.resign(leaderOf: rig.stateLog, for: epoch))
        #expect(listed() == ([], nil))
    }

    /// While a disk hangs, what waits for it has a bound, whoever has left it behind; beyond that nobody is told that anything is
    /// stored.
    @Test func whatWaitsForACommitHasABound() throws {
        let rig = try Rig()
        _ = try rig.begin(id)
        let told = Lock((yes: 0, no: 0))
        let outcome = rig.coordinator.read(id, refused: { _ in false }) { _ in true }
        try #require(outcome.answer && outcome.ticket > rig.node.broker.store.durableTicket)
        func wait() {
            rig.coordinator.afterCommit(of: outcome) { isStored in
                told.withLock { if isStored { $0.yes += 1 } else { $0.no += 1 } }
            }
        }
        for _ in 0..<TransactionCoordinator.maxWaitingCalls { wait() }
        #expect(told.withLock { $0 == (0, 0) })
        for _ in 0..<3 { wait() }
        #expect(told.withLock { $0 == (0, 3) })
        // A look of the thread that finds nothing stored leaves all where they are.
        rig.turn()
        wait()
        #expect(told.withLock { $0 == (0, 4) })
        rig.settle()
        #expect(told.withLock { $0 == (TransactionCoordinator.maxWaitingCalls, 4) })
        #expect(rig.coordinator.waiting.withLock { $0.calls.isEmpty && $0.callsInHand == 0 })
        // What is stored meanwhile waits for nothing.
        wait()
        #expect(told.withLock { $0.yes == TransactionCoordinator.maxWaitingCalls + 1 })
    }

    /// On a full disk nothing is decided; what is there can be seen.
    @Test func whatTakesNothingCanBeLookedAt() throws {
        let rig = try Rig()
        let producer = try rig.begin(id)
        rig.node.broker.store.commitPending()
        rig.failWrites(of: rig.stateLog)
        rig.node.broker.store.maintain(nowMs: BrokerClock.now().wallClockMs)
        try #require(rig.stateLog.refusal(.broker) != nil && !rig.stateLog.hasLeftOutAppends)
        #expect(rig.state(id) == .ongoing)
        let answer = rig.coordinator.perform(id, refused: { .refused($0) }) { shard, now in
            shard.endTransactionBumping(id, producer, isCommit: true, fresh: nil, now: now)
        }.answer
        #expect(answer == .refused(.coordinatorNotAvailable))
        rig.mend()
        rig.commit(id, producer)
    }
}
