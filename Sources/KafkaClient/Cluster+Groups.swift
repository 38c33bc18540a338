internal import ByteBuffers
internal import KafkaModel
internal import KafkaWire

/// Consumer groups, as administration sees them.
extension Cluster {
    public struct ListedGroup: Sendable, Equatable {
        public var groupID: String
        public var protocolType: String
        /// Empty when the broker does not tell.
        public var state: String
        public var type: String
    }

    public struct GroupMember: Sendable, Equatable {
        public var memberID: String
        public var groupInstanceID: String?
        public var clientID: String
        public var host: String
        /// Empty when the member is not a consumer or has none.
        public var assignment: [PartitionName]
    }

    public struct GroupDescription: Sendable, Equatable {
        public var groupID: String
        public var state: String
        public var protocolType: String
        public var assignor: String
        public var members: [GroupMember]
        public var coordinatorID: Int32
    }

    /// Lists every broker's groups.
    public func listGroups() throws(ClientError) -> [ListedGroup] {
        try refresh(topics: [])
        var groups: [ListedGroup] = []
        for node in brokers.keys.sorted() {
            groups += try retrying { deadline throws(ClientError) in
                let response = try connection(to: node, deadline).call(ListGroupsRequest(), deadline: deadline)
                try Self.check(response.errorCode, "groups of broker \(node)")
                return response.groups.map {
                    ListedGroup(
                        groupID: $0.groupID, protocolType: $0.protocolType, state: $0.groupState, type: $0.groupType)
                }
            }
        }
        return groups.sorted { $0.groupID < $1.groupID }
    }

    /// Returns the broker that coordinates a group, from memory or asked.
    func coordinator(of group: String, _ deadline: Deadline) throws(ClientError) -> Int32 {
        if let known = coordinators[group] { return known }
        let connection = try anyConnection(deadline)
        let response = try connection.call(deadline: deadline) { version in
            var request = FindCoordinatorRequest()
            request.keyType = 0
            if version >= 4 { request.coordinatorKeys = [group] } else { request.key = group }
            return request
        }
        var (code, message, node) = (response.errorCode, response.errorMessage, response.nodeID)
        var (host, port) = (response.host, response.port)
        if let found = response.coordinators.first {
            (code, message, node, host, port) =
                (found.errorCode, found.errorMessage, found.nodeID, found.host, found.port)
        }
        try Self.check(code, "coordinator of group \(group)", message)
        guard node >= 0, let port = UInt16(exactly: port) else {
            throw .invalidAnswer("coordinator of group \(group): node \(node), port \(port)")
        }
        brokers[node] = BrokerAddress(host: host, port: port)
        coordinators[group] = node
        return node
    }

    /// Runs `body` with the connection to the group's coordinator, and again with another when it moved.
    func withCoordinator<Result>(
        of group: String, waitMs: Int64 = 0,
        _ body: (BrokerConnection, Deadline) throws(ClientError) -> Result
    ) throws(ClientError) -> Result {
        try retrying { deadline throws(ClientError) in
            do throws(ClientError) {
                let node = try coordinator(of: group, deadline)
                let connection = try connection(to: node, deadline)
                return try body(connection, waitMs == 0 ? deadline : self.deadline(beyond: waitMs))
            } catch {
                if error.isTransient { coordinators[group] = nil }
                throw error
            }
        }
    }

    /// Describes a group's state and members, of the classic or the consumer protocol. One that does not exist is
    /// `.refused(.groupIDNotFound, …)`.
    public func describe(group: String) throws(ClientError) -> GroupDescription {
        try withCoordinator(of: group) { connection, deadline throws(ClientError) in
            var request = DescribeGroupsRequest()
            request.groups = [group]
            let response = try connection.call(request, deadline: deadline)
            guard let described = response.groups.first else {
                throw .invalidAnswer("DescribeGroups says nothing of \(group)")
            }
            // Before version 6 a group that is missing, or no classic one, is a dead one.
            let isMissing =
                described.groupState == "Dead" || described.errorCode == ErrorCode.groupIDNotFound.rawValue
            if isMissing, let consumers = try describeConsumers(of: group, connection, deadline) { return consumers }
            try Self.check(described.errorCode, "group \(group)", described.errorMessage)
            if isMissing { throw .refused(.groupIDNotFound, "group \(group)", message: nil) }
            return GroupDescription(
                groupID: described.groupID, state: described.groupState, protocolType: described.protocolType,
                assignor: described.protocolData, members: described.members.map(GroupMember.init),
                coordinatorID: coordinators[group] ?? -1)
        }
    }

    /// Describes a group of the consumer protocol; nil: there is none, or the broker knows nothing of such groups.
    private func describeConsumers(
        of group: String, _ connection: BrokerConnection, _ deadline: Deadline
    ) throws(ClientError) -> GroupDescription? {
        guard connection.version(for: ConsumerGroupDescribeRequest.self) != nil else { return nil }
        var request = ConsumerGroupDescribeRequest()
        request.groupIDs = [group]
        let response = try connection.call(request, deadline: deadline)
        guard let described = response.groups.first else {
            throw .invalidAnswer("ConsumerGroupDescribe says nothing of \(group)")
        }
        if described.errorCode == ErrorCode.groupIDNotFound.rawValue { return nil }
        try Self.check(described.errorCode, "group \(group)", described.errorMessage)
        return GroupDescription(
            groupID: described.groupID, state: described.groupState, protocolType: "consumer",
            assignor: described.assignorName, members: described.members.map(GroupMember.init),
            coordinatorID: coordinators[group] ?? -1)
    }

    public func delete(group: String) throws(ClientError) {
        try withCoordinator(of: group) { connection, deadline throws(ClientError) in
            var request = DeleteGroupsRequest()
            request.groupsNames = [group]
            let response = try connection.call(request, deadline: deadline)
            guard let result = response.results.first else {
                throw .invalidAnswer("DeleteGroups says nothing of \(group)")
            }
            try Self.check(result.errorCode, "group \(group)", result.errorMessage)
        }
    }
}

extension Cluster.GroupMember {
    init(_ member: DescribeGroupsResponse.DescribedGroupMember) {
        let partitions = member.memberAssignment.withUnsafeBytes { bytes -> [PartitionName] in
            guard !bytes.isEmpty else { return [] }
            var reader = ByteReader(bytes)
            // Other protocols put other things there: what is no assignment is shown as none.
            let assignment = try? ConsumerProtocolAssignment(withVersionOrLaterFrom: &reader)
            return (assignment?.assignedPartitions ?? []).flatMap { topic in
                topic.partitions.map { PartitionName(topic.topic, $0) }
            }
        }
        self.init(
            memberID: member.memberID, groupInstanceID: member.groupInstanceID, clientID: member.clientID,
            host: member.clientHost, assignment: partitions.sorted())
    }

    init(_ member: ConsumerGroupDescribeResponse.Member) {
        self.init(
            memberID: member.memberID, groupInstanceID: member.instanceID, clientID: member.clientID,
            host: member.clientHost,
            assignment: member.assignment.topicPartitions.flatMap { topic in
                topic.partitions.map { PartitionName(topic.topicName, $0) }
            }.sorted())
    }
}
