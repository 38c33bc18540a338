internal import KafkaModel
internal import KafkaWire

/// The states of a classic group, with the names that DescribeGroups and ListGroups show.
public enum GroupState: String, CaseIterable, Sendable {
    /// No members; offsets may be there.
    case empty = "Empty"
    /// Members are asked to (re)join; their JoinGroups are parked.
    case preparingRebalance = "PreparingRebalance"
    /// The generation is set; the leader's assignment is awaited, SyncGroups are parked.
    case completingRebalance = "CompletingRebalance"
    /// Every member has, or can fetch, its assignment.
    case stable = "Stable"
    /// Deleted or unloaded. Only seen as the answer about a group that does not exist.
    case dead = "Dead"
}

/// A request parked until the group moves on.
struct ParkedRequest: Equatable, Sendable {
    var waiter: WaiterID
    var apiVersion: Int16
}

struct GroupMember: Equatable, Sendable {
    var memberID: String
    let groupInstanceID: String?
    var clientID: String
    var clientHost: String
    var rebalanceTimeoutMs: Int32
    var sessionTimeoutMs: Int32
    /// The protocols it can follow, preferred first, each with its opaque metadata.
    var protocols: [JoinGroupRequest.JoinGroupRequestProtocol]
    /// The assignment in the current generation; empty while a rebalance runs.
    var assignment: [UInt8] = []
    /// Set until its first generation: its session is then the join timeout of new members, which runs while it is
    /// parked.
    var isNew = true
    /// False for a dynamic member of a client older than MEMBER_ID_REQUIRED until its first reply: if its connection
    /// goes, nobody can ever come back under this id.
    var isIDKnown = true
    /// A parked JoinGroup: the member has rejoined for the next generation.
    var join: ParkedRequest?
    /// A parked SyncGroup.
    var sync: ParkedRequest?
    var session = GroupTimer()
    /// Members are listed in the order they came.
    let joinOrder: UInt64

    var isStatic: Bool { groupInstanceID != nil }

    /// A session that runs out is ignored while the member waits for us; not for new members, who cannot heartbeat.
    var isExcused: Bool { !isNew && (join != nil || sync != nil) }

    func metadata(of protocolName: String?) -> [UInt8] { Self.metadata(of: protocolName, in: protocols) }

    static func metadata(
        of protocolName: String?, in protocols: [JoinGroupRequest.JoinGroupRequestProtocol]
    ) -> [UInt8] {
        protocolName.flatMap { name in protocols.first { $0.name.isExactly(name) } }?.metadata ?? []
    }

    /// Bytes of memory, about, without the assignment: every text of the client's is in it.
    var memoryBytes: Int {
        Self.memoryBytes(
            protocols,
            text: memberID.utf8.count + (groupInstanceID?.utf8.count ?? 0) + clientID.utf8.count + clientHost.utf8.count
        )
    }

    /// Returns what a new member by this request will take, at most.
    static func memoryBytes(of request: JoinGroupRequest, _ context: RequestContext) -> Int {
        memoryBytes(
            request.protocols,
            text: max(request.memberID.utf8.count, MemberIDSource.longest) + (request.groupInstanceID?.utf8.count ?? 0)
                + context.clientID.utf8.count + context.clientHost.utf8.count)
    }

    private static func memoryBytes(_ protocols: [JoinGroupRequest.JoinGroupRequestProtocol], text: Int) -> Int {
        protocols.reduce(512 + text) { $0 + 96 + $1.name.utf8.count + $1.metadata.count }
    }
}

/// One classic group ("generic" before KIP-848): its members, generation and committed offsets.
///
/// A value type without I/O; `GroupShard` feeds it events. What survives a restart is in `metadata` (written when a
/// generation completes) and `offsets`; the rest is rebuilt by members that join again.
struct ClassicGroup: Sendable {
    let groupID: String
    private(set) var state = GroupState.empty
    /// The state before; a rebalance that began in Empty is the initial one, with its own delay.
    private(set) var previousState = GroupState.dead
    /// Wall clock of the last change of `state`; `nil` after the replay of an old record.
    var stateTimestampMs: Int64?
    /// `nil`: no member ever joined; the group only stores offsets ("simple").
    var protocolType: String?
    /// Chosen for the current generation.
    var protocolName: String?
    /// 0 before the first.
    var generationID: Int32 = 0
    var leaderID: String?
    var members: [ExactString: GroupMember] = [:]
    /// Member ids by group instance id. Source: KIP-345.
    var staticMembers: [ExactString: String] = [:]
    /// Member ids given out by MEMBER_ID_REQUIRED and not yet joined. Source: KIP-394.
    private(set) var pendingMembers: [ExactString: GroupTimer] = [:]
    private var pendingBytes = 0
    /// Members of the generation that have not sent SyncGroup yet.
    var pendingSync: Set<ExactString> = []
    /// How many members support each protocol.
    var protocolSupport: [ExactString: Int] = [:]
    /// The topics of all members; `nil` when they are not known (not a consumer group, unreadable metadata, or more of
    /// them than `maxSubscribedTopics`).
    private(set) var subscribedTopics: Set<ExactString>?
    private var subscribedBytes = 0
    var joinTimer = GroupTimer()
    var syncTimer = GroupTimer()
    /// Set while the initial delay runs.
    var initialDelay: InitialDelay?
    var offsets = CommittedOffsets()
    /// Set while it is a group of the consumer protocol: then it has no members of its own, is Empty, and keeps the offsets.
    var consumer: ConsumerGroup?
    /// Set while it is a share group: then it has neither members nor offsets of its own, and is Empty.
    var share: ShareGroup?
    /// Producers with unfinished transactions that hold offsets of this group.
    var openTransactions: Set<ProducerID> = []
    /// The newest metadata record of this group that the log has (or is about to have): its last completed generation.
    /// A rebalance under way is not in it, and must not be: a replay that took its members up without assignments would
    /// hand them empty ones. The arrays are those of `members`, so it costs little.
    private(set) var recorded: GroupMetadataValue?
    private var recordedBytes = 0
    /// Memory of all members; see `GroupMember.memoryBytes`.
    var memberBytes = 0
    var isRecorded: Bool { recorded != nil || consumer != nil || share != nil }
    /// Members whose JoinGroup is parked.
    var rejoinedCount = 0
    private var joins: UInt64 = 0

    struct InitialDelay: Equatable, Sendable {
        var stepMs: Int64
        var remainingMs: Int64
        /// A member joined during this step: wait another one.
        var newMemberJoined = false
    }

    init(groupID: String, wallClockMs: Int64?) {
        self.groupID = groupID
        stateTimestampMs = wallClockMs
    }

    /// Makes a group that has the offsets of another and nothing else: nobody ever joined it.
    init(offsetsOf other: ClassicGroup?, _ groupID: String) {
        self.init(groupID: groupID, wallClockMs: nil)
        offsets = other?.offsets ?? CommittedOffsets()
        openTransactions = other?.openTransactions ?? []
    }

    /// Whether nothing is left that anybody could ask for, or that a restart would bring back.
    var isDisposable: Bool {
        state == .empty && pendingMembers.isEmpty && offsets.isEmpty && openTransactions.isEmpty && !isRecorded
    }

    /// Notes what the log has of the group.
    mutating func record(_ metadata: GroupMetadataValue) {
        recorded = metadata
        let names = (metadata.protocol?.utf8.count ?? 0) + (metadata.leader?.utf8.count ?? 0)
        recordedBytes = metadata.members.reduce(names) { sum, member in
            // Its texts outlive the members.
            sum + 256 + member.subscription.count + member.assignment.count + member.memberID.utf8.count
                + (member.groupInstanceID?.utf8.count ?? 0) + member.clientID.utf8.count + member.clientHost.utf8.count
        }
    }

    /// Bytes of memory, about. Assignments count in the record.
    var memoryBytes: Int {
        Self.emptyBytes + listedTextBytes + descriptionBytes + pendingBytes + subscribedBytes + offsets.memoryBytes
            + (consumer?.memoryBytes ?? 0) + (share?.memoryBytes ?? 0)
    }

    /// Bytes of the records that a log needs of it, about.
    var liveBytes: Int {
        (isRecorded ? listedTextBytes + recordedBytes : 0) + offsets.recordBytes(of: groupID)
            + (consumer?.recordBytes ?? 0) + (share?.recordBytes ?? 0)
    }

    /// Bytes of a group besides all that is in it.
    static let emptyBytes = 512

    /// Text of the client's that ListGroups shows.
    var listedTextBytes: Int { groupID.utf8.count + (protocolType?.utf8.count ?? 0) }

    /// Bytes of all that DescribeGroups shows of the members, at most.
    var descriptionBytes: Int { memberBytes + recordedBytes }

    // MARK: Ids given out

    mutating func setPending(_ memberID: String, _ timer: GroupTimer) {
        if pendingMembers.updateValue(timer, forKey: memberID) == nil { pendingBytes += Self.pendingBytes(memberID) }
    }

    mutating func removePending(_ memberID: String) {
        if pendingMembers.removeValue(forKey: memberID) != nil { pendingBytes -= Self.pendingBytes(memberID) }
    }

    /// Whether the id's timer is due; see `GroupTimer.fires`.
    mutating func pendingFires(
        _ memberID: String, _ entry: DeadlineQueue.Entry, now: Int64, in queue: inout DeadlineQueue
    ) -> Bool {
        pendingMembers[memberID]?.fires(entry, now: now, in: &queue) == true
    }

    private static func pendingBytes(_ memberID: String) -> Int { 256 + memberID.utf8.count }

    // MARK: Subscribed topics

    /// Topics of one group that are kept, more than a broker has. Names of two letters take 16 times their bytes here;
    /// a group that names more is taken to subscribe to all.
    static let maxSubscribedTopics = 100_000

    mutating func setSubscribed(_ topics: Set<ExactString>?) {
        subscribedTopics = topics
        subscribedBytes = topics.map { $0.reduce(0) { $0 + 64 + $1.text.utf8.count } } ?? 0
    }

    var usesConsumerProtocol: Bool { protocolType == ConsumerProtocol.type }

    var orderedMembers: [GroupMember] { members.values.sorted { $0.joinOrder < $1.joinOrder } }

    /// The longest of the members' rebalance timeouts.
    var rebalanceTimeoutMs: Int64 { max(0, Int64(members.values.lazy.map(\.rebalanceTimeoutMs).max() ?? 0)) }

    var haveAllRejoined: Bool { rejoinedCount == members.count && pendingMembers.isEmpty }

    /// A rebalance can begin from every living state but the one that already is its beginning.
    var canRebalance: Bool { state == .empty || state == .completingRebalance || state == .stable }

    mutating func nextJoinOrder() -> UInt64 {
        joins += 1
        return joins
    }

    mutating func transition(to next: GroupState, wallClockMs: Int64) {
        let allowed =
            switch next {
            case .empty, .completingRebalance: state == .preparingRebalance
            case .preparingRebalance: canRebalance
            case .stable: state == .completingRebalance
            case .dead: state != .dead
            }
        precondition(allowed, "group \(groupID) cannot go from \(state) to \(next)")
        previousState = state
        state = next
        stateTimestampMs = wallClockMs
    }

    /// Takes up a generation whose members were added, as a stable one.
    mutating func resume(generation: Int32, wallClockMs: Int64) {
        generationID = generation
        protocolName = selectProtocol()
        restore(stateTimestampMs: wallClockMs)
        refreshSubscribedTopics()
    }

    /// Takes up the state that replay found, with the last generation of its members.
    mutating func restore(stateTimestampMs: Int64?) {
        previousState = .dead
        state = members.isEmpty ? .empty : .stable
        self.stateTimestampMs = stateTimestampMs
    }
}
