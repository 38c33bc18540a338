internal import KafkaModel
internal import KafkaWire

/// What members do within a generation: SyncGroup, Heartbeat, LeaveGroup. What happens when they do not is in
/// ClassicGroup+Silence.swift.
extension ClassicGroup {
    mutating func sync(
        _ request: SyncGroupRequest, _ context: RequestContext, _ waiter: WaiterID, _ shard: inout ShardContext
    ) {
        let parked = ParkedRequest(waiter: waiter, apiVersion: context.apiVersion)
        if consumer != nil { return shard.answerSync(parked, consumer!.sync(request, &shard)) }
        if let error = refusal(of: request, context) {
            return shard.answerSync(parked, SyncGroupResponse(refusing: error))
        }
        switch state {
        case .empty, .dead:
            shard.answerSync(parked, SyncGroupResponse(refusing: .unknownMemberID))
        case .preparingRebalance:
            shard.answerSync(parked, SyncGroupResponse(refusing: .rebalanceInProgress))
        case .completingRebalance:
            parkSync(request.memberID, parked, &shard)
            didSync(request.memberID)
            if request.memberID == leaderID { assign(request.assignments, &shard) }
        case .stable:
            didSync(request.memberID)
            shard.answerSync(parked, syncResponse(for: members[request.memberID]!))
        }
    }

    private func refusal(of request: SyncGroupRequest, _ context: RequestContext) -> ErrorCode? {
        if let error = refusal(ofMember: request.memberID, instanceID: request.groupInstanceID) { return error }
        if request.generationID != generationID { return .illegalGeneration }
        // From version 5 on both have to be named.
        if context.apiVersion >= 5, request.protocolType == nil || request.protocolName == nil {
            return .inconsistentGroupProtocol
        }
        if let type = request.protocolType, let own = protocolType, !type.isExactly(own) {
            return .inconsistentGroupProtocol
        }
        if let name = request.protocolName, let own = protocolName, !name.isExactly(own) {
            return .inconsistentGroupProtocol
        }
        return nil
    }

    private mutating func didSync(_ memberID: String) {
        pendingSync.remove(ExactString(memberID))
        if pendingSync.isEmpty { syncTimer.cancel() }
    }

    /// Makes the generation stable with the leader's assignment. Members that it leaves out get an empty one.
    private mutating func assign(
        _ assignments: [SyncGroupRequest.SyncGroupRequestAssignment], _ shard: inout ShardContext
    ) {
        for memberID in members.keys { members[memberID]!.assignment = [] }
        for entry in assignments { members[entry.memberID]?.assignment = entry.assignment }
        // As Kafka: an assignment that cannot be recorded is nobody's, and the group tries again.
        guard shard.fits(recordBytes()) else {
            for memberID in members.keys { members[memberID]!.assignment = [] }
            propagateAssignment(error: .unknownServerError, &shard)
            return prepareRebalance(&shard)
        }
        transition(to: .stable, wallClockMs: shard.now.wallClockMs)
        shard.counters.completedRebalances += 1
        writeMetadata(&shard)
        propagateAssignment(error: .none, &shard)
    }

    mutating func heartbeat(_ request: HeartbeatRequest, _ shard: inout ShardContext) -> ErrorCode {
        if consumer != nil { return consumer!.heartbeat(request, &shard) }
        if let error = refusal(ofMember: request.memberID, instanceID: request.groupInstanceID) { return error }
        if request.generationID != generationID { return .illegalGeneration }
        keepAlive(request.memberID, &shard)
        return state == .preparingRebalance ? .rebalanceInProgress : .none
    }

    /// Takes out the members named, each with its own outcome; one rebalance for all of them.
    mutating func leave(
        _ leaving: [LeaveGroupRequest.MemberIdentity], _ shard: inout ShardContext
    ) -> [LeaveGroupResponse.MemberResponse] {
        if consumer != nil {
            defer { downgradeIfClassic(&shard) }
            return consumer!.leave(leaving, &shard)
        }
        let outcomes = leaving.map { identity in
            var outcome = LeaveGroupResponse.MemberResponse()
            outcome.memberID = identity.memberID
            outcome.groupInstanceID = identity.groupInstanceID
            outcome.errorCode = leave(identity, &shard).rawValue
            return outcome
        }
        guard outcomes.contains(where: { $0.errorCode == ErrorCode.none.rawValue }) else { return outcomes }
        settleAfterLoss(&shard)
        return outcomes
    }

    private mutating func leave(_ identity: LeaveGroupRequest.MemberIdentity, _ shard: inout ShardContext) -> ErrorCode
    {
        if identity.memberID.isEmpty {
            // An administrator names a static member by its instance id alone.
            guard let instanceID = identity.groupInstanceID, let memberID = staticMembers[instanceID] else {
                return .unknownMemberID
            }
            remove(memberID, &shard)
        } else if pendingMembers[identity.memberID] != nil {
            remove(identity.memberID, &shard)
        } else if let error = refusal(ofMember: identity.memberID, instanceID: identity.groupInstanceID) {
            return error
        } else {
            remove(identity.memberID, &shard)
        }
        return .none
    }

    /// Moves on after members are gone: a generation that had them is over, and a join phase may now be complete.
    mutating func settleAfterLoss(_ shard: inout ShardContext) {
        switch state {
        case .stable, .completingRebalance: prepareRebalance(&shard)
        case .preparingRebalance: completeJoinIfAllRejoined(&shard)
        case .empty, .dead: break
        }
    }
}
