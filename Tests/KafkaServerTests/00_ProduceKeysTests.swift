import BrokerCore
import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import RecordFormat
import Testing

@testable import KafkaServer

/// The look at the keys of a compacted topic's batches: small ones by the loop, large ones by a worker, each in its turn.
@Suite struct ProduceKeysTests {
    private func compactedBroker() throws -> (TestBroker, WireClient) {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("kept", partitions: 3, configs: ["cleanup.policy": "compact"])
        return (broker, client)
    }

    private func batch(
        _ count: Int = 1, valueBytes: Int, keyed: Bool = true, _ compression: Compression = .zstd
    ) throws -> [UInt8] {
        var builder = RecordBatchBuilder()
        for index in 0..<count {
            builder.append(
                key: keyed ? Array("k\(index)".utf8) : nil, value: [UInt8](repeating: 7, count: valueBytes),
                timestampMs: 1_700_000_000_000)
        }
        // Copied while its chunk is held: `bytes` of a temporary may name a chunk that went back to its pool.
        return try builder.finish(.init(compression: compression)).array
    }

    private func busy(_ broker: TestBroker) -> BusyWorkers {
        BusyWorkers(broker.broker.workers.threadCount) { broker.broker.workers.submit($0) }
    }

    /// Requests that were charged, without the makings of topics.
    private func looks(_ broker: TestBroker, topics: Int = 1) -> Int {
        broker.server.budget.counts.admitted - topics
    }

    @Test(arguments: Compression.allCases) func aLongLookHoldsUpNobodyElse(_ compression: Compression) throws {
        let (broker, other) = try compactedBroker()
        let workers = busy(broker)
        defer { workers.release() }
        let producer = try broker.client()
        let large = try batch(100, valueBytes: 2000, compression)
        let small = try batch(valueBytes: 10, compression)
        let sent = try producer.send(WireClient.produceRequest("kept", large), version: 9)
        // Behind it on the same connection: in their turn.
        let next = try producer.send(WireClient.produceRequest("kept", small), version: 9)
        let last = try producer.send(ApiVersionsRequest(), version: 0)
        try waitUntil { looks(broker) == 1 }
        #expect(try other.produce("kept", small).baseOffset == 0)
        #expect(try other.listOffset("kept", at: -1).offset == 1)
        workers.release()
        let first = try producer.receive(ProduceResponse.self, version: 9, correlationID: sent)
        #expect(first.responses.first?.partitionResponses.first?.baseOffset == 1)
        let second = try producer.receive(ProduceResponse.self, version: 9, correlationID: next)
        #expect(second.responses.first?.partitionResponses.first?.baseOffset == 101)
        #expect(try producer.receive(ApiVersionsResponse.self, version: 0, correlationID: last).errorCode == 0)
        // Given back behind the reply.
        try waitUntil { broker.server.budget.counts.charged == 0 }
    }

    @Test func whatIsSmallIsLookedAtByTheLoop() throws {
        let (broker, client) = try compactedBroker()
        let workers = busy(broker)
        defer { workers.release() }
        for compression in Compression.allCases {
            #expect(try client.produce("kept", batch(10, valueBytes: 1000, compression)).code == .none)
            #expect(
                try client.produce("kept", batch(10, valueBytes: 1000, keyed: false, compression)).code
                    == .invalidRecord)
        }
        #expect(looks(broker) == 0)
    }

    /// Each partition of a request has its own outcome, wherever its keys were looked at.
    @Test func partitionsOfOneRequestAreAnsweredEach() throws {
        let (broker, client) = try compactedBroker()
        try client.createTopic("plain")
        let large = try batch(100, valueBytes: 2000)
        let keyless = try batch(100, valueBytes: 2000, keyed: false)
        let small = try batch(valueBytes: 10)
        // More than the first step of a worker unpacks.
        let largest = try batch(60, valueBytes: 100_000)
        var request = WireClient.produceRequest("kept", small)
        request.topicData[0].partitionData = [
            (0, small), (1, large), (2, keyless), (0, keyless), (1, largest), (7, large),
        ]
        .map { (index: Int32, records: [UInt8]) in
            var partition = ProduceRequest.PartitionProduceData()
            (partition.index, partition.records) = (index, Optional(records))
            return partition
        }
        request.topicData += WireClient.produceRequest("missing", large).topicData
        request.topicData += WireClient.produceRequest("plain", keyless).topicData
        let reply = try client.call(request, version: 9)
        try #require(reply.responses.map(\.name) == ["kept", "missing", "plain"])
        let results = reply.responses[0].partitionResponses
        #expect(results.map(\.index) == [0, 1, 2, 0, 1, 7])
        #expect(
            results.map(\.code) == [.none, .none, .invalidRecord, .invalidRecord, .none, .unknownTopicOrPartition])
        #expect(results.map(\.baseOffset) == [0, 0, -1, -1, 100, -1])
        #expect(results[2].recordErrors.count == 100)
        #expect(reply.responses[1].partitionResponses[0].code == .unknownTopicOrPartition)
        #expect(reply.responses[2].partitionResponses[0].code == .none)
        #expect(try client.listOffset("kept", at: -1, partition: 1).offset == 160)
        // One for each large batch of the compacted topic, and a second step for the largest.
        #expect(looks(broker, topics: 2) == 5)
        // Given back behind the reply.
        try waitUntil { broker.server.budget.counts.charged == 0 }
    }

    @Test func acks0IsTakenAfterALongLook() throws {
        let (_, client) = try compactedBroker()
        try client.send(WireClient.produceRequest("kept", batch(100, valueBytes: 2000), acks: 0), version: 9)
        #expect(try client.produce("kept", batch(valueBytes: 10)).baseOffset == 100)
        try client.send(
            WireClient.produceRequest("kept", batch(100, valueBytes: 2000, keyed: false), acks: 0), version: 9)
        #expect(client.isClosedByBroker())
    }
}
