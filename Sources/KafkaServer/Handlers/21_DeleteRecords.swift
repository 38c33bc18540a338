import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage

/// DeleteRecords: moves a partition's start up; durable when answered. A topic that is only compacted promises the newest
/// record of each key: POLICY_VIOLATION, as in Kafka. Source: KIP-107.
extension KafkaConnection {
    func deleteRecords(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(DeleteRecordsRequest.self)
        let catalog = broker.catalog
        var commit: UInt64 = 0
        var response = DeleteRecordsResponse()
        for topic in asked.topics {
            var result = DeleteRecordsResponse.DeleteRecordsTopicResult()
            result.name = topic.name
            let found = catalog.topic(named: topic.name)
            for partition in topic.partitions {
                var answer = DeleteRecordsResponse.DeleteRecordsPartitionResult()
                answer.partitionIndex = partition.partitionIndex
                answer.lowWatermark = -1
                if let found, found.isInternal {
                    answer.errorCode = ErrorCode.invalidTopicException.rawValue
                } else if let found, found.isOnlyCompacted {
                    answer.errorCode = ErrorCode.policyViolation.rawValue
                } else if let log = found?.partition(partition.partitionIndex) {
                    switch log.deleteRecords(before: Offset(partition.offset)) {
                    case .success(let (start, ticket)):
                        answer.lowWatermark = start.rawValue
                        commit = max(commit, ticket)
                    case .failure(let refusal): answer.errorCode = refusal.code.rawValue
                    }
                } else {
                    answer.errorCode = ErrorCode.unknownTopicOrPartition.rawValue
                }
                result.partitions.append(answer)
            }
            response.topics.append(result)
        }
        reply(response, to: request.ticket, commit: commit)
    }
}
