import BrokerTestKit
import ByteBuffers
import Coordinators
import Glibc
import KafkaModel
import LogStorage
import QueueLedger
import Testing

@testable import BrokerCore

/// Records of share groups as their members see them, on a broker whose commits and clock are the test's. Source: KIP-932.
@Suite struct ShareTests {
    @Test func recordsAreAcquiredOnceAndEnd() throws {
        let node = try ShareNode()
        try node.node.append(node.log(), count: 5)
        node.commit()
        let (one, other) = (try node.session("a"), try node.session("b"))
        #expect(try node.acquire(one, 0, 3).text == ["0-2 x1"])
        #expect(try node.acquire(other).text == ["3-4 x1"])
        #expect(try node.acquire(one).text == [])
        #expect(node.settle(one, 0, 1, .accept).refusal == nil)
        #expect(try node.position() == [2, 3])
        // Somebody else's, what is not acquired, and what is settled.
        #expect(node.settle(one, 3, 4, .accept).refusal?.code == .invalidRecordState)
        #expect(node.settle(one, 2, 9, .accept).refusal?.code == .invalidRecordState)
        #expect(node.settle(one, 0, 1, .accept).refusal == nil)
        #expect(node.settle(other, 3, 4, .accept).refusal == nil)
        #expect(try node.position() == [2, 1])
        #expect(node.settle(one, 2, 2, .release).refusal == nil)
        #expect(try node.acquire(other).text == ["2-2 x2"])
    }

    /// Each keeps some bytes of each of its partitions while it waits, which nothing else bounds.
    @Test func fetchesWaitForSoManyPartitionsTogetherAndNoMore() throws {
        let node = try ShareNode()
        let (waits, log) = (ShareWaits(), node.log())
        waits.watch(log, for: "g", .committed)
        let own = TopicPartition(topicID: log.topicID, partitionIndex: log.partitionIndex)
        let many = (0..<10_000).map { TopicPartition(topicID: log.topicID, partitionIndex: Int32($0)) }
        let most = ShareWaits.maxWaitingPartitions / many.count
        let ended = Lock(0)
        var session = UInt32(0)
        func wait(_ partitions: [TopicPartition], since mark: UInt64 = 0) -> ShareWaits.Outcome {
            session += 1
            return waits.wait(for: partitions, of: "g", by: session, since: mark) { _ in ended.withLock { $0 += 1 } }
        }
        for _ in 0..<most { if case .waits = wait(many) {} else { Issue.record("it does not wait") } }
        #expect(wait([own]) == .full)
        waits.tell(own, of: "g")
        #expect(ended.withLock { $0 } == 1 && waits.count == most - 1)
        #expect(wait(many, since: 1) != .full)
        // One of each session: its next one, and its end, are the end of that.
        #expect(waits.wait(for: many, of: "g", by: session, since: 1) { _ in ended.withLock { $0 += 1 } } != .full)
        #expect(ended.withLock { $0 } == 2 && waits.count == most)
        waits.end(session, of: "g")
        #expect(ended.withLock { $0 } == 3 && waits.count == most - 1)
        waits.endAll()
        #expect(wait([own], since: 1) != .full)
    }

    @Test func locksEndByThemselvesAndAreRenewed() throws {
        let node = try ShareNode()
        try node.node.append(node.log(), count: 2)
        node.commit()
        let (one, other) = (try node.session("a"), try node.session("b"))
        #expect(try node.acquire(one).text == ["0-1 x1"])
        node.pass(20_000)
        #expect(node.settle(one, 1, 1, .renew).refusal == nil)
        node.pass(10_000)
        #expect(try node.acquire(other).text == ["0-0 x2"])
        #expect(node.settle(one, 0, 0, .accept).refusal?.code == .invalidRecordState)
        #expect(node.settle(one, 1, 1, .accept).refusal == nil)
    }

    @Test func aRecordIsDeliveredSoOftenAndNoMore() throws {
        let node = try ShareNode()
        try node.node.append(node.log())
        node.commit()
        let session = try node.session()
        for delivery in 1...5 {
            #expect(try node.acquire(session, 0, 1).text == ["0-0 x\(delivery)"])
            #expect(node.settle(session, 0, 0, .release).refusal == nil)
        }
        #expect(try node.acquire(session).text == [])
        try node.node.append(node.log())
        node.commit()
        #expect(try node.acquire(session).text == ["1-1 x1"])
        #expect(node.settle(session, 1, 1, .reject).refusal == nil)
        #expect(try node.acquire(session).text == [])
        #expect(try node.position() == [2, 0])
    }

    @Test func theWindowOfLocksIsBounded() throws {
        let node = try ShareNode { $0.groups.shareRecordLocks = 100 }
        for _ in 0..<4 { try node.node.append(node.log(), count: 50) }
        node.commit()
        let session = try node.session()
        #expect(try node.acquire(session, 0, 1_000).text == ["0-99 x1"])
        #expect(node.settle(session, 1, 99, .accept).refusal == nil)
        #expect(try node.acquire(session, 0, 1_000).text == [])
        #expect(node.settle(session, 0, 0, .accept).refusal == nil)
        #expect(try node.acquire(session, 0, 1_000).text == ["100-199 x1"])
    }

    @Test func theEndOfASessionGivesBackAndThatWasNoDelivery() throws {
        let node = try ShareNode()
        try node.node.append(node.log(), count: 3)
        node.commit()
        let connection = node.shares.openConnection()
        let session = try node.session("a", connection: connection)
        #expect(try node.acquire(session).text == ["0-2 x1"])
        node.shares.closeConnection(connection)
        _ = node.shares.look()
        #expect(!node.shares.isCurrent(session))
        #expect(try node.acquire(node.session("b")).text == ["0-2 x1"])
        #expect(throws: ShareRefusal.self) { try node.acquire(session) }
        // What a new session of the member replaces goes back as well.
        #expect(try node.acquire(node.session("b")).text == ["0-2 x1"])
    }

    @Test func everythingIsThereAfterARestart() throws {
        let node = try ShareNode()
        try node.node.append(node.log(), count: 6)
        node.commit()
        let session = try node.session()
        #expect(try node.acquire(session, 0, 4).text == ["0-3 x1"])
        node.settle(session, 0, 0, .accept)
        node.settle(session, 2, 2, .reject)
        node.commit()
        try node.node.crash()
        // Nobody has a session: what was acquired is there again.
        #expect(try node.acquire(node.session()).text.sorted() == ["1-1 x2", "3-3 x2", "4-5 x1"])
        #expect(try node.position() == [1, 4])
    }

    @Test func aGroupBeginsWhereItsSettingsSay() throws {
        for (reset, expected) in [("earliest", ["0-3 x1"]), ("latest", ["3-3 x1"]), ("by_duration:PT0S", ["3-3 x1"])] {
            let node = try ShareNode { $0.groups.shareOffsetReset = .latest }
            try node.node.append(node.log(), count: 3)
            node.commit()
            node.clock.pass(1_000)
            #expect(
                node.broker.alterGroupSettings(node.group, ["share.auto.offset.reset": reset], validateOnly: false)
                    == nil)
            let session = try node.session()
            _ = try node.acquire(session, 0, 1)
            try node.node.append(node.log())
            node.commit()
            node.shares.end(session)
            #expect(try node.acquire(node.session()).text == expected, "\(reset)")
        }
    }

    @Test func nobodyReadsWhatTheGroupDoesNotSubscribeTo() throws {
        let node = try ShareNode()
        _ = try node.broker.createTopic("other").get()
        let log = node.broker.catalog.topic(named: "other")!.partitions[0]
        let found = try node.shares.acquire(node.session(), from: log, maxRecords: 1, maxBytes: 1)
        guard case .failure(let refusal) = found else {
            Issue.record("\(found)")
            return
        }
        #expect(refusal.code == .unknownTopicOrPartition)
    }

    @Test func whereAGroupIsCanBeMovedAndForgotten() throws {
        let node = try ShareNode()
        try node.node.append(node.log(), count: 10)
        node.commit()
        let session = try node.session()
        _ = try node.acquire(session)
        node.settle(session, 0, 9, .accept)
        #expect(try node.position() == [10, 0])
        _ = try node.shares.setStart(Offset(4), of: node.group, in: node.log())
        #expect(try node.position() == [4, 6])
        node.commit()
        try node.node.crash()
        #expect(try node.position() == [4, 6])
        _ = try node.shares.setStart(Offset(1_000), of: node.group, in: node.log())
        #expect(try node.position() == [10, 0])
        #expect(try node.shares.partitions(of: node.group) == [node.id()])
        #expect(try node.shares.forget(node.group, topic: .random()).count == 0)
        #expect(try node.shares.forget(node.group).count == 1)
        #expect(try node.position() == [])
        node.commit()
        try node.node.crash()
        #expect(try node.position() == [])
        #expect(try node.acquire(node.session()).text == ["0-9 x1"])
    }

    @Test func aTopicThatIsDeletedIsForgotten() throws {
        let node = try ShareNode()
        try node.node.append(node.log(), count: 2)
        node.commit()
        _ = try node.acquire(node.session())
        #expect(node.broker.deleteTopic(node.topic) == nil)
        #expect(try node.shares.partitions(of: node.group) == [])
        node.commit()
        try node.node.restart()
        node.commit()
        // Its records are tombstones by now, and the next start finds nothing.
        try node.node.restart()
        #expect(try node.shares.partitions(of: node.group) == [])
    }

    @Test func bytesAreBoundedButForOneBatch() throws {
        let node = try ShareNode()
        for _ in 0..<3 { try node.node.append(node.log(), count: 4) }
        node.commit()
        let session = try node.session()
        let first = try node.acquire(session, bytes: 1)
        #expect(first.text == ["0-3 x1"] && first.recordCount == 4)
        let second = try node.acquire(session, bytes: first.bytes.count)
        #expect(second.text == ["4-7 x1"] && second.bytes.count == first.bytes.count)
        // A part of a batch brings all of it.
        #expect(try node.acquire(session, 0, 1).bytes.count == first.bytes.count)
        #expect(try node.acquire(session).text == ["9-11 x1"])
    }

    @Test func memoryForRecordsThatAreDoneWithIsGivenBack() throws {
        let node = try ShareNode()
        for _ in 0..<4 { try node.node.append(node.log(), count: 50) }
        node.commit()
        let session = try node.session()
        func bytes() -> Int? { node.broker.shares.shard(ofGroup: session.group)?.withLock { $0.countedBytes } }
        #expect(try node.acquire(session, 0, 200).text == ["0-199 x1"])
        let most = try #require(bytes())
        #expect(node.settle(session, 0, 199, .accept).refusal == nil)
        #expect(try #require(bytes()) * 2 < most)
    }

    // MARK: Sessions

    @Test func epochsOfSessionsAreChecked() throws {
        var sessions = ShareSessions(maxSessions: 2)
        let connection = sessions.openConnection()
        let ids = (Int32(0)..<4).map { TopicPartition(topicID: TopicID(high: 1, low: 1), partitionIndex: $0) }
        func begin(
            _ member: String, _ epoch: Int32, _ adding: [TopicPartition] = [], _ forgetting: [TopicPartition] = []
        ) -> Result<[Int32], ShareRefusal> {
            do throws(ShareRefusal) {
                let key = ShareSessions.Key(group: "g", member: ExactString(member))
                let found = try sessions.begin(
                    key, epoch: epoch, connection: connection, adding: adding, forgetting: forgetting)
                return .success(found.session.partitions.map(\.partitionIndex))
            } catch {
                return .failure(error)
            }
        }
        func code(_ result: Result<[Int32], ShareRefusal>) -> ErrorCode? {
            if case .failure(let refusal) = result { return refusal.code }
            return nil
        }
        #expect(code(begin("a", 1)) == .shareSessionNotFound)
        #expect(code(begin("a", -1)) == .shareSessionNotFound)
        #expect(try begin("a", 0, [ids[0], ids[1], ids[0]]).get() == [0, 1])
        #expect(code(begin("a", 2)) == .invalidShareSessionEpoch)
        // Each comes first in its turn.
        #expect(try begin("a", 1).get() == [1, 0])
        #expect(code(begin("a", 2, [], Array(repeating: ids[3], count: 10_001))) == .invalidRequest)
        #expect(try begin("a", 2, [ids[2]], [ids[0]]).get() == [1, 2])
        #expect(code(begin("a", 2)) == .invalidShareSessionEpoch)
        #expect(try begin("b", 0, [ids[3]]).get() == [3])
        #expect(code(begin("c", 0)) == .shareSessionLimitReached)
        #expect(try begin("b", 0).get() == [])
        #expect((sessions.count, sessions.partitionCount) == (2, 2))
        #expect(try begin("a", -1).get().sorted() == [1, 2])
        #expect(sessions.closeConnection(connection).count == 2)
        #expect((sessions.count, sessions.partitionCount, sessions.count(of: "g")) == (0, 0, 0))
        #expect(code(begin("a", 0)) == .shareSessionNotFound)
    }

    // MARK: Waiting

    @Test func whoWaitsIsWokenByACommitAReleaseAndTheEndOfALock() throws {
        let node = try ShareNode()
        let (one, other) = (try node.session("a"), try node.session("b"))
        // Its ledgers begin.
        for index in Int32(0)..<2 { _ = try node.acquire(one, index) }
        node.commit()
        let calls = QueueNode.Answer<[Bool]>()
        func wait(_ session: ShareSession, _ ms: Int64 = 60_000) -> Bool {
            let mark = node.shares.watch(node.topic.partitions, for: session)
            return node.shares.wait(session, since: mark, untilMs: node.clock.steady + ms) { isNews in
                calls.set((calls.now ?? []) + [isNews])
            }
        }
        #expect(wait(one))
        #expect(wait(other))
        try node.node.append(node.log(), count: 2)
        #expect(calls.now == nil)
        node.broker.store.observe(Passing(shares: node.shares))
        node.commit()
        // One alone: it takes what it may, and wakes the next for what is left.
        #expect(calls.now == [true])
        #expect(try node.acquire(one, 0, 1).text == ["0-0 x1"])
        #expect(calls.now == [true, true])
        #expect(try node.acquire(other).text == ["1-1 x1"])
        // What was told since the look is not waited for.
        let mark = node.shares.watch(node.topic.partitions, for: other)
        node.settle(one, 0, 0, .release)
        #expect(!node.shares.wait(other, since: mark, untilMs: .max) { _ in Issue.record("it does not wait") })
        #expect(try node.acquire(other).text == ["0-0 x2"])
        #expect(wait(one))
        node.pass(30_000)
        #expect(calls.now == [true, true, true])
        #expect(wait(one, 500))
        node.pass(500)
        #expect(calls.now == [true, true, true, false])
        // The end of the last session ends its wait.
        #expect(wait(one))
        node.shares.end(one)
        node.shares.end(other)
        #expect(calls.now?.count == 5 && node.shares.waits.count == 0)
    }

    private final class Passing: CommitObserver {
        let shares: ShareCoordinator
        init(shares: ShareCoordinator) { self.shares = shares }
        func committed(through ticket: UInt64, woken: [ReadWaiter]) { shares.committed(woken) }
        func commitFailed(from first: UInt64, through last: UInt64, woken: [ReadWaiter]) { shares.committed(woken) }
    }

    // MARK: Model

    @discardableResult
    private static func run(_ seed: UInt64, _ control: ShareModel.Control = .none) throws -> ShareModel {
        let model = try ShareModel(seed: seed, control)
        for _ in 0..<300 { try model.step() }
        try model.restart()
        try model.drain()
        return model
    }

    /// `MILLRACE_SEEDS=N` runs N seeds, `MILLRACE_SEED=N` only that one.
    @Test func whatIsAcceptedNeverComesAgainAndAllElseDoes() {
        let environment = { (name: String) in getenv(name).flatMap { UInt64(String(cString: $0)) } }
        let seeds = environment("MILLRACE_SEED").map { [$0] } ?? Array(1...(environment("MILLRACE_SEEDS") ?? 15))
        var (crashes, ends) = (0, 0)
        for seed in seeds {
            do {
                let model = try Self.run(seed)
                crashes += model.crashes
                ends += model.ends
            } catch {
                Issue.record("seed \(seed): \(error)")
                if seeds.count > 1 { break }
            }
        }
        print("shares: \(seeds.count) seeds, \(crashes) crashes, \(ends) records ended")
        #expect(crashes > seeds.count && ends > seeds.count)
    }

    /// The test is only worth something if it notices each of these.
    @Test(arguments: [ShareModel.Control.withoutSync, .answersEarly])
    func aBrokerThatBreaksTheRulesIsCaught(_ control: ShareModel.Control) {
        let caught = (UInt64(1)...40).first { seed in
            do {
                try Self.run(seed, control)
                return false
            } catch {
                return true
            }
        }
        #expect(caught != nil)
    }
}
