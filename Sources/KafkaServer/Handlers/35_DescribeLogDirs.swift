import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// DescribeLogDirs: the one data folder, with the size of each asked partition, once. Versions: 4 the disk's size (KIP-827).
extension KafkaConnection {
    static func describeLogDirsPrice(_ asked: DescribeLogDirsRequest, _ context: AnswerContext) -> Int {
        let catalog = context.broker.catalog
        let topics = asked.topics?.count ?? catalog.topicCount
        let partitions = asked.topics.map { $0.reduce(0) { $0 + $1.partitions.count } } ?? catalog.partitionCount
        var price = ReplyPrice()
        price.add(topics, DescribeLogDirsResponse.DescribeLogDirsTopic.self, text: TopicName.usualLength)
        price.add(partitions, DescribeLogDirsResponse.DescribeLogDirsPartition.self, text: 0)
        return price.bytes
    }

    static func describeLogDirs(
        _ asked: DescribeLogDirsRequest, _ context: AnswerContext
    ) -> Answer<DescribeLogDirsResponse> {
        guard context.permissions.allowsOnCluster(.describe) else {
            var response = DescribeLogDirsResponse()
            response.errorCode = ErrorCode.clusterAuthorizationFailed.rawValue
            return Answer(response: response)
        }
        let store = context.broker.store
        var folder = DescribeLogDirsResponse.DescribeLogDirsResult()
        folder.logDir = store.folder
        if store.isOffline { folder.errorCode = ErrorCode.kafkaStorageError.rawValue }
        if let space = store.space {
            folder.totalBytes = space.total
            folder.usableBytes = space.free
        }
        folder.topics = askedPartitions(asked, context.broker.catalog).map { topic, logs in
            var result = DescribeLogDirsResponse.DescribeLogDirsTopic()
            result.name = topic.name
            result.partitions = logs.map { log in
                var partition = DescribeLogDirsResponse.DescribeLogDirsPartition()
                partition.partitionIndex = log.partitionIndex
                partition.partitionSize = log.sizeInBytes
                return partition
            }
            return result
        }
        var response = DescribeLogDirsResponse()
        response.results = [folder]
        return Answer(response: response)
    }

    /// Returns each topic and each partition once, in the order of the request.
    private static func askedPartitions(
        _ asked: DescribeLogDirsRequest, _ catalog: TopicCatalog
    ) -> [(Topic, [PartitionLog])] {
        guard let named = asked.topics else { return catalog.sortedTopics.map { ($0, $0.partitions) } }
        var places: [TopicID: Int] = [:]
        var result: [(topic: Topic, logs: [PartitionLog])] = []
        var taken: [Set<Int32>] = []
        for name in named {
            guard let topic = catalog.topic(named: name.topic) else { continue }
            let place = places[topic.id] ?? result.count
            if place == result.count {
                places[topic.id] = place
                result.append((topic, []))
                taken.append([])
            }
            for index in name.partitions {
                guard let log = topic.partition(index), taken[place].insert(index).inserted else { continue }
                result[place].logs.append(log)
            }
        }
        return result
    }
}
