internal import ByteBuffers
internal import KafkaModel

/// The bytes of a record's value. Numbers are zigzag varints of at most 64 bits, but for the first two bytes.
///
/// ```
/// version 1 │ kind 1 │ epoch │ fields
///   leased 1    lease number, start ms, deadline ms − start ms, owner, count, {first − end before, length − 1, receives}…
///   ended 2     reason, ranges          ranges: count, {first − end before, length − 1}…
///   released 3  visible at ms, uncounted (0 or 1), ranges
///   extended 4  deadline ms, ranges
///   rejected 5  ranges
///   started 6   offset
///   snapshot 7  see `LedgerSnapshot`
/// ```
/// "End before" is the offset behind the range before, 0 for the first: offsets ascend, so differences are small and
/// never negative. A decoder refuses what does not ascend, is out of range, or has bytes left.
enum LedgerValue {
    static let version: UInt8 = 1
    /// Milliseconds since 1970 that a record may name: some 9,000 years, so that sums do not overflow.
    static let maxTimeMs: Int64 = 1 << 48

    enum Kind: UInt8 {
        case leased = 1
        case ended, released, extended, rejected, started, snapshot
    }

    static func encode(_ record: LedgerRecord, epoch: Int64) -> [UInt8] {
        var out = ByteWriter(capacity: 64)
        switch record {
        case .leased(let lease):
            begin(&out, .leased, epoch)
            out.varlong(Int64(bitPattern: lease.terms.number))
            out.varlong(lease.terms.startMs)
            out.varlong(lease.terms.deadlineMs - lease.terms.startMs)
            out.varlong(Int64(lease.terms.owner))
            out.varlong(Int64(lease.ranges.count))
            var end: Int64 = 0
            for leased in lease.ranges {
                write(leased.range, after: &end, &out)
                out.varlong(Int64(leased.receives))
            }
        case .ended(let ranges, let reason):
            begin(&out, .ended, epoch)
            out.varlong(Int64(reason.rawValue))
            write(ranges, &out)
        case .released(let ranges, let visibleAtMs, let isUncounted):
            begin(&out, .released, epoch)
            out.varlong(visibleAtMs)
            out.varlong(isUncounted ? 1 : 0)
            write(ranges, &out)
        case .extended(let ranges, let deadlineMs):
            begin(&out, .extended, epoch)
            out.varlong(deadlineMs)
            write(ranges, &out)
        case .rejected(let ranges):
            begin(&out, .rejected, epoch)
            write(ranges, &out)
        case .started(let offset):
            begin(&out, .started, epoch)
            out.varlong(offset)
        }
        return out.array
    }

    static func begin(_ out: inout ByteWriter, _ kind: Kind, _ epoch: Int64) {
        out.integer(version)
        out.integer(kind.rawValue)
        out.varlong(epoch)
    }

    static func write(_ ranges: [OffsetRange], _ out: inout ByteWriter) {
        out.varlong(Int64(ranges.count))
        var end: Int64 = 0
        for range in ranges { write(range, after: &end, &out) }
    }

    static func write(_ range: OffsetRange, after end: inout Int64, _ out: inout ByteWriter) {
        out.varlong(range.first.rawValue - end)
        out.varlong(range.count - 1)
        end = range.last.rawValue + 1
    }
}

extension LedgerValue {
    /// What a value says; a part of a snapshot stays bytes until all parts are there.
    enum Decoded: Equatable {
        case record(LedgerRecord, epoch: Int64)
        case snapshotPart(SnapshotPart, epoch: Int64)
    }

    static func decode(_ bytes: UnsafeRawBufferPointer) throws(DecodeError) -> Decoded {
        var reader = ByteReader(bytes)
        let found = try reader.integer(UInt8.self)
        guard found == version else { throw .invalid("version of a ledger's record", position: 0) }
        guard let kind = Kind(rawValue: try reader.integer(UInt8.self)) else {
            throw .invalid("kind of a ledger's record", position: 1)
        }
        let epoch = try number(&reader, in: 0...OffsetRange.maxOffset.rawValue, "epoch")
        let decoded: Decoded
        if kind == .snapshot {
            decoded = .snapshotPart(try SnapshotPart(&reader), epoch: epoch)
        } else {
            decoded = .record(try record(kind, &reader), epoch: epoch)
        }
        guard reader.isAtEnd else {
            throw .invalid("bytes behind a ledger's record", position: reader.position)
        }
        return decoded
    }

    private static func record(_ kind: Kind, _ reader: inout ByteReader) throws(DecodeError) -> LedgerRecord {
        switch kind {
        case .leased: return .leased(try lease(&reader))
        case .ended:
            let reason = try number(&reader, in: 0...3, "reason of an end")
            return .ended(try ranges(&reader), EndReason(rawValue: UInt8(reason))!)
        case .released:
            let at = try time(&reader)
            let isUncounted = try number(&reader, in: 0...1, "flag of a release") == 1
            return .released(try ranges(&reader), visibleAtMs: at, isUncounted: isUncounted)
        case .extended:
            let deadline = try time(&reader)
            return .extended(try ranges(&reader), deadlineMs: deadline)
        case .rejected: return .rejected(try ranges(&reader))
        case .started: return .started(at: try number(&reader, in: 0...OffsetRange.maxOffset.rawValue, "start"))
        case .snapshot: preconditionFailure("a snapshot is no change")
        }
    }

    private static func lease(_ reader: inout ByteReader) throws(DecodeError) -> LeaseRecord {
        let number = UInt64(bitPattern: try reader.varlong())
        guard number != 0 else { throw .invalid("number of a lease", position: reader.position) }
        let start = try time(&reader)
        let span = try Self.number(&reader, in: 0...LedgerSettings.maxVisibilityMs, "length of a lease")
        let owner = UInt32(try Self.number(&reader, in: 0...Int64(UInt32.max), "owner of a lease"))
        let count = try Self.count(&reader, each: 3)
        var ranges: [LeasedRange] = []
        ranges.reserveCapacity(count)
        var end: Int64 = 0
        var messages: Int64 = 0
        for _ in 0..<count {
            let range = try range(&reader, after: &end)
            messages += min(range.count, Int64(LedgerRecord.maxLeased) + 1)
            guard messages <= LedgerRecord.maxLeased else {
                throw .invalid("more messages than one receive gives out", position: reader.position)
            }
            let receives = try Self.number(&reader, in: 0...Int64(UInt16.max), "number of deliveries")
            ranges.append(LeasedRange(range: range, receives: UInt16(receives)))
        }
        let terms = LeaseTerms(number: number, startMs: start, deadlineMs: start + span, owner: owner)
        return LeaseRecord(terms: terms, ranges: ranges)
    }

    // MARK: Numbers

    static func number(
        _ reader: inout ByteReader, in allowed: ClosedRange<Int64>, _ what: StaticString
    ) throws(DecodeError) -> Int64 {
        let position = reader.position
        let value = try reader.varlong()
        guard allowed.contains(value) else { throw .invalid(what, position: position) }
        return value
    }

    static func time(_ reader: inout ByteReader) throws(DecodeError) -> Int64 {
        try number(&reader, in: 0...maxTimeMs, "time")
    }

    /// A number of elements of at least so many bytes each: more than the bytes hold is refused before anything is
    /// allocated.
    static func count(_ reader: inout ByteReader, each bytes: Int) throws(DecodeError) -> Int {
        let position = reader.position
        let count = try reader.varlong()
        guard count >= 0, count <= reader.remaining / bytes else { throw .invalid("count", position: position) }
        return Int(count)
    }

    static func ranges(_ reader: inout ByteReader) throws(DecodeError) -> [OffsetRange] {
        let count = try count(&reader, each: 2)
        var ranges: [OffsetRange] = []
        ranges.reserveCapacity(count)
        var end: Int64 = 0
        for _ in 0..<count { ranges.append(try range(&reader, after: &end)) }
        return ranges
    }

    static func range(_ reader: inout ByteReader, after end: inout Int64) throws(DecodeError) -> OffsetRange {
        let most = OffsetRange.maxOffset.rawValue
        let first = end + (try number(&reader, in: 0...most, "offset"))
        guard first <= most else { throw .invalid("offset", position: reader.position) }
        let last = first + (try number(&reader, in: 0...most, "length of a range"))
        guard last <= most else { throw .invalid("length of a range", position: reader.position) }
        end = last + 1
        return OffsetRange(Offset(first), Offset(last))
    }
}
