import BrokerTestKit
import KafkaModel
import KafkaWire
import Testing

extension WireClient {
    // MARK: Committed offsets

    static func commitRequest(
        _ group: String, _ topic: String, _ offset: Int64, partition: Int32 = 0, metadata: String? = ""
    ) -> OffsetCommitRequest {
        OffsetCommitRequest(group: group, topic: topic, partitions: [partition], offset: offset, metadata: metadata)
    }

    /// Commits as a client does that is in no generation; an error fails the test.
    func commit(
        _ group: String, _ topic: String, _ offset: Int64, partition: Int32 = 0, metadata: String? = ""
    ) throws {
        let request = Self.commitRequest(group, topic, offset, partition: partition, metadata: metadata)
        let code = try #require(try call(request, version: 9).topics.first?.partitions.first).code
        try #require(code == .none)
    }

    static func offsetFetchRequest(_ group: String, _ topic: String, partitions: [Int32] = [0]) -> OffsetFetchRequest {
        var topics = OffsetFetchRequest.OffsetFetchRequestTopics()
        topics.name = topic
        topics.partitionIndexes = partitions
        var entry = OffsetFetchRequest.OffsetFetchRequestGroup()
        entry.groupID = group
        entry.topics = [topics]
        var request = OffsetFetchRequest()
        request.groups = [entry]
        return request
    }

    func committed(
        _ group: String, _ topic: String, partition: Int32 = 0
    ) throws -> OffsetFetchResponse.OffsetFetchResponsePartitions {
        let reply = try call(Self.offsetFetchRequest(group, topic, partitions: [partition]), version: 9)
        return try #require(reply.groups.first?.topics.first?.partitions.first)
    }
}

/// A member of a classic group, one request at a time.
struct Member {
    let client: WireClient
    let group: String
    var memberID = ""
    var generationID: Int32 = -1
    var instanceID: String?

    init(_ client: WireClient, group: String) {
        self.client = client
        self.group = group
    }

    func joinRequest() -> JoinGroupRequest {
        var request = JoinGroupRequest()
        request.groupID = group
        request.sessionTimeoutMs = 30_000
        request.rebalanceTimeoutMs = 60_000
        request.memberID = memberID
        request.groupInstanceID = instanceID
        request.protocolType = "consumer"
        var range = JoinGroupRequest.JoinGroupRequestProtocol()
        range.name = "range"
        range.metadata = Array("of \(group)".utf8)
        request.protocols = [range]
        return request
    }

    /// The first of KIP-394's two steps.
    mutating func takeMemberID() throws {
        let reply = try client.call(joinRequest(), version: 9)
        try #require(reply.code == .memberIDRequired)
        memberID = reply.memberID
    }

    @discardableResult
    func sendJoin() throws -> Int32 { try client.send(joinRequest(), version: 9) }

    mutating func receiveJoin(_ id: Int32) throws -> JoinGroupResponse {
        let reply = try client.receive(JoinGroupResponse.self, version: 9, correlationID: id)
        if reply.code == .none { generationID = reply.generationID }
        return reply
    }

    func syncRequest(_ assignments: [String: String] = [:]) -> SyncGroupRequest {
        var request = SyncGroupRequest()
        request.groupID = group
        request.generationID = generationID
        request.memberID = memberID
        request.groupInstanceID = instanceID
        request.protocolType = "consumer"
        request.protocolName = "range"
        request.assignments = assignments.sorted { $0.key < $1.key }.map { member, assignment in
            var entry = SyncGroupRequest.SyncGroupRequestAssignment()
            (entry.memberID, entry.assignment) = (member, Array(assignment.utf8))
            return entry
        }
        return request
    }

    func heartbeat() throws -> ErrorCode { try client.call(heartbeatRequest()).code }

    func heartbeatRequest() -> HeartbeatRequest {
        var request = HeartbeatRequest()
        request.groupID = group
        request.generationID = generationID
        request.memberID = memberID
        request.groupInstanceID = instanceID
        return request
    }

    func leave() throws -> LeaveGroupResponse {
        var request = LeaveGroupRequest()
        request.groupID = group
        request.members = [LeaveGroupRequest.MemberIdentity()]
        request.members[0].memberID = memberID
        return try client.call(request)
    }

    /// Joins a group that nobody else is in, and takes everything.
    func joinAlone() throws -> Member {
        var member = self
        try member.takeMemberID()
        let joined = try member.receiveJoin(member.sendJoin())
        try #require(joined.code == .none)
        let synced = try client.call(member.syncRequest([member.memberID: "all"]))
        try #require(synced.code == .none)
        return member
    }
}
