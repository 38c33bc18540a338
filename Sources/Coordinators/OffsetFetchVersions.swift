internal import KafkaModel
public import KafkaWire

/// OffsetFetch asks for one group up to version 7 and for several from 8 on (KIP-709); the coordinator knows only the
/// latter.
extension OffsetFetchRequest {
    /// Returns the groups asked for, in the form of version 8.
    public func requestedGroups(version: Int16) -> [OffsetFetchRequestGroup] {
        if version >= 8 { return groups }
        var group = OffsetFetchRequestGroup()
        group.groupID = groupID
        // Null asks for all topics; version 1 has no null, and an empty list there asks for none.
        group.topics = topics.map { topics in
            topics.map { topic in
                var part = OffsetFetchRequestTopics()
                part.name = topic.name
                part.partitionIndexes = topic.partitionIndexes
                return part
            }
        }
        return [group]
    }
}

extension OffsetFetchRequest {
    /// Returns the groups asked for, each once, with each of their topics and partitions once, in the order in which
    /// they are first named. A group that is named with topics and without is asked for all.
    public func distinctGroups(version: Int16) -> [OffsetFetchRequestGroup] {
        var places: [ExactString: Int] = [:]
        var result: [OffsetFetchRequestGroup] = []
        for group in requestedGroups(version: version) {
            guard let place = places[group.groupID] else {
                places[group.groupID] = result.count
                result.append(group)
                continue
            }
            if let more = group.topics { result[place].topics? += more } else { result[place].topics = nil }
        }
        for place in result.indices {
            guard let topics = result[place].topics else { continue }
            result[place].topics = Self.distinct(topics)
        }
        return result
    }

    private struct TopicIdentity: Hashable {
        var name: ExactString
        var id: TopicID
    }

    private static func distinct(_ topics: [OffsetFetchRequestTopics]) -> [OffsetFetchRequestTopics] {
        var places: [TopicIdentity: Int] = [:]
        var result: [OffsetFetchRequestTopics] = []
        for topic in topics {
            let identity = TopicIdentity(name: ExactString(topic.name), id: topic.topicID)
            if let place = places[identity] {
                result[place].partitionIndexes += topic.partitionIndexes
            } else {
                places[identity] = result.count
                result.append(topic)
            }
        }
        for place in result.indices where result[place].partitionIndexes.count > 1 {
            var seen: Set<Int32> = []
            result[place].partitionIndexes.removeAll { !seen.insert($0).inserted }
        }
        return result
    }
}

extension OffsetFetchResponse {
    /// Makes the answer to `request` in the form of its version.
    ///
    /// Version 1 has no field for the group's error: it goes to every partition asked for. (A client that finds neither
    /// takes the missing offsets for a new group's and starts from `auto.offset.reset`; KAFKA-19439.)
    public init(answering request: OffsetFetchRequest, with groups: [OffsetFetchResponseGroup], version: Int16) {
        self.init()
        if version >= 8 {
            self.groups = groups
            return
        }
        precondition(groups.count == 1, "\(groups.count) groups for a request of one")
        let group = groups[0]
        if group.errorCode == ErrorCode.none.rawValue {
            topics = group.topics.map { topic in
                var answer = OffsetFetchResponseTopic()
                answer.name = topic.name
                answer.partitions = topic.partitions.map { partition in
                    var entry = OffsetFetchResponsePartition()
                    entry.partitionIndex = partition.partitionIndex
                    entry.committedOffset = partition.committedOffset
                    entry.committedLeaderEpoch = partition.committedLeaderEpoch
                    entry.metadata = partition.metadata
                    entry.errorCode = partition.errorCode
                    return entry
                }
                return answer
            }
        } else if version >= 2 {
            errorCode = group.errorCode
        } else {
            topics = (request.distinctGroups(version: version)[0].topics ?? []).map { topic in
                var answer = OffsetFetchResponseTopic()
                answer.name = topic.name
                answer.partitions = topic.partitionIndexes.map { index in
                    var entry = OffsetFetchResponsePartition()
                    entry.partitionIndex = index
                    entry.committedOffset = -1
                    entry.metadata = ""
                    entry.errorCode = group.errorCode
                    return entry
                }
                return answer
            }
        }
    }
}
