import BrokerTestKit
import ByteBuffers
import Coordinators
import KafkaModel
import KafkaWire
import RecordFormat
import Testing

@testable import BrokerCore
@testable import KafkaServer

/// Share groups over the wire: ShareGroupHeartbeat, ShareGroupDescribe, ShareFetch, ShareAcknowledge, and what tools see and change. The states of
/// groups and of records have cases of their own (`ShareGroupTests` of CoordinatorsTests, `ShareTests`).
@Suite struct ShareGroupTests {
    private func broker(_ change: @escaping (inout TestBroker.Options) -> Void = { _ in }) throws -> TestBroker {
        try TestBroker { options in
            options.broker.groups.shareOffsetReset = .earliest
            options.broker.shareStatePartitions = 2
            change(&options)
        }
    }

    private func acquired(_ response: ShareFetchResponse) -> [String] { ShareClient.acquired(response) }

    private func code(_ response: ShareFetchResponse) -> ErrorCode { ErrorCode(rawValue: response.errorCode) }

    private func code(_ response: ShareAcknowledgeResponse) -> ErrorCode {
        if response.errorCode != 0 { return ErrorCode(rawValue: response.errorCode) }
        return ErrorCode(rawValue: response.responses.first?.partitions.first?.errorCode ?? 0)
    }

    private func position(_ client: WireClient, _ group: String = "sharers") throws -> [String] {
        var request = DescribeShareGroupOffsetsRequest()
        request.groups = [.init()]
        (request.groups[0].groupID, request.groups[0].topics) = (group, nil)
        let row = try #require(try client.call(request).groups.first)
        if row.errorCode != 0 { return [ErrorCode(rawValue: row.errorCode).name] }
        return row.topics.flatMap { topic in
            topic.partitions.map { "\(topic.topicName)-\($0.partitionIndex) \($0.startOffset) \($0.lag)" }
        }
    }

    @Test func aMemberJoinsReadsAcknowledgesAndLeaves() throws {
        let broker = try broker()
        let client = try broker.client()
        let id = try client.createTopic("orders", partitions: 2)
        try client.append("orders", count: 3)
        let member = try ShareClient(broker, id)
        let joined = try member.join()
        #expect((joined.errorCode, joined.memberEpoch, joined.heartbeatIntervalMs) == (0, 2, 5_000))
        #expect(joined.assignment?.topicPartitions.map(\.partitions) == [[0, 1]])

        let first = try client.call(member.fetchRequest(0, partitions: [0, 1]))
        #expect(code(first) == .none && first.acquisitionLockTimeoutMs == 30_000)
        #expect(acquired(first) == ["0: 0-2 x1"])
        let records = try #require(first.responses.first?.partitions.first?.records)
        #expect(try TestRecords.offsets(records) == [0, 1, 2])

        let second = try client.call(
            member.fetchRequest(1, [ShareClient.batch(0, 0, [1]), ShareClient.batch(1, 2, [1, 2])]))
        #expect(second.responses.first?.partitions.map(\.acknowledgeErrorCode) == [0])
        #expect(acquired(second) == ["0: 2-2 x2"])
        #expect(try position(client) == ["orders-0 2 1", "orders-1 0 0"])
        #expect(try code(member.acknowledge(2, 2, 2, [1])) == .none)
        #expect(try position(client) == ["orders-0 3 0", "orders-1 0 0"])
        #expect(try member.leave().memberEpoch == -1)
    }

    @Test func sessionsEndWithTheirConnections() throws {
        let broker = try broker()
        let client = try broker.client()
        let id = try client.createTopic("orders")
        try client.append("orders", count: 2)
        let (one, other) = (try ShareClient(broker, id), try ShareClient(broker, id, "n"))
        try one.join()
        try other.join()
        #expect(try acquired(one.fetch(0)) == ["0: 0-1 x1"])
        #expect(try acquired(other.fetch(0)) == [])
        one.client.close()
        // What it had is given to who waits, and was no delivery.
        #expect(try acquired(other.fetch(1, waitMs: 30_000)) == ["0: 0-1 x1"])
        #expect(try code(other.acknowledge(2, 0, 1, [1])) == .none)
        #expect(try code(other.acknowledge(3, 0, 1, [1])) == .none)
        // The final epoch ends it.
        #expect(try code(other.fetch(-1)) == .none)
        #expect(try code(other.fetch(4)) == .shareSessionNotFound)
        #expect(try code(other.acknowledge(-1, 0, 1, [1])) == .shareSessionNotFound)
    }

    @Test func aFetchWaitsForRecords() throws {
        let broker = try broker()
        let client = try broker.client()
        let id = try client.createTopic("orders")
        let member = try ShareClient(broker, id)
        try member.join()
        #expect(try acquired(member.fetch(0)) == [])
        let waiting = try member.client.send(member.fetchRequest(1, waitMs: 60_000))
        try waitUntil { broker.broker.shares.waits.count == 1 }
        try client.append("orders", count: 2)
        let told = try member.client.receive(ShareFetchResponse.self, correlationID: waiting)
        #expect(acquired(told) == ["0: 0-1 x1"])
        // One whose time is over has none.
        #expect(try acquired(member.fetch(2, waitMs: 20)) == [])
        // And one that waits goes with the broker.
        _ = try member.client.send(member.fetchRequest(3, waitMs: 60_000))
        try waitUntil { broker.broker.shares.waits.count == 1 }
        broker.stop()
    }

    @Test func whatIsNotValidIsRefused() throws {
        let broker = try broker()
        let client = try broker.client()
        let id = try client.createTopic("orders")
        try client.append("orders", count: 4)
        let member = try ShareClient(broker, id)
        try member.join()
        #expect(try code(member.fetch(0, [ShareClient.batch(0, 0, [1])])) == .invalidRequest)
        #expect(try code(member.fetch(1)) == .shareSessionNotFound)
        var long = member
        long.id = String(repeating: "m", count: 37)
        #expect(try code(long.fetch(0)) == .invalidRequest)
        #expect(try acquired(member.fetch(0)) == ["0: 0-3 x1"])
        #expect(try code(member.fetch(7)) == .invalidShareSessionEpoch)
        #expect(try code(member.acknowledge(0, 0, 0, [1])) == .invalidShareSessionEpoch)
        var epoch: Int32 = 1
        for (first, last, types) in [
            (Int64(0), Int64(1), [Int8]()), (0, 1, [1, 1, 1]), (1, 0, [1]), (-1, 0, [1]), (0, 0, [5]), (0, 0, [-1]),
            (0, 0, [4]),
        ] {
            #expect(
                try code(member.acknowledge(epoch, first, last, types)) == .invalidRequest, "\(first) \(last) \(types)")
            epoch += 1
        }
        #expect(try code(member.acknowledge(epoch, 0, 9, [1])) == .invalidRecordState)
        #expect(try code(member.acknowledge(epoch + 1, 0, 0, [4], renews: true)) == .none)
        // A renewal fetches nothing.
        var renewal = member.fetchRequest(epoch + 2, [ShareClient.batch(1, 1, [4])])
        renewal.isRenewAck = true
        #expect(try code(member.client.call(renewal)) == .invalidRequest)
        (renewal.minBytes, renewal.maxBytes, renewal.maxRecords) = (0, 0, 0)
        let renewed = try member.client.call(renewal)
        #expect(code(renewed) == .none && renewed.responses[0].partitions[0].acknowledgeErrorCode == 0)
        // Unknown topics and partitions.
        var other = member.fetchRequest(epoch + 3, partitions: [5])
        other.topics.append(.init())
        (other.topics[1].topicID, other.topics[1].partitions) = (.random(), [.init()])
        let strange = try member.client.call(other).responses.flatMap(\.partitions).map {
            ErrorCode(rawValue: $0.errorCode)
        }
        #expect(Set(strange) == [.unknownTopicOrPartition, .unknownTopicID])
    }

    @Test func aGroupMayForbidToRenew() throws {
        let broker = try broker()
        let id = try broker.client().createTopic("orders")
        try broker.client().append("orders", count: 1)
        let member = try ShareClient(broker, id)
        try member.join()
        #expect(
            broker.broker.alterGroupSettings(
                "sharers", ["share.renew.acknowledge.enable": "false", "share.record.lock.duration.ms": "60000"],
                validateOnly: false) == nil)
        #expect(try member.fetch(0).acquisitionLockTimeoutMs == 60_000)
        #expect(try code(member.acknowledge(1, 0, 0, [4], renews: true)) == .invalidRecordState)
    }

    @Test func whatWasAcknowledgedSurvivesAPowerCut() throws {
        let broker = try broker()
        let client = try broker.client()
        let id = try client.createTopic("orders")
        try client.append("orders", count: 3)
        let member = try ShareClient(broker, id)
        try member.join()
        #expect(try acquired(member.fetch(0)) == ["0: 0-2 x1"])
        #expect(try code(member.acknowledge(1, 0, 1, [1])) == .none)
        let after = try broker.crashed()
        #expect(try position(after.client()) == ["orders-0 2 1"])
        let again = try ShareClient(after, id)
        #expect(try code(again.fetch(2)) == .shareSessionNotFound)
        #expect(try acquired(again.fetch(0)).map { String($0.prefix(6)) } == ["0: 2-2"])
    }

    @Test func toolsSeeAndMoveAGroup() throws {
        let broker = try broker()
        let client = try broker.client()
        let id = try client.createTopic("orders")
        try client.append("orders", count: 5)
        let member = try ShareClient(broker, id)
        try member.join()
        #expect(try acquired(member.fetch(0)) == ["0: 0-4 x1"])
        #expect(try code(member.acknowledge(1, 0, 4, [1])) == .none)
        var listing = ListGroupsRequest()
        listing.typesFilter = ["share"]
        #expect(
            try client.call(listing).groups.map { "\($0.groupID) \($0.groupType) \($0.groupState)" } == [
                "sharers share Stable"
            ])
        var describing = ShareGroupDescribeRequest()
        describing.groupIDs = ["sharers", "sharers", "nobody"]
        let described = try client.call(describing).groups
        #expect(described.map(\.errorCode) == [0, ErrorCode.groupIDNotFound.rawValue])
        #expect(described[0].members.map(\.memberID) == ["m"])
        #expect(described[0].members[0].assignment.topicPartitions.map(\.topicName) == ["orders"])

        func alter(_ offset: Int64, group: String = "sharers", partition: Int32 = 0) throws -> [ErrorCode] {
            var request = AlterShareGroupOffsetsRequest()
            (request.groupID, request.topics) = (group, [.init()])
            (request.topics[0].topicName, request.topics[0].partitions) = ("orders", [.init()])
            (request.topics[0].partitions[0].partitionIndex, request.topics[0].partitions[0].startOffset) = (
                partition, offset
            )
            let reply = try client.call(request)
            return ([reply.errorCode] + reply.responses.flatMap(\.partitions).map(\.errorCode)).map(ErrorCode.init)
        }
        func forget(_ topic: String = "orders", group: String = "sharers") throws -> [ErrorCode] {
            var request = DeleteShareGroupOffsetsRequest()
            (request.groupID, request.topics) = (group, [.init()])
            request.topics[0].topicName = topic
            let reply = try client.call(request)
            return ([reply.errorCode] + reply.responses.map(\.errorCode)).map(ErrorCode.init)
        }
        func delete() throws -> ErrorCode {
            var request = DeleteGroupsRequest()
            request.groupsNames = ["sharers"]
            return ErrorCode(rawValue: try client.call(request).results[0].errorCode)
        }
        #expect(try alter(2) == [.nonEmptyGroup] && forget() == [.nonEmptyGroup] && delete() == .nonEmptyGroup)
        _ = try member.leave()
        #expect(try alter(2) == [.none, .none])
        #expect(try position(client) == ["orders-0 2 3"])
        #expect(try alter(-1) == [.none, .invalidRequest])
        #expect(try alter(0, partition: 7) == [.none, .unknownTopicOrPartition])
        // A group that was not there is there then.
        #expect(try alter(4, group: "new") == [.none, .none])
        #expect(try position(client, "new") == ["orders-0 4 1"])
        #expect(try forget("missing") == [.none, .unknownTopicOrPartition])
        #expect(try forget() == [.none, .none] && position(client) == [])
        #expect(try forget() == [.none, .unknownTopicOrPartition])
        #expect(try forget(group: "nobody") == [.groupIDNotFound])
        #expect(try position(client, "nobody") == ["GROUP_ID_NOT_FOUND"])
        // With the group goes where it is.
        try member.join()
        #expect(try acquired(member.fetch(0)) == ["0: 0-4 x1"])
        _ = try member.leave()
        #expect(try delete() == .none)
        #expect(try position(client) == ["GROUP_ID_NOT_FOUND"])
        #expect(try broker.broker.shares.partitions(of: "sharers").isEmpty)
        let after = try broker.restarted()
        #expect(try position(after.client(), "new") == ["orders-0 4 1"])
        #expect(try after.broker.shares.partitions(of: "sharers").isEmpty)
    }

    @Test func namedPartitionsAreDescribedOneByOne() throws {
        let broker = try broker()
        let client = try broker.client()
        let id = try client.createTopic("orders", partitions: 2)
        let member = try ShareClient(broker, id)
        try member.join()
        _ = try member.fetch(0)
        var request = DescribeShareGroupOffsetsRequest()
        request.groups = [.init()]
        request.groups[0].groupID = "sharers"
        request.groups[0].topics = ["orders", "missing"].map { name in
            var topic = DescribeShareGroupOffsetsRequest.DescribeShareGroupOffsetsRequestTopic()
            (topic.topicName, topic.partitions) = (name, [0, 1, 2])
            return topic
        }
        let rows = try client.call(request).groups[0].topics
        #expect(rows.map { $0.partitions.map(\.startOffset) } == [[0, -1, -1], [-1, -1, -1]])
        #expect(rows.map { $0.partitions.map(\.errorCode) } == [[0, 0, 3], [3, 3, 3]])
    }

    @Test func aThrottledMemberGetsItsRecords() throws {
        let broker = try broker()
        let client = try broker.client()
        let id = try client.createTopic("orders")
        try client.append("orders", count: 4)
        let member = try ShareClient(broker, id)
        try member.join()
        let reply = try client.call(AccessRequests.quotas([("client-id", "test")], [("consumer_byte_rate", 10)]))
        try #require(reply.entries.first?.errorCode == 0)
        let told = try member.fetch(0)
        #expect(told.throttleTimeMs > 0 && acquired(told) == ["0: 0-3 x1"])
    }
}

/// The offsets of records as a reply has them.
private enum TestRecords {
    static func offsets(_ bytes: [UInt8]) throws -> [Int64] {
        try bytes.withUnsafeBytes { raw in
            var found: [Int64] = []
            var cursor = RecordBatchCursor(raw)
            var records = RecordIterator()
            while let batch = try cursor.next() {
                try records.open(batch)
                while let record = try records.next() { found.append(record.offset.rawValue) }
            }
            return found
        }
    }
}
