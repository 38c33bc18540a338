import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage

/// OffsetForLeaderEpoch: where an epoch ended, so that a client finds out whether its log was truncated. Source: KIP-101,
/// KIP-320.
extension KafkaConnection {
    func offsetForLeaderEpoch(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(OffsetForLeaderEpochRequest.self)
        let catalog = broker.catalog
        var response = OffsetForLeaderEpochResponse()
        response.topics = asked.topics.map { topic in
            var result = OffsetForLeaderEpochResponse.OffsetForLeaderTopicResult()
            result.topic = topic.topic
            result.partitions = topic.partitions.map { partition in
                var answer = OffsetForLeaderEpochResponse.EpochEndOffset()
                answer.partition = partition.partition
                guard let log = catalog.topic(named: topic.topic)?.partition(partition.partition) else {
                    answer.errorCode = ErrorCode.unknownTopicOrPartition.rawValue
                    return answer
                }
                let current = log.leaderEpoch.rawValue
                if partition.currentLeaderEpoch >= 0, partition.currentLeaderEpoch != current {
                    let isOld = partition.currentLeaderEpoch < current
                    answer.errorCode = (isOld ? ErrorCode.fencedLeaderEpoch : .unknownLeaderEpoch).rawValue
                    return answer
                }
                (answer.leaderEpoch, answer.endOffset) = log.endOffset(ofEpoch: partition.leaderEpoch)
                return answer
            }
            return result
        }
        reply(response, to: request.ticket)
    }
}
