import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import LogStorage
import StorageIO
import Testing

@testable import BrokerCore

/// Partitions whose leadership goes and comes, in one process: their logs, and the groups that live in one of them.
@Suite struct LeadershipTests {
    @Test func aStartLeadsEverythingByTheEpochsThatTheLogsHave() throws {
        let node = try SimulatedBroker()
        let topic = try node.broker.createTopic("t", partitions: 2).get()
        #expect(topic.partitions.allSatisfy { $0.leadership == .leader(in: LeaderEpoch(0)) })
        #expect(node.offsetsLog.leadership == .leader(in: LeaderEpoch(0)))
        #expect(node.broker.become(leaderOf: topic.partitions[1], in: LeaderEpoch(4)))
        try node.append(topic.partitions[1])
        node.broker.store.commitPending()
        try node.restart()
        let again = try #require(node.broker.catalog.topic(named: "t"))
        #expect(again.partitions.map(\.leadership) == [.leader(in: LeaderEpoch(0)), .leader(in: LeaderEpoch(4))])
    }

    @Test func aPartitionIsClosedAndOpenedAndItsNeighbourIsNotTouched() throws {
        let node = try SimulatedBroker()
        let logs = try node.broker.createTopic("t", partitions: 2).get().partitions
        #expect(node.broker.resign(leaderOf: logs[0], for: LeaderEpoch(1)))
        #expect(throws: AppendRefusal.self) { try node.append(logs[0]) }
        try node.append(logs[1])
        #expect(!node.broker.become(leaderOf: logs[0], in: LeaderEpoch(0)))
        #expect(throws: AppendRefusal.self) { try node.append(logs[0]) }
        #expect(node.broker.become(leaderOf: logs[0], in: LeaderEpoch(2)))
        try node.append(logs[0])
        node.broker.store.commitPending()
        #expect(logs.map { $0.endOffset(ofEpoch: 2).epoch } == [2, -1])
    }

    /// More partitions of a topic are led; those that were given up are not taken back by it.
    @Test func growingATopicLeadsTheNewPartitionsAlone() throws {
        let node = try SimulatedBroker()
        let topic = try node.broker.createTopic("t", partitions: 2).get()
        #expect(node.broker.resign(leaderOf: topic.partitions[0], for: LeaderEpoch(1)))
        #expect(node.broker.createPartitions(topic, count: 3, validateOnly: false) == nil)
        let grown = try #require(node.broker.catalog.topic(named: "t"))
        #expect(grown.partitions.map(\.leadership.isLeader) == [false, true, true])
    }

    /// The coordinator of a partition goes with its leadership: parked members are told, nothing is served, and who leads
    /// again has what the log has.
    @Test func groupsGoAndComeWithTheirPartition() throws {
        let node = try SimulatedBroker()
        let sink = RepliesSink()
        node.broker.groups.deliver(to: sink)
        node.commit(group: "g", offset: 1, waiter: 11)
        node.broker.store.commitPending()
        node.join(group: "h", waiter: 12)
        #expect(sink.codes(of: 12) == [])
        let log = node.offsetsLog
        #expect(node.broker.groups.isServed(group: "g"))

        #expect(node.broker.resign(leaderOf: log, for: LeaderEpoch(1)))
        #expect(sink.codes(of: 12) == [.notCoordinator])
        #expect(!node.broker.groups.isServed(group: "g"))
        let end = log.logEndOffset
        node.commit(group: "g", offset: 2, waiter: 13)
        #expect(sink.commitCodes(of: 13) == [.notCoordinator])
        #expect(log.logEndOffset == end)
        #expect(node.offsets(group: "g") == [:])
        // An order of before changes nothing.
        #expect(!node.broker.become(leaderOf: log, in: LeaderEpoch(0)))
        #expect(node.offsets(group: "g") == [:])

        #expect(node.broker.become(leaderOf: log, in: LeaderEpoch(2)))
        #expect(node.offsets(group: "g") == ["t-0": 1])
        node.commit(group: "g", offset: 3, waiter: 14)
        #expect(sink.commitCodes(of: 14) == [.none])
        node.broker.store.commitPending()
        try node.crash()
        #expect(node.offsets(group: "g") == ["t-0": 3])
        #expect(node.offsetsLog.leaderEpoch == LeaderEpoch(2))
    }

    /// Orders come twice: a partition that is led is not loaded again, which would forget who waits.
    @Test func whoLeadsAlreadyKeepsItsGroups() throws {
        let node = try SimulatedBroker()
        let sink = RepliesSink()
        node.broker.groups.deliver(to: sink)
        node.join(group: "h", waiter: 12)
        #expect(node.broker.become(leaderOf: node.offsetsLog, in: LeaderEpoch(0)))
        #expect(node.broker.groups.readAll { $0.parkedCount } == [1])
        #expect(node.broker.groups.readAll { $0.isParked(WaiterID(12)) } == [true])
        #expect(sink.codes(of: 12) == [])
    }

    /// A group log that cannot be read keeps its groups waiting, and resigning from it ends that.
    @Test func aShardThatIsNotLoadedCanBeGivenUp() throws {
        let node = try SimulatedBroker()
        node.commit(group: "g", offset: 1)
        node.broker.store.commitPending()
        let log = node.offsetsLog
        #expect(node.broker.resign(leaderOf: log, for: LeaderEpoch(1)))
        #expect(log.become(leaderIn: LeaderEpoch(1)))
        // Not led as far as the coordinator knows: the timer thread has nothing to load.
        #expect(!node.broker.groups.resumeSuspended())
        #expect(node.offsets(group: "g") == [:])
        #expect(node.broker.become(leaderOf: log, in: LeaderEpoch(1)))
        #expect(node.offsets(group: "g") == ["t-0": 1])
    }
}

/// Keeps what the coordinator answers, by who asked.
private final class RepliesSink: GroupReplySink {
    private let replies = Lock<[UInt64: [GroupReply]]>([:])

    func deliver(_ replies: [GroupActions.Reply], ticket: UInt64) {
        self.replies.withLock { known in
            for reply in replies { known[reply.waiter.rawValue, default: []].append(reply.reply) }
        }
    }

    func abandon(_ waiters: [WaiterID]) {}

    func codes(of waiter: UInt64) -> [ErrorCode] {
        replies.withLock { $0[waiter, default: []] }.map { reply in
            if case .join(let response) = reply { return ErrorCode(rawValue: response.errorCode) }
            return .unknownServerError
        }
    }

    func commitCodes(of waiter: UInt64) -> [ErrorCode] {
        replies.withLock { $0[waiter, default: []] }.map { reply in
            if case .offsetCommit(let response) = reply {
                return ErrorCode(rawValue: response.topics[0].partitions[0].errorCode)
            }
            return .unknownServerError
        }
    }
}
