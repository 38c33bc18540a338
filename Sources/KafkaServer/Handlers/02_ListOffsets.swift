import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage

/// ListOffsets: the offset for a time, or for a named place in the log.
///
/// By time: the first record whose timestamp is the asked one or later, with its own timestamp; -1 and -1 when there is
/// none. Nothing is tiered, so "earliest local" is the log's start and "latest tiered" is -1. A partition named twice gets
/// INVALID_REQUEST. Versions: 4 leader epochs (KIP-320); 7 time -3 (KIP-734); 8 -4, 9 -5 (KIP-405); 11 -6. Source: KIP-79.
extension KafkaConnection {
    func listOffsets(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(ListOffsetsRequest.self)
        let version = request.version
        let catalog = broker.catalog
        var seen: Set<String> = []
        var twice: Set<String> = []
        for topic in asked.topics {
            for partition in topic.partitions
            where !seen.insert("\(topic.name)-\(partition.partitionIndex)").inserted {
                twice.insert("\(topic.name)-\(partition.partitionIndex)")
            }
        }
        var response = ListOffsetsResponse()
        response.topics = asked.topics.map { topic in
            var result = ListOffsetsResponse.ListOffsetsTopicResponse()
            result.name = topic.name
            let found = catalog.topic(named: topic.name)
            result.partitions = topic.partitions.map { partition in
                var answer = ListOffsetsResponse.ListOffsetsPartitionResponse()
                answer.partitionIndex = partition.partitionIndex
                if twice.contains("\(topic.name)-\(partition.partitionIndex)") {
                    answer.errorCode = ErrorCode.invalidRequest.rawValue
                } else if let log = found?.partition(partition.partitionIndex) {
                    Self.find(partition, in: log, &answer)
                    if version < 4 { answer.leaderEpoch = -1 }
                } else {
                    answer.errorCode = ErrorCode.unknownTopicOrPartition.rawValue
                }
                return answer
            }
            return result
        }
        reply(response, to: request.ticket)
    }

    private static func find(
        _ asked: ListOffsetsRequest.ListOffsetsPartition, in log: PartitionLog,
        _ answer: inout ListOffsetsResponse.ListOffsetsPartitionResponse
    ) {
        let epoch = log.leaderEpoch.rawValue
        if asked.currentLeaderEpoch >= 0, asked.currentLeaderEpoch != epoch {
            let code: ErrorCode = asked.currentLeaderEpoch < epoch ? .fencedLeaderEpoch : .unknownLeaderEpoch
            answer.errorCode = code.rawValue
            return
        }
        switch asked.timestamp {
        case -1:
            answer.offset = log.highWatermark.rawValue
            answer.leaderEpoch = epoch
        case -2, -4:
            let start = log.logStartOffset
            answer.offset = start.rawValue
            answer.leaderEpoch = log.epoch(at: start)
        case -5, -6:
            answer.offset = -1
        case -3: fill(log.offsetOfMaxTimestamp(), &answer)
        case 0...: fill(log.firstOffset(notBefore: asked.timestamp), &answer)
        default: answer.errorCode = ErrorCode.unsupportedVersion.rawValue
        }
    }

    private static func fill(
        _ result: Result<PartitionLog.TimestampedOffset?, ReadRefusal>,
        _ answer: inout ListOffsetsResponse.ListOffsetsPartitionResponse
    ) {
        switch result {
        case .success(let found?):
            answer.offset = found.offset.rawValue
            answer.timestamp = found.timestampMs
            answer.leaderEpoch = found.leaderEpoch
        case .success(nil): break
        case .failure(.corrupt): answer.errorCode = ErrorCode.corruptMessage.rawValue
        case .failure: answer.errorCode = ErrorCode.kafkaStorageError.rawValue
        }
    }
}
