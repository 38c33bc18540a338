import KafkaModel
import QueueLedger

/// The rules of a queue, as slow and obvious as they can be said: an array of messages, and a walk through all of it
/// for each question. Which of several messages that may be received a receive gives is the ledger's choice; the model
/// says whether it may.
struct ModelQueue {
    enum State: Equatable {
        case available
        case delayed(until: Int64)
        case inFlight(until: Int64)
        case ending
        case held
        case ended
    }

    struct Message {
        var offset: Int64
        var group: UInt64
        var state: State
        var receives = 0
        var lease: LeaseNumber?
        var leasedAtMs: Int64 = 0
        var firstReceivedMs: Int64 = 0
        var heldUntil: Int64 = 0
        var owner: UInt32 = 0
    }

    let settings: LedgerSettings
    var messages: [Message] = []
    var leases: Set<LeaseNumber> = []

    func scan() -> [ScannedMessage] {
        messages.compactMap { message in
            var found = ScannedMessage(
                offset: message.offset, state: "available", receives: message.receives,
                lease: message.lease?.rawValue ?? 0, firstReceivedMs: message.firstReceivedMs, owner: message.owner)
            switch message.state {
            case .available: break
            case .delayed(let until): (found.state, found.deadlineMs) = ("delayed", until)
            case .inFlight(let until): (found.state, found.deadlineMs) = ("inFlight", until)
            case .ending: found.state = "ending"
            case .held: found.state = "held"
            case .ended: return nil
            }
            return found
        }
    }

    mutating func pass(_ nowMs: Int64) {
        for index in messages.indices {
            switch messages[index].state {
            case .delayed(let until) where until <= nowMs: messages[index].state = .available
            case .inFlight(let until) where until <= nowMs: leaseEnded(index)
            default: break
            }
        }
    }

    private mutating func leaseEnded(_ index: Int) {
        let isLast = settings.maxReceives.map { messages[index].receives >= $0 } ?? false
        messages[index].state = isLast ? .ending : .available
    }

    // MARK: Receiving

    /// How many messages a receive of `count` has to give.
    func deliverable(_ count: Int) -> Int {
        let inFlight = messages.count { if case .inFlight = $0.state { true } else { false } }
        let room = min(count, settings.maxInFlight - inFlight)
        let available: Int
        if settings.order == .fifo {
            available = Set(messages.map(\.group)).reduce(0) { $0 + inOrder($1).count }
        } else {
            available = messages.count { $0.state == .available && isInWindow($0.offset) }
        }
        return max(0, min(room, available))
    }

    private func isInWindow(_ offset: Int64) -> Bool {
        guard let window = settings.maxWindow else { return true }
        let floor = messages.first { $0.state != .ended }?.offset ?? 0
        return offset < floor + window
    }

    /// The messages of a FIFO group that may be received: those before the first that may not, and none while one is in
    /// flight.
    private func inOrder(_ group: UInt64) -> [Int64] {
        let own = messages.filter { $0.group == group && $0.state != .ended && $0.state != .ending }
        for message in own { if case .inFlight = message.state { return [] } }
        return own.prefix { $0.state == .available }.map(\.offset)
    }

    /// Takes in what a receive gave; says what is wrong with it.
    mutating func received(_ given: [LeasedMessage], requested: Int, visibilityMs: Int64, owner: UInt32, nowMs: Int64)
        -> String?
    {
        if given.count != deliverable(requested) { return "\(given.count) given of \(deliverable(requested))" }
        if settings.order == .fifo {
            for (group, offsets) in Dictionary(grouping: given.offsets, by: { messages[Int($0)].group }) {
                if offsets != Array(inOrder(group).prefix(offsets.count)) { return "group \(group): \(offsets)" }
            }
        }
        guard let lease = given.first?.receipt.lease else { return nil }
        if !leases.insert(lease).inserted { return "a lease's number was given twice" }
        for message in given {
            let index = Int(message.receipt.offset.rawValue)
            guard messages[index].state == .available else { return "\(index) is \(messages[index].state)" }
            guard message.receipt.lease == lease else { return "one receive, two leases" }
            messages[index].receives += 1
            messages[index].lease = lease
            messages[index].leasedAtMs = nowMs
            messages[index].owner = owner
            if messages[index].firstReceivedMs == 0 { messages[index].firstReceivedMs = nowMs }
            messages[index].state = .inFlight(until: nowMs + visibilityMs)
            let told = [Int64(message.receiveCount), message.firstReceivedMs, message.deadlineMs]
            if told != [Int64(messages[index].receives), messages[index].firstReceivedMs, nowMs + visibilityMs] {
                return "\(index) is told as \(told)"
            }
        }
        return nil
    }

    // MARK: Settling

    private func isHeld(_ message: Message, by receipt: Receipt) -> Bool {
        if case .inFlight = message.state { return message.lease == receipt.lease }
        return false
    }

    mutating func acknowledge(_ receipt: Receipt) -> SettleOutcome {
        let index = Int(receipt.offset.rawValue)
        guard index < messages.count else { return .unknown }
        if messages[index].state == .ended { return .noEffect }
        if !isHeld(messages[index], by: receipt) {
            if settings.order == .fifo { return .expired }
            if messages[index].lease != receipt.lease || messages[index].state == .ending { return .noEffect }
        }
        messages[index].state = .ended
        return .done
    }

    mutating func changeVisibility(_ receipt: Receipt, _ ms: Int64, nowMs: Int64) -> SettleOutcome {
        settleHeld(receipt) { model, index in
            if nowMs + ms > model.messages[index].leasedAtMs + LedgerSettings.maxVisibilityMs { return .beyondLimit }
            if ms == 0 { model.leaseEnded(index) } else { model.messages[index].state = .inFlight(until: nowMs + ms) }
            return .done
        }
    }

    mutating func release(_ receipt: Receipt, delayMs: Int64?, nowMs: Int64) -> SettleOutcome {
        settleHeld(receipt) { model, index in
            let receives = model.messages[index].receives
            let backoff = model.settings.backoffMs
            let delay = delayMs ?? (backoff.isEmpty ? 0 : backoff[min(receives, backoff.count) - 1])
            model.leaseEnded(index)
            if delay > 0, model.messages[index].state == .available {
                model.messages[index].state = .delayed(until: nowMs + delay)
            }
            return .done
        }
    }

    mutating func reject(_ receipt: Receipt) -> SettleOutcome {
        settleHeld(receipt) { model, index in
            model.messages[index].state = .ending
            return .done
        }
    }

    private mutating func settleHeld(
        _ receipt: Receipt, _ body: (inout ModelQueue, Int) -> SettleOutcome
    ) -> SettleOutcome {
        let index = Int(receipt.offset.rawValue)
        guard index < messages.count else { return .unknown }
        guard isHeld(messages[index], by: receipt) else { return .notInFlight }
        return body(&self, index)
    }

    mutating func end(below offset: Int64) {
        for index in messages.indices where messages[index].offset < offset { messages[index].state = .ended }
    }
}
