internal import KafkaModel

/// What became of one receipt that was handed back.
public enum SettleOutcome: Equatable, Sendable {
    case done
    /// Nothing changed, and that is a success: the message is ended, or was given to another since. SQS: "the request
    /// will succeed, but the message might not be deleted".
    case noEffect
    /// FIFO: the lease has ended (InvalidParameterValue, "The receipt handle has expired").
    case expired
    /// The lease has ended, so there is no visibility to change (MessageNotInflight).
    case notInFlight
    /// The lease would last longer than 12 hours from its receive on (InvalidParameterValue).
    case beyondLimit
    /// No message was ever given out at that offset (ReceiptHandleIsInvalid).
    case unknown
}

/// Acknowledgements, changes of visibility, and what is given back or given up. Batches are answered one by one; the
/// order of the outcomes is that of the receipts. A reply with `done` may leave once the records are on disk.
extension DeliveryLedger {
    /// Ends messages: they are never given out again, once the records are on disk.
    ///
    /// The newest receipt alone has an effect, also after its lease has ended, until the message is given to another;
    /// with FIFO only while the lease lasts, since the group has gone on without it. Source: SQS, DeleteMessage.
    public mutating func acknowledge(_ receipts: [Receipt], nowMs: Int64) -> LedgerStep<[SettleOutcome]> {
        requireActive()
        passTime(nowMs)
        var done: [Int64] = []
        let outcomes = receipts.map { receipt in
            let outcome = acknowledgement(of: receipt, nowMs)
            if outcome == .done { done.append(receipt.offset.rawValue) }
            return outcome
        }
        // Where the log refuses them, they are worked on longer: that the shorter time counts as well harms nobody.
        for offset in done {
            guard let slot = slots.slot(of: offset), slots.states[Int(slot)] == .inFlight else { continue }
            meter.worked(nowMs - slots.leaseStart(of: slot), nowMs)
        }
        return LedgerStep(records: Self.ended(done, .acknowledged), reply: outcomes)
    }

    private func acknowledgement(of receipt: Receipt, _ nowMs: Int64) -> SettleOutcome {
        guard let slot = slots.slot(of: receipt.offset.rawValue) else { return withoutSlot(receipt.offset) }
        if isHeld(slot, by: receipt, nowMs) { return .done }
        if settings.order == .fifo { return .expired }
        let isNewest = slots.leases[Int(slot)] == receipt.lease.rawValue
        // The dead letters may have a message that is ending already.
        return isNewest && slots.states[Int(slot)] != .ending ? .done : .noEffect
    }

    private func withoutSlot(_ offset: Offset) -> SettleOutcome {
        offset.rawValue >= end || offset < .zero ? .unknown : .noEffect
    }

    /// Lets leases end so many milliseconds from now, 0 to `LedgerSettings.maxVisibilityMs`; with 0 the messages are
    /// available at once, and where that was the last delivery, ended. Source: SQS, ChangeMessageVisibility.
    public mutating func changeVisibility(
        _ changes: [(receipt: Receipt, visibilityMs: Int64)], nowMs: Int64
    ) -> LedgerStep<[SettleOutcome]> {
        requireActive()
        passTime(nowMs)
        // By offset, for the last of two changes of one message is in force.
        var deadlines: [Int64: Int64] = [:]
        let outcomes = changes.map { receipt, visibilityMs in
            precondition((0...LedgerSettings.maxVisibilityMs).contains(visibilityMs), "\(visibilityMs) ms")
            let outcome = holding(of: receipt, nowMs) { slot in
                let most = slots.leaseStart(of: slot) + LedgerSettings.maxVisibilityMs
                return nowMs + visibilityMs > most ? .beyondLimit : .done
            }
            if outcome == .done { deadlines[receipt.offset.rawValue] = visibilityMs == 0 ? 0 : nowMs + visibilityMs }
            return outcome
        }
        return LedgerStep(
            records: Self.byTime(deadlines) { ranges, atMs in
                atMs == 0
                    ? .released(ranges, visibleAtMs: 0, isUncounted: false) : .extended(ranges, deadlineMs: atMs)
            }, reply: outcomes)
    }

    /// Gives messages back: a negative acknowledgement. Each is available after its delay in milliseconds (0: at once;
    /// nil: the queue's backoff for its number of deliveries), or ended, where that was the last delivery. It is
    /// delayed meanwhile, and no longer in flight.
    public mutating func release(
        _ releases: [(receipt: Receipt, delayMs: Int64?)], nowMs: Int64
    ) -> LedgerStep<[SettleOutcome]> {
        requireActive()
        passTime(nowMs)
        var times: [Int64: Int64] = [:]
        let outcomes = releases.map { receipt, delayMs in
            let outcome = holding(of: receipt, nowMs) { _ in .done }
            if outcome == .done, let slot = slots.slot(of: receipt.offset.rawValue) {
                let delay = delayMs ?? settings.backoff(after: slots.counts[Int(slot)])
                precondition((0...LedgerSettings.maxVisibilityMs).contains(delay), "a delay of \(delay) ms")
                times[receipt.offset.rawValue] = delay == 0 ? 0 : nowMs + delay
            }
            return outcome
        }
        return LedgerStep(
            records: Self.byTime(times) { .released($0, visibleAtMs: $1, isUncounted: false) }, reply: outcomes)
    }

    /// Takes back leases whose messages were not handed over: they are available at once, and this delivery does not count.
    ///
    /// - Parameter wasCounted: as their receive said (`ReceiveRequest.isCounted`).
    public mutating func takeBack(
        _ receipts: [Receipt], wasCounted: Bool = true, nowMs: Int64
    ) -> LedgerStep<Void> {
        requireActive()
        passTime(nowMs)
        let offsets = receipts.filter { receipt in holding(of: receipt, nowMs) { _ in .done } == .done }
            .map(\.offset.rawValue)
        if offsets.isEmpty { return LedgerStep(reply: ()) }
        return LedgerStep(
            records: [.released(OffsetRange.covering(offsets), visibleAtMs: 0, isUncounted: wasCounted)], reply: ())
    }

    /// Gives messages up: to the dead letters, however often they were delivered, or archived.
    public mutating func reject(_ receipts: [Receipt], nowMs: Int64) -> LedgerStep<[SettleOutcome]> {
        requireActive()
        passTime(nowMs)
        var done: [Int64] = []
        let outcomes = receipts.map { receipt in
            let outcome = holding(of: receipt, nowMs) { _ in .done }
            if outcome == .done { done.append(receipt.offset.rawValue) }
            return outcome
        }
        return LedgerStep(records: done.isEmpty ? [] : [.rejected(OffsetRange.covering(done))], reply: outcomes)
    }

    /// Ends what is no message: offsets that were told, or given out, and turn out to hold none when they are read.
    public func dropGaps(_ ranges: [OffsetRange]) -> LedgerStep<Void> {
        requireActive()
        return LedgerStep(records: ranges.isEmpty ? [] : [.ended(ranges, .gap)], reply: ())
    }

    private func holding(
        of receipt: Receipt, _ nowMs: Int64, _ body: (UInt32) -> SettleOutcome
    ) -> SettleOutcome {
        guard let slot = slots.slot(of: receipt.offset.rawValue) else {
            return withoutSlot(receipt.offset) == .unknown ? .unknown : .notInFlight
        }
        return isHeld(slot, by: receipt, nowMs) ? body(slot) : .notInFlight
    }

    static func ended(_ offsets: [Int64], _ reason: EndReason) -> [LedgerRecord] {
        offsets.isEmpty ? [] : [.ended(OffsetRange.covering(offsets), reason)]
    }

    /// One record for all offsets with the same time.
    private static func byTime(
        _ times: [Int64: Int64], _ record: ([OffsetRange], Int64) -> LedgerRecord
    ) -> [LedgerRecord] {
        Dictionary(grouping: times.keys) { times[$0]! }.sorted { $0.key < $1.key }
            .map { record(OffsetRange.covering($0.value), $0.key) }
    }
}
