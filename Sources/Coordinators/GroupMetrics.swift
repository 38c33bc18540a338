/// A shard's numbers at one moment.
public struct GroupMetrics: Equatable, Sendable {
    /// Grow only.
    public struct Counters: Equatable, Sendable {
        /// Generations that got their leader's assignment, and target assignments of consumer groups.
        public var completedRebalances: UInt64 = 0
        /// Members whose session, join or sync timeout ran out.
        public var expiredMembers: UInt64 = 0
        /// Partitions in accepted offset commits.
        public var committedOffsets: UInt64 = 0
        /// Offsets removed by retention.
        public var expiredOffsets: UInt64 = 0
        /// Offsets removed on request, or with their topic.
        public var deletedOffsets: UInt64 = 0
        /// Records of other group types, skipped by replay.
        public var skippedRecords: UInt64 = 0

        public init() {}
    }

    public var groups: [GroupState: Int] = [:]
    public var consumerGroups: [ConsumerGroupState: Int] = [:]
    public var members = 0
    public var pendingMembers = 0
    public var offsets = 0
    /// JoinGroups and SyncGroups that wait.
    public var parkedRequests = 0
    public var counters = Counters()

    public init() {}
}
