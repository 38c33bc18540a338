import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

/// InitProducerId, and what a partition makes of the sequences of an idempotent producer.
@Suite struct InitProducerIdTests {
    struct Producer {
        let client: WireClient
        var id: Int64
        var epoch: Int16 = 0

        init(_ client: WireClient) throws {
            self.client = client
            var request = InitProducerIdRequest()
            request.transactionalID = nil
            id = try client.call(request).producerID
        }

        func send(_ sequence: Int32, count: Int = 1) throws -> ProduceResponse.PartitionProduceResponse {
            var batch = TestBatch(count: count)
            (batch.producerID, batch.producerEpoch, batch.baseSequence) = (id, epoch, sequence)
            return try client.produce("orders", batch.bytes())
        }
    }

    private func producer(_ broker: TestBroker) throws -> Producer {
        let client = try broker.client()
        try client.createTopic("orders")
        return try Producer(client)
    }

    @Test func everyProducerGetsAnIDOfItsOwn() throws {
        let client = try TestBroker().client()
        let ids = try (0..<5).map { _ in try Producer(client).id }
        #expect(Set(ids).count == 5)
        #expect(ids.allSatisfy { $0 >= 0 })
    }

    @Test func idsAreNotGivenAgainAfterACrash() throws {
        let broker = try TestBroker()
        let before = try Producer(broker.client()).id
        let after = try Producer(broker.crashed().client()).id
        #expect(after > before)
    }

    @Test func whatCannotBeIsRefused() throws {
        let client = try TestBroker().client()
        var request = InitProducerIdRequest()
        request.transactionTimeoutMs = 60_000
        request.transactionalID = ""
        #expect(try client.call(request).code == .invalidRequest)
        // There is no coordinator until somebody looks for one.
        request.transactionalID = "payments"
        #expect(try client.call(request).code == .coordinatorNotAvailable)
        request.producerID = 7
        for id in [nil, "payments"] as [String?] {
            request.transactionalID = id
            let reply = try client.call(request)
            #expect(reply.code == .invalidRequest && reply.producerID == -1 && reply.producerEpoch == -1)
        }
    }

    @Test func duplicatesOfTheLastFiveBatchesGetTheirOffsets() throws {
        let producer = try producer(TestBroker())
        for sequence in Int32(0)..<6 { #expect(try producer.send(sequence * 2, count: 2).code == .none) }
        for sequence in Int32(1)..<6 {
            let again = try producer.send(sequence * 2, count: 2)
            #expect(again.code == .none)
            #expect(again.baseOffset == Int64(sequence * 2))
        }
        #expect(try producer.client.listOffset("orders", at: -1).offset == 12)
        #expect(try producer.send(0, count: 2).code == .outOfOrderSequenceNumber)
    }

    @Test func aGapIsOutOfOrder() throws {
        let producer = try producer(TestBroker())
        #expect(try producer.send(0).code == .none)
        #expect(try producer.send(2).code == .outOfOrderSequenceNumber)
        #expect(try producer.send(1).code == .none)
    }

    @Test func anOldEpochIsFenced() throws {
        var producer = try producer(TestBroker())
        #expect(try producer.send(0).code == .none)
        producer.epoch = 1
        #expect(try producer.send(0).code == .none)
        producer.epoch = 0
        #expect(try producer.send(1).code == .invalidProducerEpoch)
    }

    @Test func aNewEpochBeginsAtSequence0() throws {
        var producer = try producer(TestBroker())
        #expect(try producer.send(0).code == .none)
        producer.epoch = 1
        #expect(try producer.send(1).code == .outOfOrderSequenceNumber)
        #expect(try producer.send(0).code == .none)
    }

    @Test func sequencesWrapToZero() throws {
        let producer = try producer(TestBroker())
        #expect(try producer.send(.max - 1, count: 1).code == .none)
        // Sequences 2^31 - 1, 0, 1.
        #expect(try producer.send(.max, count: 3).code == .none)
        let again = try producer.send(.max, count: 3)
        #expect(again.code == .none)
        #expect(again.baseOffset == 1)
        #expect(try producer.send(2).code == .none)
    }

    @Test func anUnknownProducerMayBeginAtAnySequence() throws {
        let producer = try producer(TestBroker())
        #expect(try producer.send(17).code == .none)
        #expect(try producer.send(18).code == .none)
    }

    @Test func aNegativeSequenceIsInvalidRecord() throws {
        let producer = try producer(TestBroker())
        #expect(try producer.send(-1).code == .invalidRecord)
    }

    @Test func duplicatesAreKnownAfterACrash() throws {
        let broker = try TestBroker()
        let producer = try producer(broker)
        #expect(try producer.send(0, count: 3).code == .none)
        #expect(try producer.send(3, count: 2).code == .none)
        let after = try broker.crashed()
        var batch = TestBatch(count: 2)
        (batch.producerID, batch.producerEpoch, batch.baseSequence) = (producer.id, 0, 3)
        let again = try after.client().produce("orders", batch.bytes())
        #expect(again.code == .none)
        #expect(again.baseOffset == 3)
        #expect(try after.client().listOffset("orders", at: -1).offset == 5)
    }
}
