import BrokerCore
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import Security

/// AlterReplicaLogDirs: a partition is in the one data folder already, and there is no other to move it to. Source: KIP-113.
extension KafkaConnection {
    static func alterReplicaLogDirsPrice(_ asked: AlterReplicaLogDirsRequest, _ context: AnswerContext) -> Int {
        var price = ReplyPrice()
        for topic in asked.dirs.lazy.flatMap(\.topics) {
            price.add(1, AlterReplicaLogDirsResponse.AlterReplicaLogDirTopicResult.self, text: 0)
            price.add(
                topic.partitions.count, AlterReplicaLogDirsResponse.AlterReplicaLogDirPartitionResult.self, text: 0)
        }
        return price.bytes
    }

    static func alterReplicaLogDirs(
        _ asked: AlterReplicaLogDirsRequest, _ context: AnswerContext
    ) -> Answer<AlterReplicaLogDirsResponse> {
        if let refusal = context.refusal(of: asked) { return Answer(response: asked.refused(by: refusal)) }
        let store = context.broker.store
        return Answer(
            response: asked.answered { folder, name, index in
                if folder != store.folder { return .logDirNotFound }
                if store.isOffline { return .kafkaStorageError }
                return context.broker.catalog.topic(named: name)?.partition(index) == nil
                    ? .unknownTopicOrPartition : .none
            })
    }
}

extension AlterReplicaLogDirsRequest: WhollyRefusable {
    func refused(by refusal: AccessRefusal) -> AlterReplicaLogDirsResponse { answered { _, _, _ in refusal.error } }

    /// Returns the reply in which each partition has the code of its folder, topic and index.
    fileprivate func answered(_ code: (String, String, Int32) -> ErrorCode) -> AlterReplicaLogDirsResponse {
        var response = AlterReplicaLogDirsResponse()
        for folder in dirs {
            for topic in folder.topics {
                var result = AlterReplicaLogDirsResponse.AlterReplicaLogDirTopicResult()
                result.topicName = topic.name
                result.partitions = topic.partitions.map { index in
                    var partition = AlterReplicaLogDirsResponse.AlterReplicaLogDirPartitionResult()
                    partition.partitionIndex = index
                    partition.errorCode = code(folder.path, topic.name, index).rawValue
                    return partition
                }
                response.results.append(result)
            }
        }
        return response
    }
}
