import ByteBuffers
import KafkaClient
import KafkaModel
import KafkaWire
import RecordFormat
import Synchronization
import Testing

/// A coordinator that gives a member its id, and then lets it wait for the others.
private final class Coordinator: Sendable {
    let joins = Mutex<[String]>([])
    let leaves = Mutex<[String]>([])
    let isCancelled = Atomic<Bool>(false)

    func answer(_ header: RequestHeader, _ reader: inout ByteReader, _ address: BrokerAddress) -> [UInt8]? {
        switch APIKey(rawValue: header.requestAPIKey) {
        case .apiVersions:
            return FakeBroker.versions(
                [(.metadata, 0...13), (.findCoordinator, 0...3), (.joinGroup, 0...9), (.leaveGroup, 0...5)], to: header)
        case .findCoordinator:
            var response = FindCoordinatorResponse()
            response.nodeID = 1
            response.host = address.host
            response.port = Int32(address.port)
            return FakeBroker.encode(response, to: header)
        case .joinGroup:
            guard let request = try? JoinGroupRequest(from: &reader, version: header.requestAPIVersion) else {
                return nil
            }
            joins.withLock { $0.append(request.memberID) }
            guard request.memberID.isEmpty else {
                // No answer: the group rebalances. The user has had enough meanwhile.
                isCancelled.store(true, ordering: .relaxed)
                return []
            }
            var response = JoinGroupResponse()
            response.errorCode = ErrorCode.memberIDRequired.rawValue
            response.memberID = "m-1"
            return FakeBroker.encode(response, to: header)
        case .leaveGroup:
            guard let request = try? LeaveGroupRequest(from: &reader, version: header.requestAPIVersion) else {
                return nil
            }
            leaves.withLock { $0 += request.members.map(\.memberID) }
            return FakeBroker.encode(LeaveGroupResponse(), to: header)
        default: return nil
        }
    }
}

@Suite struct GroupConsumerTests {
    @Test func aMemberThatGivesUpJoiningLeavesTheGroup() throws {
        let coordinator = Coordinator()
        let box = SharedAddress()
        let broker = try FakeBroker { header, reader in
            box.address.withLock { $0 }.flatMap { coordinator.answer(header, &reader, $0) }
        }
        defer { broker.stop() }
        box.address.withLock { $0 = broker.address }
        var options = Fake.options()
        options.isCancelled = { coordinator.isCancelled.load(ordering: .relaxed) }
        let consumer = GroupConsumer(Cluster(bootstrap: [broker.address], options: options), group: "g", topics: ["t"])
        #expect(throws: ClientError.cancelled) { try consumer.poll(maxWaitMs: 100) { _, _ in true } }
        #expect(coordinator.joins.withLock { $0 } == ["", "m-1"])
        coordinator.isCancelled.store(false, ordering: .relaxed)
        try consumer.leave()
        #expect(coordinator.leaves.withLock { $0 } == ["m-1"])
        // It is left once.
        try consumer.leave()
        #expect(coordinator.leaves.withLock { $0 } == ["m-1"])
    }
}

private final class SharedAddress: Sendable {
    let address = Mutex<BrokerAddress?>(nil)
}

/// A coordinator whose group has this one member, and the broker of its one partition.
private final class LoneGroup: Sendable {
    let joins = Mutex<Int>(0)
    /// Error codes of the next answers of a kind; after the last one all is well.
    let fetches: Mutex<[ErrorCode]>
    let commits: Mutex<[ErrorCode]>

    init(offsetFetches: [ErrorCode] = [], commits: [ErrorCode] = []) {
        fetches = Mutex(offsetFetches)
        self.commits = Mutex(commits)
    }

    private static func next(_ codes: borrowing Mutex<[ErrorCode]>) -> Int16 {
        codes.withLock { $0.isEmpty ? .none : $0.removeFirst() }.rawValue
    }

    func answer(_ header: RequestHeader, _ reader: inout ByteReader, _ broker: FakeBroker) -> [UInt8]? {
        switch APIKey(rawValue: header.requestAPIKey) {
        case .apiVersions:
            return FakeBroker.versions(
                [
                    (.metadata, 0...13), (.findCoordinator, 0...3), (.joinGroup, 0...5), (.syncGroup, 0...3),
                    (.heartbeat, 0...3), (.offsetFetch, 1...5), (.offsetCommit, 2...7), (.fetch, 4...12),
                ], to: header)
        case .metadata: return broker.metadata("t", partitions: 1, to: header)
        case .findCoordinator:
            var response = FindCoordinatorResponse()
            response.nodeID = 1
            response.host = broker.address.host
            response.port = Int32(broker.address.port)
            return FakeBroker.encode(response, to: header)
        case .joinGroup:
            joins.withLock { $0 += 1 }
            var response = JoinGroupResponse()
            response.generationID = 1
            response.memberID = "m-1"
            // Another one deals the partitions out.
            response.leader = "m-0"
            response.protocolName = Assignor.range.rawValue
            return FakeBroker.encode(response, to: header)
        case .syncGroup:
            var topic = ConsumerProtocolAssignment.TopicPartition()
            topic.topic = "t"
            topic.partitions = [0]
            var assignment = ConsumerProtocolAssignment()
            assignment.assignedPartitions = [topic]
            var response = SyncGroupResponse()
            response.assignment = assignment.encodedWithVersion(1)
            return FakeBroker.encode(response, to: header)
        case .heartbeat: return FakeBroker.encode(HeartbeatResponse(), to: header)
        case .offsetFetch:
            var partition = OffsetFetchResponse.OffsetFetchResponsePartition()
            partition.committedOffset = 3
            var topic = OffsetFetchResponse.OffsetFetchResponseTopic()
            topic.name = "t"
            topic.partitions = [partition]
            var response = OffsetFetchResponse()
            response.topics = [topic]
            response.errorCode = Self.next(fetches)
            return FakeBroker.encode(response, to: header)
        case .offsetCommit:
            var partition = OffsetCommitResponse.OffsetCommitResponsePartition()
            partition.errorCode = Self.next(commits)
            var topic = OffsetCommitResponse.OffsetCommitResponseTopic()
            topic.name = "t"
            topic.partitions = [partition]
            var response = OffsetCommitResponse()
            response.topics = [topic]
            return FakeBroker.encode(response, to: header)
        case .fetch:
            guard let request = try? FetchRequest(from: &reader, version: header.requestAPIVersion) else { return nil }
            var builder = RecordBatchBuilder()
            builder.append(key: nil, value: [1], timestampMs: 1)
            var options = RecordBatchBuilder.Options()
            options.baseOffset = Offset(request.topics[0].partitions[0].fetchOffset)
            var partition = FetchResponse.PartitionData()
            partition.highWatermark = 100
            partition.records = builder.finishUncompressed(options).array
            var topic = FetchResponse.FetchableTopicResponse()
            topic.topic = "t"
            topic.partitions = [partition]
            var response = FetchResponse()
            response.responses = [topic]
            return FakeBroker.encode(response, to: header)
        default: return nil
        }
    }
}

private final class SharedBroker: Sendable {
    let broker = Mutex<FakeBroker?>(nil)
}

@Suite struct LostMembershipTests {
    private func run(_ group: LoneGroup, _ body: (GroupConsumer) throws -> Void) throws {
        let box = SharedBroker()
        let broker = try FakeBroker { header, reader in
            box.broker.withLock { $0 }.flatMap { group.answer(header, &reader, $0) }
        }
        defer { broker.stop() }
        box.broker.withLock { $0 = broker }
        let cluster = Cluster(bootstrap: [broker.address], options: Fake.options())
        try body(GroupConsumer(cluster, group: "g", topics: ["t"]))
    }

    /// Its partitions are not known from an empty list: they are assigned again, and read.
    @Test func aMemberThatDidNotLearnWhereToBeginJoinsAgain() throws {
        let group = LoneGroup(offsetFetches: [.unknownServerError])
        try run(group) { consumer in
            #expect(throws: ClientError.self) { try consumer.poll(maxWaitMs: 0) { _, _ in true } }
            #expect(!consumer.isMember && consumer.positions.isEmpty)
            let count = try consumer.poll(maxWaitMs: 0) { _, _ in true }
            #expect(count == 1)
            #expect(consumer.isMember && consumer.positions == [PartitionName("t", 0): 4])
        }
        #expect(group.joins.withLock { $0 } == 2)
    }

    @Test(arguments: [ErrorCode.unknownMemberID, .illegalGeneration, .rebalanceInProgress])
    func aCommitThatTheGroupDoesNotTakeIsToldAndTheRecordsComeAgain(code: ErrorCode) throws {
        let group = LoneGroup(commits: [code])
        try run(group) { consumer in
            var offsets: [Int64] = []
            for isTaken in [false, true] {
                try consumer.poll(maxWaitMs: 0) { _, record in
                    offsets.append(record.offset.rawValue)
                    return true
                }
                #expect(try consumer.commit() == isTaken)
                #expect(consumer.isMember == isTaken && consumer.positions.isEmpty == !isTaken)
            }
            #expect(offsets == [3, 3])
        }
        #expect(group.joins.withLock { $0 } == 2)
    }
}
