public import KafkaModel
import KafkaWire

/// Committed offsets of readers that are no members: they belong to a group by its name alone, as Kafka's simple consumers do.
extension GroupShard {
    /// Commits offsets of one topic, each the next to be read. Refused while the group has members. The reply to `waiter` is
    /// `.offsetCommit`; `GroupReply.commitError` says what came of it.
    public mutating func commitOffsets(
        _ offsets: [Int32: Offset], of topicName: String, _ topicID: TopicID, groupID: String, waiter: WaiterID,
        now: CoordinatorTime
    ) -> GroupActions {
        var request = OffsetCommitRequest()
        request.groupID = groupID
        request.generationIDOrMemberEpoch = -1
        request.memberID = ""
        request.groupInstanceID = nil
        request.retentionTimeMs = -1
        var topic = OffsetCommitRequest.OffsetCommitRequestTopic()
        (topic.name, topic.topicID) = (topicName, topicID)
        topic.partitions = offsets.sorted { $0.key < $1.key }.map { index, offset in
            var partition = OffsetCommitRequest.OffsetCommitRequestPartition()
            partition.partitionIndex = index
            partition.committedOffset = offset.rawValue
            partition.committedLeaderEpoch = -1
            return partition
        }
        request.topics = [topic]
        let context = RequestContext(clientID: "", clientHost: "", apiVersion: Self.readersVersion)
        return offsetCommit(request, context: context, waiter: waiter, now: now)
    }

    /// The committed offsets of one topic's partitions, those that have one; with an error there is no answer now.
    public func committedOffsets(
        of topicName: String, _ topicID: TopicID, partitions: [Int32], groupID: String
    ) -> (offsets: [Int32: Offset], error: ErrorCode) {
        var request = OffsetFetchRequest.OffsetFetchRequestGroup()
        request.groupID = groupID
        request.memberEpoch = -1
        var topic = OffsetFetchRequest.OffsetFetchRequestTopics()
        (topic.name, topic.topicID, topic.partitionIndexes) = (topicName, topicID, partitions)
        request.topics = [topic]
        // What a transaction is about to commit is waited for: without that its records would be read twice.
        let response = offsetFetch(request, requireStable: true)
        if response.errorCode != 0 { return ([:], ErrorCode(rawValue: response.errorCode)) }
        var found: [Int32: Offset] = [:]
        for partition in response.topics.first?.partitions ?? [] {
            if partition.errorCode != 0 { return ([:], ErrorCode(rawValue: partition.errorCode)) }
            if partition.committedOffset >= 0 { found[partition.partitionIndex] = Offset(partition.committedOffset) }
        }
        return (found, .none)
    }

    /// The last version without ids of topics.
    private static let readersVersion: Int16 = 9
}

extension GroupReply {
    /// Of a commit the first error of its partitions; nil: there is none.
    public var commitError: ErrorCode? {
        guard case .offsetCommit(let response) = self else { return nil }
        return response.topics.lazy.flatMap(\.partitions).map(\.errorCode).first { $0 != 0 }.map {
            ErrorCode(rawValue: $0)
        }
    }
}
