internal import KafkaModel
internal import KafkaWire

/// Members that leave, are silent or do not give up what they are told to.
extension ConsumerGroup {
    /// Lets a member go: for good (-1), or, a static one, for a while (-2), in which it keeps what it reads.
    mutating func leave(
        _ request: Request, _ shard: inout ShardContext
    ) throws(GroupRefusal) -> ConsumerGroupHeartbeatResponse {
        let key = ExactString(request.memberID)
        if let instanceID = request.instanceID {
            guard let holder = staticMembers[instanceID] else {
                throw GroupRefusal(.unknownMemberID, "Instance id \(instanceID) is unknown.")
            }
            guard holder == key else {
                throw GroupRefusal(.fencedInstanceID, "Instance id \(instanceID) belongs to another member.")
            }
        }
        guard var member = members[key], member.classic == nil else { throw Self.unknownMember(request.memberID) }
        if request.memberEpoch == ConsumerMember.leftEpoch {
            member.previousEpoch = member.epoch
            member.epoch = ConsumerMember.leftEpoch
            member.state = .stable
            member.pendingRevocation = [:]
            put(member)
            shard.write(.consumerCurrent(groupID: groupID, member))
            setRebalanceTimer(key, &shard)
        } else {
            fence([key], &shard)
        }
        var response = ConsumerGroupHeartbeatResponse()
        response.memberID = request.memberID
        response.memberEpoch = request.memberEpoch
        return response
    }

    /// Takes members out and bumps the epoch once. A group that becomes empty has an assignment of nothing.
    mutating func fence(_ keys: [ExactString], _ shard: inout ShardContext) {
        let present = keys.filter { members[$0] != nil }
        if present.isEmpty { return }
        for key in present {
            let pattern = members[key]?.pattern
            drop(key, &shard)
            if let pattern { dropPattern(pattern, &shard) }
        }
        lookAtTopics(isBumped: true, &shard)
        if members.isEmpty {
            setAssignment(epoch: epoch, timestampMs: shard.now.wallClockMs)
            shard.write(.consumerTargetEpoch(groupID: groupID, epoch: epoch, timestampMs: shard.now.wallClockMs))
            assignTimer.cancel()
        } else {
            assignIfDue(&shard)
        }
    }

    /// Forgets what a pattern stands for whose last subscriber has gone.
    mutating func dropPattern(_ pattern: String, _ shard: inout ShardContext) {
        let key = ExactString(pattern)
        guard patternSubscribers[key] == nil, patterns[key] != nil else { return }
        setPattern(key, nil)
        shard.write(.consumerPattern(groupID: groupID, pattern: pattern, nil))
    }

    // MARK: Timers

    mutating func timerFired(_ entry: DeadlineQueue.Entry, _ shard: inout ShardContext) {
        let now = shard.now.monotonicMs
        switch entry.subject {
        case .session(let memberID):
            var isOver = false
            withTimers(of: ExactString(memberID)) { isOver = $0.session.fires(entry, now: now, in: &shard.timers) }
            guard isOver else { return }
            shard.counters.expiredMembers += 1
            fence([ExactString(memberID)], &shard)
        case .rebalance(let memberID):
            var isOver = false
            withTimers(of: ExactString(memberID)) { isOver = $0.rebalance.fires(entry, now: now, in: &shard.timers) }
            guard isOver else { return }
            shard.counters.expiredMembers += 1
            fence([ExactString(memberID)], &shard)
        case .assignment:
            if assignTimer.fires(entry, now: now, in: &shard.timers) { assignIfDue(&shard) }
        case .join, .sync, .pendingMember: break
        }
    }

    /// The timers' entries in the shard's heap.
    var timerEntries: [DeadlineQueue.Entry] {
        var entries: [DeadlineQueue.Entry] = []
        func add(_ deadline: GroupTimer, _ subject: TimerSubject) {
            if let entry = deadline.entry(groupID: groupID, subject: subject) { entries.append(entry) }
        }
        add(assignTimer, .assignment)
        for member in members.values {
            add(member.session, .session(memberID: member.memberID))
            add(member.rebalance, .rebalance(memberID: member.memberID))
        }
        return entries
    }

    /// Begins what runs by time, of a group that was found in the log.
    mutating func takeUp(_ shard: inout ShardContext) {
        for key in members.keys.sorted() {
            startSession(key, &shard)
            setRebalanceTimer(key, &shard)
        }
        // Not at once: what is loaded brings no records.
        if epoch > assignmentEpoch, !members.isEmpty {
            assignTimer.set(shard.after(1), in: &shard.timers, groupID: groupID, subject: .assignment)
        }
    }
}
