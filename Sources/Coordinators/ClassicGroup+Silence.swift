internal import KafkaModel
internal import KafkaWire

/// Members that are silent: sessions that end, members that do not come back or fetch no assignment, connections that close.
extension ClassicGroup {
    /// Does what a timer of the group is for: removes a member whose session has ended, ends a join or a sync.
    mutating func timerFired(_ entry: DeadlineQueue.Entry, _ shard: inout ShardContext) {
        if share != nil { return share!.timerFired(entry, &shard) }
        if consumer != nil {
            let hadMembers = consumer!.members.count
            consumer!.timerFired(entry, &shard)
            if consumer!.members.count < hadMembers { downgradeIfClassic(&shard) }
            return
        }
        let now = shard.now.monotonicMs
        switch entry.subject {
        case .join:
            if joinTimer.fires(entry, now: now, in: &shard.timers) { joinTimerFired(&shard) }
        case .sync:
            if syncTimer.fires(entry, now: now, in: &shard.timers) { syncTimerFired(&shard) }
        case .session(let memberID):
            guard members[memberID]?.session.fires(entry, now: now, in: &shard.timers) == true else { return }
            // The parked request's answer starts the session anew.
            if members[memberID]!.isExcused { return }
            shard.counters.expiredMembers += 1
            remove(memberID, &shard)
            settleAfterLoss(&shard)
        case .pendingMember(let memberID):
            guard pendingFires(memberID, entry, now: now, in: &shard.timers) else { return }
            remove(memberID, &shard)
            completeJoinIfAllRejoined(&shard)
        case .rebalance, .assignment: break
        }
    }

    /// The timers' entries in the shard's heap.
    var timerEntries: [DeadlineQueue.Entry] {
        var entries: [DeadlineQueue.Entry] = []
        func add(_ deadline: GroupTimer, _ subject: TimerSubject) {
            if let entry = deadline.entry(groupID: groupID, subject: subject) { entries.append(entry) }
        }
        add(joinTimer, .join)
        add(syncTimer, .sync)
        for (memberID, member) in members { add(member.session, .session(memberID: memberID.text)) }
        for (memberID, timer) in pendingMembers { add(timer, .pendingMember(memberID: memberID.text)) }
        return entries + (consumer?.timerEntries ?? []) + (share?.timerEntries ?? [])
    }

    /// Removes the members that never fetched their assignment, or, the leader, never made it.
    private mutating func syncTimerFired(_ shard: inout ShardContext) {
        guard state == .completingRebalance || state == .stable, !pendingSync.isEmpty else { return }
        for memberID in pendingSync {
            shard.counters.expiredMembers += 1
            remove(memberID.text, &shard)
        }
        prepareRebalance(&shard)
    }

    /// Takes back the request that was parked for a connection that is now closed.
    ///
    /// Kafka cannot see this, as it does not read from a connection with a request in hand, and counts the member as
    /// rejoined until a timeout. Here the member has simply not rejoined: it can do so again under its id until its
    /// session ends, and nobody waits longer than that for it. A member that was never told its id cannot come back.
    mutating func connectionGone(_ memberID: String, _ waiter: WaiterID, _ shard: inout ShardContext) {
        guard let member = members[memberID] else { return }
        if member.join?.waiter == waiter {
            members[memberID]!.join = nil
            rejoinedCount -= 1
            if !member.isIDKnown {
                remove(memberID, &shard)
                return settleAfterLoss(&shard)
            }
        } else if member.sync?.waiter == waiter {
            members[memberID]!.sync = nil
        } else {
            return
        }
        keepAlive(memberID, &shard)
    }
}
