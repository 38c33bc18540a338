public import ByteBuffers
internal import KafkaModel

/// The records' effect: the same when they were just appended and when they are read back.
extension DeliveryLedger {
    /// Takes in a step whose records were appended.
    public mutating func apply<Reply>(_ step: LedgerStep<Reply>) {
        requireActive()
        for record in step.records {
            apply(record)
            journal.appended(record)
        }
        if step.takesLease { calls += 1 }
        if let attempt = step.attempt { attempts.note(attempt) }
        compactIfWorthwhile()
    }

    /// Applies one record of the log, in the log's order. Only while loading. Records of other ledgers are to be left
    /// out.
    ///
    /// - Parameter value: null for a key that was deleted.
    /// - Throws: the record is damaged or newer than this code; the ledger must not be served then.
    public mutating func replay(_ key: LedgerKey, _ value: UnsafeRawBufferPointer?) throws(DecodeError) {
        precondition(phase == .loading, "a record was replayed into a ledger that is \(phase)")
        precondition(key.ledger == id, "a record of another ledger was replayed")
        guard let value else { return }
        switch try LedgerValue.decode(value) {
        case .record(let record, let epoch):
            guard journal.replays(key, epoch: epoch, bytes: value.count) else { return }
            apply(record)
            guard slots.count <= LedgerSettings.maxSlotsLimit + LedgerRecord.maxLeased else {
                throw .invalid("more messages with state than a ledger has", position: 0)
            }
        case .snapshotPart(let part, let epoch):
            if let whole = try journal.collect(part, key, epoch: epoch, bytes: value.count) { try restore(whole) }
        }
    }

    mutating func apply(_ record: LedgerRecord) {
        switch record {
        case .leased(let lease):
            for leased in lease.ranges { apply(lease.terms, leased) }
        case .ended(let ranges, let reason):
            let before = ended
            for range in ranges { end(all: range) }
            if reason == .acknowledged { meter.acknowledged(ended - before) }
        case .released(let ranges, let visibleAtMs, let isUncounted):
            forEachInFlight(ranges) { ledger, slot in ledger.release(slot, visibleAtMs, isUncounted: isUncounted) }
        case .extended(let ranges, let deadlineMs):
            forEachInFlight(ranges) { ledger, slot in ledger.slots.extend(slot, to: deadlineMs) }
        case .rejected(let ranges):
            forEachInFlight(ranges) { ledger, slot in ledger.end(slot) }
        case .started(let offset): start(at: offset)
        }
    }

    private mutating func apply(_ terms: LeaseTerms, _ leased: LeasedRange) {
        let range = leased.range
        for offset in range.first.rawValue...range.last.rawValue {
            let slot: UInt32
            if let known = slots.slot(of: offset) {
                slot = known
            } else if phase == .loading {
                // What a record has ended, or purged, is not given out again: such a record is not one of ours.
                guard fresh!.contains(offset) else { continue }
                slot = slots.insert(offset)
            } else {
                slot = slots.insert(offset)
            }
            slots.note(slot, terms, count: leased.receives)
            let group = slots.groups[Int(slot)]
            move(slot, to: .inFlight, deadlineMs: terms.deadlineMs)
            if phase == .active, group != MessageGroups.none { groups.serve(group) }
        }
        let all = range.first.rawValue..<range.last.rawValue + 1
        if phase == .loading { fresh!.remove(all) } else { _ = backlog.take(all.lowerBound, end: all.upperBound) }
    }

    private mutating func release(_ slot: UInt32, _ visibleAtMs: Int64, isUncounted: Bool) {
        if isUncounted { slots.uncount(slot) }
        if settings.hasReachedLimit(slots.counts[Int(slot)]) {
            end(slot)
        } else if visibleAtMs > 0 {
            move(slot, to: .delayed, deadlineMs: visibleAtMs)
        } else {
            move(slot, to: .available)
        }
    }

    private mutating func end(all range: OffsetRange) {
        let (first, last) = (range.first.rawValue, range.last.rawValue)
        for slot in slots(in: range) { remove(slot) }
        ended += backlog.take(first, end: last + 1) + held.take(first, end: last + 1)
        fresh?.remove(first..<last + 1)
    }

    private mutating func start(at offset: Int64) {
        if phase == .active, offset >= end {
            // All of them: at a price that does not depend on their number.
            ended += counters.live
            (slots, groups, backlog, held) = (MessageSlots(), MessageGroups(), Backlog(), Backlog())
            (ready, ending, counts) = (SlotList(), SlotList(), StateCounts())
        }
        while let slot = slots.first, slots.offsets[Int(slot)] < offset { remove(slot) }
        ended += backlog.take(0, end: offset) + held.take(0, end: offset)
        fresh?.remove(0..<offset)
        start = max(start, offset)
        end = max(end, start)
    }

    private mutating func forEachInFlight(
        _ ranges: [OffsetRange], _ body: (inout DeliveryLedger, UInt32) -> Void
    ) {
        for range in ranges {
            for slot in slots(in: range) where slots.states[Int(slot)] == .inFlight { body(&self, slot) }
        }
    }

    /// Offsets that are looked up one by one however few messages have state: a table keeps about as many slots.
    private static let alwaysLookedUp: Int64 = 4096

    /// The messages with state in a range, in the order of their offsets, at the price of the smaller one of both.
    func slots(in range: OffsetRange) -> [UInt32] {
        if range.count <= max(Int64(slots.count) * 4, Self.alwaysLookedUp) {
            return (range.first.rawValue...range.last.rawValue).compactMap { slots.slot(of: $0) }
        }
        return slots.occupied.filter { range.contains(Offset(slots.offsets[Int($0)])) }
            .sorted { slots.offsets[Int($0)] < slots.offsets[Int($1)] }
    }
}
