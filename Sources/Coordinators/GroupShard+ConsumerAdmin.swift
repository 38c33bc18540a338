internal import KafkaModel
public import KafkaWire

/// What tools see of consumer groups. Source: KIP-848.
extension GroupShard {
    public typealias DescribedConsumerGroup = ConsumerGroupDescribeResponse.DescribedGroup

    /// Describes a consumer group; another one, or none, is GROUP_ID_NOT_FOUND. Topics that are gone are left out of what members
    /// read, as nothing can be told of them.
    public func describeConsumerGroup(_ groupID: String) -> DescribedConsumerGroup {
        var response = DescribedConsumerGroup()
        response.groupID = groupID
        if let phaseError {
            response.errorCode = phaseError.rawValue
            return response
        }
        guard let consumer = groups[groupID]?.consumer else {
            response.errorCode = ErrorCode.groupIDNotFound.rawValue
            response.errorMessage =
                groups.has(groupID) ? "Group \(groupID) is not a consumer group." : "Group \(groupID) not found."
            return response
        }
        response.groupState = consumer.state.rawValue
        response.groupEpoch = consumer.epoch
        response.assignmentEpoch = consumer.assignmentEpoch
        response.assignorName = consumer.assignor(context.settings).rawValue
        response.members = consumer.members.values.sorted { $0.key < $1.key }.map { described($0) }
        return response
    }

    private func described(_ member: ConsumerMember) -> ConsumerGroupDescribeResponse.Member {
        var entry = ConsumerGroupDescribeResponse.Member()
        entry.memberID = member.memberID
        entry.instanceID = member.instanceID
        entry.rackID = member.rackID
        entry.memberEpoch = member.epoch
        entry.clientID = member.clientID
        entry.clientHost = member.clientHost
        entry.subscribedTopicNames = member.topicNames.map(\.text)
        entry.subscribedTopicRegex = member.pattern
        entry.assignment = described(member.assigned.mapValues { Array($0.keys) })
        entry.targetAssignment = described(member.target)
        entry.memberType = member.classic == nil ? 1 : 0
        return entry
    }

    private func described(_ partitions: PartitionLists) -> ConsumerGroupDescribeResponse.Assignment {
        var assignment = ConsumerGroupDescribeResponse.Assignment()
        assignment.topicPartitions = partitions.compactMap { id, indexes in
            guard let topic = context.topics.topic(id: id) else { return nil }
            var part = ConsumerGroupDescribeResponse.TopicPartitions()
            (part.topicID, part.topicName, part.partitions) = (id, topic.name, indexes.sorted())
            return part
        }.sorted { ExactString($0.topicName) < ExactString($1.topicName) }
        return assignment
    }

    /// Returns an upper bound of the bytes of memory that the result of `describeConsumerGroup` takes with its encoded form, without a
    /// look at the members.
    public func mostConsumerDescriptionBytes(of groupID: String) -> Int {
        let fixed = 512 + 4 * groupID.utf8.count
        guard let consumer = groups[groupID]?.consumer else { return fixed }
        // Of each member its texts as a struct and twice encoded, and of its topics the names.
        return fixed + 3 * consumer.memberBytes + 512 * consumer.members.count
            + consumer.describedTopics * (64 + 2 * (TopicName.maxLength + 32))
    }
}

extension ConsumerGroupState {
    /// Returns the states of the consumer groups that ListGroups is to list, by its filters; see `GroupState.listed`.
    public static func listed(states: [String], types: [String]) -> Set<ConsumerGroupState> {
        guard types.isEmpty || types.contains(where: { $0.lowercased() == ConsumerGroup.typeName }) else { return [] }
        return states.isEmpty ? Set(allCases) : Set(states.lazy.compactMap { byName[$0.lowercased()] })
    }

    private static let byName = Dictionary(uniqueKeysWithValues: allCases.map { ($0.rawValue.lowercased(), $0) })
}

extension ConsumerGroup {
    /// What ListGroups calls groups of this kind.
    static let typeName = "consumer"
}
