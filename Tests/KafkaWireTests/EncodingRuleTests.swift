import ByteBuffers
import KafkaModel
import KafkaWire
import Testing

@Suite struct EncodingRuleTests {
    @Test func fieldThatAVersionLacksIsLeftOutAndNamed() {
        var partition = FetchResponse.PartitionData()
        partition.preferredReadReplica = 3
        var plain = partition
        plain.preferredReadReplica = -1
        #expect(encode(partition, 10) == encode(plain, 10))
        var response = FetchResponse()
        response.responses = [FetchResponse.FetchableTopicResponse()]
        response.responses[0].partitions = [partition]
        #expect(response.unsupportedField(in: 10)?.description == "preferredReadReplica")
        #expect(response.unsupportedField(in: 11) == nil)
    }

    @Test func ignorableFieldIsLeftOutSilently() {
        var response = HeartbeatResponse()
        response.throttleTimeMs = 5
        #expect(response.unsupportedField(in: 0) == nil)
        #expect(encode(response, 0) == [0, 0])
    }

    @Test func nullThatAVersionCannotCarryIsWrittenEmptyAndNamed() {
        var topic = MetadataResponse.MetadataResponseTopic()
        topic.name = nil
        var named = topic
        named.name = ""
        #expect(encode(topic, 5) == encode(named, 5))
        #expect(encode(topic, 12) != encode(named, 12))
        #expect(topic.unsupportedField(in: 11)?.description == "name")
        #expect(topic.unsupportedField(in: 12) == nil)
        var request = MetadataRequest()
        request.topics = nil
        #expect(request.unsupportedField(in: 0)?.description == "topics")
    }

    @Test func stringAboveTheLimitIsCutAtAWholeCharacter() throws {
        var coordinator = FindCoordinatorResponse.Coordinator()
        // The limit, 32,767 bytes, falls into the middle of the last of these two-byte characters.
        coordinator.key = String(repeating: "ö", count: 16_384)
        for version: Int16 in [4, 6] {
            let decoded = try encode(coordinator, version).withUnsafeBytes { raw in
                var reader = ByteReader(raw)
                return try FindCoordinatorResponse.Coordinator(from: &reader, version: version)
            }
            #expect(decoded.key == String(repeating: "ö", count: 16_383))
        }
        var classic = HeartbeatRequest()
        classic.groupID = String(repeating: "x", count: 40_000)
        #expect(try decode(HeartbeatRequest.self, encode(classic, 0), 0) as? HeartbeatRequest != classic)
    }

    @Test func stringAboveTheLimitIsRefused() {
        var writer = ByteWriter()
        writer.unsignedVarint(32_769)
        writer.bytes([UInt8](repeating: 0x61, count: 32_768))
        writer.bytes([0, 0, 0, 0, 1, 0, 0])
        #expect(throws: DecodeError.invalid("length of a string", position: 0)) {
            try decode(HeartbeatRequest.self, writer.array, 4)
        }
    }

    @Test func stringThatIsNotUTF8IsRefused() {
        #expect(throws: DecodeError.invalid("string is not UTF-8", position: 2)) {
            try decode(HeartbeatRequest.self, [0, 2, 0xc3, 0x28, 0, 0, 0, 0, 0, 0], 0)
        }
    }

    @Test func nullWhereTheVersionHasNoneIsRefused() {
        #expect(throws: DecodeError.invalid("null in a field that cannot be null", position: 0)) {
            try decode(MetadataRequest.self, [0xff, 0xff, 0xff, 0xff], 0)
        }
        #expect(throws: DecodeError.invalid("null in a field that cannot be null", position: 0)) {
            try decode(HeartbeatRequest.self, [0xff, 0xff, 0, 0, 0, 0, 0, 0], 0)
        }
    }

    @Test func announcedCountIsCheckedBeforeAnythingIsReserved() {
        // Two billion topics in eight bytes; each takes at least six.
        #expect(throws: DecodeError.truncated(position: 4)) {
            try decode(MetadataRequest.self, [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0], 4)
        }
        #expect(throws: DecodeError.truncated(position: 5)) {
            try decode(MetadataRequest.self, [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0], 9)
        }
        #expect(throws: DecodeError.invalid("negative length", position: 0)) {
            try decode(MetadataRequest.self, [0x80, 0, 0, 0], 4)
        }
    }

    @Test func taggedFieldOfTheWrongLengthIsRefused() throws {
        var response = ApiVersionsResponse()
        response.finalizedFeaturesEpoch = 9
        var bytes = encode(response, 3)
        let size = try #require(bytes.firstIndex(of: 8))
        bytes[size] = 7
        bytes.append(0)
        #expect(throws: DecodeError.self) { try decode(ApiVersionsResponse.self, bytes, 3) }
    }

    @Test func knownAndUnknownTagsAreWrittenInOrder() throws {
        var request = FetchRequest()
        request.clusterID = "c"
        request.replicaState.replicaID = 1
        request.unknownTaggedFields = [
            UnknownTaggedField(tag: 2, bytes: []), UnknownTaggedField(tag: 9, bytes: [1]),
        ]
        let bytes = encode(request, 15)
        let noEpoch = [UInt8](repeating: 0xff, count: 8)
        let tags: [UInt8] = [4, 0, 2, 2, 0x63, 1, 13, 0, 0, 0, 1] + noEpoch + [0, 2, 0, 9, 1, 1]
        #expect(Array(bytes.suffix(tags.count)) == tags)
        #expect(try decode(FetchRequest.self, bytes, 15) as? FetchRequest == request)
    }
}
