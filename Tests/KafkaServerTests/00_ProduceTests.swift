import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

@Suite struct ProduceTests {
    @Test func offsetsAreAssignedInTheOrderOfArrival() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        #expect(try client.append("orders", count: 3) == 0)
        #expect(try client.append("orders", count: 4) == 3)
        #expect(try client.listOffset("orders", at: -1).offset == 7)
    }

    @Test(arguments: Int16(3)...13) func everyVersionAppends(version: Int16) throws {
        let client = try TestBroker().client()
        let id = try client.createTopic("orders")
        var request = WireClient.produceRequest("orders", TestBatch(count: 2).bytes())
        request.topicData[0].topicID = version >= 13 ? id : .zero
        if version >= 13 { request.topicData[0].name = "" }
        let reply = try client.call(request, version: version)
        let topic = try #require(reply.responses.first)
        #expect(version >= 13 ? topic.topicID == id : topic.name == "orders")
        let result = try #require(topic.partitionResponses.first)
        #expect(result.code == .none)
        #expect(result.baseOffset == 0)
        #expect(result.logAppendTimeMs == -1)
        if version >= 5 { #expect(result.logStartOffset == 0) }
    }

    @Test func acks0IsNotAnswered() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        try client.send(WireClient.produceRequest("orders", TestBatch(count: 1).bytes(), acks: 0), version: 9)
        // The reply that comes first is the second request's, and its append comes after the first one's.
        #expect(try client.append("orders", count: 1) == 1)
    }

    @Test func aRefusedAcks0EndsTheConnection() throws {
        let client = try TestBroker().client()
        try client.send(WireClient.produceRequest("missing", TestBatch(count: 1).bytes(), acks: 0), version: 9)
        #expect(client.isClosedByBroker())
    }

    @Test(arguments: [Int16(2), -2, 100]) func otherAcksAreRefused(acks: Int16) throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        #expect(try client.produce("orders", TestBatch(count: 1).bytes(), acks: acks).code == .invalidRequiredAcks)
        #expect(try client.listOffset("orders", at: -1).offset == 0)
    }

    @Test func acks1IsDurableWhenAnswered() throws {
        let broker = try TestBroker()
        let client = try broker.client()
        try client.createTopic("orders")
        #expect(try client.produce("orders", TestBatch(count: 5).bytes(), acks: 1).code == .none)
        let after = try broker.crashed().client()
        #expect(try after.listOffset("orders", at: -1).offset == 5)
    }

    @Test func pipelinedProducesAreAnsweredInOrder() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        let request = WireClient.produceRequest("orders", TestBatch(count: 1).bytes())
        let ids = try (0..<50).map { _ in try client.send(request, version: 9) }
        for (number, id) in ids.enumerated() {
            let reply = try client.receive(ProduceResponse.self, version: 9, correlationID: id)
            #expect(reply.responses[0].partitionResponses[0].baseOffset == Int64(number))
        }
    }

    // MARK: Bad batches

    @Test func aWrongCRCIsCorruptMessage() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        var batch = TestBatch(count: 1).bytes()
        batch[batch.count - 1] ^= 1
        let result = try client.produce("orders", batch)
        #expect(result.code == .corruptMessage)
        let text = try #require(result.errorMessage)
        #expect(text.wholeMatch(of: /Record is corrupt \(stored crc = \d+, computed crc = \d+\)/) != nil, "\(text)")
        #expect(try client.listOffset("orders", at: -1).offset == 0)
    }

    @Test(arguments: [UInt8(0), 1, 3]) func anotherMagicIsInvalidRecord(magic: UInt8) throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        var batch = TestBatch(count: 1).bytes()
        batch[16] = magic
        #expect(try client.produce("orders", batch).code == .invalidRecord)
    }

    @Test func twoBatchesForOnePartitionAreInvalidRecord() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        let two = TestBatch(count: 1).bytes() + TestBatch(count: 1).bytes()
        #expect(try client.produce("orders", two).code == .invalidRecord)
        #expect(try client.listOffset("orders", at: -1).offset == 0)
    }

    @Test func nullAndEmptyRecordsAreInvalidRecord() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        #expect(try client.produce("orders", nil).code == .invalidRecord)
        #expect(try client.produce("orders", []).code == .invalidRecord)
    }

    @Test func aTornBatchIsCorruptMessage() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        let batch = TestBatch(count: 1).bytes()
        for length in [1, 60, 61, batch.count - 1] {
            #expect(try client.produce("orders", Array(batch.prefix(length))).code == .corruptMessage, "\(length)")
        }
    }

    @Test func aBatchAboveTheTopicsLimitIsMessageTooLarge() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders", configs: ["max.message.bytes": "500"])
        #expect(try client.produce("orders", TestBatch(count: 1, valueSize: 600).bytes()).code == .messageTooLarge)
        #expect(try client.produce("orders", TestBatch(count: 1, valueSize: 300).bytes()).code == .none)
    }

    @Test func controlBatchesOfClientsAreInvalidRecord() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        var batch = TestBatch(count: 1)
        batch.isControl = true
        #expect(try client.produce("orders", batch.bytes()).code == .invalidRecord)
    }

    @Test func transactionalBatchesNeedATransactionalID() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        var batch = TestBatch(count: 1)
        (batch.isTransactional, batch.producerID, batch.producerEpoch, batch.baseSequence) = (true, 1, 0, 0)
        #expect(try client.produce("orders", batch.bytes()).code == .transactionalIDAuthorizationFailed)
    }

    @Test func aTimestampFarAheadIsInvalidTimestamp() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        var batch = TestBatch(count: 1)
        batch.baseTimestamp = 4_000_000_000_000
        #expect(try client.produce("orders", batch.bytes()).code == .invalidTimestamp)
    }

    // MARK: Where to

    @Test func unknownTopicsPartitionsAndIDsAreTold() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        let batch = TestBatch(count: 1).bytes()
        #expect(try client.produce("missing", batch).code == .unknownTopicOrPartition)
        #expect(try client.produce("orders", batch, partition: 1).code == .unknownTopicOrPartition)
        #expect(try client.produce("orders", batch, partition: -1).code == .unknownTopicOrPartition)
        var request = WireClient.produceRequest("", batch)
        request.topicData[0].topicID = TopicID(high: 1, low: 2)
        let reply = try client.call(request, version: 13)
        #expect(reply.responses[0].partitionResponses[0].code == .unknownTopicID)
    }

    @Test func internalTopicsTakeNoRecordsFromClients() throws {
        let client = try TestBroker().client()
        #expect(try client.produce("__consumer_offsets", TestBatch(count: 1).bytes()).code == .invalidTopicException)
    }

    @Test func oneRequestMayHaveGoodAndBadPartitions() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders", partitions: 2)
        var request = WireClient.produceRequest("orders", TestBatch(count: 1).bytes())
        var bad = ProduceRequest.PartitionProduceData()
        (bad.index, bad.records) = (7, TestBatch(count: 1).bytes())
        var second = ProduceRequest.PartitionProduceData()
        (second.index, second.records) = (1, TestBatch(count: 2).bytes())
        request.topicData[0].partitionData += [bad, second]
        let results = try client.call(request, version: 12).responses[0].partitionResponses
        #expect(results.map(\.index) == [0, 7, 1])
        #expect(results.map(\.code) == [.none, .unknownTopicOrPartition, .none])
        #expect(try client.listOffset("orders", at: -1, partition: 1).offset == 2)
    }

    @Test func logAppendTimeIsTheBrokersAndIsTold() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders", configs: ["message.timestamp.type": "LogAppendTime"])
        let result = try client.produce("orders", TestBatch(count: 1).bytes())
        #expect(result.logAppendTimeMs > 1_700_000_000_000)
        #expect(try client.listOffset("orders", at: -3).timestamp == result.logAppendTimeMs)
    }
}
