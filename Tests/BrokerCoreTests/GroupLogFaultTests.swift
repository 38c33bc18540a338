import BrokerTestKit
import ByteBuffers
import Coordinators
import Glibc
import KafkaModel
import KafkaWire
import LogStorage
import RecordFormat
import StorageIO
import Testing

@testable import BrokerCore

/// The files of one partition of `__consumer_offsets` fail: its groups are told nothing that is not stored, what they ask
/// for is to be asked again, and they are served again when the files are.
@Suite struct GroupLogFaultTests {
    private static let wallClockMs = BrokerClock.now().wallClockMs

    /// A journal without room: what comes is written through to its segment.
    private func fillJournal(_ node: SimulatedBroker) throws {
        guard case .success(let topic) = node.broker.createTopic("filling", partitions: 1) else {
            Issue.record("refused")
            return
        }
        for _ in 0..<80 {
            try node.append(topic.partitions[0])
            node.broker.store.commitPending()
        }
    }

    private func failWrites(_ node: SimulatedBroker, of log: PartitionLog) {
        node.fileSystem.inject(
            Fault(.fail(errno: EPERM), on: .write, pathContains: log.folderName, times: .max))
    }

    /// A group with one committed offset, and one more whose commit was left out.
    private func stuckNode(_ sink: ReplySink) throws -> SimulatedBroker {
        let node = try SimulatedBroker()
        node.broker.groups.deliver(to: sink)
        node.commit(group: "g", offset: 1, waiter: 11)
        node.broker.store.commitPending()
        try fillJournal(node)
        failWrites(node, of: node.offsetsLog)
        node.commit(group: "g", offset: 2, waiter: 12)
        node.broker.store.commitPending()
        #expect(node.offsetsLog.hasLeftOutAppends && !node.broker.store.isOffline)
        return node
    }

    @Test func whatACommitLeftOutIsNotShown() throws {
        let sink = ReplySink()
        let node = try stuckNode(sink)
        let failed = sink.tickets.last!
        #expect(node.broker.store.durableTicket >= failed)
        #expect(node.offsets(group: "g") == [:])
        let (phase, ticket) = node.broker.groups.read(group: "g") { $0.phase }
        #expect(phase == .loading && ticket == 0)
        node.commit(group: "g", offset: 3, waiter: 13)
        #expect(sink.errors(of: 13) == [.coordinatorLoadInProgress] && sink.tickets.last == 0)
        // Nobody may look for as long as the log is not whole.
        #expect(node.broker.groups.resumeSuspended())
        #expect(node.offsets(group: "g") == [:])
        try node.crash()
        #expect(node.offsets(group: "g") == ["t-0": 1], "it was not acknowledged")
    }

    @Test func whatIsWrittenAfterAllIsServed() throws {
        let sink = ReplySink()
        let node = try stuckNode(sink)
        #expect(node.offsets(group: "g") == [:])
        node.fileSystem.removeFaults()
        node.broker.store.maintain(nowMs: Self.wallClockMs + 20_000)
        #expect(!node.offsetsLog.hasLeftOutAppends)
        // Until they are loaded, which requests do not wait for.
        node.commit(group: "g", offset: 3, waiter: 13)
        #expect(sink.errors(of: 13) == [.coordinatorLoadInProgress])
        #expect(!node.broker.groups.resumeSuspended())
        #expect(node.offsets(group: "g") == ["t-0": 2])
        node.commit(group: "g", offset: 3, waiter: 14)
        node.broker.store.commitPending()
        #expect(sink.errors(of: 14) == [.none])
        try node.crash()
        #expect(node.offsets(group: "g") == ["t-0": 3])
    }

    /// The log goes again between its replay and the event by which its groups would be served: nothing is served that is empty.
    @Test func groupsThatAreSuspendedAgainAreNotServed() throws {
        let node = try stuckNode(ReplySink())
        #expect(node.offsets(group: "g") == [:])
        node.broker.groups.begin(node.broker.groups.shards[0])
        #expect(node.broker.groups.read(group: "g") { $0.phase }.answer == .loading)
    }

    @Test func parkedRequestsAreToldWhenTheirGroupIsSuspended() throws {
        let sink = ReplySink()
        let node = try SimulatedBroker()
        node.broker.groups.deliver(to: sink)
        node.join(group: "g", waiter: 21)
        try fillJournal(node)
        failWrites(node, of: node.offsetsLog)
        node.commit(group: "other", offset: 2, waiter: 12)
        node.broker.store.commitPending()
        #expect(sink.errors(of: 21) == [])
        #expect(node.offsets(group: "g") == [:])
        #expect(sink.errors(of: 21) == [.notCoordinator])
    }

    /// Others' appends of the same commit are on disk, though its ticket has failed.
    @Test func repliesOfOtherShardsDoNotRestOnTheFailedTicket() throws {
        var options = SimulatedBroker.options
        options.offsetsPartitions = 2
        let node = try SimulatedBroker(options: options)
        let groups = node.broker.groups
        let names = (0..<20).map { "g\($0)" }
        let failing = try #require(names.first { groups.partitionIndex(of: $0) == 0 })
        let other = try #require(names.first { groups.partitionIndex(of: $0) == 1 })
        try fillJournal(node)
        failWrites(node, of: node.offsetsLog)
        node.commit(group: failing, offset: 1)
        node.commit(group: other, offset: 2)
        #expect(groups.read(group: other) { _ in 0 }.ticket > node.broker.store.durableTicket)
        node.broker.store.commitPending()
        #expect(node.offsetsLog.hasLeftOutAppends)
        #expect(groups.read(group: other) { _ in 0 }.ticket == 0)
        #expect(node.offsets(group: other) == ["t-0": 2])
    }

    /// The live records were left out: everything before them is still all there is.
    @Test func theLogsStartWaitsForTheRecordsThemselves() throws {
        var options = SimulatedBroker.options
        options.offsetsRewriteFloor = 4 << 10
        let node = try SimulatedBroker(options: options)
        for offset in Int64(0)..<100 {
            node.commit(group: "g", offset: offset)
            node.broker.store.commitPending()
        }
        try fillJournal(node)
        failWrites(node, of: node.offsetsLog)
        #expect(node.broker.groups.rewriteOutgrown())
        node.broker.store.commitPending()
        #expect(node.offsetsLog.hasLeftOutAppends)
        for _ in 0..<3 {
            _ = node.broker.groups.rewriteOutgrown()
            node.broker.store.commitPending()
            #expect(node.offsetsLog.logStartOffset == Offset(0))
        }
        try node.crash()
        #expect(node.offsets(group: "g") == ["t-0": 99])
    }

    /// The files take nothing just now; all that was acknowledged is in the journal, and served.
    @Test func aCommitThatTheLogRefusesIsToBeTriedAgain() throws {
        let sink = ReplySink()
        let node = try SimulatedBroker()
        node.broker.groups.deliver(to: sink)
        node.commit(group: "g", offset: 1, waiter: 11)
        node.broker.store.commitPending()
        node.join(group: "h", waiter: 21)
        failWrites(node, of: node.offsetsLog)
        node.broker.store.maintain(nowMs: Self.wallClockMs)
        #expect(node.offsetsLog.refusal(.broker) != nil && !node.offsetsLog.hasLeftOutAppends)
        node.commit(group: "g", offset: 2, waiter: 12)
        #expect(sink.errors(of: 12) == [.coordinatorNotAvailable])
        #expect(sink.abandoned.isEmpty)
        #expect(node.offsets(group: "g") == ["t-0": 1])
        #expect(sink.errors(of: 21) == [], "it waits as before")
        node.fileSystem.removeFaults()
        node.broker.store.maintain(nowMs: Self.wallClockMs + 20_000)
        node.commit(group: "g", offset: 2, waiter: 13)
        node.broker.store.commitPending()
        #expect(sink.errors(of: 13) == [.none])
        try node.crash()
        #expect(node.offsets(group: "g") == ["t-0": 2])
    }

    /// Or each heartbeat would copy all groups that the shard has, for as long as the disk is full.
    @Test func aRequestThatMayBeRefusedIsTriedOnItsGroupAlone() throws {
        let sink = ReplySink()
        let node = try SimulatedBroker()
        node.broker.groups.deliver(to: sink)
        for group in 0..<20 { node.commit(group: "g\(group)", offset: 1) }
        node.broker.store.commitPending()
        failWrites(node, of: node.offsetsLog)
        node.broker.store.maintain(nowMs: Self.wallClockMs)
        #expect(node.offsetsLog.refusal(.broker) != nil)
        node.join(group: "g5", waiter: 35)
        var request = HeartbeatRequest()
        request.groupID = "g7"
        var seen: [Int] = []
        var waiting: [Int] = []
        node.broker.groups.perform(group: "g7") { machine, now in
            seen.append(machine.groupCount)
            waiting.append(machine.parkedCount)
            return machine.heartbeat(request, waiter: WaiterID(31), now: now)
        }
        // Tried, and then made, because it needs no record.
        #expect(seen == [1, 20] && waiting == [0, 1])
        node.join(group: "g7", waiter: 32)
        #expect(sink.errors(of: 32) == [] && node.broker.groups.readAll { $0.isParked(WaiterID(32)) } == [true])
        node.commit(group: "g8", offset: 2, waiter: 33)
        #expect(sink.errors(of: 33) == [.coordinatorNotAvailable] && node.offsets(group: "g8") == ["t-0": 1])
    }

    /// A topic is deleted while the log takes nothing, and made again under its name before the log takes something.
    @Test func offsetsOfADeletedTopicGoWhenTheLogTakesThat() throws {
        let node = try SimulatedBroker()
        for group in ["g", "h"] { node.commit(group: group, partitions: 0..<2, offset: 5) }
        node.broker.store.commitPending()
        failWrites(node, of: node.offsetsLog)
        node.broker.store.maintain(nowMs: Self.wallClockMs)
        #expect(node.offsetsLog.refusal(.broker) != nil)
        node.broker.groups.topicDeleted("t")
        #expect(node.broker.groups.sweepMissed())
        node.fileSystem.removeFaults()
        node.broker.store.maintain(nowMs: Self.wallClockMs + 20_000)
        node.commit(group: "g", offset: 1)
        node.commit(group: "other", topic: "u", offset: 7)
        #expect(!node.broker.groups.sweepMissed())
        #expect(node.offsets(group: "g") == ["t-0": 1] && node.offsets(group: "h") == [:])
        node.broker.store.commitPending()
        try node.crash()
        #expect(node.offsets(group: "g") == ["t-0": 1] && node.offsets(group: "h") == [:])
        #expect(node.offsets(group: "other") == ["u-0": 7])
    }

    /// The shard loses its log in the middle of the walk, and has it back before anybody has looked.
    @Test func aSweepThatIsInterruptedIsMadeUpFor() throws {
        let sink = ReplySink()
        let node = try SimulatedBroker()
        node.broker.groups.deliver(to: sink)
        node.commit(group: "g", offset: 5)
        node.broker.store.commitPending()
        node.join(group: "waiting", waiter: 21)
        try fillJournal(node)
        failWrites(node, of: node.offsetsLog)
        node.commit(group: "h", offset: 2, waiter: 12)
        node.broker.store.commitPending()
        #expect(node.offsetsLog.hasLeftOutAppends)
        // Told when the sweep finds the log like that.
        sink.whenTold(21) { [unowned node] in
            node.fileSystem.removeFaults()
            node.broker.store.maintain(nowMs: Self.wallClockMs + 20_000)
            #expect(!node.broker.groups.resumeSuspended())
        }
        node.broker.groups.topicDeleted("t")
        #expect(sink.errors(of: 21) == [.notCoordinator])
        #expect(!node.broker.groups.sweepMissed())
        #expect(node.offsets(group: "g") == [:] && node.offsets(group: "h") == [:])
    }

    /// A log that has outgrown what is alive while it takes nothing is rewritten as soon as it takes something.
    @Test func aRewriteThatCannotBeginIsAskedForAgain() throws {
        var options = SimulatedBroker.options
        options.offsetsRewriteFloor = 4 << 10
        let node = try SimulatedBroker(options: options)
        var isAsked: Bool { node.broker.groups.shards[0].withLock { $0.rewrite.isAsked } }
        var offset: Int64 = 0
        while !isAsked {
            offset += 1
            node.commit(group: "g", offset: offset)
            node.broker.store.commitPending()
        }
        failWrites(node, of: node.offsetsLog)
        node.broker.store.maintain(nowMs: Self.wallClockMs)
        #expect(node.offsetsLog.refusal(.broker) != nil)
        #expect(!node.broker.groups.rewriteOutgrown() && !isAsked)
        node.commit(group: "g", offset: offset + 1)
        #expect(!isAsked, "nobody is woken for what cannot be done")
        node.fileSystem.removeFaults()
        node.broker.store.maintain(nowMs: Self.wallClockMs + 20_000)
        node.commit(group: "g", offset: offset + 1)
        #expect(isAsked)
        #expect(node.broker.groups.rewriteOutgrown() && !isAsked)
    }

    @Test func groupsOfAPartitionThatIsOpenedLaterAreServedThen() throws {
        let node = try SimulatedBroker()
        node.commit(group: "g", offset: 5)
        node.commit(group: "g", topic: "gone", offset: 6)
        node.broker.store.commitPending()
        // Its folder is there from now on.
        try node.broker.store.checkpoint()
        node.commit(group: "g", partition: 1, offset: 7)
        node.broker.store.commitPending()
        let folder = node.offsetsLog.folderName
        try node.crash { $0.inject(Fault(.fail(errno: EACCES), on: .list, pathContains: folder, times: .max)) }
        #expect(node.broker.store.faults.count == 1)
        #expect(node.broker.groups.resumeSuspended())
        #expect(node.offsets(group: "g") == [:])
        node.broker.groups.topicDeleted("gone")
        node.fileSystem.removeFaults()
        for seconds in Int64(1)...2 { node.broker.store.maintain(nowMs: Self.wallClockMs + seconds * 60_000) }
        #expect(node.broker.store.faults.isEmpty)
        #expect(!node.broker.groups.resumeSuspended())
        #expect(node.offsets(group: "g") == ["t-0": 5, "t-1": 7])
        node.commit(group: "g", offset: 8)
        node.broker.store.commitPending()
        try node.crash()
        #expect(node.offsets(group: "g") == ["t-0": 8, "t-1": 7])
    }
}

/// Keeps what the coordinator delivers.
private final class ReplySink: GroupReplySink {
    private struct State {
        var replies: [GroupActions.Reply] = []
        var tickets: [UInt64] = []
        var abandoned: [WaiterID] = []
        var awaited: (waiter: WaiterID, then: () -> Void)?
    }
    private let state = Lock(State())

    var tickets: [UInt64] { state.withLock { $0.tickets } }
    var abandoned: [WaiterID] { state.withLock { $0.abandoned } }

    func deliver(_ replies: [GroupActions.Reply], ticket: UInt64) {
        let then = state.withLock { state -> (() -> Void)? in
            state.replies += replies
            state.tickets.append(ticket)
            guard let awaited = state.awaited, replies.contains(where: { $0.waiter == awaited.waiter }) else {
                return nil
            }
            state.awaited = nil
            return awaited.then
        }
        then?()
    }

    /// Calls `then` when the waiter is told something.
    func whenTold(_ waiter: UInt64, _ then: @escaping () -> Void) {
        state.withLock { $0.awaited = (WaiterID(waiter), then) }
    }

    func abandon(_ waiters: [WaiterID]) { state.withLock { $0.abandoned += waiters } }

    /// The codes of what the waiter was told.
    func errors(of waiter: UInt64) -> [ErrorCode] {
        state.withLock { $0.replies }.filter { $0.waiter == WaiterID(waiter) }.flatMap { reply -> [ErrorCode] in
            switch reply.reply {
            case .join(let response): [ErrorCode(rawValue: response.errorCode)]
            case .offsetCommit(let response):
                response.topics.flatMap { $0.partitions.map { ErrorCode(rawValue: $0.errorCode) } }
            default: [.unknownServerError]
            }
        }
    }
}
