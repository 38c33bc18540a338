public import KafkaModel
internal import KafkaWire

/// A record batch that is finished: with a producer and a sequence of its own, and sent as it is.
public struct FinishedBatch: Sendable {
    public var partitionIndex: Int32
    public var bytes: [UInt8]

    public init(partitionIndex: Int32, bytes: [UInt8]) {
        self.partitionIndex = partitionIndex
        self.bytes = bytes
    }
}

/// Sending without retries, for who keeps what is under way himself.
extension Cluster {
    /// Bytes of batches in one request at most, unless one alone has more: a part of what brokers take (`socket.request.max.bytes`).
    private static let requestBytes = 16 << 20

    /// Sends batches with `acks=all`, to each partition of the topic one at most, and gives the answers in their order. A failure says
    /// that nobody knows whether the batch is there, unless it is a refusal (`ClientError.code`).
    public func send(_ batches: [FinishedBatch], to topicName: String) -> [Result<Void, ClientError>] {
        var results: [Result<Void, ClientError>?] = Array(repeating: nil, count: batches.count)
        var byLeader: [Int32: [Int]] = [:]
        for (place, batch) in batches.enumerated() {
            do throws(ClientError) {
                byLeader[try leader(of: topicName, batch.partitionIndex), default: []].append(place)
            } catch {
                results[place] = .failure(error)
            }
        }
        for (node, places) in byLeader.sorted(by: { $0.key < $1.key }) {
            var rest = places[...]
            while !rest.isEmpty {
                var bytes = 0
                let some = rest.prefix { place in
                    bytes += batches[place].bytes.count
                    return bytes <= Self.requestBytes || bytes == batches[place].bytes.count
                }
                rest = rest.dropFirst(some.count)
                do throws(ClientError) {
                    try send(some.map { batches[$0] }, to: topicName, node: node, Array(some), &results)
                } catch {
                    for place in some { results[place] = .failure(error) }
                }
            }
        }
        let answers = results.map { $0 ?? .failure(.invalidAnswer("Produce says nothing of a partition")) }
        // Leaders may have moved, and topics may be others.
        if answers.contains(where: { if case .failure = $0 { true } else { false } }) { forget(topicName) }
        return answers
    }

    private func send(
        _ batches: [FinishedBatch], to topicName: String, node: Int32, _ places: [Int],
        _ results: inout [Result<Void, ClientError>?]
    ) throws(ClientError) {
        let deadline = deadline
        let topicID = topics[topicName]?.id ?? .zero
        var request = ProduceRequest()
        request.acks = -1
        request.timeoutMs = Int32(clamping: options.requestTimeoutMs)
        var topic = ProduceRequest.TopicProduceData()
        topic.name = topicName
        topic.topicID = topicID
        topic.partitionData = batches.map { batch in
            var partition = ProduceRequest.PartitionProduceData()
            partition.index = batch.partitionIndex
            partition.records = batch.bytes
            return partition
        }
        request.topicData = [topic]
        let connection = try connection(to: node, deadline)
        let pending = try connection.send(request, limit: topicID == .zero ? 12 : .max, deadline: deadline)
        let response = try connection.receive(pending, deadline: deadline)
        let partitions = response.responses.flatMap(\.partitionResponses)
        for (batch, place) in zip(batches, places) {
            guard let answer = partitions.first(where: { $0.index == batch.partitionIndex }) else { continue }
            let code = ErrorCode(rawValue: answer.errorCode)
            results[place] =
                code == .none
                ? .success(())
                : .failure(
                    .refused(code, "write to \(topicName)-\(batch.partitionIndex)", message: answer.errorMessage))
        }
    }

    /// A new producer session that is in no transaction. Source: KIP-98.
    public func openProducer() throws(ClientError) -> (id: ProducerID, epoch: ProducerEpoch) {
        var request = InitProducerIdRequest()
        request.transactionalID = nil
        request.transactionTimeoutMs = Int32.max
        return try retrying { deadline throws(ClientError) in
            let response = try anyConnection(deadline).call(request, deadline: deadline)
            try Cluster.check(response.errorCode, "a producer ID")
            return (ProducerID(response.producerID), ProducerEpoch(response.producerEpoch))
        }
    }
}
