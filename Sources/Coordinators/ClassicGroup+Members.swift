internal import KafkaModel
internal import KafkaWire

/// Members come, change and go. Whatever happens to a member, a request of it that is parked gets its answer here.
extension ClassicGroup {
    /// Checks who asks, as Kafka does: a static member is known by its instance id, and only under its newest member
    /// id.
    func refusal(ofMember memberID: String, instanceID: String?) -> ErrorCode? {
        if let instanceID {
            guard let current = staticMembers[instanceID] else { return .unknownMemberID }
            if !current.isExactly(memberID) { return .fencedInstanceID }
        }
        return members.has(memberID) ? nil : .unknownMemberID
    }

    /// Adds a member; the first one decides the group's protocol type.
    mutating func add(_ member: GroupMember, protocolType type: String) {
        let memberID = member.memberID
        precondition(members[memberID] == nil, "member \(memberID) is already in group \(groupID)")
        if members.isEmpty { protocolType = type }
        members[memberID] = member
        memberBytes += member.memoryBytes
        if let instanceID = member.groupInstanceID { staticMembers[instanceID] = memberID }
        countSupport(of: member, by: 1)
        if leaderID == nil { leaderID = memberID }
        removePending(memberID)
    }

    /// Takes a member (or a pending one) out.
    ///
    /// `leaderID` may then name somebody who is gone: whoever loses a member rebalances, and the next leader is elected
    /// once, when that is over (`completeJoin`). Nobody looks for the leader before. An election with each member that
    /// goes would take as many looks as there are pairs of them, since they go in the order in which they would be
    /// elected.
    mutating func remove(_ memberID: String, _ shard: inout ShardContext) {
        removePending(memberID)
        pendingSync.remove(ExactString(memberID))
        guard let member = members[memberID] else { return }
        answerJoin(memberID, JoinGroupResponse(refusing: .unknownMemberID, memberID: ""), &shard)
        answerSync(memberID, SyncGroupResponse(refusing: .unknownMemberID), &shard)
        members[memberID] = nil
        memberBytes -= member.memoryBytes
        countSupport(of: member, by: -1)
        if let instanceID = member.groupInstanceID { staticMembers[instanceID] = nil }
        if members.isEmpty { leaderID = nil }
    }

    /// Gives a static member a new id and fences the old one, parked requests included. Source: KIP-345.
    mutating func replaceStatic(
        _ oldID: String, by newID: String, _ context: RequestContext, _ shard: inout ShardContext
    ) {
        answerJoin(oldID, JoinGroupResponse(refusing: .fencedInstanceID, memberID: oldID), &shard)
        answerSync(oldID, SyncGroupResponse(refusing: .fencedInstanceID), &shard)
        guard var member = members.removeValue(forKey: oldID), let instanceID = member.groupInstanceID else {
            preconditionFailure("static member \(oldID) is not in group \(groupID)")
        }
        memberBytes -= member.memoryBytes
        member.memberID = newID
        member.clientID = context.clientID
        member.clientHost = context.clientHost
        member.isNew = false
        member.session = GroupTimer()
        memberBytes += member.memoryBytes
        members[newID] = member
        staticMembers[instanceID] = newID
        if leaderID == oldID { leaderID = newID }
        if pendingSync.remove(ExactString(oldID)) != nil { pendingSync.insert(ExactString(newID)) }
    }

    /// Takes in what a JoinGroup says of its member.
    mutating func update(_ memberID: String, _ request: JoinGroupRequest) {
        guard var member = members[memberID] else { return }
        countSupport(of: member, by: -1)
        memberBytes -= member.memoryBytes
        member.protocols = request.protocols
        member.rebalanceTimeoutMs = request.rebalanceTimeoutMs
        member.sessionTimeoutMs = request.sessionTimeoutMs
        countSupport(of: member, by: 1)
        memberBytes += member.memoryBytes
        members[memberID] = member
    }

    // MARK: Parking

    /// Parks a member's JoinGroup: it has rejoined. An older one of the same member is answered REBALANCE_IN_PROGRESS:
    /// its client has given it up (Kafka never answers it), and if not, this makes it join again under the same id,
    /// where UNKNOWN_MEMBER_ID would make one client two members.
    mutating func parkJoin(_ memberID: String, _ request: ParkedRequest, _ shard: inout ShardContext) {
        answerJoin(memberID, JoinGroupResponse(refusing: .rebalanceInProgress, memberID: memberID), &shard)
        members[memberID]!.join = request
        rejoinedCount += 1
        shard.park(request.waiter, groupID: groupID, memberID: memberID)
    }

    mutating func parkSync(_ memberID: String, _ request: ParkedRequest, _ shard: inout ShardContext) {
        answerSync(memberID, SyncGroupResponse(refusing: .rebalanceInProgress), &shard)
        members[memberID]!.sync = request
        shard.park(request.waiter, groupID: groupID, memberID: memberID)
    }

    /// Answers the member's parked JoinGroup, if it has one.
    mutating func answerJoin(_ memberID: String, _ response: JoinGroupResponse, _ shard: inout ShardContext) {
        guard let request = members[memberID]?.join else { return }
        members[memberID]!.join = nil
        rejoinedCount -= 1
        shard.answerJoin(request, response)
    }

    @discardableResult
    mutating func answerSync(_ memberID: String, _ response: SyncGroupResponse, _ shard: inout ShardContext) -> Bool {
        guard let request = members[memberID]?.sync else { return false }
        members[memberID]!.sync = nil
        shard.answerSync(request, response)
        return true
    }

    // MARK: Sessions

    /// Starts the member's session anew.
    mutating func keepAlive(_ memberID: String, _ shard: inout ShardContext) {
        guard let timeout = members[ExactString(memberID)]?.sessionTimeoutMs else { return }
        setSession(memberID, timeoutMs: Int64(timeout), &shard)
    }

    mutating func setSession(_ memberID: String, timeoutMs: Int64, _ shard: inout ShardContext) {
        members[ExactString(memberID)]?.session.set(
            shard.after(timeoutMs), in: &shard.timers, groupID: groupID, subject: .session(memberID: memberID))
    }
}
