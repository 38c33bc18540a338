import KafkaModel
import KafkaWire

/// Produce and Fetch messages of any shape, with only the fields that `version` has.
struct RandomMessages {
    var random: SplitMix
    let version: Int16

    private mutating func name() -> String {
        String((0..<Int.random(in: 1...140, using: &random)).map { _ in "abc.-é".randomElement(using: &random)! })
    }

    private mutating func id() -> TopicID { TopicID(high: random.next(), low: random.next()) }

    private mutating func bytes(_ most: Int = 200) -> [UInt8] {
        (0..<Int.random(in: 0...most, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    private mutating func count(_ most: Int = 3) -> Int { Int.random(in: 0...most, using: &random) }
    private mutating func int32() -> Int32 { Int32.random(in: -1...Int32.max, using: &random) }
    private mutating func int64() -> Int64 { Int64.random(in: -1...Int64.max, using: &random) }
    private mutating func error() -> Int16 { Int16.random(in: -1...100, using: &random) }

    private mutating func tags(from flexible: Int16) -> [UnknownTaggedField] {
        guard version >= flexible, count() == 0 else { return [] }
        return [UnknownTaggedField(tag: 70, bytes: bytes(9)), UnknownTaggedField(tag: 700, bytes: [])]
    }

    mutating func produceRequest() -> ProduceRequest {
        var request = ProduceRequest()
        if count() > 0 { request.transactionalID = name() }
        request.acks = Int16.random(in: -1...1, using: &random)
        request.timeoutMs = int32()
        request.unknownTaggedFields = tags(from: 9)
        for _ in 0..<count() {
            var topic = ProduceRequest.TopicProduceData()
            if version >= 13 { topic.topicID = id() } else { topic.name = name() }
            topic.unknownTaggedFields = tags(from: 9)
            for _ in 0..<count() {
                var partition = ProduceRequest.PartitionProduceData()
                partition.index = int32()
                partition.records = count() == 0 ? nil : bytes()
                partition.unknownTaggedFields = tags(from: 9)
                topic.partitionData.append(partition)
            }
            request.topicData.append(topic)
        }
        return request
    }

    mutating func produceResponse() -> ProduceResponse {
        var response = ProduceResponse()
        response.throttleTimeMs = int32()
        for _ in 0..<count() {
            var topic = ProduceResponse.TopicProduceResponse()
            if version >= 13 { topic.topicID = id() } else { topic.name = name() }
            for _ in 0..<count() { topic.partitionResponses.append(producePartition()) }
            response.responses.append(topic)
        }
        guard version >= 10 else { return response }
        for _ in 0..<count(2) {
            var node = ProduceResponse.NodeEndpoint()
            node.nodeID = int32()
            node.host = name()
            node.port = int32()
            node.rack = count() == 0 ? nil : name()
            response.nodeEndpoints.append(node)
        }
        return response
    }

    private mutating func producePartition() -> ProduceResponse.PartitionProduceResponse {
        var partition = ProduceResponse.PartitionProduceResponse()
        partition.index = int32()
        partition.errorCode = error()
        partition.baseOffset = int64()
        partition.logAppendTimeMs = int64()
        if version >= 5 { partition.logStartOffset = int64() }
        if version >= 8 {
            partition.errorMessage = count() == 0 ? name() : nil
            for index in 0..<count(2) {
                var record = ProduceResponse.BatchIndexAndErrorMessage()
                record.batchIndex = Int32(index)
                record.batchIndexErrorMessage = count() == 0 ? nil : name()
                partition.recordErrors.append(record)
            }
        }
        if version >= 10 && count() == 0 {
            partition.currentLeader.leaderID = 3
            partition.currentLeader.leaderEpoch = int32()
        }
        return partition
    }

    mutating func fetchRequest() -> FetchRequest {
        var request = FetchRequest()
        if version >= 15 {
            if count() == 0 {
                request.replicaState.replicaID = int32()
                request.replicaState.replicaEpoch = int64()
                request.replicaState.unknownTaggedFields = tags(from: 15)
            }
        } else {
            request.replicaID = int32()
        }
        if version >= 12 && count() == 0 { request.clusterID = name() }
        request.maxWaitMs = int32()
        request.minBytes = int32()
        request.maxBytes = int32()
        request.isolationLevel = Int8.random(in: 0...1, using: &random)
        request.unknownTaggedFields = tags(from: 12)
        if version >= 7 {
            request.sessionID = int32()
            request.sessionEpoch = int32()
            for _ in 0..<count() { request.forgottenTopicsData.append(forgottenTopic()) }
        }
        if version >= 11 && count() > 0 { request.rackID = name() }
        for _ in 0..<count() {
            var topic = FetchRequest.FetchTopic()
            if version >= 13 { topic.topicID = id() } else { topic.topic = name() }
            topic.unknownTaggedFields = tags(from: 12)
            for _ in 0..<count() { topic.partitions.append(fetchPartition()) }
            request.topics.append(topic)
        }
        return request
    }

    private mutating func forgottenTopic() -> FetchRequest.ForgottenTopic {
        var topic = FetchRequest.ForgottenTopic()
        if version >= 13 { topic.topicID = id() } else { topic.topic = name() }
        for _ in 0..<count() { topic.partitions.append(int32()) }
        topic.unknownTaggedFields = tags(from: 12)
        return topic
    }

    private mutating func fetchPartition() -> FetchRequest.FetchPartition {
        var partition = FetchRequest.FetchPartition()
        partition.partition = int32()
        if version >= 9 { partition.currentLeaderEpoch = int32() }
        partition.fetchOffset = int64()
        if version >= 12 { partition.lastFetchedEpoch = int32() }
        if version >= 5 { partition.logStartOffset = int64() }
        partition.partitionMaxBytes = int32()
        if version >= 17 && count() == 0 { partition.replicaDirectoryID = id() }
        if version >= 18 && count() == 0 { partition.highWatermark = int64() }
        partition.unknownTaggedFields = tags(from: 12)
        return partition
    }

    mutating func fetchResponse() -> FetchResponse {
        var response = FetchResponse()
        response.throttleTimeMs = int32()
        if version >= 7 {
            response.errorCode = error()
            response.sessionID = int32()
        }
        for _ in 0..<count() {
            var topic = FetchResponse.FetchableTopicResponse()
            if version >= 13 { topic.topicID = id() } else { topic.topic = name() }
            for _ in 0..<count() { topic.partitions.append(fetchedPartition()) }
            response.responses.append(topic)
        }
        guard version >= 16 else { return response }
        for _ in 0..<count(2) {
            var node = FetchResponse.NodeEndpoint()
            node.nodeID = int32()
            node.host = name()
            node.port = int32()
            response.nodeEndpoints.append(node)
        }
        return response
    }

    private mutating func fetchedPartition() -> FetchResponse.PartitionData {
        var partition = FetchResponse.PartitionData()
        partition.partitionIndex = int32()
        partition.errorCode = error()
        partition.highWatermark = int64()
        partition.lastStableOffset = int64()
        if version >= 5 { partition.logStartOffset = int64() }
        if version >= 11 { partition.preferredReadReplica = int32() }
        // Long enough for lengths of one, two and three bytes as varints.
        partition.records = [UInt8](repeating: UInt8(count()), count: Int.random(in: 0...20_000, using: &random))
        partition.abortedTransactions = nil
        if count() == 0 {
            partition.abortedTransactions = (0..<count()).map { _ in
                var transaction = FetchResponse.AbortedTransaction()
                transaction.producerID = int64()
                transaction.firstOffset = int64()
                return transaction
            }
        }
        if version >= 12 && count() == 0 {
            partition.divergingEpoch.epoch = 4
            partition.divergingEpoch.endOffset = int64()
        }
        if version >= 12 && count() == 0 {
            partition.currentLeader.leaderID = int32()
            partition.currentLeader.leaderEpoch = 5
        }
        return partition
    }
}
