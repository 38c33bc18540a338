internal import KafkaModel
internal import KafkaWire

/// A group's committed offsets.
extension Cluster {
    public struct CommittedOffset: Sendable, Equatable {
        /// The next record to read.
        public var offset: Int64
        public var leaderEpoch: Int32
        public var metadata: String

        public init(offset: Int64, leaderEpoch: Int32 = -1, metadata: String = "") {
            self.offset = offset
            self.leaderEpoch = leaderEpoch
            self.metadata = metadata
        }
    }

    /// OffsetCommit and OffsetFetch name topics up to this version, and carry ids from the next on; names need no
    /// lookup and outlive a topic that is deleted.
    private static let lastVersionWithNames: Int16 = 9

    /// Returns the offsets that a group has committed, for these partitions or for all (`nil`). Partitions without one
    /// are left out.
    public func committedOffsets(
        of group: String, _ partitions: [PartitionName]? = nil
    ) throws(ClientError) -> [PartitionName: CommittedOffset] {
        let byTopic = partitions.map { Dictionary(grouping: $0, by: \.topic) }
        return try withCoordinator(of: group) { connection, deadline throws(ClientError) in
            let response = try connection.call(limit: Self.lastVersionWithNames, deadline: deadline) { version in
                Self.offsetFetch(group, byTopic, version)
            }
            try Self.check(response.errorCode, "offsets of group \(group)")
            var found: [PartitionName: CommittedOffset] = [:]
            func take(
                _ name: PartitionName, _ code: Int16, _ offset: Int64, _ epoch: Int32, _ metadata: String?
            ) throws(ClientError) {
                try Self.check(code, "offset of group \(group) for \(name)")
                guard offset >= 0 else { return }
                found[name] = CommittedOffset(offset: offset, leaderEpoch: epoch, metadata: metadata ?? "")
            }
            for topic in response.topics {
                for entry in topic.partitions {
                    try take(
                        PartitionName(topic.name, entry.partitionIndex), entry.errorCode, entry.committedOffset,
                        entry.committedLeaderEpoch, entry.metadata)
                }
            }
            for answered in response.groups {
                try Self.check(answered.errorCode, "offsets of group \(group)")
                for topic in answered.topics {
                    for entry in topic.partitions {
                        try take(
                            PartitionName(topic.name, entry.partitionIndex), entry.errorCode, entry.committedOffset,
                            entry.committedLeaderEpoch, entry.metadata)
                    }
                }
            }
            return found
        }
    }

    private static func offsetFetch(
        _ group: String, _ byTopic: [String: [PartitionName]]?, _ version: Int16
    ) -> OffsetFetchRequest {
        var request = OffsetFetchRequest()
        if version >= 8 {
            var wanted = OffsetFetchRequest.OffsetFetchRequestGroup()
            wanted.groupID = group
            wanted.topics = byTopic?.map { name, partitions in
                var topic = OffsetFetchRequest.OffsetFetchRequestTopics()
                topic.name = name
                topic.partitionIndexes = partitions.map(\.partition)
                return topic
            }
            request.groups = [wanted]
        } else {
            request.groupID = group
            request.topics = byTopic?.map { name, partitions in
                var topic = OffsetFetchRequest.OffsetFetchRequestTopic()
                topic.name = name
                topic.partitionIndexes = partitions.map(\.partition)
                return topic
            }
        }
        return request
    }

    /// Who commits: a member of the group, or (`none`) an administrator while the group has no members.
    public struct Membership: Sendable, Equatable {
        public var memberID: String
        public var generationID: Int32

        public static let none = Membership(memberID: "", generationID: -1)
    }

    /// Commits offsets; all or, at the first partition refused, an error (others may be committed).
    public func commit(
        _ offsets: [PartitionName: CommittedOffset], group: String, as membership: Membership = .none
    ) throws(ClientError) {
        if offsets.isEmpty { return }
        var request = OffsetCommitRequest()
        request.groupID = group
        request.memberID = membership.memberID
        request.generationIDOrMemberEpoch = membership.generationID
        for (topicName, names) in Dictionary(grouping: offsets.keys, by: \.topic) {
            var topic = OffsetCommitRequest.OffsetCommitRequestTopic()
            topic.name = topicName
            topic.partitions = names.map { name in
                var partition = OffsetCommitRequest.OffsetCommitRequestPartition()
                partition.partitionIndex = name.partition
                partition.committedOffset = offsets[name]!.offset
                partition.committedLeaderEpoch = offsets[name]!.leaderEpoch
                partition.committedMetadata = offsets[name]!.metadata
                return partition
            }
            request.topics.append(topic)
        }
        try withCoordinator(of: group) { connection, deadline throws(ClientError) in
            let response = try connection.call(request, limit: Self.lastVersionWithNames, deadline: deadline)
            for topic in response.topics {
                for entry in topic.partitions {
                    try Self.check(
                        entry.errorCode, "commit of group \(group) for \(topic.name)-\(entry.partitionIndex)")
                }
            }
        }
    }
}
