internal import KafkaModel
internal import KafkaWire

extension Cluster {
    /// Deletes the records below these offsets (exclusive; -1: below the high watermark), and gives each partition's first
    /// offset afterwards. Source: KIP-107.
    public func deleteRecords(before offsets: [PartitionName: Int64]) throws(ClientError) -> [PartitionName: Int64] {
        var first: [PartitionName: Int64] = [:]
        var missing = offsets
        try retrying { deadline throws(ClientError) in
            var byLeader: [Int32: [PartitionName]] = [:]
            for name in missing.keys {
                byLeader[try leader(of: name.topic, name.partition), default: []].append(name)
            }
            var failure: ClientError?
            for (node, names) in byLeader.sorted(by: { $0.key < $1.key }) {
                let request = request(names, missing)
                let response = try connection(to: node, deadline).call(request, deadline: deadline)
                for topic in response.topics {
                    for partition in topic.partitions {
                        let name = PartitionName(topic.name, partition.partitionIndex)
                        let code = ErrorCode(rawValue: partition.errorCode)
                        guard code == .none else {
                            failure = .refused(code, "records of \(name)", message: nil)
                            forget(topic.name)
                            continue
                        }
                        missing[name] = nil
                        first[name] = partition.lowWatermark
                    }
                }
            }
            if let failure { throw failure }
            if let name = missing.keys.first { throw .invalidAnswer("DeleteRecords says nothing of \(name)") }
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
