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

    // MARK: Share groups (KIP-932)

    /// `group.share.session.timeout.ms`: how long a member may be silent.
    public var shareSessionTimeoutMs: Int32 = 45_000
    /// `group.share.heartbeat.interval.ms`: what members are told.
    public var shareHeartbeatIntervalMs: Int32 = 5_000
    /// `group.share.assignment.interval.ms`: the least between two target assignments of a group. Source: KIP-1263.
    public var shareAssignmentIntervalMs: Int32 = 1_000
    /// `group.share.max.size`: members of one group.
    public var shareMaxSize: Int = 200
    /// `group.share.max.share.sessions`: members with a session, of all groups. One more gets SHARE_SESSION_LIMIT_REACHED.
    public var maxShareSessions: Int = 2_000
    /// `group.share.record.lock.duration.ms`: how long a record belongs to the member that has acquired it.
    public var shareLockDurationMs: Int32 = 30_000
    /// `group.share.delivery.count.limit`: deliveries of a record at most; then it is archived.
    public var shareDeliveryLimit: Int32 = 5
    /// `group.share.partition.max.record.locks`: offsets of a partition from the first that is not done with to the last one given out.
    public var shareRecordLocks: Int32 = 2_000
    /// A group's own alone: `share.auto.offset.reset`, where it begins to read a partition.
    public var shareOffsetReset = ShareOffsetReset.latest
    /// Likewise `share.isolation.level` `read_committed`: records of transactions that are not committed are not given out.
    public var sharesCommitted = false
    /// Likewise `share.renew.acknowledge.enable`: a member may have its locks last longer.
    public var sharesRenewals = true

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

/// Where a share group begins to read a partition that it has not read yet. Source: KIP-932.
public enum ShareOffsetReset: Equatable, Sendable {
    case earliest
    case latest
    /// With the first record that is not older than so many milliseconds.
    case duration(milliseconds: Int64)

    /// Reads `earliest`, `latest`, or `by_duration:` and an ISO 8601 duration of days, hours, minutes and seconds (PnDTnHnMn.nS) that is
    /// not negative; nil for anything else. Letters may be of either case, as in Kafka.
    public init?(_ text: String) {
        let text = text.lowercased()
        switch text {
        case "earliest": self = .earliest
        case "latest": self = .latest
        default:
            let prefix = "by_duration:"
            guard text.hasPrefix(prefix), let milliseconds = Self.milliseconds(text.dropFirst(prefix.count)) else {
                return nil
            }
            self = .duration(milliseconds: milliseconds)
        }
    }

    /// At most so many milliseconds: a hundred years and more.
    static let longestMs = 4e12

    private static func milliseconds(_ text: Substring) -> Int64? {
        guard text.first == "p" else { return nil }
        var sum = 0.0
        var isOfTime = false
        var units: [(Character, Double, isOfTime: Bool)] = [
            ("d", 86_400_000, false), ("h", 3_600_000, true), ("m", 60_000, true), ("s", 1_000, true),
        ]
        var number = ""
        var hasUnit = false
        for character in text.dropFirst() {
            if character == "t", !isOfTime, number.isEmpty {
                (isOfTime, hasUnit) = (true, false)
            } else if character.isASCII, character.isNumber || character == "." {
                number.append(character)
            } else {
                // Each once, in this order; a fraction of seconds alone.
                guard let place = units.firstIndex(where: { $0.0 == character }), units[place].isOfTime == isOfTime,
                    let value = Double(number), character == "s" || !number.contains(".")
                else { return nil }
                sum += value * units[place].1
                units.removeFirst(place + 1)
                (number, hasUnit) = ("", true)
            }
        }
        guard hasUnit, number.isEmpty, sum <= longestMs else { return nil }
        return Int64(sum)
    }
}
