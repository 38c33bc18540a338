internal import KafkaModel
public import KafkaWire

/// ConsumerGroupHeartbeat and what follows from it: what can be said before looking into the group. Source: KIP-848.
extension GroupShard {
    /// Lets a member join, live on or leave. The topics it names must be known to be its client's to describe.
    public mutating func consumerGroupHeartbeat(
        _ request: ConsumerGroupHeartbeatRequest, context requestContext: RequestContext, waiter: WaiterID,
        now: CoordinatorTime
    ) -> GroupActions {
        context.begin(now)
        var request = request
        if request.memberID.isEmpty, requestContext.apiVersion == 0, request.memberEpoch == 0 {
            request.memberID = context.memberIDs.nextUUID()
        }
        var response = ConsumerGroupHeartbeatResponse()
        do throws(GroupRefusal) {
            if let error = phaseError { throw GroupRefusal(error, "The group is not served by this broker just now.") }
            try check(request)
            response = try heartbeat(request, requestContext)
        } catch {
            response.errorCode = error.code.rawValue
            response.errorMessage = error.message
        }
        context.reply(waiter, .consumerHeartbeat(response))
        return context.finish()
    }

    /// Checks a request by itself.
    private func check(_ request: ConsumerGroupHeartbeatRequest) throws(GroupRefusal) {
        func require(_ holds: Bool, _ message: String) throws(GroupRefusal) {
            if !holds { throw GroupRefusal(.invalidRequest, message) }
        }
        let epoch = request.memberEpoch
        try require(!request.memberID.isEmpty, "MemberId can't be empty.")
        try require(!request.groupID.isEmpty, "GroupId can't be empty.")
        try require(request.instanceID?.isEmpty != true, "InstanceId can't be empty.")
        try require(request.rackID?.isEmpty != true, "RackId can't be empty.")
        let texts = [request.groupID, request.memberID, request.instanceID ?? "", request.rackID ?? ""]
        try require(texts.allSatisfy { $0.utf8.count <= Int(Int16.max) }, "An id is longer than a record has room for.")
        try require(epoch >= ConsumerMember.leftEpoch, "MemberEpoch is invalid: \(epoch).")
        if epoch == 0 {
            try require(request.rebalanceTimeoutMs != -1, "RebalanceTimeoutMs must be provided in first request.")
            try require(
                request.topicPartitions?.isEmpty == true, "TopicPartitions must be empty when (re-)joining.")
            try require(
                request.subscribedTopicNames != nil || request.subscribedTopicRegex != nil,
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when (re-)joining.")
        }
        try require(
            epoch != ConsumerMember.leftEpoch || request.instanceID != nil,
            "InstanceId can't be null for a member that leaves for a while.")
        if epoch < 0 { return }
        try require(
            request.rebalanceTimeoutMs >= -1, "RebalanceTimeoutMs is invalid: \(request.rebalanceTimeoutMs).")
        if let assignor = request.serverAssignor,
            !context.settings.consumerAssignors.contains(where: { $0.rawValue == assignor })
        {
            let served = context.settings.consumerAssignors.map(\.rawValue).joined(separator: ", ")
            throw GroupRefusal(
                .unsupportedAssignor, "ServerAssignor \(assignor) is not supported. Supported assignors: \(served).")
        }
        let names = request.subscribedTopicNames ?? []
        try require(
            names.count <= ConsumerGroup.maxTopicNames, "A member names at most \(ConsumerGroup.maxTopicNames) topics.")
        try require(
            names.allSatisfy { !$0.isEmpty && $0.utf8.count <= TopicName.maxLength },
            "A name in SubscribedTopicNames is empty or longer than \(TopicName.maxLength) bytes.")
        let owned = request.topicPartitions?.reduce(0) { $0 + $1.partitions.count } ?? 0
        try require(
            owned <= ConsumerGroup.maxMemberPartitions,
            "A member owns at most \(ConsumerGroup.maxMemberPartitions) partitions.")
    }

    private mutating func heartbeat(
        _ request: ConsumerGroupHeartbeatRequest, _ requestContext: RequestContext
    ) throws(GroupRefusal) -> ConsumerGroupHeartbeatResponse {
        let groupID = request.groupID
        if groups[groupID]?.share != nil {
            throw GroupRefusal(.groupIDNotFound, "Group \(groupID) is not a consumer group.")
        }
        if request.memberEpoch != 0, groups[groupID]?.consumer == nil {
            throw GroupRefusal(.groupIDNotFound, "Group \(groupID) not found.")
        }
        // A closure that counts what it does cannot throw.
        let outcome: Result<ConsumerGroupHeartbeatResponse, GroupRefusal> = counting(groupID) { shard in
            // Of a group of this protocol a refusal changes nothing, and to keep it would have the first change copy all its members.
            let isConsumer = shard.groups[groupID]?.consumer != nil
            let before = isConsumer ? nil : shard.groups[groupID]
            // An upgrade has said and written things before its member may be refused.
            let isUpgrade = before.map { $0.state != .empty } ?? false
            let context = isUpgrade ? shard.context : nil
            do throws(GroupRefusal) {
                try shard.becomeConsumer(groupID)
                let response =
                    request.memberEpoch < 0
                    ? try shard.groups[groupID]!.consumer!.leave(request, &shard.context)
                    : try shard.groups[groupID]!.consumer!.heartbeat(request, requestContext, &shard.context)
                if request.memberEpoch < 0 { shard.groups[groupID]!.downgradeIfClassic(&shard.context) }
                // Not before its member is let in: a refusal writes nothing.
                if !isUpgrade, before?.recorded != nil { shard.context.write(.group(groupID: groupID, nil)) }
                return .success(response)
            } catch {
                // What was made for it goes with it.
                if !isConsumer { shard.groups[groupID] = before }
                if let context { shard.context = context }
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    /// Makes the group one of the consumer protocol, where it is none: a new one, or a classic one, whose offsets stay.
    private mutating func becomeConsumer(_ groupID: String) throws(GroupRefusal) {
        guard let before = groups[groupID] else {
            createGroup(groupID)
            groups[groupID]!.consumer = ConsumerGroup(groupID: groupID)
            return
        }
        if before.consumer != nil { return }
        if before.state != .empty { return try groups[groupID]!.upgrade(&context) }
        var group = ClassicGroup(offsetsOf: before, groupID)
        group.consumer = ConsumerGroup(groupID: groupID)
        groups[groupID] = group
    }

    // MARK: Work

    /// Gives a target assignment that is to be made; nil: none is awaited any more.
    public func assignmentWork(of groupID: String) -> AssignmentWork? {
        guard phase == .active, let group = groups[groupID] else { return nil }
        if let share = group.share { return share.assigning.isAwaited ? AssignmentWork(share, context) : nil }
        return group.consumer.flatMap { $0.assigning.isAwaited ? AssignmentWork($0, context) : nil }
    }

    /// Takes in a target assignment that was made elsewhere.
    public mutating func assignmentMade(_ made: MadeAssignment, now: CoordinatorTime) -> GroupActions {
        context.begin(now)
        if phase == .active, groups[made.groupID]?.consumer != nil {
            counting(made.groupID) { $0.groups[made.groupID]!.consumer!.take(made, &$0.context) }
        } else if phase == .active, groups[made.groupID]?.share != nil {
            counting(made.groupID) { $0.groups[made.groupID]!.share!.take(made, &$0.context) }
        }
        return context.finish()
    }

    /// Gives the patterns of a group that are to be looked up; nil: that is not awaited any more.
    public func patternWork(of groupID: String) -> PatternWork? {
        guard phase == .active, let consumer = groups[groupID]?.consumer else { return nil }
        return PatternWork(consumer, context)
    }

    /// Takes in what patterns stand for.
    public mutating func patternsFound(_ found: FoundTopics, now: CoordinatorTime) -> GroupActions {
        context.begin(now)
        if phase == .active, groups[found.groupID]?.consumer != nil {
            counting(found.groupID) { $0.groups[found.groupID]!.consumer!.take(found, &$0.context) }
        }
        return context.finish()
    }
}
