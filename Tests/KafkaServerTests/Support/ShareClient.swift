import KafkaModel
import KafkaWire

/// A member of a share group, with a connection.
struct ShareClient {
    let client: WireClient
    let topicID: TopicID
    var id = "m"
    var group = "sharers"

    init(_ broker: TestBroker, _ topicID: TopicID, _ id: String = "m") throws {
        (client, self.topicID, self.id) = (try broker.client(), topicID, id)
    }

    @discardableResult
    func join() throws -> ShareGroupHeartbeatResponse {
        var request = ShareGroupHeartbeatRequest()
        (request.groupID, request.memberID, request.subscribedTopicNames) = (group, id, ["orders"])
        return try client.call(request)
    }

    func leave() throws -> ShareGroupHeartbeatResponse {
        var request = ShareGroupHeartbeatRequest()
        (request.groupID, request.memberID, request.memberEpoch) = (group, id, -1)
        return try client.call(request)
    }

    static func batch(_ first: Int64, _ last: Int64, _ types: [Int8]) -> ShareFetchRequest.AcknowledgementBatch {
        var batch = ShareFetchRequest.AcknowledgementBatch()
        (batch.firstOffset, batch.lastOffset, batch.acknowledgeTypes) = (first, last, types)
        return batch
    }

    func fetchRequest(
        _ epoch: Int32, partitions: [Int32] = [0], _ batches: [ShareFetchRequest.AcknowledgementBatch] = [],
        waitMs: Int32 = 0, records: Int32 = 500
    ) -> ShareFetchRequest {
        var request = ShareFetchRequest()
        (request.groupID, request.memberID, request.shareSessionEpoch) = (group, id, epoch)
        (request.maxWaitMs, request.minBytes, request.maxBytes, request.maxRecords) = (waitMs, 1, 1 << 20, records)
        request.topics = [.init()]
        request.topics[0].topicID = topicID
        request.topics[0].partitions = partitions.map { index in
            var partition = ShareFetchRequest.FetchPartition()
            (partition.partitionIndex, partition.acknowledgementBatches) = (index, batches)
            return partition
        }
        return request
    }

    func fetch(
        _ epoch: Int32, _ batches: [ShareFetchRequest.AcknowledgementBatch] = [], waitMs: Int32 = 0,
        records: Int32 = 500
    ) throws -> ShareFetchResponse {
        try client.call(fetchRequest(epoch, batches, waitMs: waitMs, records: records))
    }

    func acknowledge(
        _ epoch: Int32, _ first: Int64, _ last: Int64, _ types: [Int8], renews: Bool = false, version: Int16 = 2
    ) throws -> ShareAcknowledgeResponse {
        var request = ShareAcknowledgeRequest()
        (request.groupID, request.memberID, request.shareSessionEpoch) = (group, id, epoch)
        request.isRenewAck = renews
        request.topics = [.init()]
        (request.topics[0].topicID, request.topics[0].partitions) = (topicID, [.init()])
        var batch = ShareAcknowledgeRequest.AcknowledgementBatch()
        (batch.firstOffset, batch.lastOffset, batch.acknowledgeTypes) = (first, last, types)
        request.topics[0].partitions[0].acknowledgementBatches = [batch]
        return try client.call(request, version: version)
    }

    /// "partition: first-last xcount" of each range.
    static func acquired(_ response: ShareFetchResponse) -> [String] {
        response.responses.flatMap(\.partitions).flatMap { partition in
            partition.acquiredRecords.map {
                "\(partition.partitionIndex): \($0.firstOffset)-\($0.lastOffset) x\($0.deliveryCount)"
            }
        }
    }
}
