import ByteBuffers
import KafkaWire
import Testing

@Suite struct VersionedDataTests {
    @Test func recordValueStandsBehindItsVersion() throws {
        var value = OffsetCommitValue()
        value.offset = 5
        value.leaderEpoch = 2
        value.metadata = "m"
        value.commitTimestamp = 1000
        for version in OffsetCommitValue.versions where version >= 3 {
            let bytes = value.encodedWithVersion(version)
            #expect(bytes[0] == 0 && bytes[1] == UInt8(version))
            try bytes.withUnsafeBytes { raw in
                var reader = ByteReader(raw)
                let decoded = try OffsetCommitValue(withVersionFrom: &reader)
                #expect(decoded == value)
                #expect(reader.isAtEnd)
            }
        }
    }

    @Test func recordValueOfAnUnknownVersionIsRefused() {
        for version: [UInt8] in [[0, 5], [0xff, 0xff]] {
            let bytes = version + [UInt8](repeating: 0, count: 40)
            #expect(throws: DecodeError.self) {
                try bytes.withUnsafeBytes { raw in
                    var reader = ByteReader(raw)
                    _ = try OffsetCommitValue(withVersionFrom: &reader)
                }
            }
        }
    }

    @Test func recordKeyStandsBehindItsType() throws {
        var key = OffsetCommitKey()
        key.group = "g"
        key.topic = "t"
        key.partition = 3
        let bytes = key.encodedWithVersion()
        #expect(bytes == [0, 1, 0, 1, 0x67, 0, 1, 0x74, 0, 0, 0, 3])
        try bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            let decoded = try OffsetCommitKey(withVersionFrom: &reader)
            #expect(decoded == key)
            #expect(throws: DecodeError.invalid("another type of record key", position: 0)) {
                var again = ByteReader(raw)
                _ = try GroupMetadataKey(withVersionFrom: &again)
            }
        }
        var group = GroupMetadataKey()
        group.group = "g"
        #expect(group.encodedWithVersion() == [0, 2, 0, 1, 0x67])
    }

    @Test func subscriptionOfALaterVersionIsReadAsTheLatestKnown() throws {
        var subscription = ConsumerProtocolSubscription()
        subscription.topics = ["a"]
        subscription.rackID = "r"
        var bytes = subscription.encodedWithVersion(3)
        bytes[1] = 9
        bytes += [1, 2, 3]
        try bytes.withUnsafeBytes { raw in
            var reader = ByteReader(raw)
            let decoded = try ConsumerProtocolSubscription(withVersionOrLaterFrom: &reader)
            #expect(decoded == subscription)
            #expect(reader.remaining == 3)
            #expect(throws: DecodeError.self) {
                var again = ByteReader(raw)
                _ = try ConsumerProtocolSubscription(withVersionFrom: &again)
            }
        }
    }
}
