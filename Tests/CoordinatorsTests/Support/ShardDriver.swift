import BrokerTestKit
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Testing

/// Drives one shard as a broker does: numbers the waiters, keeps the log, gives each reply to its waiter, and complains
/// when one comes twice or to nobody.
final class ShardDriver {
    struct LoggedRecord: Equatable {
        var record: CoordinatorRecord
        var producerID: ProducerID
    }

    enum LogEntry: Equatable {
        case record(LoggedRecord)
        case transactionEnd(ProducerID, committed: Bool)

        /// A group's record, as it lies in the log.
        static func group(_ groupID: String, _ value: GroupMetadataValue?, version: Int16 = 3) -> LogEntry {
            var key = GroupMetadataKey()
            key.group = groupID
            let record = CoordinatorRecord(
                key: key.encodedWithVersion(), value: value.map { $0.encodedWithVersion(version) })
            return .record(LoggedRecord(record: record, producerID: .none))
        }

        /// An offset's record.
        static func offset(
            _ groupID: String, _ topic: String, _ partition: Int32, _ value: OffsetCommitValue?, version: Int16 = 3,
            producerID: ProducerID = .none
        ) -> LogEntry {
            var key = OffsetCommitKey()
            key.group = groupID
            key.topic = topic
            key.partition = partition
            let record = CoordinatorRecord(
                key: key.encodedWithVersion(), value: value.map { $0.encodedWithVersion(version) })
            return .record(LoggedRecord(record: record, producerID: producerID))
        }
    }

    private(set) var shard: GroupShard
    let settings: GroupSettings
    var time = CoordinatorTime(monotonicMs: 50_000, wallClockMs: 1_700_000_000_000)
    private(set) var log: [LogEntry] = []
    private(set) var replies: [WaiterID: GroupReply] = [:]
    private(set) var waiting: Set<WaiterID> = []
    /// What events wanted to have done elsewhere, and what `doWork` has not done yet.
    private(set) var work: [GroupWork] = []
    private var waiters: UInt64 = 0
    private let seed: UInt64
    var topics: FakeTopics {
        didSet { shard.topics = topics }
    }

    init(
        settings: GroupSettings = GroupSettings(), seed: UInt64 = 1, topics: FakeTopics = FakeTopics(),
        replaying log: [LogEntry] = []
    ) {
        self.settings = settings
        self.seed = seed
        shard = GroupShard(settings: settings, random: SeededRandom(seed: seed))
        self.log = log
        self.topics = topics
        shard.topics = topics
        for entry in log { replay(entry) }
        run { $0.loaded(now: $1) }
    }

    /// A shard after a restart: the same log, nothing else; time has gone on.
    func restarted() -> ShardDriver {
        let next = ShardDriver(settings: settings, seed: seed &+ 1000, topics: topics, replaying: log)
        next.time = time
        return next
    }

    private func replay(_ entry: LogEntry) {
        switch entry {
        case .record(let logged):
            logged.record.key.withUnsafeBytes { key in
                do {
                    if let value = logged.record.value {
                        try value.withUnsafeBytes {
                            try shard.replay(key: key, value: $0, producerID: logged.producerID)
                        }
                    } else {
                        try shard.replay(key: key, value: nil, producerID: logged.producerID)
                    }
                } catch {
                    Issue.record("replay: \(error)")
                }
            }
        case .transactionEnd(let producerID, let committed):
            shard.replayTransactionEnd(of: producerID, committed: committed)
        }
    }

    /// Makes one event and carries out its actions.
    func run(_ event: (inout GroupShard, CoordinatorTime) -> GroupActions) {
        let actions = event(&shard, time)
        for record in actions.records {
            log.append(.record(LoggedRecord(record: record, producerID: actions.producer?.id ?? .none)))
        }
        for reply in actions.replies {
            let wasWaiting = waiting.remove(reply.waiter) != nil
            #expect(wasWaiting, "waiter \(reply.waiter.rawValue) got a reply it did not wait for: \(reply.reply)")
            replies[reply.waiter] = reply.reply
        }
        work += actions.work
    }

    /// Does what events wanted to have done elsewhere, for a client that may know of some topics.
    func doWork(isVisible: (String) -> Bool = { _ in true }) {
        while !work.isEmpty {
            switch work.removeFirst() {
            case .assignment(let groupID):
                guard let made = shard.assignmentWork(of: groupID)?.run() else { continue }
                run { $0.assignmentMade(made, now: $1) }
            case .patterns(let groupID, _):
                guard let found = shard.patternWork(of: groupID)?.run(isVisible: isVisible) else { continue }
                run { $0.patternsFound(found, now: $1) }
            }
        }
    }

    func newWaiter() -> WaiterID {
        waiters += 1
        waiting.insert(WaiterID(waiters))
        return WaiterID(waiters)
    }

    var recordCount: Int { log.count }

    /// Lets time pass, with every timer at its moment.
    func pass(_ milliseconds: Int64) {
        let end = time.monotonicMs + milliseconds
        while let due = shard.nextDeadline, due <= end {
            setMonotonic(max(due, time.monotonicMs))
            run { $0.advance(now: $1) }
        }
        setMonotonic(end)
    }

    private func setMonotonic(_ ms: Int64) {
        time.wallClockMs += ms - time.monotonicMs
        time.monotonicMs = ms
    }

    func connectionGone(_ waiter: WaiterID) {
        waiting.remove(waiter)
        run { $0.waiterGone(waiter, now: $1) }
    }

    func endTransaction(of producerID: ProducerID, committed: Bool) {
        log.append(.transactionEnd(producerID, committed: committed))
        run { $0.completeTransaction(of: producerID, committed: committed, waiter: nil, now: $1) }
    }

    // MARK: What members send

    @discardableResult
    func join(
        _ memberID: String = "", instance: String? = nil, group: String = "g", version: Int16 = 9,
        session: Int32 = 10_000, rebalance: Int32 = 60_000, type: String = "consumer",
        protocols: [JoinGroupRequest.JoinGroupRequestProtocol] = [subscription(["t"])], clientID: String = "client"
    ) -> WaiterID {
        var request = JoinGroupRequest()
        request.groupID = group
        request.sessionTimeoutMs = session
        request.rebalanceTimeoutMs = rebalance
        request.memberID = memberID
        request.groupInstanceID = instance
        request.protocolType = type
        request.protocols = protocols
        let waiter = newWaiter()
        let context = RequestContext(clientID: clientID, clientHost: "/127.0.0.1", apiVersion: version)
        run { $0.joinGroup(request, context: context, waiter: waiter, now: $1) }
        return waiter
    }

    @discardableResult
    func sync(
        _ memberID: String, _ generation: Int32, assignments: [String: [UInt8]] = [:], instance: String? = nil,
        group: String = "g", version: Int16 = 4, type: String? = nil, name: String? = nil
    ) -> WaiterID {
        var request = SyncGroupRequest()
        request.groupID = group
        request.generationID = generation
        request.memberID = memberID
        request.groupInstanceID = instance
        request.protocolType = type
        request.protocolName = name
        request.assignments = assignments.sorted { $0.key < $1.key }.map { memberID, assignment in
            var entry = SyncGroupRequest.SyncGroupRequestAssignment()
            entry.memberID = memberID
            entry.assignment = assignment
            return entry
        }
        let waiter = newWaiter()
        let context = RequestContext(clientID: "client", clientHost: "/127.0.0.1", apiVersion: version)
        run { $0.syncGroup(request, context: context, waiter: waiter, now: $1) }
        return waiter
    }

    func heartbeat(
        _ memberID: String, _ generation: Int32, instance: String? = nil, group: String = "g"
    ) -> ErrorCode {
        var request = HeartbeatRequest()
        request.groupID = group
        request.generationID = generation
        request.memberID = memberID
        request.groupInstanceID = instance
        let waiter = newWaiter()
        run { $0.heartbeat(request, waiter: waiter, now: $1) }
        guard case .heartbeat(let response) = replies[waiter] else { return .unknownServerError }
        return ErrorCode(rawValue: response.errorCode)
    }

    @discardableResult
    func leave(
        _ members: [(memberID: String, instance: String?)], group: String = "g", version: Int16 = 5
    ) -> LeaveGroupResponse {
        var request = LeaveGroupRequest()
        request.groupID = group
        if version <= 2 { request.memberID = members[0].memberID }
        request.members =
            version <= 2
            ? []
            : members.map { member in
                var identity = LeaveGroupRequest.MemberIdentity()
                identity.memberID = member.memberID
                identity.groupInstanceID = member.instance
                return identity
            }
        let waiter = newWaiter()
        let context = RequestContext(clientID: "client", clientHost: "/127.0.0.1", apiVersion: version)
        run { $0.leaveGroup(request, context: context, waiter: waiter, now: $1) }
        guard case .leave(let response) = replies[waiter] else { return LeaveGroupResponse() }
        return response
    }

    // MARK: What they get

    func joined(_ waiter: WaiterID) -> JoinGroupResponse? {
        if case .join(let response) = replies[waiter] { response } else { nil }
    }

    func synced(_ waiter: WaiterID) -> SyncGroupResponse? {
        if case .sync(let response) = replies[waiter] { response } else { nil }
    }

    func joinError(_ waiter: WaiterID) -> ErrorCode? { joined(waiter).map { ErrorCode(rawValue: $0.errorCode) } }
    func syncError(_ waiter: WaiterID) -> ErrorCode? { synced(waiter).map { ErrorCode(rawValue: $0.errorCode) } }

    func state(_ group: String = "g") -> GroupState {
        GroupState(rawValue: shard.describeGroup(group, apiVersion: 5).groupState)!
    }

    // MARK: Whole stories

    /// A dynamic member of version 9 as far as its parked JoinGroup: both steps.
    func joinDynamic(
        group: String = "g", session: Int32 = 10_000, rebalance: Int32 = 60_000,
        protocols: [JoinGroupRequest.JoinGroupRequestProtocol] = [subscription(["t"])]
    ) -> (memberID: String, waiter: WaiterID) {
        let first = join(group: group, session: session, rebalance: rebalance, protocols: protocols)
        let memberID = joined(first)?.memberID ?? ""
        #expect(joinError(first) == .memberIDRequired)
        return (
            memberID, join(memberID, group: group, session: session, rebalance: rebalance, protocols: protocols)
        )
    }

    /// A stable group of dynamic members, the leader first, assigned `[0]`, `[1]` and so on.
    func stableGroup(_ count: Int, group: String = "g", session: Int32 = 10_000) -> [String] {
        let joins = (0..<count).map { _ in joinDynamic(group: group, session: session) }
        pass(settings.initialRebalanceDelayMs)
        while joined(joins[0].waiter) == nil { pass(settings.initialRebalanceDelayMs) }
        let generation = joined(joins[0].waiter)!.generationID
        let ids = joins.map(\.memberID)
        let assignments = Dictionary(uniqueKeysWithValues: ids.enumerated().map { ($1, [UInt8($0)]) })
        for id in ids.dropFirst() { sync(id, generation, group: group) }
        sync(ids[0], generation, assignments: assignments, group: group)
        #expect(state(group) == .stable)
        return ids
    }
}

/// A consumer's protocol with its subscription to `topics`.
func subscription(
    _ topics: [String], _ name: String = "range", userData: [UInt8]? = nil
) -> JoinGroupRequest.JoinGroupRequestProtocol {
    var content = ConsumerProtocolSubscription()
    content.topics = topics
    content.userData = userData
    var entry = JoinGroupRequest.JoinGroupRequestProtocol()
    entry.name = name
    entry.metadata = content.encodedWithVersion(1)
    return entry
}
