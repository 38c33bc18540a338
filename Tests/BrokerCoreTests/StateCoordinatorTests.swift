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

/// What keeps state in the records of a topic, by the smallest machine there is: a sum. What groups and transactions do beyond that is
/// in their own tests.
@Suite struct StateCoordinatorTests {
    /// Its records are numbers; its state is their sum.
    private struct Sum: StoredMachine {
        var sum: Int?
        var replayed = 0
        var maxBatchBytes = 1 << 20
        var memoryBytes: Int { sum ?? 0 }
        var memoryElsewhere = 0

        /// An event: what is to be appended, and the answer.
        mutating func add(_ number: Int) -> (records: [CoordinatorRecord], answer: Int?) {
            guard let sum else { return ([], nil) }
            self.sum = sum + number
            return ([CoordinatorRecord(key: Array("n".utf8), value: Array(String(number).utf8))], self.sum)
        }

        mutating func replay(_ record: RecordView, of batch: RecordBatchHeader) throws(DecodeError) {
            guard let value = record.value, let number = Int(String(decoding: value, as: UTF8.self)) else {
                throw .invalid("a number", position: 0)
            }
            replayed += number
        }
    }

    private final class Sums: StateCoordinator {
        static let suspendedMessage: StaticString = "sums are not served until their log works again"
        static let resumedMessage: StaticString = "sums are served"

        struct Shard: StoredShard {
            var machine = Sum()
            let log: PartitionLog
            var term: LeaderEpoch?
            var ticket: UInt64 = 0
            var countedBytes = 0
            var isSuspended = false
            var suspensions = 0
            var resumption = Resumption()
            var loadedBytes: Int64 = 0

            mutating func beginLoading() { machine = Sum() }
            mutating func wasReplayed(_ bytes: Int64) { loadedBytes = bytes }
            mutating func wasAppended(_ receipt: AppendReceipt, _ bytes: Int) {}
        }

        let shards: [Lock<Shard>]
        let signal = Signal()
        let isActive = true

        init(_ topic: Topic) { shards = topic.partitions.map { Lock(Shard(log: $0)) } }

        func begin(_ shard: Lock<Shard>) {
            shard.withLock { shard in
                if !shard.isSuspended, shard.machine.sum == nil { shard.machine.sum = shard.machine.replayed }
            }
        }

        func unload(_ log: PartitionLog) {
            shard(of: log)?.withLock { shard in
                (shard.term, shard.isSuspended, shard.machine, shard.ticket) = (nil, false, Sum(), 0)
            }
        }
    }

    private final class Rig {
        let node: SimulatedBroker
        let sums: Sums
        let log: PartitionLog

        init() throws {
            node = try SimulatedBroker()
            let settings = ["cleanup.policy": "compact"]
            let topic = try node.broker.createTopic("sums", partitions: 1, settings: settings).get()
            (sums, log) = (Sums(topic), topic.partitions[0])
            sums.load(log)
        }

        /// The sum afterwards, where it is served and the log takes it.
        func add(_ number: Int) -> Int? {
            let store = node.broker.store
            return sums.shards[0].withLock { shard in
                guard shard.term != nil, !shard.isSuspended else { return nil }
                guard shard.follow(store) else {
                    sums.suspendEmptied(&shard)
                    return nil
                }
                let made = shard.machine.add(number)
                return shard.append(made.records, BrokerClock.now()) ? made.answer : nil
            }
        }

        var ticket: UInt64 { sums.shards[0].withLock { $0.ticket } }
        var isSuspended: Bool { sums.shards[0].withLock { $0.isSuspended } }

        /// The next commit leaves out what the log has then: a journal without room, and a file that takes nothing.
        func failCommits() throws {
            let filling = try node.broker.createTopic("filling", partitions: 1).get().partitions[0]
            for _ in 0..<80 {
                try node.append(filling)
                node.broker.store.commitPending()
            }
            node.fileSystem.inject(
                Fault(.fail(errno: EPERM), on: .write, pathContains: log.folderName, times: .max))
        }
    }

    @Test func theSameRecordsMakeTheSameState() throws {
        let rig = try Rig()
        #expect((1...20).map { rig.add($0)! }.last == 210)
        #expect(rig.ticket > rig.node.broker.store.durableTicket)
        rig.sums.unload(rig.log)
        #expect(rig.add(1) == nil)
        rig.sums.load(rig.log)
        #expect(rig.add(5) == 215)
        #expect(rig.sums.shards[0].withLock { $0.loadedBytes } > 0)
        rig.node.broker.store.commitPending()
        #expect(rig.add(0) == 215)
        // What is on disk is not waited for.
        rig.node.broker.store.commitPending()
        #expect(rig.sums.shards[0].withLock { $0.follow(rig.node.broker.store) } && rig.ticket == 0)
    }

    /// Of two threads that resume a shard the second finds it served, with what it has taken since.
    @Test func whoComesTooLateReplaysNothingIntoWhatIsServed() throws {
        let rig = try Rig()
        #expect(rig.add(7) == 7)
        #expect(rig.sums.resume(rig.sums.shards[0]) == nil)
        #expect(rig.sums.shards[0].withLock { $0.machine.replayed } == 0)
        #expect(rig.add(1) == 8)
        rig.sums.unload(rig.log)
        #expect(rig.sums.resume(rig.sums.shards[0]) == nil && rig.add(1) == nil)
    }

    @Test func whatACommitLeftOutIsNoState() throws {
        let rig = try Rig()
        #expect(rig.add(7) == 7)
        rig.node.broker.store.commitPending()
        try rig.failCommits()
        #expect(rig.add(1) == 8)
        rig.node.broker.store.commitPending()
        try #require(rig.log.hasLeftOutAppends)
        #expect(rig.add(1) == nil && rig.isSuspended && rig.ticket == 0)
        #expect(rig.sums.signal.take())
        // It is asked less and less often, whatever time it is.
        var (nowMs, waits): (Int64, [Int64]) = (1_000_000, [])
        for _ in 0..<8 {
            let next = try #require(rig.sums.resumeSuspended(nowMs))
            #expect(rig.sums.resumeSuspended(next - 1) == next, "before its time it is left alone")
            waits.append(next - nowMs)
            nowMs = next
        }
        #expect(waits == [100, 200, 400, 800, 1600, 3200, 6400, 6400])
        rig.node.fileSystem.removeFaults()
        rig.node.broker.store.maintain(nowMs: BrokerClock.now().wallClockMs + 20_000)
        #expect(rig.sums.resumeSuspended(nowMs) == nil && !rig.isSuspended)
        // What was left out is in the log by now.
        #expect(rig.add(2) == 10)
    }

    @Test func whoResignsIsLeftAlone() throws {
        let rig = try Rig()
        #expect(rig.add(7) == 7)
        rig.node.broker.store.commitPending()
        try rig.failCommits()
        _ = rig.add(1)
        rig.node.broker.store.commitPending()
        #expect(rig.add(1) == nil && rig.isSuspended)
        rig.sums.unload(rig.log)
        #expect(rig.sums.resumeSuspended(1_000_000) == nil)
        #expect(rig.add(1) == nil)
    }
}
