import ByteBuffers
import KafkaModel
public import RecordFormat
public import StorageIO

/// One segment at a time, as `millrace log verify` and `log dump` show it. What is a batch, what is damage and what a
/// torn write left is decided by `SegmentWalk`, as at a start of the broker.
extension LogInspection {
    /// What the file of a segment holds.
    public struct SegmentFinding: Sendable {
        public var baseOffset: Int64
        /// Of the file.
        public var name: String { Segment.name(baseOffset, ".log") }
        /// In bytes.
        public var size: Int64 = 0
        public var batches = 0
        public var records: Int64 = 0
        /// Where no batch is, by ascending position.
        public var places: [Place] = []

        public var isDamaged: Bool { places.contains { $0.kind == .damage } }
    }

    /// Bytes of a segment that are no batch.
    public struct Place: Sendable, Equatable {
        public enum Kind: Sendable {
            /// Zeros that a direct write fills its last block with.
            case padding
            /// A write that was torn, and never acknowledged: the next start cuts it.
            case torn
            /// Damage that `log repair` has set aside.
            case repaired
            /// Bytes that are not what was written.
            case damage
        }

        public var kind: Kind
        public var position: Int64
        /// For a person.
        public var reason: String

        public init(kind: Kind, position: Int64, reason: String) {
            self.kind = kind
            self.position = position
            self.reason = reason
        }
    }

    /// Walks every segment of a partition's folder, and hands each whole batch to `body`, with its byte in the segment's
    /// file. The batch is valid during the call.
    ///
    /// - Parameter only: the segment with this base offset alone.
    public func segments(
        of folder: String, only: Int64? = nil, _ body: (RecordBatchHeader, Int64, _ baseOffset: Int64) -> Void
    ) throws(StorageError) -> [SegmentFinding] {
        let quarantine = try Quarantine.load(fileSystem, folder: folder) ?? Quarantine()
        let entry = entry(of: folder)
        let bases = try fileSystem.list(folder).compactMap(Segment.baseOffset(ofLogName:)).sorted()
        var findings: [SegmentFinding] = []
        for (place, base) in bases.enumerated() where only == nil || only == base {
            let next = place + 1 < bases.count ? bases[place + 1] : nil
            findings.append(
                try segment(base, next: next, in: folder, entry, quarantine) { body($0, $1, base) })
        }
        return findings
    }

    private func segment(
        _ base: Int64, next: Int64?, in folder: String, _ entry: Checkpoint.Entry?, _ quarantine: Quarantine,
        _ body: (RecordBatchHeader, Int64) -> Void
    ) throws(StorageError) -> SegmentFinding {
        let file = try fileSystem.open(Path.join(folder, Segment(baseOffset: base).logName), .read)
        defer { file.close() }
        var finding = SegmentFinding(baseOffset: base, size: try file.size())
        let vouched = Vouched(base, next: next, size: finding.size, entry)
        var batches = 0
        var records: Int64 = 0
        let count = { (header: RecordBatchHeader, position: Int64) in
            batches += 1
            records += Int64(header.recordCount)
            body(header, position)
        }
        let survey = try survey(file, vouched, entry, gaps: quarantine.gaps, count)
        if let padding = survey.padding { finding.places.append(.padding(padding, of: finding.size)) }
        for range in survey.damage {
            finding.places.append(.damage(range, isRepaired: quarantine.hasRepaired(range)))
        }
        if let lost = vouched.lostEnd, survey.damage.last?.endOffset != lost.endOffset {
            finding.places.append(.damage(lost, isRepaired: quarantine.hasRepaired(lost)))
        }
        if survey.padding == nil {
            finding.places += try rest(file, vouched, entry, quarantine, expected: survey.expected, count)
        }
        finding.batches = batches
        finding.records = records
        return finding
    }

    /// Judges what lies behind the bytes that are vouched for, without the journal that a start would ask.
    private func rest(
        _ file: any StorageFile, _ vouched: Vouched, _ entry: Checkpoint.Entry?, _ quarantine: Quarantine,
        expected: Int64?, _ body: (RecordBatchHeader, Int64) -> Void
    ) throws(StorageError) -> [Place] {
        // Whether a log was ever compacted is not known without its checkpoint.
        var walk = SegmentWalk(isContiguous: !(entry?.mayHaveGaps ?? true), verifies: true)
        walk.offsetLimit = vouched.next ?? .max
        walk.gaps = quarantine.gaps
        let mayBeTorn = entry != nil || vouched.next == nil
        var expected = expected
        var position = vouched.end
        var read: Int64 = 0
        var places: [Place] = []
        while case .broken(let at) = try walk.run(
            file, from: position, to: vouched.size, expected: &expected, pool: .shared, read: &read, body)
        {
            if try SegmentWalk.isPadding(file, from: at, to: vouched.size) {
                return places + [.padding(at, of: vouched.size)]
            }
            if mayBeTorn, try SegmentWalk.isTorn(file, from: at, to: vouched.size) {
                return places + [.torn(at, of: vouched.size)]
            }
            let base = expected ?? vouched.base
            let next = try walk.resume(file, after: at, to: vouched.size, expected: expected, pool: .shared)
            let range = DamagedRange(
                segmentBase: vouched.base, startPosition: at, endPosition: next?.position ?? vouched.size,
                baseOffset: base, endOffset: max(base + 1, next?.baseOffset ?? 0), reason: "no whole record batch")
            places.append(.damage(range, isRepaired: quarantine.hasRepaired(range)))
            guard let next else { return places }
            expected = next.baseOffset
            position = next.position
        }
        return places
    }

    /// Shows the batches of one segment's file whose headers may stand where they stand, damaged or not, until `body`
    /// gives false. Gives where that ends before the file does.
    public static func batches(
        of file: any StorageFile, isLast: Bool, while body: (RecordBatchHeader, Int64) -> Bool
    ) throws(StorageError) -> Place? {
        var walk = SegmentWalk(isContiguous: false, verifies: false)
        walk.readsWholeBatches = true
        let size = try file.size()
        var expected: Int64?
        var read: Int64 = 0
        guard
            case .broken(let at) = try walk.run(
                file, from: 0, to: size, expected: &expected, pool: .shared, read: &read, while: body)
        else { return nil }
        if try SegmentWalk.isPadding(file, from: at, to: size) { return .padding(at, of: size) }
        if isLast, try SegmentWalk.isTorn(file, from: at, to: size) { return .torn(at, of: size) }
        return Place(kind: .damage, position: at, reason: "no whole record batch")
    }
}

extension LogInspection.Place {
    fileprivate static func padding(_ position: Int64, of size: Int64) -> Self {
        Self(kind: .padding, position: position, reason: "\(size - position) zero bytes behind the last batch")
    }

    fileprivate static func torn(_ position: Int64, of size: Int64) -> Self {
        Self(
            kind: .torn, position: position,
            reason: "the torn end of a write, \(size - position) bytes; the next start cuts it")
    }

    fileprivate static func damage(_ range: DamagedRange, isRepaired: Bool) -> Self {
        Self(kind: isRepaired ? .repaired : .damage, position: range.startPosition, reason: range.reason)
    }
}

extension LogInspection {
    /// The part of a segment's file that a checkpoint vouches for.
    struct Vouched {
        let base: Int64
        let next: Int64?
        let size: Int64
        /// Exclusive, in bytes. 0: nothing is vouched for yet.
        let end: Int64
        /// The offset that follows the last vouched batch.
        let limit: Int64
        /// What is missing behind the file's end.
        let lostEnd: DamagedRange?

        init(_ base: Int64, next: Int64?, size: Int64, _ entry: Checkpoint.Entry?) {
            self.base = base
            self.next = next
            self.size = size
            guard let entry, base <= entry.segmentBase else {
                (end, limit, lostEnd) = (0, next ?? .max, nil)
                return
            }
            guard base == entry.segmentBase else {
                (end, limit, lostEnd) = (size, next ?? .max, nil)
                return
            }
            end = min(size, entry.position)
            limit = entry.endOffset
            lostEnd =
                size >= entry.position
                ? nil
                : DamagedRange(
                    segmentBase: base, startPosition: size, endPosition: size, baseOffset: entry.endOffset - 1,
                    endOffset: entry.endOffset, reason: "\(size) bytes where \(entry.position) had been synced")
        }
    }

    /// What stands in the vouched part: damage, the padding of a direct write that was not cut yet, and the offset that
    /// follows.
    func survey(
        _ file: any StorageFile, _ vouched: Vouched, _ entry: Checkpoint.Entry?, gaps: [Range<Int64>],
        _ body: (RecordBatchHeader, Int64) -> Void
    ) throws(StorageError) -> (damage: [DamagedRange], padding: Int64?, expected: Int64?) {
        var expected: Int64? = vouched.base
        guard vouched.end > 0 else { return ([], nil, expected) }
        var walk = SegmentWalk(isContiguous: !(entry?.mayHaveGaps ?? true), verifies: true)
        walk.offsetLimit = vouched.limit
        walk.maxEpoch = max(0, entry?.epochs.latest ?? .max)
        walk.gaps = gaps
        var read: Int64 = 0
        var damage = try walk.survey(
            file, segmentBase: vouched.base, from: 0, to: vouched.end, expected: &expected, limit: vouched.limit,
            pool: .shared, read: &read, body)
        var padding: Int64?
        if let last = damage.last, last.endPosition == vouched.size,
            try SegmentWalk.isPadding(file, from: last.startPosition, to: vouched.size)
        {
            padding = last.startPosition
            damage.removeLast()
        }
        return (damage, padding, expected)
    }
}

extension Quarantine {
    /// Whether `log repair` has set this range aside.
    func hasRepaired(_ range: DamagedRange) -> Bool {
        ranges.contains {
            $0.isRepaired && $0.baseOffset <= range.baseOffset && range.endOffset <= $0.endOffset
        }
    }
}
