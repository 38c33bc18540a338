internal import KafkaModel
internal import KafkaWire

/// From "somebody has to join again" to the next generation.
extension ClassicGroup {
    mutating func rebalanceOrCompleteJoin(_ shard: inout ShardContext) {
        if canRebalance { prepareRebalance(&shard) } else { completeJoinIfAllRejoined(&shard) }
    }

    /// Asks all members to join again. Parked SyncGroups are told so: they never see an assignment of a generation that
    /// a late joiner has already ended (KAFKA-9801 and the like).
    mutating func prepareRebalance(_ shard: inout ShardContext) {
        if state == .completingRebalance {
            for memberID in members.keys { members[memberID]!.assignment = [] }
            propagateAssignment(error: .rebalanceInProgress, &shard)
        }
        pendingSync = []
        syncTimer.cancel()

        let isInitial = state == .empty
        transition(to: .preparingRebalance, wallClockMs: shard.now.wallClockMs)
        if isInitial {
            let step = shard.settings.initialRebalanceDelayMs
            initialDelay = InitialDelay(stepMs: step, remainingMs: max(0, rebalanceTimeoutMs - step))
            setJoinTimer(step, &shard)
        } else if haveAllRejoined {
            completeJoin(&shard)
        } else {
            setJoinTimer(rebalanceTimeoutMs, &shard)
        }
    }

    /// Completes the join phase if all have rejoined; the initial rebalance is completed by its timer alone.
    mutating func completeJoinIfAllRejoined(_ shard: inout ShardContext) {
        guard state == .preparingRebalance, previousState != .empty, haveAllRejoined else { return }
        completeJoin(&shard)
    }

    mutating func joinTimerFired(_ shard: inout ShardContext) {
        guard state == .preparingRebalance else { return }
        guard let delay = initialDelay, delay.newMemberJoined, delay.remainingMs > 0 else {
            return completeJoin(&shard)
        }
        let step = min(shard.settings.initialRebalanceDelayMs, delay.remainingMs)
        initialDelay = InitialDelay(stepMs: step, remainingMs: max(0, delay.remainingMs - delay.stepMs))
        setJoinTimer(step, &shard)
    }

    private mutating func setJoinTimer(_ delayMs: Int64, _ shard: inout ShardContext) {
        joinTimer.set(shard.after(delayMs), in: &shard.timers, groupID: groupID, subject: .join)
    }

    /// Ends the join phase with those who came. Dynamic members who did not are removed; static ones stay until their
    /// session or the sync timeout ends, which is what they are static for (KIP-345).
    mutating func completeJoin(_ shard: inout ShardContext) {
        joinTimer.cancel()
        initialDelay = nil
        for member in orderedMembers where member.join == nil && !member.isStatic {
            shard.counters.expiredMembers += 1
            remove(member.memberID, &shard)
        }
        guard electRejoinedLeader() || members.isEmpty else {
            // Only static members are left, and none has come: wait for one, or for their sessions to end.
            return setJoinTimer(rebalanceTimeoutMs, &shard)
        }
        beginNextGeneration(&shard)
        if state == .empty { return writeMetadata(&shard) }

        for member in orderedMembers {
            answerJoin(member.memberID, joinResponse(for: member.memberID), &shard)
            members[member.memberID]!.isNew = false
            members[member.memberID]!.isIDKnown = true
            keepAlive(member.memberID, &shard)
            pendingSync.insert(ExactString(member.memberID))
        }
        syncTimer.set(shard.after(rebalanceTimeoutMs), in: &shard.timers, groupID: groupID, subject: .sync)
    }

    /// Elects a leader among those who have rejoined; false when nobody has.
    private mutating func electRejoinedLeader() -> Bool {
        guard let leaderID else { return false }
        if members[leaderID]?.join != nil { return true }
        guard let next = orderedMembers.first(where: { $0.join != nil }) else { return false }
        self.leaderID = next.memberID
        return true
    }

    private mutating func beginNextGeneration(_ shard: inout ShardContext) {
        // A negative generation means "not a group member" on the wire, so the counter starts again.
        generationID = generationID == .max ? 1 : generationID + 1
        pendingSync = []
        if members.isEmpty {
            protocolName = nil
            transition(to: .empty, wallClockMs: shard.now.wallClockMs)
        } else {
            protocolName = selectProtocol()
            transition(to: .completingRebalance, wallClockMs: shard.now.wallClockMs)
        }
        refreshSubscribedTopics()
    }

    /// Returns the current generation as a member sees it; the leader alone gets the list of members.
    func joinResponse(for memberID: String) -> JoinGroupResponse {
        var response = JoinGroupResponse()
        response.generationID = generationID
        response.protocolType = protocolType
        response.protocolName = protocolName
        response.leader = leaderID ?? ""
        response.memberID = memberID
        if memberID == leaderID {
            response.members = orderedMembers.map { member in
                var entry = JoinGroupResponse.JoinGroupResponseMember()
                entry.memberID = member.memberID
                entry.groupInstanceID = member.groupInstanceID
                entry.metadata = member.metadata(of: protocolName)
                return entry
            }
        }
        return response
    }

    /// Answers every parked SyncGroup, and starts those members' sessions anew: one that ran out while its member was
    /// parked was ignored.
    mutating func propagateAssignment(error: ErrorCode, _ shard: inout ShardContext) {
        for member in orderedMembers where member.sync != nil {
            answerSync(
                member.memberID,
                error == .none ? syncResponse(for: member) : SyncGroupResponse(refusing: error), &shard)
            keepAlive(member.memberID, &shard)
        }
    }

    func syncResponse(for member: GroupMember) -> SyncGroupResponse {
        var response = SyncGroupResponse()
        response.protocolType = protocolType
        response.protocolName = protocolName
        response.assignment = member.assignment
        return response
    }

    /// Records the generation.
    mutating func writeMetadata(_ shard: inout ShardContext) {
        let metadata = metadata
        record(metadata)
        shard.write(.group(groupID: groupID, metadata))
    }

    /// Returns the bytes of the group's record in a batch, at most; with `request` in place of what the member said
    /// before.
    func recordBytes(replacing memberID: String? = nil, by request: JoinGroupRequest? = nil) -> Int {
        var bytes = CoordinatorRecord.overhead + 64 + groupID.utf8.count
        for text in [protocolType, protocolName, leaderID] { bytes += text?.utf8.count ?? 0 }
        for member in members.values {
            let isReplaced = memberID == member.memberID
            let metadata =
                isReplaced
                ? request.map { GroupMember.metadata(of: protocolName, in: $0.protocols) }
                : member.metadata(of: protocolName)
            // The lengths and timeouts; a new id is the instance's or the client's with 37 bytes.
            bytes += 32 + (isReplaced ? 37 + 2 * Int(Int16.max) : 0)
            bytes += member.memberID.utf8.count + (member.groupInstanceID?.utf8.count ?? 0)
            bytes += member.clientID.utf8.count + member.clientHost.utf8.count
            bytes += (metadata?.count ?? 0) + member.assignment.count
        }
        return bytes
    }

    /// What a restart will bring back.
    var metadata: GroupMetadataValue {
        var metadata = GroupMetadataValue()
        metadata.protocolType = protocolType ?? ""
        metadata.generation = generationID
        metadata.protocol = protocolName
        metadata.leader = leaderID
        metadata.currentStateTimestamp = stateTimestampMs ?? -1
        metadata.members = orderedMembers.map { member in
            var entry = GroupMetadataValue.MemberMetadata()
            entry.memberID = member.memberID
            entry.groupInstanceID = member.groupInstanceID
            entry.clientID = member.clientID
            entry.clientHost = member.clientHost
            entry.rebalanceTimeout = member.rebalanceTimeoutMs
            entry.sessionTimeout = member.sessionTimeoutMs
            entry.subscription = member.metadata(of: protocolName)
            entry.assignment = member.assignment
            return entry
        }
        return metadata
    }
}
