/// The settings of group coordination, named by their Kafka keys; times in milliseconds.
public struct GroupSettings: Equatable, Sendable {
    /// `group.initial.rebalance.delay.ms`: how long an empty group waits for further members before its first
    /// generation. It starts again while members keep joining, at most up to the rebalance timeout.
    public var initialRebalanceDelayMs: Int64 = 3_000
    /// `group.min.session.timeout.ms`.
    public var minSessionTimeoutMs: Int32 = 6_000
    /// `group.max.session.timeout.ms`.
    public var maxSessionTimeoutMs: Int32 = 1_800_000
    /// `group.max.size`: members of one group.
    public var maxSize: Int = Int(Int32.max)
    /// `offset.metadata.max.bytes`: the longest metadata text of a committed offset, in UTF-16 units as Kafka counts.
    public var offsetMetadataMaxBytes: Int = 4_096
    /// `offsets.retention.minutes` (7 days): how long offsets outlive their group. Source: KIP-211.
    public var offsetsRetentionMs: Int64 = 7 * 24 * 60 * 60_000
    /// How long a new member may wait in its first JoinGroup, before it has to ask again. It cannot heartbeat while it
    /// waits, so this bounds members whose client is gone without the connection telling.
    public var newMemberJoinTimeoutMs: Int64 = 5 * 60_000
    /// Member ids given out (MEMBER_ID_REQUIRED) and not yet used, for each group. A client that asks for ids and never
    /// joins holds at most so many places until their session timeouts; the next gets GROUP_MAX_SIZE_REACHED.
    public var maxPendingMembers: Int = 10_000
    /// Memory of the members and offsets of one broker's groups, in bytes. Above it a JoinGroup that needs more gets
    /// GROUP_MAX_SIZE_REACHED and an OffsetCommit that does INVALID_COMMIT_OFFSET_SIZE; what is there goes on. Room for
    /// half a million committed offsets and 50,000 members.
    public var maxMemoryBytes = 192 << 20

    // MARK: Consumer groups (KIP-848)

    /// `group.consumer.session.timeout.ms`: how long a member may be silent.
    public var consumerSessionTimeoutMs: Int32 = 45_000
    /// `group.consumer.heartbeat.interval.ms`: what members are told.
    public var consumerHeartbeatIntervalMs: Int32 = 5_000
    /// `group.consumer.max.size`: members of one group.
    public var consumerMaxSize: Int = Int(Int32.max)
    /// `group.consumer.assignors`, the default first.
    public var consumerAssignors: [ServerAssignor] = [.uniform, .range]
    /// `group.consumer.assignment.interval.ms`: the least between two target assignments of a group. Source: KIP-1263.
    public var consumerAssignmentIntervalMs: Int32 = 1_000
    /// `group.consumer.regex.refresh.interval.ms`: when patterns are looked up anew, without any change of topics: a client's
    /// rights may have changed.
    public var consumerPatternRefreshMs: Int32 = 600_000
    /// `group.consumer.migration.policy`.
    public var migrationPolicy = GroupMigrationPolicy.bidirectional

    public init() {}
}

/// Which groups with members may go over to the other protocol. Empty ones always may.
public enum GroupMigrationPolicy: String, CaseIterable, Sendable {
    case bidirectional
    /// From the classic protocol to the consumer protocol.
    case upgrade
    /// Back.
    case downgrade
    case disabled

    var allowsUpgrade: Bool { self == .bidirectional || self == .upgrade }
    var allowsDowngrade: Bool { self == .bidirectional || self == .downgrade }
}
