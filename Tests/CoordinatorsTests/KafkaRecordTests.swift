import ByteBuffers
import KafkaModel
import KafkaWire
import Testing

@testable import Coordinators

/// Records that a Kafka 4.3.1 broker wrote: a console consumer's group, from its creation to its leaving, and a simple
/// group whose offset was set and deleted by a tool.
@Suite struct KafkaRecordTests {
    private static let written: [(key: String, value: String?)] = [
        ("000200026767", "0003000000000000ffffffff000001a1fe97473c00000000"),
        (
            "000200026767",
            "00030008636f6e73756d657200000001000572616e67650035636f6e736f6c652d636f6e73756d65722d66623566636538362d61"
                + "3431342d346239332d383039612d356335313534356534383435000001a1fe9747a7000000010035636f6e736f6c652d636f"
                + "6e73756d65722d66623566636538362d613431342d346239332d383039612d356335313534356534383435ffff0010636f6e"
                + "736f6c652d636f6e73756d6572000a2f3132372e302e302e31000493e00000afc800000017000300000001000174ffffffff"
                + "00000000ffffffffffff00000019000300000001000174000000020000000000000001ffffffff"
        ),
        (
            "00010002676700017400000001",
            "00040000000000000000ffffffff01000001a1fe9748c50100101b7b8382808d424ea0ca9e98330938d0"
        ),
        (
            "00010002676700017400000000",
            "000400000000000000140000000001000001a1fe9748c50100101b7b8382808d424ea0ca9e98330938d0"
        ),
        ("000200026767", "00030008636f6e73756d657200000002ffffffff000001a1fe9748de00000000"),
        (
            "0001000673696d706c6500017400000000",
            "00040000000000000003ffffffff01000001a1fe97503d0100101b7b8382808d424ea0ca9e98330938d0"
        ),
        ("0001000673696d706c6500017400000000", nil),
        ("0002000673696d706c65", nil),
    ]

    private func bytes(_ hex: String) -> [UInt8] {
        stride(from: 0, to: hex.count, by: 2).map { index in
            let start = hex.index(hex.startIndex, offsetBy: index)
            return UInt8(hex[start..<hex.index(start, offsetBy: 2)], radix: 16)!
        }
    }

    private func decode(_ key: [UInt8], _ value: [UInt8]?) throws -> GroupRecord {
        try key.withUnsafeBytes { key throws in
            guard let value else { return try GroupRecord(key: key, value: nil) }
            return try value.withUnsafeBytes { try GroupRecord(key: key, value: $0) }
        }
    }

    @Test func recordsOfKafkaAreReadAndWrittenAgainAsTheyWere() throws {
        for (key, value) in Self.written {
            let record = CoordinatorRecord(key: bytes(key), value: value.map(bytes))
            #expect(try decode(record.key, record.value).encoded == record)
        }
    }

    @Test func groupsOfAKafkaLogAreTakenUp() throws {
        var shard = GroupShard()
        for (key, value) in Self.written.prefix(4) {
            let (key, value) = (bytes(key), bytes(value!))
            try key.withUnsafeBytes { key throws in
                try value.withUnsafeBytes { try shard.replay(key: key, value: $0) }
            }
        }
        _ = shard.loaded(now: CoordinatorTime(monotonicMs: 0, wallClockMs: 1_795_272_689_900))
        let group = shard.describeGroup("gg", apiVersion: 6)
        #expect(group.groupState == "Stable" && group.protocolData == "range")
        #expect(group.members.map(\.clientHost) == ["/127.0.0.1"])
        #expect(shard.groups["gg"]?.subscribedTopics == ["t"])
        #expect(shard.groups["gg"]?.offsets["t", 0]?.offset == 20)
        #expect(shard.groups["gg"]?.offsets["t", 0]?.topicID.description == "G3uDgoCNQk6gyp6YMwk40A")
    }
}
