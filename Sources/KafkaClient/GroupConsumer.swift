internal import ByteBuffers
internal import KafkaModel
internal import KafkaWire
public import RecordFormat

/// A member of a classic consumer group: joins, is assigned partitions, reads, commits, leaves. Used by one thread;
/// heartbeats go out from `poll`, so it must be called more often than the session timeout.
///
/// Rebalances are eager: the member commits, gives everything up and joins again.
public final class GroupConsumer {
    public struct Options: Sendable {
        public var sessionTimeoutMs: Int32 = 30_000
        public var rebalanceTimeoutMs: Int32 = 60_000
        public var heartbeatIntervalMs: Int64 = 3_000
        /// Where to begin a partition for which the group has no offset, or one that is not in the log any more.
        public var start = OffsetQuery.latest
        public var reader = RecordReader.Options()

        public init() {}
    }

    let cluster: Cluster
    public let group: String
    let topics: [String]
    let options: Options
    /// Told after each rebalance.
    public var onAssignment: (([PartitionName]) -> Void)?
    public private(set) var membership = Cluster.Membership.none
    /// Whether the group counts on it, and it knows from where to read what it was assigned. Without membership
    /// nothing is held: `positions` is empty then, whatever is left to read.
    public private(set) var isMember = false
    private let reader: RecordReader
    /// What the group has committed of the partitions held.
    private var committed: [PartitionName: Int64] = [:]
    private var nextHeartbeat: Int64 = 0

    public init(_ cluster: Cluster, group: String, topics: [String], options: Options = Options()) {
        self.cluster = cluster
        self.group = group
        self.topics = topics
        self.options = options
        var readerOptions = options.reader
        readerOptions.onOutOfRange = options.start
        reader = RecordReader(cluster, from: [:], options: readerOptions)
    }

    public var assignment: [PartitionName] { reader.positions.keys.sorted() }
    /// The next offset to read of each partition held.
    public var positions: [PartitionName: Int64] { reader.positions }

    /// Reads what is new, joining first if need be. Gives the number of records.
    @discardableResult
    public func poll(maxWaitMs: Int32, _ body: (PartitionName, RecordView) -> Bool) throws(ClientError) -> Int {
        if !isMember { try join() }
        if MonotonicClock.nanoseconds >= nextHeartbeat { try heartbeat() }
        guard isMember else { return 0 }
        let wait = min(Int64(maxWaitMs), options.heartbeatIntervalMs)
        if reader.positions.isEmpty {
            MonotonicClock.sleep(milliseconds: min(wait, 250))
            if cluster.options.isCancelled?() == true { throw .cancelled }
            return 0
        }
        return try reader.poll(maxWaitMs: Int32(wait), body)
    }

    /// Commits the position of every partition that moved since the last commit. False: the group goes on without this
    /// member, and nothing was committed; the next `poll` joins anew.
    @discardableResult
    public func commit() throws(ClientError) -> Bool {
        let moved = reader.positions.filter { committed[$0.key] != $0.value }
        guard isMember, !moved.isEmpty else { return true }
        do throws(ClientError) {
            try cluster.commit(
                moved.mapValues { Cluster.CommittedOffset(offset: $0) }, group: group, as: membership)
            committed.merge(moved) { $1 }
            return true
        } catch {
            guard lostMembership(error) else { throw error }
            return false
        }
    }

    /// Leaves the group, so that its partitions go to others at once; also when joining it was given up on the way, for
    /// the coordinator knows the member from the moment it gave it an id. Does not commit.
    public func leave() throws(ClientError) {
        guard !membership.memberID.isEmpty else { return }
        isMember = false
        reader.assign([:])
        let memberID = membership.memberID
        membership = .none
        try cluster.withCoordinator(of: group) { connection, deadline throws(ClientError) in
            let response = try connection.call(deadline: deadline) { version in
                var request = LeaveGroupRequest()
                request.groupID = group
                if version >= 3 {
                    var member = LeaveGroupRequest.MemberIdentity()
                    member.memberID = memberID
                    request.members = [member]
                } else {
                    request.memberID = memberID
                }
                return request
            }
            try Cluster.check(response.errorCode, "leaving group \(group)")
        }
    }

    // MARK: Membership

    private func heartbeat() throws(ClientError) {
        var request = HeartbeatRequest()
        request.groupID = group
        request.generationID = membership.generationID
        request.memberID = membership.memberID
        do throws(ClientError) {
            try cluster.withCoordinator(of: group) { connection, deadline throws(ClientError) in
                let response = try connection.call(request, deadline: deadline)
                try Cluster.check(response.errorCode, "heartbeat of group \(group)")
            }
            scheduleHeartbeat()
        } catch {
            if case .refused(.rebalanceInProgress, _, _) = error {
                try commit()
                isMember = false
                try join()
            } else if !lostMembership(error) {
                throw error
            }
        }
    }

    private func scheduleHeartbeat() {
        nextHeartbeat = MonotonicClock.nanoseconds + options.heartbeatIntervalMs * 1_000_000
    }

    /// Whether the error means that the group goes on without this member, which then joins anew.
    private func lostMembership(_ error: ClientError) -> Bool {
        guard case .refused(let code, _, _) = error else { return false }
        switch code {
        case .unknownMemberID, .fencedInstanceID: membership = .none
        case .illegalGeneration, .rebalanceInProgress: break
        default: return false
        }
        isMember = false
        reader.assign([:])
        return true
    }

    /// Joins until an assignment is there; each round ends by the coordinator's answer or its refusal.
    private func join() throws(ClientError) {
        reader.assign([:])
        for _ in 0..<Self.maxJoinRounds {
            do throws(ClientError) {
                let (response, assignor) = try joinGroup()
                membership = Cluster.Membership(memberID: response.memberID, generationID: response.generationID)
                let assignment = try sync(response, assignor)
                scheduleHeartbeat()
                // Only then a member: one that did not learn where to begin has to be assigned its partitions again.
                try begin(assignment)
                isMember = true
                onAssignment?(self.assignment)
                return
            } catch {
                guard lostMembership(error) else { throw error }
            }
        }
        throw .timedOut("group \(group) does not settle")
    }

    /// Rounds of rebalancing during which others come and go, before we give up.
    private static let maxJoinRounds = 20

    private func joinGroup() throws(ClientError) -> (JoinGroupResponse, Assignor) {
        var subscription = ConsumerProtocolSubscription()
        subscription.topics = topics.sorted()
        var request = JoinGroupRequest()
        request.groupID = group
        request.sessionTimeoutMs = options.sessionTimeoutMs
        request.rebalanceTimeoutMs = options.rebalanceTimeoutMs
        request.protocolType = "consumer"
        request.protocols = Assignor.allCases.map { assignor in
            var entry = JoinGroupRequest.JoinGroupRequestProtocol()
            entry.name = assignor.rawValue
            entry.metadata = subscription.encodedWithVersion(1)
            return entry
        }
        var memberID = membership.memberID
        for _ in 0..<2 {
            request.memberID = memberID
            let response = try cluster.withCoordinator(of: group, waitMs: Int64(options.rebalanceTimeoutMs)) {
                connection, deadline throws(ClientError) in
                let response = try connection.call(request, deadline: deadline)
                let code = ErrorCode(rawValue: response.errorCode)
                // The first step of two: take the id and join with it (KIP-394).
                if code != .memberIDRequired { try Cluster.check(response.errorCode, "joining group \(group)") }
                return response
            }
            if ErrorCode(rawValue: response.errorCode) == .memberIDRequired {
                memberID = response.memberID
                membership = Cluster.Membership(memberID: memberID, generationID: -1)
                continue
            }
            guard let assignor = Assignor(rawValue: response.protocolName ?? "") else {
                throw .invalidAnswer("group \(group) chose the protocol \(response.protocolName ?? "null")")
            }
            return (response, assignor)
        }
        throw .invalidAnswer("group \(group) asks for a member id that it gave")
    }

    private func sync(_ joined: JoinGroupResponse, _ assignor: Assignor) throws(ClientError) -> [PartitionName] {
        var request = SyncGroupRequest()
        request.groupID = group
        request.generationID = joined.generationID
        request.memberID = joined.memberID
        request.protocolType = "consumer"
        request.protocolName = joined.protocolName
        if joined.leader == joined.memberID && !joined.skipAssignment {
            request.assignments = try assignments(joined, assignor)
        }
        let response = try cluster.withCoordinator(of: group, waitMs: Int64(options.rebalanceTimeoutMs)) {
            connection, deadline throws(ClientError) in
            let response = try connection.call(request, deadline: deadline)
            try Cluster.check(response.errorCode, "assignment of group \(group)")
            return response
        }
        if response.assignment.isEmpty { return [] }
        let decoded = response.assignment.withUnsafeBytes { bytes -> Result<ConsumerProtocolAssignment, DecodeError> in
            var reader = ByteReader(bytes)
            do throws(DecodeError) {
                return .success(try ConsumerProtocolAssignment(withVersionOrLaterFrom: &reader))
            } catch {
                return .failure(error)
            }
        }
        switch decoded {
        case .success(let assignment):
            return assignment.assignedPartitions.flatMap { topic in
                topic.partitions.map { PartitionName(topic.topic, $0) }
            }
        case .failure(let error): throw ClientError(error, "assignment of group \(group)")
        }
    }

    /// Decides, as the group's leader, who gets what.
    private func assignments(
        _ joined: JoinGroupResponse, _ assignor: Assignor
    ) throws(ClientError) -> [SyncGroupRequest.SyncGroupRequestAssignment] {
        var members: [Assignor.Member] = []
        for member in joined.members {
            let topics = member.metadata.withUnsafeBytes { bytes -> [String]? in
                var reader = ByteReader(bytes)
                return try? ConsumerProtocolSubscription(withVersionOrLaterFrom: &reader).topics
            }
            guard let topics else {
                throw .invalidAnswer("member \(member.memberID) of group \(group) has no readable subscription")
            }
            members.append(
                Assignor.Member(memberID: member.memberID, groupInstanceID: member.groupInstanceID, topics: topics))
        }
        let wanted = Array(Set(members.flatMap(\.topics)))
        _ = try cluster.refresh(topics: wanted)
        let counts = cluster.topics.filter { wanted.contains($0.key) }.mapValues { Int32($0.partitions.count) }
        return assignor.assign(members, counts: counts).map { memberID, partitions in
            var assignment = ConsumerProtocolAssignment()
            assignment.assignedPartitions = Dictionary(grouping: partitions, by: \.topic).map { name, partitions in
                var topic = ConsumerProtocolAssignment.TopicPartition()
                topic.topic = name
                topic.partitions = partitions.map(\.partition)
                return topic
            }
            var entry = SyncGroupRequest.SyncGroupRequestAssignment()
            entry.memberID = memberID
            entry.assignment = assignment.encodedWithVersion(1)
            return entry
        }
    }

    /// Begins to read what was assigned: at the committed offset, else where `options.start` says.
    private func begin(_ partitions: [PartitionName]) throws(ClientError) {
        guard !partitions.isEmpty else { return reader.assign([:]) }
        let known = try cluster.committedOffsets(of: group, partitions)
        committed = known.mapValues(\.offset)
        var positions = committed
        let others = partitions.filter { known[$0] == nil }
        if !others.isEmpty {
            let start = try cluster.positions(
                Dictionary(uniqueKeysWithValues: others.map { ($0, options.start) }),
                readCommitted: options.reader.isReadCommitted)
            positions.merge(start) { $1 }
        }
        reader.assign(positions)
    }
}
