import ByteBuffers
import KafkaClient
import KafkaModel
import KafkaWire
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
