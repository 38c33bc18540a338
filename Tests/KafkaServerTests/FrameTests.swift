import BrokerTestKit
import ByteBuffers
import KafkaModel
import KafkaWire
import Telemetry
import Testing
import Transport

@testable import KafkaServer

/// The path below the handlers: lengths, headers, order, versions.
@Suite struct FrameTests {
    /// A round of the loop for each, when none of a connection's requests may follow another one at once.
    @Test func pipelinedRequestsShareTheLoop() throws {
        let broker = try TestBroker { $0.server.maxTurnNanoseconds = 0 }
        let client = try broker.client()
        let before = broker.group.counters.turns.value
        let frames = (0..<300).flatMap {
            WireClient.frame(ApiVersionsRequest(), version: 0, correlationID: Int32($0))
        }
        try client.send(bytes: frames)
        for number in Int32(0)..<300 {
            _ = try client.receive(ApiVersionsResponse.self, version: 0, correlationID: number)
        }
        #expect(broker.group.counters.turns.value - before >= 290)
    }

    private func int32(_ value: Int32) -> [UInt8] { withUnsafeBytes(of: value.bigEndian) { Array($0) } }

    private func header(key: Int16, version: Int16) -> [UInt8] {
        var writer = ByteWriter()
        writer.int32(10)
        writer.int16(key)
        writer.int16(version)
        writer.int32(1)
        writer.int16(-1)
        return writer.array
    }

    @Test(arguments: [Int32(-1), .min, 0, 1, 7, .max, (100 << 20) + 1]) func aLengthThatNoFrameHasCloses(
        length: Int32
    ) throws {
        let client = try TestBroker().client()
        try client.send(bytes: int32(length))
        #expect(client.isClosedByBroker())
    }

    @Test func anHTTPRequestCloses() throws {
        let client = try TestBroker().client()
        try client.send(bytes: Array("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".utf8))
        #expect(client.isClosedByBroker())
    }

    @Test(arguments: [Int16(-1), 4, 27, 99, 127, 128, .max, .min]) func anAPIKeyThatIsNotServedCloses(
        key: Int16
    ) throws {
        let client = try TestBroker().client()
        try client.send(bytes: header(key: key, version: 0))
        #expect(client.isClosedByBroker())
    }

    @Test func everyVersionOutsideTheServedOnesCloses() throws {
        let broker = try TestBroker()
        for api in APITable.all where api.key != .apiVersions {
            for version in [-1, api.versions.lowerBound - 1, api.versions.upperBound + 1] {
                let client = try broker.client()
                try client.send(bytes: header(key: api.key.rawValue, version: version))
                #expect(client.isClosedByBroker(), "\(api.key) \(version)")
            }
        }
    }

    @Test func aBodyThatEndsEarlyCloses() throws {
        let broker = try TestBroker()
        for api in APITable.all where api.versions.upperBound > 0 && api.key != .listGroups {
            let client = try broker.client()
            // Nothing but a header. The tagged fields of a flexible one are cut, too.
            try client.send(bytes: header(key: api.key.rawValue, version: api.versions.upperBound))
            #expect(client.isClosedByBroker(), "\(api.key)")
        }
    }

    @Test func otherConnectionsDoNotNoticeABadOne() throws {
        let broker = try TestBroker()
        let good = try broker.client()
        try good.createTopic("orders")
        let bad = try broker.client()
        try bad.send(bytes: int32(-1))
        #expect(bad.isClosedByBroker())
        #expect(try good.append("orders", count: 1) == 0)
    }

    @Test func requestsThatComeByteByByteAreServed() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        let frame = WireClient.frame(
            WireClient.produceRequest("orders", TestBatch(count: 2).bytes()), version: 9, correlationID: 5)
        for byte in frame { try client.send(bytes: [byte]) }
        let reply = try client.receive(ProduceResponse.self, version: 9, correlationID: 5)
        #expect(reply.responses[0].partitionResponses[0].code == .none)
    }

    @Test func coalescedRequestsAreAnsweredInOrder() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        var bytes: [UInt8] = []
        for id in Int32(0)..<30 {
            if id % 3 == 0 {
                bytes += WireClient.frame(
                    WireClient.produceRequest("orders", TestBatch(count: 1).bytes()), version: 9, correlationID: id)
            } else if id % 3 == 1 {
                bytes += WireClient.frame(FindCoordinatorRequest(), version: 2, correlationID: id)
            } else {
                var heartbeat = HeartbeatRequest()
                heartbeat.groupID = "readers"
                heartbeat.memberID = "nobody"
                bytes += WireClient.frame(heartbeat, version: 3, correlationID: id)
            }
        }
        // In two pieces that cut a frame.
        try client.send(bytes: Array(bytes.prefix(bytes.count / 2 + 3)))
        try client.send(bytes: Array(bytes.dropFirst(bytes.count / 2 + 3)))
        for id in Int32(0)..<30 {
            if id % 3 == 0 {
                let reply = try client.receive(ProduceResponse.self, version: 9, correlationID: id)
                #expect(reply.responses[0].partitionResponses[0].baseOffset == Int64(id / 3))
            } else if id % 3 == 1 {
                let reply = try client.receive(FindCoordinatorResponse.self, version: 2, correlationID: id)
                #expect(reply.code == .none)
            } else {
                let reply = try client.receive(HeartbeatResponse.self, version: 3, correlationID: id)
                #expect(reply.code == .unknownMemberID)
            }
        }
    }

    @Test func requestsBehindAMutedOneAreAnsweredAfterIt() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        var bytes: [UInt8] = []
        // Muted by a wait for records, by work on another thread, by a group; each followed by one that is not.
        let wanted = WireClient.Wanted(topic: "orders")
        bytes += WireClient.frame(
            WireClient.fetchRequest([wanted], maxWaitMs: 50, minBytes: 1), version: 12, correlationID: 1)
        bytes += WireClient.frame(FindCoordinatorRequest(), version: 2, correlationID: 2)
        var create = CreateTopicsRequest()
        create.topics = [CreateTopicsRequest.CreatableTopic()]
        create.topics[0].name = "more"
        (create.topics[0].numPartitions, create.topics[0].replicationFactor) = (1, 1)
        bytes += WireClient.frame(create, version: 7, correlationID: 3)
        bytes += WireClient.frame(
            WireClient.produceRequest("more", TestBatch(count: 1).bytes()), version: 9, correlationID: 4)
        var join = JoinGroupRequest()
        join.groupID = "readers"
        bytes += WireClient.frame(join, version: 5, correlationID: 5)
        bytes += WireClient.frame(FindCoordinatorRequest(), version: 2, correlationID: 6)
        try client.send(bytes: bytes)
        #expect(try client.receive(FetchResponse.self, version: 12, correlationID: 1).code == .none)
        _ = try client.receive(FindCoordinatorResponse.self, version: 2, correlationID: 2)
        #expect(try client.receive(CreateTopicsResponse.self, version: 7, correlationID: 3).topics[0].code == .none)
        let produced = try client.receive(ProduceResponse.self, version: 9, correlationID: 4)
        #expect(produced.responses[0].partitionResponses[0].code == .none)
        _ = try client.receive(JoinGroupResponse.self, version: 5, correlationID: 5)
        _ = try client.receive(FindCoordinatorResponse.self, version: 2, correlationID: 6)
    }

    /// librdkafka 2.16 asks for all topics with a count of four bytes where one belongs: three are left over.
    @Test func bytesBehindARequestAreOverlooked() throws {
        let client = try TestBroker().client()
        var request = MetadataRequest()
        request.topics = nil
        try client.send(
            bytes: WireClient.frame(request, version: 12, correlationID: 1, trailing: [0, 0, 0]))
        #expect(try client.receive(MetadataResponse.self, version: 12, correlationID: 1).brokers.count == 1)
    }

    @Test func aRequestOfAnyTaggedFieldsIsServed() throws {
        let client = try TestBroker().client()
        var request = MetadataRequest()
        request.topics = nil
        request.unknownTaggedFields = [UnknownTaggedField(tag: 9000, bytes: [1, 2, 3])]
        #expect(try client.call(request, version: 12).brokers.count == 1)
    }
}
