import BrokerCore
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire

/// OffsetFetch: committed offsets of one group or several.
///
/// The reply waits for the newest commit of the group's shard, so it never shows an offset that a crash could take
/// back. Version 1 has no error for the group: it is told per partition. Versions: 2 null topics mean all; 7
/// requireStable (KIP-447); 8 several groups (KIP-709); 9 members; 10 topic ids.
extension KafkaConnection {
    func offsetFetch(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(OffsetFetchRequest.self)
        let catalog = broker.catalog
        let byID = request.version >= 10
        var commit: UInt64 = 0
        var groups: [OffsetFetchResponse.OffsetFetchResponseGroup] = []
        for group in asked.requestedGroups(version: request.version) {
            var named = group
            var unknown: [OffsetFetchResponse.OffsetFetchResponseTopics] = []
            if byID, let topics = group.topics {
                named.topics = topics.compactMap { topic in
                    guard let found = catalog.topic(id: topic.topicID) else {
                        unknown.append(Self.unknownTopic(topic))
                        return nil
                    }
                    var known = topic
                    known.name = found.name
                    return known
                }
            }
            let (answer, ticket) = broker.groups.read(group: group.groupID) {
                $0.offsetFetch(named, requireStable: asked.requireStable)
            }
            commit = max(commit, ticket)
            var result = answer
            if byID {
                result.topics = result.topics.compactMap { topic in
                    guard let id = catalog.topic(named: topic.name)?.id else { return nil }
                    var withID = topic
                    withID.topicID = id
                    return withID
                }
                result.topics += unknown
            }
            groups.append(result)
        }
        let response = OffsetFetchResponse(answering: asked, with: groups, version: request.version)
        reply(response, to: request.ticket, commit: commit)
    }

    private static func unknownTopic(
        _ topic: OffsetFetchRequest.OffsetFetchRequestTopics
    ) -> OffsetFetchResponse.OffsetFetchResponseTopics {
        var result = OffsetFetchResponse.OffsetFetchResponseTopics()
        result.topicID = topic.topicID
        result.partitions = topic.partitionIndexes.map { index in
            var partition = OffsetFetchResponse.OffsetFetchResponsePartitions()
            partition.partitionIndex = index
            partition.committedOffset = -1
            partition.errorCode = ErrorCode.unknownTopicID.rawValue
            return partition
        }
        return result
    }
}
