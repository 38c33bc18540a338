internal import KafkaModel
public import KafkaWire

/// JoinGroup, SyncGroup, Heartbeat and LeaveGroup: what can be said before looking into the group.
extension GroupShard {
    /// Parks the request until the group's next generation, or answers at once.
    public mutating func joinGroup(
        _ request: JoinGroupRequest, context requestContext: RequestContext, waiter: WaiterID, now: CoordinatorTime
    ) -> GroupActions {
        context.begin(now)
        var request = request
        // Version 0 has one timeout for both.
        if requestContext.apiVersion == 0 { request.rebalanceTimeoutMs = request.sessionTimeoutMs }
        if let error = refusal(of: request) {
            let parked = ParkedRequest(waiter: waiter, apiVersion: requestContext.apiVersion)
            context.answerJoin(parked, JoinGroupResponse(refusing: error, memberID: request.memberID))
        } else {
            counting(request.groupID) { shard in
                shard.createGroup(request.groupID)
                shard.becomeClassic(request.groupID)
                shard.groups[request.groupID]!.join(request, requestContext, waiter, &shard.context)
                shard.dispose(request.groupID)
            }
        }
        return context.finish()
    }

    private func refusal(of request: JoinGroupRequest) -> ErrorCode? {
        if let phaseError { return phaseError }
        guard Self.isValidName(request.groupID) else { return .invalidGroupID }
        if groups[request.groupID]?.share != nil { return .inconsistentGroupProtocol }
        let sessions = context.settings.minSessionTimeoutMs...context.settings.maxSessionTimeoutMs
        guard sessions.contains(request.sessionTimeoutMs) else { return .invalidSessionTimeout }
        guard Self.fitsRecord(request) else { return .invalidRequest }
        // Whichever is chosen: with it no generation could be recorded.
        guard request.protocols.allSatisfy({ context.fits($0.metadata.count) }) else { return .unknownServerError }
        // Members are given their ids by us.
        if !request.memberID.isEmpty, groups[request.groupID] == nil { return .unknownMemberID }
        return nil
    }

    /// Makes an empty group of the consumer protocol a classic one; its offsets stay.
    private mutating func becomeClassic(_ groupID: String) {
        guard let before = groups[groupID], let consumer = before.consumer, consumer.isEmpty else { return }
        for record in consumer.tombstones { context.write(record) }
        groups[groupID] = ClassicGroup(offsetsOf: before, groupID)
    }

    /// Returns whether the request's strings fit the group's record: compact strings could be longer than that has room
    /// for.
    private static func fitsRecord(_ request: JoinGroupRequest) -> Bool {
        let limit = Int(Int16.max)
        return request.protocolType.utf8.count <= limit
            && request.protocols.allSatisfy { $0.name.utf8.count <= limit }
            && (request.groupInstanceID.map { !$0.isEmpty && $0.utf8.count <= limit } ?? true)
    }

    /// Whether this can be a group with members: not empty, and short enough for the record's key.
    static func isValidName(_ groupID: String) -> Bool { !groupID.isEmpty && groupID.utf8.count <= Int(Int16.max) }

    /// Parks a member's request until its leader's assignment is there, or answers at once.
    public mutating func syncGroup(
        _ request: SyncGroupRequest, context requestContext: RequestContext, waiter: WaiterID, now: CoordinatorTime
    ) -> GroupActions {
        context.begin(now)
        if let error = memberRefusal(request.groupID) {
            // While loading, the running rebalance is lost; this makes the members join again without a new search for
            // the coordinator.
            let answer = error == .coordinatorLoadInProgress ? .rebalanceInProgress : error
            context.reply(waiter, .sync(SyncGroupResponse(refusing: answer)))
        } else {
            counting(request.groupID) { $0.groups[request.groupID]!.sync(request, requestContext, waiter, &$0.context) }
        }
        return context.finish()
    }

    public mutating func heartbeat(
        _ request: HeartbeatRequest, waiter: WaiterID, now: CoordinatorTime
    ) -> GroupActions {
        context.begin(now)
        var response = HeartbeatResponse()
        if let error = memberRefusal(request.groupID) {
            // While loading nobody's session runs, so any heartbeat is as good as answered.
            response.errorCode = error == .coordinatorLoadInProgress ? 0 : error.rawValue
        } else {
            // Of a group of the consumer protocol it may begin a timer, which no footprint has.
            response.errorCode = groups[ExactString(request.groupID)]!.heartbeat(request, &context).rawValue
        }
        context.reply(waiter, .heartbeat(response))
        return context.finish()
    }

    public mutating func leaveGroup(
        _ request: LeaveGroupRequest, context requestContext: RequestContext, waiter: WaiterID, now: CoordinatorTime
    ) -> GroupActions {
        context.begin(now)
        var response = LeaveGroupResponse()
        if let error = memberRefusal(request.groupID) {
            response.errorCode = error.rawValue
        } else if requestContext.apiVersion <= 2 {
            // One member, and its outcome is the response's.
            var leaving = LeaveGroupRequest.MemberIdentity()
            leaving.memberID = request.memberID
            response.errorCode = leave([leaving], of: request.groupID)[0].errorCode
        } else {
            response.members = leave(request.members, of: request.groupID)
        }
        context.reply(waiter, .leave(response))
        return context.finish()
    }

    private mutating func leave(
        _ leaving: [LeaveGroupRequest.MemberIdentity], of groupID: String
    ) -> [LeaveGroupResponse.MemberResponse] {
        counting(groupID) { shard in
            defer { shard.dispose(groupID) }
            return shard.groups[groupID]!.leave(leaving, &shard.context)
        }
    }

    /// Checks a member's request before its group sees it: nobody is a member of a group that does not exist.
    private func memberRefusal(_ groupID: String) -> ErrorCode? {
        if let phaseError { return phaseError }
        guard Self.isValidName(groupID) else { return .invalidGroupID }
        return groups[groupID].map { $0.share == nil } ?? false ? nil : .unknownMemberID
    }
}
