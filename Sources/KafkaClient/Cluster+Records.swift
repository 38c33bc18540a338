internal import KafkaModel
internal import KafkaWire

extension Cluster {
    /// Deletes the records below these offsets (exclusive; -1: below the high watermark), and gives each partition's first
    /// offset afterwards. Source: KIP-107.
    public func deleteRecords(before offsets: [PartitionName: Int64]) throws(ClientError) -> [PartitionName: Int64] {
        var first: [PartitionName: Int64] = [:]
        try askLeaders(of: Set(offsets.keys), for: "records") { names in
            request(names, offsets)
        } answers: { response in
            response.topics.flatMap { topic in
                topic.partitions.map { (PartitionName(topic.name, $0.partitionIndex), $0.errorCode, $0) }
            }
        } take: { (name, answer) throws(ClientError) in
            first[name] = answer.lowWatermark
        }
        return first
    }

    private func request(_ names: [PartitionName], _ offsets: [PartitionName: Int64]) -> DeleteRecordsRequest {
        var request = DeleteRecordsRequest()
        request.timeoutMs = Int32(clamping: options.requestTimeoutMs)
        for (topicName, partitions) in Dictionary(grouping: names, by: \.topic) {
            var topic = DeleteRecordsRequest.DeleteRecordsTopic()
            topic.name = topicName
            topic.partitions = partitions.map { name in
                var partition = DeleteRecordsRequest.DeleteRecordsPartition()
                partition.partitionIndex = name.partition
                partition.offset = offsets[name]!
                return partition
            }
            request.topics.append(topic)
        }
        return request
    }
}
