import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import Security

/// OffsetFetch: committed offsets of one group or several.
///
/// The reply waits for the newest commit of the group's shard, so it never shows an offset that a crash could take
/// back. Version 1 has no error for the group: it is told per partition. Groups, topics and partitions that are named
/// several times are answered once: clients keep them by their names. Versions: 2 null topics mean all; 7
/// requireStable (KIP-447); 8 several groups (KIP-709); 9 members; 10 topic ids.
extension KafkaConnection {
    static func offsetFetchPrice(_ asked: OffsetFetchRequest, _ context: AnswerContext) -> Int {
        let groups = asked.requestedGroups(version: context.version)
        return groups.reduce(0) { $0 + price(of: $1, context) }
    }

    /// Returns what a group's part of the reply takes. A group that is asked for all its offsets has as many as are
    /// stored. What is named several times counts as often; only its text is known to come once.
    private static func price(
        of group: OffsetFetchRequest.OffsetFetchRequestGroup, _ context: AnswerContext
    ) -> Int {
        var price = ReplyPrice()
        price.add(1, OffsetFetchResponse.OffsetFetchResponseGroup.self, text: 64)
        let partitions: Int
        if let topics = group.topics {
            partitions = topics.reduce(0) { $0 + $1.partitionIndexes.count }
            price.add(
                topics.count, OffsetFetchResponse.OffsetFetchResponseTopics.self, text: TopicName.usualLength)
        } else {
            partitions = stored(group.groupID, partitions: .max, context).count
            price.add(
                partitions, OffsetFetchResponse.OffsetFetchResponseTopics.self, text: TopicName.usualLength)
        }
        price.add(partitions, OffsetFetchResponse.OffsetFetchResponsePartitions.self, text: 0)
        price.add(text: stored(group.groupID, partitions: partitions, context).text)
        return price.bytes
    }

    /// Returns how many committed offsets a group has, and the bytes of text that so many of them have at most.
    private static func stored(
        _ groupID: String, partitions: Int, _ context: AnswerContext
    ) -> (count: Int, text: Int) {
        context.broker.groups.read(group: groupID) {
            ($0.offsetCount(of: groupID), $0.metadataBytes(of: groupID, partitions: partitions))
        }.answer
    }

    static func offsetFetch(_ asked: OffsetFetchRequest, _ context: AnswerContext) -> Answer<OffsetFetchResponse> {
        let broker = context.broker
        let catalog = broker.catalog
        let byID = context.version >= 10
        var commits = CommitSpan()
        var groups: [OffsetFetchResponse.OffsetFetchResponseGroup] = []
        for group in asked.distinctGroups(version: context.version) {
            guard context.permissions.allows(.describe, group: group.groupID) else {
                var refused = OffsetFetchResponse.OffsetFetchResponseGroup()
                (refused.groupID, refused.errorCode) = (group.groupID, ErrorCode.groupAuthorizationFailed.rawValue)
                groups.append(refused)
                continue
            }
            var named = group
            // Those that are told of by an error, whatever is stored.
            var unknown: [OffsetFetchResponse.OffsetFetchResponseTopics] = []
            if byID, let topics = group.topics {
                named.topics = topics.compactMap { topic in
                    guard let found = catalog.topic(id: topic.topicID) else {
                        unknown.append(refused(topic, .unknownTopicID))
                        return nil
                    }
                    var known = topic
                    known.name = found.name
                    return known
                }
            }
            named.topics = named.topics?.filter { topic in
                if context.permissions.allows(.describe, topic: topic.name) { return true }
                var asked = topic
                if byID { asked.name = "" }
                unknown.append(refused(asked, .topicAuthorizationFailed))
                return false
            }
            // Looked at outside of the shard's lock, which heartbeats of other groups take.
            let (shard, ticket) = broker.groups.read(group: group.groupID) { $0.view(of: group.groupID) }
            commits.add(ticket)
            var result = shard.offsetFetch(named, requireStable: asked.requireStable)
            if byID {
                result.topics = result.topics.compactMap { topic in
                    guard let id = catalog.topic(named: topic.name)?.id else { return nil }
                    var withID = topic
                    withID.topicID = id
                    return withID
                }
            }
            if group.topics == nil { result.topics.removeAll { !isVisible($0, byID, context) } }
            if result.errorCode == 0 { result.topics += unknown }
            groups.append(result)
        }
        let response = OffsetFetchResponse(answering: asked, with: groups, version: context.version)
        return Answer(response: response, commits: commits)
    }

    /// Of all topics, those that the client may not know of are left out.
    private static func isVisible(
        _ topic: OffsetFetchResponse.OffsetFetchResponseTopics, _ byID: Bool, _ context: AnswerContext
    ) -> Bool {
        let name = byID ? context.broker.catalog.topic(id: topic.topicID)?.name : topic.name
        return name.map { context.permissions.allows(.describe, topic: $0, quietly: true) } ?? false
    }

    private static func refused(
        _ topic: OffsetFetchRequest.OffsetFetchRequestTopics, _ code: ErrorCode
    ) -> OffsetFetchResponse.OffsetFetchResponseTopics {
        var result = OffsetFetchResponse.OffsetFetchResponseTopics()
        (result.name, result.topicID) = (topic.name, topic.topicID)
        result.partitions = topic.partitionIndexes.map { index in
            var partition = OffsetFetchResponse.OffsetFetchResponsePartitions()
            partition.partitionIndex = index
            partition.committedOffset = -1
            partition.errorCode = code.rawValue
            return partition
        }
        return result
    }
}
