internal import KafkaModel
internal import KafkaWire

/// JoinGroup, after the shard has checked the request by itself. Sources: KIP-62, KIP-345, KIP-394, KIP-814.
extension ClassicGroup {
    mutating func join(
        _ request: JoinGroupRequest, _ context: RequestContext, _ waiter: WaiterID, _ shard: inout ShardContext
    ) {
        let parked = ParkedRequest(waiter: waiter, apiVersion: context.apiVersion)
        if consumer != nil {
            shard.answerJoin(parked, consumer!.join(request, context, &shard))
            return downgradeIfClassic(&shard)
        }
        guard hasRoom(for: request, shard.settings) else {
            // Over capacity, the last to rejoin goes; the others may now be complete.
            remove(request.memberID, &shard)
            shard.answerJoin(parked, JoinGroupResponse(refusing: .groupMaxSizeReached, memberID: ""))
            return completeJoinIfAllRejoined(&shard)
        }
        let known = members[request.groupInstanceID.flatMap { staticMembers[$0] } ?? request.memberID]
        let added = GroupMember.memoryBytes(of: request, context) - (known?.memoryBytes ?? 0)
        let ofGroup =
            members.isEmpty ? Self.emptyBytes + groupID.utf8.count + request.protocolType.utf8.count : 0
        guard shard.hasRoom(for: added + ofGroup), added <= 0 || memberBytes + added <= Self.maxMemberBytes else {
            return shard.answerJoin(
                parked, JoinGroupResponse(refusing: .groupMaxSizeReached, memberID: request.memberID))
        }
        guard supports(type: request.protocolType, protocols: request.protocols) else {
            return shard.answerJoin(
                parked, JoinGroupResponse(refusing: .inconsistentGroupProtocol, memberID: request.memberID))
        }
        if request.memberID.isEmpty {
            joinNewMember(request, context, parked, &shard)
        } else if pendingMembers[request.memberID] != nil, request.groupInstanceID == nil {
            addAndRebalance(request.memberID, request, context, parked, &shard)
        } else if let error = refusal(ofMember: request.memberID, instanceID: request.groupInstanceID) {
            shard.answerJoin(parked, JoinGroupResponse(refusing: error, memberID: request.memberID))
        } else {
            rejoin(request, parked, &shard)
        }
    }

    /// Memory of one group's members, in bytes. Their metadata goes to the leader in one reply and, of one protocol, into
    /// one record of 1 MiB, so a group that comes near it could never be stable. Who needs more gets
    /// GROUP_MAX_SIZE_REACHED.
    static let maxMemberBytes = 32 << 20

    /// Returns whether a member may join. Who is in may stay in. During a rebalance the size is the number of those who
    /// have rejoined, so that a group over its size (the limit was lowered) loses those who come last.
    private func hasRoom(for request: JoinGroupRequest, _ settings: GroupSettings) -> Bool {
        let memberID = request.groupInstanceID.flatMap { staticMembers[$0] } ?? request.memberID
        switch state {
        case .empty, .dead: return true
        case .preparingRebalance: return members[memberID]?.join != nil || rejoinedCount < settings.maxSize
        case .completingRebalance, .stable: return members[memberID] != nil || members.count < settings.maxSize
        }
    }

    private mutating func joinNewMember(
        _ request: JoinGroupRequest, _ context: RequestContext, _ parked: ParkedRequest, _ shard: inout ShardContext
    ) {
        let memberID = shard.memberIDs.next(prefix: request.groupInstanceID ?? context.clientID)
        if let instanceID = request.groupInstanceID {
            if let oldID = staticMembers[instanceID] {
                rejoinStatic(oldID, as: memberID, request, context, parked, &shard)
            } else {
                addAndRebalance(memberID, request, context, parked, &shard)
            }
        } else if context.apiVersion >= 4 {
            // A client that retries its first join would else leave a member behind with every try.
            guard pendingMembers.count < shard.settings.maxPendingMembers else {
                return shard.answerJoin(parked, JoinGroupResponse(refusing: .groupMaxSizeReached, memberID: ""))
            }
            var timer = GroupTimer()
            timer.set(
                shard.after(Int64(request.sessionTimeoutMs)), in: &shard.timers, groupID: groupID,
                subject: .pendingMember(memberID: memberID))
            setPending(memberID, timer)
            shard.answerJoin(parked, JoinGroupResponse(refusing: .memberIDRequired, memberID: memberID))
        } else {
            addAndRebalance(memberID, request, context, parked, &shard)
        }
    }

    private mutating func addAndRebalance(
        _ memberID: String, _ request: JoinGroupRequest, _ context: RequestContext, _ parked: ParkedRequest,
        _ shard: inout ShardContext
    ) {
        let member = GroupMember(
            memberID: memberID, groupInstanceID: request.groupInstanceID, clientID: context.clientID,
            clientHost: context.clientHost, rebalanceTimeoutMs: request.rebalanceTimeoutMs,
            sessionTimeoutMs: request.sessionTimeoutMs, protocols: request.protocols,
            isIDKnown: !request.memberID.isEmpty || request.groupInstanceID != nil, joinOrder: nextJoinOrder())
        initialDelay?.newMemberJoined = true
        add(member, protocolType: request.protocolType)
        parkJoin(memberID, parked, &shard)
        setSession(memberID, timeoutMs: shard.settings.newMemberJoinTimeoutMs, &shard)
        rebalanceOrCompleteJoin(&shard)
    }

    /// Lets a known member join again.
    private mutating func rejoin(_ request: JoinGroupRequest, _ parked: ParkedRequest, _ shard: inout ShardContext) {
        let memberID = request.memberID
        let isUnchanged = members[memberID]!.matches(request.protocols)
        // In CompletingRebalance the reply may have been lost on its way; in Stable a follower with nothing new needs
        // no rebalance. A leader that joins again asks for one: it saw what its own metadata does not show.
        if isUnchanged, state == .completingRebalance || (state == .stable && memberID != leaderID) {
            return shard.answerJoin(parked, joinResponse(for: memberID))
        }
        update(memberID, request)
        parkJoin(memberID, parked, &shard)
        rebalanceOrCompleteJoin(&shard)
    }

    /// Lets a static member come back without its member id, after its process has restarted: it gets a new one, and in
    /// a stable group its old assignment.
    ///
    /// Kafka asks only whether the chosen protocol stays the same. We also rebalance when the topics that the member
    /// subscribes to differ, as its old assignment would be wrong; the rest of the metadata (owned partitions,
    /// generation) differs after any restart and says nothing.
    private mutating func rejoinStatic(
        _ oldID: String, as memberID: String, _ request: JoinGroupRequest, _ context: RequestContext,
        _ parked: ParkedRequest, _ shard: inout ShardContext
    ) {
        guard state != .stable || shard.fits(recordBytes(replacing: oldID, by: request)) else {
            return shard.answerJoin(
                parked, JoinGroupResponse(refusing: .unknownServerError, memberID: request.memberID))
        }
        let formerLeader = leaderID
        let formerTopics = topics(of: oldID)
        replaceStatic(oldID, by: memberID, context, &shard)
        update(memberID, request)
        parkJoin(memberID, parked, &shard)
        keepAlive(memberID, &shard)

        switch state {
        case .stable:
            guard protocolName?.isExactly(selectProtocol()) == true, topics(of: memberID) == formerTopics else {
                return prepareRebalance(&shard)
            }
            writeMetadata(&shard)
            var response = joinResponse(for: memberID)
            if context.apiVersion >= 9 {
                // The leader keeps its office but must not assign anew. Source: KIP-814.
                response.skipAssignment = memberID == leaderID
            } else {
                // Older clients have no such flag: by its former id the leader takes itself for a follower.
                response.leader = formerLeader ?? ""
                response.members = []
            }
            answerJoin(memberID, response, &shard)
        case .completingRebalance:
            // The leader may be assigning to the old id at this moment.
            prepareRebalance(&shard)
        case .preparingRebalance:
            completeJoinIfAllRejoined(&shard)
        case .empty, .dead:
            preconditionFailure("group \(groupID) is \(state) and has a static member \(oldID)")
        }
    }

    private func topics(of memberID: String) -> Set<ExactString>? {
        guard usesConsumerProtocol, let metadata = members[memberID]?.metadata(of: protocolName) else { return nil }
        return ConsumerProtocol.subscribedTopics(metadata).map { Set($0.lazy.map { ExactString($0) }) }
    }
}
