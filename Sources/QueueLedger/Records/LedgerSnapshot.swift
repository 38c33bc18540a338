internal import ByteBuffers
internal import KafkaModel

/// One part of a snapshot: all that is not ended, in ascending order over all parts; what neither a range nor an entry
/// speaks of is ended.
///
/// ```
/// index, parts, start
/// fresh ranges that were never given out: count, {first − end before, length − 1}…
/// entries: count, {first − end before, length − 1, state, receives, lease − before, first received ms − before,
///                  deadline ms − before, span ms, owner}…
/// ```
struct SnapshotPart: Equatable, Sendable {
    var index: Int
    var partCount: Int
    var start: Int64
    var fresh: [OffsetRange] = []
    var entries: [SnapshotEntry] = []

    /// Ranges and entries of one part at most: some 150 KB.
    static let maxPieces = 4096
    /// Parts of a snapshot at most: four billion ranges and entries.
    private static let maxParts = Int64(1 << 20)
}

/// Neighbouring messages that were given out at least once, with all else equal.
struct SnapshotEntry: Equatable, Sendable {
    var range: OffsetRange
    var state: MessageState
    var receives: UInt16
    var lease: UInt64
    var firstReceivedMs: Int64
    var deadlineMs: Int64
    var spanMs: UInt32
    var owner: UInt32

    /// Whether the next message can be told by the same entry.
    fileprivate func continues(with other: SnapshotEntry) -> Bool {
        var other = other
        guard range.last + 1 == other.range.first, range.count < LedgerRecord.maxLeased else { return false }
        other.range = range
        return self == other
    }
}

extension SnapshotPart {
    func value(epoch: Int64) -> [UInt8] {
        var out = ByteWriter(capacity: 1024)
        LedgerValue.begin(&out, .snapshot, epoch)
        out.varlong(Int64(index))
        out.varlong(Int64(partCount))
        out.varlong(start)
        LedgerValue.write(fresh, &out)
        out.varlong(Int64(entries.count))
        var end: Int64 = 0
        var before = (lease: UInt64(0), firstMs: Int64(0), deadlineMs: Int64(0))
        for entry in entries {
            LedgerValue.write(entry.range, after: &end, &out)
            out.varlong(Int64(entry.state.rawValue))
            out.varlong(Int64(entry.receives))
            out.varlong(Int64(bitPattern: entry.lease &- before.lease))
            out.varlong(entry.firstReceivedMs - before.firstMs)
            out.varlong(entry.deadlineMs - before.deadlineMs)
            out.varlong(Int64(entry.spanMs))
            out.varlong(Int64(entry.owner))
            before = (entry.lease, entry.firstReceivedMs, entry.deadlineMs)
        }
        return out.array
    }

    init(_ reader: inout ByteReader) throws(DecodeError) {
        index = Int(try LedgerValue.number(&reader, in: 0...Self.maxParts - 1, "part of a snapshot"))
        partCount = Int(try LedgerValue.number(&reader, in: Int64(index) + 1...Self.maxParts, "parts of a snapshot"))
        start = try LedgerValue.number(&reader, in: 0...OffsetRange.maxOffset.rawValue, "start")
        fresh = try LedgerValue.ranges(&reader)
        let count = try LedgerValue.count(&reader, each: 9)
        guard fresh.count <= Self.maxPieces, count <= Self.maxPieces else {
            throw .invalid("number of a snapshot's pieces", position: reader.position)
        }
        entries.reserveCapacity(count)
        var end: Int64 = 0
        var before = (lease: UInt64(0), firstMs: Int64(0), deadlineMs: Int64(0))
        for _ in 0..<count {
            let entry = try Self.entry(&reader, &end, before)
            entries.append(entry)
            before = (entry.lease, entry.firstReceivedMs, entry.deadlineMs)
        }
    }

    private static func entry(
        _ reader: inout ByteReader, _ end: inout Int64, _ before: (lease: UInt64, firstMs: Int64, deadlineMs: Int64)
    ) throws(DecodeError) -> SnapshotEntry {
        let range = try LedgerValue.range(&reader, after: &end)
        guard range.count <= LedgerRecord.maxLeased else {
            throw .invalid("length of a snapshot's entry", position: reader.position)
        }
        let state = try LedgerValue.number(&reader, in: 1...4, "state of a message")
        let receives = try LedgerValue.number(&reader, in: 0...Int64(UInt16.max), "number of deliveries")
        let lease = before.lease &+ UInt64(bitPattern: try reader.varlong())
        guard lease != 0 else { throw .invalid("number of a lease", position: reader.position) }
        let first = before.firstMs &+ (try reader.varlong())
        let deadline = before.deadlineMs &+ (try reader.varlong())
        guard (0...LedgerValue.maxTimeMs).contains(first), (0...LedgerValue.maxTimeMs).contains(deadline) else {
            throw .invalid("time", position: reader.position)
        }
        let span = try LedgerValue.number(&reader, in: 0...Int64(UInt32.max), "length of a lease")
        let owner = try LedgerValue.number(&reader, in: 0...Int64(UInt32.max), "owner of a lease")
        return SnapshotEntry(
            range: range, state: MessageState(rawValue: UInt8(state))!, receives: UInt16(receives), lease: lease,
            firstReceivedMs: first, deadlineMs: deadline, spanMs: UInt32(span), owner: UInt32(owner))
    }
}

// MARK: Taking one

extension DeliveryLedger {
    /// Whether the changes in the log take more than a snapshot would: then one should be written.
    public var wantsSnapshot: Bool { phase == .active && journal.wantsSnapshot }

    /// Returns the whole state as records for the log. They are appended at once and in this order, before any other
    /// record of the ledger; then `snapshotAppended` is called. Costs a few steps for each message that is not ended
    /// and has a slot.
    public func snapshot() -> [LedgerEntry] {
        requireActive()
        let parts = snapshotParts()
        let epoch = journal.epoch + 1
        return parts.enumerated().map { index, part in
            LedgerEntry(
                key: LedgerKey(id, .snapshot, epoch: epoch, number: UInt32(index)).bytes,
                value: part.value(epoch: epoch))
        }
    }

    /// The records of `snapshot` were appended: changes follow it from now on.
    public mutating func snapshotAppended(_ entries: [LedgerEntry]) {
        journal.snapshotAppended(bytes: entries.reduce(0) { $0 + $1.key.count + $1.value.count })
    }

    /// Returns a step's records as they are appended.
    public func entries<Reply>(of step: LedgerStep<Reply>) -> [LedgerEntry] {
        step.records.enumerated().map { index, record in
            LedgerEntry(
                key: LedgerKey(id, .change, epoch: journal.epoch, number: journal.number + UInt32(index)).bytes,
                value: LedgerValue.encode(record, epoch: journal.epoch))
        }
    }

    private func snapshotParts() -> [SnapshotPart] {
        let fresh = neverGivenOut()
        let entries = givenOut()
        let size = SnapshotPart.maxPieces
        let freshParts = stride(from: 0, to: fresh.count, by: size).map {
            Array(fresh[$0..<min($0 + size, fresh.count)])
        }
        let entryParts = stride(from: 0, to: entries.count, by: size).map {
            Array(entries[$0..<min($0 + size, entries.count)])
        }
        let count = freshParts.count + entryParts.count
        return freshParts.enumerated().map {
            SnapshotPart(index: $0, partCount: count, start: start, fresh: $1)
        }
            + entryParts.enumerated().map {
                SnapshotPart(index: freshParts.count + $0, partCount: count, start: start, entries: $1)
            }
    }

    /// What is not ended and was never given out, with all that is still to come: never empty.
    private func neverGivenOut() -> [OffsetRange] {
        var ranges = (backlog.all + held.all).map { OffsetRange(Offset($0.first), Offset($0.end - 1)) }
        ranges += slots.occupied.filter { slots.leases[Int($0)] == 0 }
            .map { OffsetRange(Offset(slots.offsets[Int($0)])) }
        ranges.append(OffsetRange(Offset(end), OffsetRange.maxOffset))
        ranges.sort { $0.first < $1.first }
        var merged: [OffsetRange] = []
        for range in ranges {
            if let last = merged.last, last.last + 1 == range.first {
                merged[merged.count - 1].last = range.last
            } else {
                merged.append(range)
            }
        }
        return merged
    }

    private func givenOut() -> [SnapshotEntry] {
        var entries: [SnapshotEntry] = []
        let given = slots.occupied.filter { slots.leases[Int($0)] != 0 }
        for slot in given.sorted(by: { slots.offsets[Int($0)] < slots.offsets[Int($1)] }) {
            let at = Int(slot)
            let entry = SnapshotEntry(
                range: OffsetRange(Offset(slots.offsets[at])), state: slots.states[at], receives: slots.counts[at],
                lease: slots.leases[at], firstReceivedMs: slots.firstReceived[at], deadlineMs: slots.deadlines[at],
                spanMs: slots.spans[at], owner: slots.owners[at])
            if let last = entries.last, last.continues(with: entry) {
                entries[entries.count - 1].range.last = entry.range.last
            } else {
                entries.append(entry)
            }
        }
        return entries
    }

    // MARK: Taking it in

    mutating func restore(_ parts: [SnapshotPart]) throws(DecodeError) {
        slots = MessageSlots()
        counts = StateCounts()
        start = parts[0].start
        end = start
        var ranges: [Range<Int64>] = []
        for range in parts.flatMap(\.fresh) {
            guard range.first.rawValue >= ranges.last?.upperBound ?? 0 else {
                throw .invalid("order of a snapshot's ranges", position: 0)
            }
            ranges.append(range.first.rawValue..<range.last.rawValue + 1)
        }
        fresh = OffsetRanges(ranges)
        for entry in parts.flatMap(\.entries) {
            let (first, last) = (entry.range.first.rawValue, entry.range.last.rawValue)
            guard slots.count + Int(entry.range.count) <= LedgerSettings.maxSlotsLimit else {
                throw .invalid("more messages with state than a ledger has", position: 0)
            }
            for offset in first...last where slots.slot(of: offset) == nil { restore(offset, entry) }
            fresh!.remove(first..<last + 1)
        }
    }

    private mutating func restore(_ offset: Int64, _ entry: SnapshotEntry) {
        let slot = slots.insert(offset)
        let terms = LeaseTerms(
            number: entry.lease, startMs: entry.firstReceivedMs, deadlineMs: entry.deadlineMs, owner: entry.owner)
        slots.note(slot, terms, count: entry.receives)
        slots.restore(slot, firstReceivedMs: entry.firstReceivedMs, spanMs: entry.spanMs)
        move(slot, to: entry.state, deadlineMs: entry.deadlineMs)
    }
}
