import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage

/// DescribeLogDirs: the one data folder, with the size of each asked partition. Versions: 4 the disk's size (KIP-827).
extension KafkaConnection {
    func describeLogDirs(_ request: borrowing Request) throws(DecodeError) {
        let asked = try request.decode(DescribeLogDirsRequest.self)
        var folder = DescribeLogDirsResponse.DescribeLogDirsResult()
        folder.logDir = broker.store.folder
        if broker.store.isOffline { folder.errorCode = ErrorCode.kafkaStorageError.rawValue }
        if let space = broker.store.space {
            folder.totalBytes = space.total
            folder.usableBytes = space.free
        }
        let catalog = broker.catalog
        let topics: [(Topic, [Int32])]
        if let named = asked.topics {
            topics = named.compactMap { topic in
                catalog.topic(named: topic.topic).map { ($0, topic.partitions) }
            }
        } else {
            topics = catalog.sortedTopics.map {
                ($0, $0.partitions.map(\.partitionIndex))
            }
        }
        folder.topics = topics.map { topic, indexes in
            var result = DescribeLogDirsResponse.DescribeLogDirsTopic()
            result.name = topic.name
            result.partitions = indexes.compactMap { index in
                guard let log = topic.partition(index) else { return nil }
                var partition = DescribeLogDirsResponse.DescribeLogDirsPartition()
                partition.partitionIndex = index
                partition.partitionSize = log.sizeInBytes
                return partition
            }
            return result
        }
        var response = DescribeLogDirsResponse()
        response.results = [folder]
        reply(response, to: request.ticket)
    }
}
