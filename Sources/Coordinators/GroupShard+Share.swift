public import KafkaModel
public import KafkaWire

/// Share groups: their members' heartbeats, and what tools and those who keep the states of their records see of them. Source: KIP-932.
extension GroupShard {
    /// Lets a member join, live on or leave. The topics it names must be known to be its client's to describe.
    public mutating func shareGroupHeartbeat(
        _ request: ShareGroupHeartbeatRequest, context requestContext: RequestContext, waiter: WaiterID,
        now: CoordinatorTime
    ) -> GroupActions {
        context.begin(now)
        var response = ShareGroupHeartbeatResponse()
        do throws(GroupRefusal) {
            if let error = phaseError { throw GroupRefusal(error, "The group is not served by this broker just now.") }
            try check(request)
            response = try heartbeat(request, requestContext)
        } catch {
            response.errorCode = error.code.rawValue
            response.errorMessage = error.message
        }
        context.reply(waiter, .shareHeartbeat(response))
        return context.finish()
    }

    /// Checks a request by itself.
    private func check(_ request: ShareGroupHeartbeatRequest) throws(GroupRefusal) {
        func require(_ holds: Bool, _ message: String) throws(GroupRefusal) {
            if !holds { throw GroupRefusal(.invalidRequest, message) }
        }
        try require(!request.memberID.isEmpty, "MemberId can't be empty.")
        try require(!request.groupID.isEmpty, "GroupId can't be empty.")
        try require(request.rackID?.isEmpty != true, "RackId can't be empty.")
        let texts = [request.groupID, request.memberID, request.rackID ?? ""]
        try require(texts.allSatisfy { $0.utf8.count <= Int(Int16.max) }, "An id is longer than a record has room for.")
        try require(request.memberEpoch >= -1, "MemberEpoch is invalid: \(request.memberEpoch).")
        if request.memberEpoch < 0 { return }
        let names = request.subscribedTopicNames ?? []
        try require(
            request.memberEpoch != 0 || !names.isEmpty, "SubscribedTopicNames must be set in first request.")
        try require(
            names.count <= ConsumerGroup.maxTopicNames, "A member names at most \(ConsumerGroup.maxTopicNames) topics.")
        try require(
            names.allSatisfy { !$0.isEmpty && $0.utf8.count <= TopicName.maxLength },
            "A name in SubscribedTopicNames is empty or longer than \(TopicName.maxLength) bytes.")
    }

    private mutating func heartbeat(
        _ request: ShareGroupHeartbeatRequest, _ requestContext: RequestContext
    ) throws(GroupRefusal) -> ShareGroupHeartbeatResponse {
        let groupID = request.groupID
        if let refusal = shareRefusal(of: groupID), groups.has(groupID) || request.memberEpoch != 0 { throw refusal }
        // A closure that counts what it does cannot throw.
        let outcome: Result<ShareGroupHeartbeatResponse, GroupRefusal> = counting(groupID) { shard in
            let isNew = !shard.groups.has(groupID)
            if isNew { shard.makeShareGroup(groupID) }
            do throws(GroupRefusal) {
                return .success(
                    request.memberEpoch < 0
                        ? try shard.groups[groupID]!.share!.leave(request, &shard.context)
                        : try shard.groups[groupID]!.share!.heartbeat(request, requestContext, &shard.context))
            } catch {
                // What was made for it goes with it.
                if isNew { shard.groups[groupID] = nil }
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    private mutating func makeShareGroup(_ groupID: String) {
        createGroup(groupID)
        groups[groupID]!.share = ShareGroup(groupID: groupID)
    }

    private func shareRefusal(of groupID: String) -> GroupRefusal? {
        guard let group = groups[groupID] else { return GroupRefusal(.groupIDNotFound, "Group \(groupID) not found.") }
        return group.share == nil ? GroupRefusal(.groupIDNotFound, "Group \(groupID) is not a share group.") : nil
    }

    /// Makes an empty share group where there is no group of that name.
    public mutating func makeShareGroup(_ groupID: String, waiter: WaiterID, now: CoordinatorTime) -> GroupActions {
        context.begin(now)
        var error = phaseError ?? .none
        if error == .none {
            if groups.has(groupID) {
                error = groups[groupID]?.share == nil ? .groupIDNotFound : .none
            } else if !Self.isValidName(groupID) {
                error = .invalidGroupID
            } else if !context.hasRoom(for: ClassicGroup.emptyBytes + ConsumerGroup.emptyBytes + groupID.utf8.count) {
                error = .groupMaxSizeReached
            } else {
                counting(groupID) { shard in
                    shard.makeShareGroup(groupID)
                    shard.context.write(.shareEpoch(groupID: groupID, epoch: 1, hash: 0))
                }
            }
        }
        context.reply(waiter, .shareGroupMade(error))
        return context.finish()
    }

    // MARK: Looks

    /// Whether there is a share group of this name, and whether somebody is in it; `refusal`: there is none, or it is not known just now.
    public func shareStanding(of groupID: String) -> (refusal: (code: ErrorCode, message: String)?, isEmpty: Bool) {
        if let phaseError { return ((phaseError, "The group is not served by this broker just now."), true) }
        if let refusal = shareRefusal(of: groupID) { return ((refusal.code, refusal.message), true) }
        return (nil, groups[groupID]?.share?.isEmpty ?? true)
    }

    /// Whether a member of a share group subscribes to the topic.
    public func sharesTopic(_ topic: String, in groupID: String) -> Bool {
        groups[groupID]?.share?.isSubscribed(to: topic) ?? false
    }

    public typealias DescribedShareGroup = ShareGroupDescribeResponse.DescribedGroup

    /// Describes a share group; another one, or none, is GROUP_ID_NOT_FOUND. Topics that are gone are left out of what members read.
    public func describeShareGroup(_ groupID: String) -> DescribedShareGroup {
        var response = DescribedShareGroup()
        response.groupID = groupID
        if let refusal = shareStanding(of: groupID).refusal {
            (response.errorCode, response.errorMessage) = (refusal.code.rawValue, refusal.message)
        }
        guard response.errorCode == 0, let share = groups[groupID]?.share else { return response }
        response.groupState = share.state.rawValue
        response.groupEpoch = share.epoch
        response.assignmentEpoch = share.assignmentEpoch
        response.assignorName = ShareGroup.assignorName
        response.members = share.members.values.sorted { $0.key < $1.key }.map { described($0) }
        return response
    }

    private func described(_ member: ShareMember) -> ShareGroupDescribeResponse.Member {
        var entry = ShareGroupDescribeResponse.Member()
        (entry.memberID, entry.rackID, entry.memberEpoch) = (member.memberID, member.rackID, member.epoch)
        (entry.clientID, entry.clientHost) = (member.clientID, member.clientHost)
        entry.subscribedTopicNames = member.topicNames.map(\.text)
        entry.assignment.topicPartitions = member.assigned.compactMap { id, indexes in
            guard let topic = context.topics.topic(id: id) else { return nil }
            var part = ShareGroupDescribeResponse.TopicPartitions()
            (part.topicID, part.topicName, part.partitions) = (id, topic.name, indexes)
            return part
        }.sorted { ExactString($0.topicName) < ExactString($1.topicName) }
        return entry
    }

    /// Returns an upper bound of the bytes of memory that the result of `describeShareGroup` takes with its encoded form, without a
    /// look at the members.
    public func mostShareDescriptionBytes(of groupID: String) -> Int {
        let fixed = 512 + 4 * groupID.utf8.count
        guard let share = groups[groupID]?.share else { return fixed }
        // Of each member its texts as a struct and twice encoded, and of its topics the names.
        return fixed + 3 * share.memberBytes + 512 * share.members.count
            + share.describedTopics * (64 + 2 * (TopicName.maxLength + 32))
    }
}

extension ShareGroupState {
    /// Returns the states of the share groups that ListGroups is to list, by its filters; see `GroupState.listed`.
    public static func listed(states: [String], types: [String]) -> Set<ShareGroupState> {
        guard types.isEmpty || types.contains(where: { $0.lowercased() == ShareGroup.typeName }) else { return [] }
        return states.isEmpty ? Set(allCases) : Set(states.lazy.compactMap { byName[$0.lowercased()] })
    }

    private static let byName = Dictionary(uniqueKeysWithValues: allCases.map { ($0.rawValue.lowercased(), $0) })
}
