import BrokerCore
import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import LogStorage
import RecordFormat
import Telemetry
import Testing

@testable import KafkaServer

/// Open transactions over the wire: who reads to where, what producers are told, and how an administrator ends them.
@Suite struct WriteTxnMarkersTests {
    /// A topic with a record, and an open transaction of producer 9 behind it, which no coordinator knows of.
    private func hanging(_ broker: TestBroker) throws -> WireClient {
        let client = try broker.client()
        try client.createTopic("orders")
        try client.append("orders", count: 1)
        let log = try #require(broker.broker.catalog.topic(named: "orders")?.partition(0))
        var batch = TestBatch(count: 2)
        (batch.producerID, batch.producerEpoch, batch.baseSequence, batch.isTransactional) = (9, 0, 0, true)
        guard case .ask(let verified) = log.verification(of: ProducerID(9), ProducerEpoch(0), isVersion2: false) else {
            preconditionFailure("open before it began")
        }
        let slice = batch.bytes().withUnsafeBytes { ChunkPool.shared.slice(copying: $0) }
        let receipt = try log.append(
            slice, origin: .client, nowMs: batch.baseTimestamp, verified: verified).get()
        broker.broker.store.kick()
        try waitUntil { broker.broker.store.durableTicket >= receipt.ticket }
        return client
    }

    private func markers(
        epoch: Int16 = 0, commit: Bool = false, coordinatorEpoch: Int32 = 0, topic: String = "orders",
        partitions: [Int32] = [0]
    ) -> WriteTxnMarkersRequest {
        var request = WriteTxnMarkersRequest()
        request.markers = [WriteTxnMarkersRequest.WritableTxnMarker()]
        (request.markers[0].producerID, request.markers[0].producerEpoch) = (9, epoch)
        (request.markers[0].transactionResult, request.markers[0].coordinatorEpoch) = (commit, coordinatorEpoch)
        request.markers[0].topics = [WriteTxnMarkersRequest.WritableTxnMarkerTopic()]
        request.markers[0].topics[0].name = topic
        request.markers[0].topics[0].partitionIndexes = partitions
        return request
    }

    private func codes(_ client: WireClient, _ request: WriteTxnMarkersRequest, version: Int16 = 2) throws -> [ErrorCode] {
        try client.call(request, version: version).markers[0].topics[0].partitions.map(\.code)
    }

    private func committed(_ client: WireClient, from offset: Int64, maxWaitMs: Int32 = 0) throws
        -> FetchResponse.PartitionData
    {
        var request = WireClient.fetchRequest([.init(topic: "orders", offset: offset)], maxWaitMs: maxWaitMs)
        request.isolationLevel = 1
        return try client.call(request, version: 12).responses[0].partitions[0]
    }

    @Test func readersOfCommittedRecordsWaitForTheEnd() throws {
        let broker = try TestBroker()
        let client = try hanging(broker)
        let open = try committed(client, from: 0)
        #expect(open.highWatermark == 3 && open.lastStableOffset == 1 && open.abortedTransactions == [])
        #expect(try committed(client, from: 1).records?.isEmpty != false)
        #expect(try client.fetch("orders", from: 1).records?.isEmpty == false)
        #expect(try client.listOffset("orders", at: -1).offset == 3)
        var request = ListOffsetsRequest()
        (request.replicaID, request.isolationLevel) = (-1, 1)
        request.topics = [ListOffsetsRequest.ListOffsetsTopic()]
        request.topics[0].name = "orders"
        request.topics[0].partitions = [ListOffsetsRequest.ListOffsetsPartition()]
        request.topics[0].partitions[0].timestamp = -1
        #expect(try client.call(request).topics[0].partitions[0].offset == 1)
        #expect(try codes(client, markers()) == [.none])
        let aborted = try committed(client, from: 1)
        #expect(aborted.lastStableOffset == 4)
        #expect(aborted.abortedTransactions?.map(\.producerID) == [9])
        #expect(aborted.abortedTransactions?.map(\.firstOffset) == [1])
        // Who reads all is not told.
        #expect(try client.fetch("orders", from: 1).abortedTransactions == nil)
    }

    /// With and without a session a fetch that waits is answered by the marker, and by nothing before.
    @Test(arguments: [false, true]) func aFetchWaitsForTheMarker(inSession: Bool) throws {
        let broker = try TestBroker()
        let client = try hanging(broker)
        let waiting = try broker.client()
        var request = WireClient.fetchRequest(
            [.init(topic: "orders", offset: 1)], maxWaitMs: 60_000, epoch: inSession ? 0 : -1)
        request.isolationLevel = 1
        let id = try waiting.send(request, version: 12)
        try waitUntil { broker.server.metrics.parkedFetches.value == 1 }
        try client.append("orders", count: 1)
        #expect(broker.server.metrics.parkedFetches.value == 1)
        #expect(try codes(client, markers(commit: true)) == [.none])
        let reply = try waiting.receive(FetchResponse.self, version: 12, correlationID: id)
        let partition = try #require(reply.responses.first?.partitions.first)
        #expect(partition.lastStableOffset == 5 && partition.records?.isEmpty == false)
        guard inSession else { return }
        // The next fetch of the session reads all, and what rested for the other offset is looked at.
        var next = WireClient.fetchRequest(
            [.init(topic: "orders", offset: 5)], maxWaitMs: 60_000, sessionID: reply.sessionID, epoch: 1)
        next.isolationLevel = 0
        let another = try waiting.send(next, version: 12)
        try waitUntil { broker.server.metrics.parkedFetches.value == 1 }
        try client.append("orders", count: 1)
        let grown = try waiting.receive(FetchResponse.self, version: 12, correlationID: another)
        #expect(grown.responses.first?.partitions.first?.highWatermark == 6)
    }

    @Test func markersAreRefusedOneByOne() throws {
        let client = try hanging(TestBroker())
        #expect(try codes(client, markers(topic: "missing")) == [.unknownTopicOrPartition])
        #expect(try codes(client, markers(coordinatorEpoch: 5, partitions: [0, 7])) == [.none, .unknownTopicOrPartition])
        #expect(try codes(client, markers(coordinatorEpoch: 4)) == [.transactionCoordinatorFenced])
        #expect(try codes(client, markers(epoch: 3, coordinatorEpoch: 5), version: 1) == [.none])
        #expect(try codes(client, markers(epoch: 2, coordinatorEpoch: 5)) == [.invalidProducerEpoch])
    }

    @Test func producersAreDescribed() throws {
        let broker = try TestBroker()
        let client = try hanging(broker)
        var request = DescribeProducersRequest()
        request.topics = ["orders", "missing", "no name"].map { name in
            var topic = DescribeProducersRequest.TopicRequest()
            (topic.name, topic.partitionIndexes) = (name, [0, 1])
            return topic
        }
        let before = try client.call(request).topics.map(\.partitions)
        #expect(before[0].map(\.code) == [.none, .unknownTopicOrPartition])
        #expect(before[1].map(\.code) == [.unknownTopicOrPartition, .unknownTopicOrPartition])
        #expect(before[2].map(\.code) == [.invalidTopicException, .invalidTopicException])
        let producer = try #require(before[0][0].activeProducers.first)
        #expect(producer.producerID == 9 && producer.producerEpoch == 0 && producer.lastSequence == 1)
        #expect(producer.currentTxnStartOffset == 1 && producer.coordinatorEpoch == -1)
        #expect(try codes(client, markers(coordinatorEpoch: 6)) == [.none])
        let after = try client.call(request).topics[0].partitions[0].activeProducers
        #expect(after.map(\.currentTxnStartOffset) == [-1] && after.map(\.coordinatorEpoch) == [6])
        // All of it is on disk.
        let again = try broker.crashed().client()
        let restarted = try again.call(request).topics[0].partitions[0].activeProducers
        #expect(restarted.map(\.coordinatorEpoch) == [6])
        #expect(try committed(again, from: 1).abortedTransactions?.map(\.firstOffset) == [1])
    }
}
