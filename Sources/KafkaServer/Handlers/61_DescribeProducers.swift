import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// DescribeProducers: what partitions know of their producers, with the transactions that are open there. Source: KIP-664.
extension KafkaConnection {
    static func describeProducersPrice(_ asked: DescribeProducersRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        price.add(asked.topics.count, DescribeProducersResponse.TopicResponse.self, text: TopicName.usualLength)
        for topic in asked.topics {
            price.add(topic.partitionIndexes.count, DescribeProducersResponse.PartitionResponse.self, text: 64)
            guard let found = context.broker.catalog.topic(named: topic.name) else { continue }
            let producers = topic.partitionIndexes.reduce(0) { $0 + (found.partition($1)?.producerCount ?? 0) }
            price.add(producers, DescribeProducersResponse.ProducerState.self, text: 0)
            // The list that they are sorted in.
            price.add(bytes: producers * MemoryLayout<PartitionLog.KnownProducer>.stride)
        }
        return price.bytes
    }

    static func describeProducers(
        _ asked: DescribeProducersRequest, _ context: AnswerContext
    ) -> Answer<DescribeProducersResponse> {
        var response = DescribeProducersResponse()
        response.topics = asked.topics.map { topic in
            var result = DescribeProducersResponse.TopicResponse()
            result.name = topic.name
            let found = context.broker.catalog.topic(named: topic.name)
            let isAllowed = context.permissions.allows(.read, topic: topic.name)
            result.partitions = topic.partitionIndexes.map { index in
                var partition = DescribeProducersResponse.PartitionResponse()
                partition.partitionIndex = index
                if !isAllowed {
                    partition.errorCode = ErrorCode.topicAuthorizationFailed.rawValue
                } else if let problem = TopicName.problem(topic.name) {
                    partition.errorCode = ErrorCode.invalidTopicException.rawValue
                    partition.errorMessage = problem
                } else if let log = found?.partition(index) {
                    if log.leadership.isLeader {
                        partition.activeProducers = log.knownProducers.map { DescribeProducersResponse.ProducerState($0) }
                    } else {
                        partition.errorCode = ErrorCode.notLeaderOrFollower.rawValue
                    }
                } else {
                    partition.errorCode = ErrorCode.unknownTopicOrPartition.rawValue
                }
                return partition
            }
            return result
        }
        return Answer(response: response)
    }
}

extension DescribeProducersResponse.ProducerState {
    fileprivate init(_ producer: PartitionLog.KnownProducer) {
        self.init()
        producerID = producer.producerID
        producerEpoch = Int32(producer.epoch)
        lastSequence = producer.lastSequence
        lastTimestamp = producer.lastTimestampMs
        coordinatorEpoch = producer.coordinatorEpoch
        currentTxnStartOffset = producer.transactionStart
    }
}
