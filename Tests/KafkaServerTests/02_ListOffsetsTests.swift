import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

@Suite struct ListOffsetsTests {
    private static let start: Int64 = 1_700_000_000_000

    /// Batches of two records each, at times 0 and 5, 100 and 105, 50 and 55 (milliseconds after `start`).
    private func client() throws -> WireClient {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        for time in [Int64(0), 100, 50] {
            var batch = TestBatch(count: 2)
            batch.baseTimestamp = Self.start + time
            batch.records[1].timestampDelta = 5
            try #require(try client.produce("orders", batch.bytes()).code == .none)
        }
        return client
    }

    @Test func earliestAndLatest() throws {
        let client = try client()
        let latest = try client.listOffset("orders", at: -1)
        #expect((latest.code, latest.offset, latest.timestamp) == (.none, 6, -1))
        #expect(latest.leaderEpoch == 0)
        let earliest = try client.listOffset("orders", at: -2)
        #expect((earliest.code, earliest.offset, earliest.timestamp) == (.none, 0, -1))
    }

    @Test func theLargestTimestampIsFoundWithItsOffset() throws {
        let found = try client().listOffset("orders", at: -3)
        #expect((found.offset, found.timestamp) == (3, Self.start + 105))
    }

    @Test func nothingIsTiered() throws {
        let client = try client()
        #expect(try client.listOffset("orders", at: -4).offset == 0)
        for special in [Int64(-5), -6] {
            let found = try client.listOffset("orders", at: special)
            #expect((found.code, found.offset) == (.none, -1))
        }
    }

    @Test func aTimeGivesTheFirstRecordAtOrAfterItWithItsOwnTimestamp() throws {
        let client = try client()
        for (asked, offset, time) in [
            (Int64(0), Int64(0), Int64(0)), (1, 1, 5), (5, 1, 5), (6, 2, 100), (100, 2, 100), (101, 3, 105),
        ] {
            let found = try client.listOffset("orders", at: Self.start + asked)
            #expect((found.offset, found.timestamp) == (offset, Self.start + time), "\(asked)")
        }
        #expect(try client.listOffset("orders", at: 0).offset == 0)
    }

    @Test func aTimeAfterAllRecordsGivesMinus1() throws {
        let found = try client().listOffset("orders", at: Self.start + 106)
        #expect((found.code, found.offset, found.timestamp) == (.none, -1, -1))
    }

    @Test func anEmptyLogHasNoTimes() throws {
        let client = try TestBroker().client()
        try client.createTopic("orders")
        for time in [Int64(-3), 0, Self.start] {
            let found = try client.listOffset("orders", at: time)
            #expect((found.code, found.offset, found.timestamp) == (.none, -1, -1))
        }
        #expect(try client.listOffset("orders", at: -1).offset == 0)
    }

    @Test func unknownSpecialsAreUnsupported() throws {
        #expect(try client().listOffset("orders", at: -7).code == .unsupportedVersion)
    }

    @Test func versionsBefore4HaveNoLeaderEpoch() throws {
        let client = try client()
        for version in Int16(1)...11 {
            let found = try client.listOffset("orders", at: -1, version: version)
            #expect(found.offset == 6)
            #expect(found.leaderEpoch == (version < 4 ? -1 : 0))
        }
    }

    @Test func aPartitionAskedForTwiceIsInvalidRequest() throws {
        let client = try client()
        var asked = ListOffsetsRequest.ListOffsetsPartition()
        asked.timestamp = -1
        var topic = ListOffsetsRequest.ListOffsetsTopic()
        topic.name = "orders"
        topic.partitions = [asked, asked]
        var request = ListOffsetsRequest()
        request.topics = [topic]
        #expect(try client.call(request).topics[0].partitions.map(\.code) == [.invalidRequest, .invalidRequest])
    }

    @Test func unknownPlacesAndEpochsAreTold() throws {
        let client = try client()
        #expect(try client.listOffset("missing", at: -1).code == .unknownTopicOrPartition)
        #expect(try client.listOffset("orders", at: -1, partition: 3).code == .unknownTopicOrPartition)
        var asked = ListOffsetsRequest.ListOffsetsPartition()
        (asked.timestamp, asked.currentLeaderEpoch) = (-1, 4)
        var topic = ListOffsetsRequest.ListOffsetsTopic()
        topic.name = "orders"
        topic.partitions = [asked]
        var request = ListOffsetsRequest()
        request.topics = [topic]
        #expect(try client.call(request).topics[0].partitions[0].code == .unknownLeaderEpoch)
    }

    @Test func deletedRecordsAreNotFound() throws {
        let client = try client()
        #expect(try client.deleteRecords("orders", before: 3).lowWatermark == 3)
        #expect(try client.listOffset("orders", at: -2).offset == 3)
        let found = try client.listOffset("orders", at: Self.start)
        #expect((found.offset, found.timestamp) == (3, Self.start + 105))
    }
}
