public import KafkaModel

/// What one receive asks for.
public struct ReceiveRequest: Sendable {
    /// 1 to `LedgerRecord.maxLeased`.
    public var maxMessages: Int
    /// Milliseconds until the messages are available again; 0 to `LedgerSettings.maxVisibilityMs`.
    public var visibilityMs: Int64
    /// The digest of the ReceiveRequestAttemptId, of a FIFO queue.
    public var attempt: NameDigest?
    /// The member of a share group that acquires; 0: nobody in particular.
    public var owner: UInt32 = 0
    /// False: only messages that have state already, as there is no memory for more.
    public var takesNew = true
    /// False: it is no delivery of any message, also where its lease ends: for who looks at messages and never works on them.
    public var isCounted = true

    public init(maxMessages: Int, visibilityMs: Int64, attempt: NameDigest? = nil, owner: UInt32 = 0) {
        self.maxMessages = maxMessages
        self.visibilityMs = visibilityMs
        self.attempt = attempt
        self.owner = owner
    }
}

/// One message as it was given out.
public struct LeasedMessage: Hashable, Sendable {
    public var receipt: Receipt
    /// ApproximateReceiveCount, and exact; this delivery included, where it is one (`ReceiveRequest.isCounted`).
    public var receiveCount: Int
    /// Milliseconds since 1970 (ApproximateFirstReceiveTimestamp).
    public var firstReceivedMs: Int64
    /// Milliseconds since 1970.
    public var deadlineMs: Int64

    public init(receipt: Receipt, receiveCount: Int, firstReceivedMs: Int64, deadlineMs: Int64) {
        self.receipt = receipt
        self.receiveCount = receiveCount
        self.firstReceivedMs = firstReceivedMs
        self.deadlineMs = deadlineMs
    }
}

public enum ReceiveReply: Equatable, Sendable {
    /// In the order in which they are to be given; perhaps none.
    case messages([LeasedMessage])
    /// As many messages are in flight as may be. SQS answers so to a short poll of a standard queue; a long poll waits,
    /// and a FIFO queue just gives nothing. Also where messages are there and none is to be given state. Source: SQS quotas, "Messages per
    /// queue (in flight)".
    case overLimit
}

extension DeliveryLedger {
    /// Gives out messages that may be received now, redelivered ones and new ones by turns. A constant number of steps
    /// for each, or a logarithm of the messages in flight, at any depth.
    ///
    /// The lease counts from `apply` on. A reply may leave before its record is on disk: a crash then forgets the lease
    /// and its delivery, and its messages come again earlier than they would have. With `fifo` it waits, since a group
    /// would have two receivers then.
    public mutating func receive(_ request: ReceiveRequest, nowMs: Int64) -> LedgerStep<ReceiveReply> {
        requireActive()
        precondition(
            (1...LedgerRecord.maxLeased).contains(request.maxMessages)
                && (0...LedgerSettings.maxVisibilityMs).contains(request.visibilityMs),
            "a receive of \(request.maxMessages) messages for \(request.visibilityMs) ms")
        passTime(nowMs)
        if let step = repeated(request, nowMs: nowMs) { return step }
        let room = settings.maxInFlight - counts[.inFlight]
        guard room > 0 else {
            return LedgerStep(reply: settings.order == .fifo ? .messages([]) : .overLimit)
        }
        let number = LeaseNumber(generation: generation, call: calls)
        let terms = LeaseTerms(
            number: number.rawValue, startMs: nowMs, deadlineMs: nowMs + request.visibilityMs, owner: request.owner)
        let picked = pick(min(request.maxMessages, room), request.takesNew)
        guard !picked.isEmpty else {
            return LedgerStep(reply: !request.takesNew && hasDeliverable ? .overLimit : .messages([]))
        }
        let messages = picked.map { message(at: $0, terms, isCounted: request.isCounted) }
        var step = LedgerStep(
            records: [.leased(LeaseRecord(terms: terms, ranges: Self.ranges(of: messages)))],
            reply: ReceiveReply.messages(messages))
        step.takesLease = true
        if let attempt = request.attempt {
            step.attempt = ReceiveAttempt(
                id: attempt, atMs: nowMs, deadlineMs: terms.deadlineMs, receipts: messages.map(\.receipt))
        }
        return step
    }

    private func message(at offset: Int64, _ terms: LeaseTerms, isCounted: Bool) -> LeasedMessage {
        let slot = slots.slot(of: offset).map(Int.init)
        let before = slot.map { slots.counts[$0] } ?? 0
        let first = slot.map { slots.firstReceived[$0] } ?? 0
        return LeasedMessage(
            receipt: Receipt(offset: Offset(offset), lease: LeaseNumber(rawValue: terms.number)),
            receiveCount: Int(before == .max || !isCounted ? before : before + 1),
            firstReceivedMs: first == 0 ? terms.startMs : first, deadlineMs: terms.deadlineMs)
    }

    /// Neighbours that were given out equally often make one range.
    private static func ranges(of messages: [LeasedMessage]) -> [LeasedRange] {
        var ranges: [LeasedRange] = []
        for message in messages.sorted(by: { $0.receipt.offset < $1.receipt.offset }) {
            let (offset, receives) = (message.receipt.offset, UInt16(message.receiveCount))
            if let last = ranges.last, last.range.last + 1 == offset, last.receives == receives {
                ranges[ranges.count - 1].range.last = offset
            } else {
                ranges.append(LeasedRange(range: OffsetRange(offset), receives: receives))
            }
        }
        return ranges
    }

    // MARK: Choosing

    /// The greatest offset that may be given out; inclusive.
    var lastOfWindow: Int64 { settings.maxWindow.map { floor.rawValue + $0 - 1 } ?? .max }

    /// The offsets to give out next, `count` at most; takes none.
    private mutating func pick(_ count: Int, _ takesNew: Bool) -> [Int64] {
        switch settings.order {
        case .standard: pickUngrouped(count, takesNew)
        case .fair: pickFair(count)
        case .fifo: pickInOrder(count)
        }
    }

    /// Redelivered messages and new ones share a receive evenly, so that messages that fail at once cannot keep the new
    /// ones waiting. With one at a time they take turns.
    private func pickUngrouped(_ count: Int, _ takesNew: Bool) -> [Int64] {
        let lastOfWindow = lastOfWindow
        let room = takesNew ? min(count, max(0, settings.maxSlots - slots.count)) : 0
        let fresh = backlog.peek(room).flatMap { $0.prefix { $0 <= lastOfWindow } }
        let share = count == 1 ? Int(calls % 2) : (count + 1) / 2
        var again: [Int64] = []
        var slot = ready.head
        let most = max(count - fresh.count, share)
        while slot != MessageSlots.none, again.count < most {
            again.append(slots.offsets[Int(slot)])
            slot = slots.next[Int(slot)]
        }
        return again + fresh.prefix(count - again.count)
    }

    /// One message after the other of the group with the fewest in flight.
    private mutating func pickFair(_ count: Int) -> [Int64] {
        var picked: [Int64] = []
        // By group: what it is put back to, and the next message of it.
        var touched: [UInt32: (taken: Int, served: UInt64, next: UInt32)] = [:]
        while picked.count < count, let group = groups.first {
            var turn =
                touched[group] ?? (0, groups.served[Int(group)], groups.lists[Int(group)].head)
            picked.append(slots.offsets[Int(turn.next)])
            turn.taken += 1
            turn.next = slots.next[Int(turn.next)]
            touched[group] = turn
            groups.countInFlight(group, 1)
            groups.serve(group)
            if turn.next == MessageSlots.none { groups.setServable(group, false) }
        }
        for (group, turn) in touched {
            groups.countInFlight(group, -turn.taken)
            groups.setServed(group, turn.served)
            groups.setServable(group, true)
        }
        return picked
    }

    /// As many of one group as there are before the next group has its turn, as SQS does. Source: "FIFO delivery
    /// logic".
    private mutating func pickInOrder(_ count: Int) -> [Int64] {
        var picked: [Int64] = []
        var touched: [UInt32] = []
        while picked.count < count, let group = groups.first {
            var slot = groups.lists[Int(group)].head
            while slot != MessageSlots.none, slots.states[Int(slot)] == .available, picked.count < count {
                picked.append(slots.offsets[Int(slot)])
                slot = slots.next[Int(slot)]
            }
            touched.append(group)
            groups.setServable(group, false)
        }
        for group in touched { groups.setServable(group, true) }
        return picked
    }

    // MARK: The same attempt again

    /// A receive whose answer was lost is asked for again: the same messages with the same receipts, and their time
    /// begins anew, if none of them was changed since. Source: SQS, ReceiveMessage, ReceiveRequestAttemptId.
    private func repeated(_ request: ReceiveRequest, nowMs: Int64) -> LedgerStep<ReceiveReply>? {
        guard let id = request.attempt, var attempt = attempts[id], !attempt.receipts.isEmpty else { return nil }
        var messages: [LeasedMessage] = []
        for receipt in attempt.receipts {
            guard let slot = slots.slot(of: receipt.offset.rawValue), isHeld(slot, by: receipt, nowMs),
                slots.deadlines[Int(slot)] == attempt.deadlineMs
            else { return nil }
            messages.append(
                LeasedMessage(
                    receipt: receipt, receiveCount: Int(slots.counts[Int(slot)]),
                    firstReceivedMs: slots.firstReceived[Int(slot)], deadlineMs: nowMs + request.visibilityMs))
        }
        let ranges = OffsetRange.covering(attempt.receipts.map(\.offset.rawValue))
        attempt.deadlineMs = nowMs + request.visibilityMs
        return LedgerStep(
            records: [.extended(ranges, deadlineMs: attempt.deadlineMs)], reply: .messages(messages),
            attempt: attempt)
    }

    /// Lets a repeat of an attempt give only these of its messages: the others were not handed over. In memory alone, as attempts are.
    public mutating func keep(_ offsets: [Offset], ofAttempt id: NameDigest) {
        guard var attempt = attempts[id] else { return }
        let kept = Set(offsets)
        attempt.receipts.removeAll { !kept.contains($0.offset) }
        attempts.note(attempt)
    }

    /// Whether the message is in flight, and the receipt is that of its lease.
    func isHeld(_ slot: UInt32, by receipt: Receipt, _ nowMs: Int64) -> Bool {
        slots.states[Int(slot)] == .inFlight && slots.leases[Int(slot)] == receipt.lease.rawValue
            && slots.deadlines[Int(slot)] > nowMs
    }
}
