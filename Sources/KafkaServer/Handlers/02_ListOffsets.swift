import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// ListOffsets: the offset for a time, or for a named place in the log.
///
/// By time: the first record whose timestamp is the asked one or later, with its own timestamp; -1 and -1 when there is
/// none. Such look-ups may unpack batches; they run in slices, for at most 30 seconds, and what was not begun by then is
/// REQUEST_TIMED_OUT. Nothing is tiered, so "earliest local" is the log's start and "latest tiered" is -1. A partition
/// named twice gets INVALID_REQUEST. Who reads committed transactions is told the last stable offset for the end, and times below
/// it. Versions: 4 leader epochs (KIP-320); 7 time -3 (KIP-734); 8 -4, 9 -5 (KIP-405); 11 -6. Source: KIP-79.
extension KafkaConnection {
    /// Returns whether a request looks up a time, which reads indexes and batches and may wait for the disk.
    static func looksUpTimes(_ asked: ListOffsetsRequest) -> Bool {
        asked.topics.contains { $0.partitions.contains { $0.timestamp >= 0 || $0.timestamp == -3 } }
    }

    static func listOffsetsPrice(_ asked: ListOffsetsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        let partitions = asked.topics.reduce(0) { $0 + $1.partitions.count }
        price.add(asked.topics.count, ListOffsetsResponse.ListOffsetsTopicResponse.self, text: TopicName.usualLength)
        price.add(partitions, ListOffsetsResponse.ListOffsetsPartitionResponse.self, text: 0)
        // The sets that find what is named twice, and the list of look-ups.
        price.add(bytes: partitions * (2 * MemoryLayout<PartitionName>.stride + MemoryLayout<Place>.stride))
        return price.bytes
    }

    private struct PartitionName: Hashable {
        var topic: ExactString
        var index: Int32
    }

    private struct Place {
        var topic: Int
        var partition: Int
    }

    /// How long look-ups go on: clients' own request timeout.
    static let lookUpMs: Int64 = 30_000

    static func listOffsets(
        _ asked: ListOffsetsRequest, _ context: AnswerContext
    ) -> (SlicedPlan<ListOffsetsResponse>, from: ListOffsetsResponse) {
        let twice = namedTwice(asked)
        var response = ListOffsetsResponse()
        response.topics = asked.topics.map { topic in
            var result = ListOffsetsResponse.ListOffsetsTopicResponse()
            result.name = topic.name
            result.partitions = topic.partitions.map { partition in
                var answer = ListOffsetsResponse.ListOffsetsPartitionResponse()
                answer.partitionIndex = partition.partitionIndex
                return answer
            }
            return result
        }
        let places = asked.topics.indices.flatMap { topic in
            asked.topics[topic].partitions.indices.map { Place(topic: topic, partition: $0) }
        }
        let plan = SlicedPlan<ListOffsetsResponse>(
            count: places.count, timeoutMs: lookUpMs,
            step: { number, response in
                let place = places[number]
                let topic = asked.topics[place.topic]
                let partition = topic.partitions[place.partition]
                let isTwice = twice.contains(
                    PartitionName(topic: ExactString(topic.name), index: partition.partitionIndex))
                find(
                    partition, of: topic.name, isTwice: isTwice, asked.isolationLevel, context,
                    &response.topics[place.topic].partitions[place.partition])
            },
            timedOut: { number, response in
                let place = places[number]
                response.topics[place.topic].partitions[place.partition].errorCode = ChangeLimits.late.code.rawValue
            })
        return (plan, response)
    }

    private static func namedTwice(_ asked: ListOffsetsRequest) -> Set<PartitionName> {
        var seen: Set<PartitionName> = []
        var twice: Set<PartitionName> = []
        for topic in asked.topics {
            for partition in topic.partitions {
                let name = PartitionName(topic: ExactString(topic.name), index: partition.partitionIndex)
                if !seen.insert(name).inserted { twice.insert(name) }
            }
        }
        return twice
    }

    private static func find(
        _ asked: ListOffsetsRequest.ListOffsetsPartition, of topic: String, isTwice: Bool, _ isolation: Int8,
        _ context: AnswerContext,
        _ answer: inout ListOffsetsResponse.ListOffsetsPartitionResponse
    ) {
        if !context.permissions.allows(.describe, topic: topic) {
            answer.errorCode = ErrorCode.topicAuthorizationFailed.rawValue
        } else if isTwice {
            answer.errorCode = ErrorCode.invalidRequest.rawValue
        } else if let log = context.broker.catalog.topic(named: topic)?.partition(asked.partitionIndex) {
            find(asked, in: log, isolation == 1 ? .stable : .committed, &answer)
            if context.version < 4 { answer.leaderEpoch = -1 }
        } else {
            answer.errorCode = ErrorCode.unknownTopicOrPartition.rawValue
        }
    }

    private static func find(
        _ asked: ListOffsetsRequest.ListOffsetsPartition, in log: PartitionLog,
        _ visibility: PartitionLog.Visibility, _ answer: inout ListOffsetsResponse.ListOffsetsPartitionResponse
    ) {
        if let code = log.leadershipProblem(currentLeaderEpoch: asked.currentLeaderEpoch) {
            answer.errorCode = code.rawValue
            return
        }
        if log.unavailability != nil {
            answer.errorCode = ErrorCode.kafkaStorageError.rawValue
            return
        }
        switch asked.timestamp {
        case -1:
            answer.offset = (visibility == .stable ? log.lastStableOffset : log.highWatermark).rawValue
            answer.leaderEpoch = log.leaderEpoch.rawValue
        case -2, -4:
            let start = log.logStartOffset
            answer.offset = start.rawValue
            answer.leaderEpoch = log.epoch(at: start)
        case -5, -6:
            answer.offset = -1
        case -3: fill(log.offsetOfMaxTimestamp(visibility: visibility), &answer)
        case 0...: fill(log.firstOffset(notBefore: asked.timestamp, visibility: visibility), &answer)
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
        case .failure(.notLeader): answer.errorCode = ErrorCode.notLeaderOrFollower.rawValue
        case .failure(.corrupt): answer.errorCode = ErrorCode.corruptMessage.rawValue
        case .failure: answer.errorCode = ErrorCode.kafkaStorageError.rawValue
        }
    }
}
