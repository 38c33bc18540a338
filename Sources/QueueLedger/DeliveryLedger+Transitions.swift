/// How a message with a slot changes its state: the one place where lists, counts and groups follow.
extension DeliveryLedger {
    /// Moves a message to another state; the deadline counts for leases and delays.
    mutating func move(_ slot: UInt32, to state: MessageState, deadlineMs: Int64 = 0) {
        let group = slots.groups[Int(slot)]
        let old = slots.states[Int(slot)]
        leaveList(slot)
        counts[old] -= 1
        slots.set(slot, state, deadline: deadlineMs)
        counts[state] += 1
        enterList(slot)
        if group != MessageGroups.none { refresh(group) }
    }

    /// Forgets a message.
    mutating func remove(_ slot: UInt32) {
        let group = slots.groups[Int(slot)]
        if slots.states[Int(slot)] != .ending { leavePlace(slot) }
        leaveList(slot)
        counts[slots.states[Int(slot)]] -= 1
        slots.remove(slot)
        ended += 1
        if group != MessageGroups.none {
            refresh(group)
            groups.leave(group)
        }
    }

    /// Whether a message in this state stands in its group's list: with `fifo` all but those that left for the dead
    /// letters.
    private func isInGroupList(_ state: MessageState) -> Bool {
        switch settings.order {
        case .standard: false
        case .fair: state == .available
        case .fifo: state == .available || state == .inFlight || state == .delayed
        }
    }

    /// Puts a message into the list of its state. While loading there are no lists: what has a slot may have no group
    /// yet.
    mutating func enterList(_ slot: UInt32) {
        guard phase == .active else { return }
        let state = slots.states[Int(slot)]
        let group = slots.groups[Int(slot)]
        if state == .ending { return ending.append(slot, &slots) }
        if group == MessageGroups.none {
            if state == .available { ready.append(slot, &slots) }
            return
        }
        if state == .inFlight { groups.countInFlight(group, 1) }
        // A message of a FIFO group never leaves its place.
        if isInGroupList(state), !isLinked(slot, in: group) { groups.append(slot, to: group, &slots) }
        refresh(group)
    }

    private mutating func leaveList(_ slot: UInt32) {
        guard phase == .active else { return }
        let state = slots.states[Int(slot)]
        let group = slots.groups[Int(slot)]
        if state == .free { return }
        if state == .ending { return ending.unlink(slot, &slots) }
        if group == MessageGroups.none {
            if state == .available { ready.unlink(slot, &slots) }
            return
        }
        if state == .inFlight { groups.countInFlight(group, -1) }
        if settings.order == .fair, state == .available { groups.unlink(slot, from: group, &slots) }
    }

    private func isLinked(_ slot: UInt32, in group: UInt32) -> Bool {
        slots.previous[Int(slot)] != MessageSlots.none || groups.lists[Int(group)].head == slot
    }

    /// Takes a message of a FIFO group out of its place, since it does not come back.
    private mutating func leavePlace(_ slot: UInt32) {
        let group = slots.groups[Int(slot)]
        guard settings.order == .fifo, phase == .active, group != MessageGroups.none, isLinked(slot, in: group) else {
            return
        }
        groups.unlink(slot, from: group, &slots)
    }

    /// Says anew whether something may be received of the group.
    private mutating func refresh(_ group: UInt32) {
        let head = groups.lists[Int(group)].head
        let isServable: Bool
        if head == MessageSlots.none {
            isServable = false
        } else if settings.order == .fifo {
            isServable = groups.inFlight[Int(group)] == 0 && slots.states[Int(head)] == .available
        } else {
            isServable = true
        }
        groups.setServable(group, isServable)
    }

    /// The lease of a message ended without an acknowledgement.
    mutating func leaseEnded(_ slot: UInt32) {
        if settings.hasReachedLimit(slots.counts[Int(slot)]) { end(slot) } else { move(slot, to: .available) }
    }

    /// The message gets no more deliveries. Its group goes on without it.
    mutating func end(_ slot: UInt32) {
        leavePlace(slot)
        move(slot, to: .ending)
        lost += 1
    }

    /// Copies the messages into smaller tables, when most are gone.
    mutating func compactIfWorthwhile() {
        if slots.isMostlyEmpty { compactSlots() }
    }

    /// Gives memory back that is for messages, groups and ids that are gone, however little it is: a ledger that is used keeps some, and many
    /// that are not would keep much together. To be called now and then; costs a step for each message with state, where that is worth it.
    public mutating func shrink(nowMs: Int64) {
        requireActive()
        if slots.isWorthShrinking { compactSlots() }
        if groups.isWorthShrinking {
            let (smaller, newGroups) = groups.compacted()
            groups = smaller
            for slot in slots.occupied where slots.groups[Int(slot)] != MessageGroups.none {
                slots.groups[Int(slot)] = newGroups[Int(slots.groups[Int(slot)])]
            }
        }
        backlog.shrink()
        held.shrink()
        sent.shrink()
        meter.shrink(nowMs)
    }

    private mutating func compactSlots() {
        let (smaller, newSlots) = slots.compacted()
        slots = smaller
        ready.rename(newSlots)
        ending.rename(newSlots)
        groups.rename(newSlots)
    }

    // MARK: Time

    /// Deadlines of messages that end in one call, so that a crowd of them holds up nobody; as many delayed runs of the
    /// backlog, and as many de-duplication ids. When more are due, the next calls let them end; what is asked of such a
    /// lease or id looks at its deadline.
    static let maxDue = 1024

    /// Lets happen what is due: leases and delays end. Nothing of it is a record, as the deadlines are.
    mutating func passTime(_ nowMs: Int64) {
        for _ in 0..<Self.maxDue {
            guard let slot = slots.timers.first, slots.deadlines[Int(slot)] <= nowMs else { break }
            if slots.states[Int(slot)] == .inFlight { leaseEnded(slot) } else { move(slot, to: .available) }
        }
        backlog.passTime(nowMs, most: Self.maxDue)
        held.passTime(nowMs, most: Self.maxDue)
        sent.passTime(nowMs, most: Self.maxDue)
        attempts.passTime(nowMs)
        if phase == .active { meter.look(nowMs, end: end) }
    }
}
